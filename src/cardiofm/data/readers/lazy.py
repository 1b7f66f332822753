"""Samples that stay in their file until they are sliced, and the one sentence for whatever a parser raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.signals import SignalError

READ_AHEAD = 1 << 17  # samples: opening a file costs more than decoding this many, and 512 kB is little memory


@contextmanager
def one_sentence(path: Path, form: str) -> Iterator[None]:
    """Turn any exception of a parser into a `SignalError` of one line with the file's name and the reason."""
    try:
        yield
    except SignalError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SignalError(
            f"{path.name} must be a whole {form} file, but reading it failed ({reason[:200]}); get the file again"
        ) from error


@dataclass
class Lazy:
    """`n` float32 samples behind `fetch(first, last)`: sliced like an array, read from the file piece by piece.

    >>> x = Lazy(5, lambda first, last: np.arange(first, last, dtype=np.float32))
    >>> len(x), x[1:3].tolist()
    (5, [1.0, 2.0])
    """

    n: int
    fetch: Callable[[int, int], NDArray[np.float32]]
    _first: int = field(default=0, repr=False)
    _ahead: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32), repr=False)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: slice, /) -> NDArray[np.float32]:
        first, last, step = index.indices(self.n)
        if step < 0:
            raise IndexError("samples are read forwards: the step must be positive")
        if last <= first:
            return np.empty(0, np.float32)
        if last - first >= READ_AHEAD:
            return self.fetch(first, last)[::step]
        if not self._first <= first <= last <= self._first + len(self._ahead):
            self._ahead = self.fetch(first, min(self.n, first + READ_AHEAD))
            self._first = first
        part = self._ahead[first - self._first : last - self._first]
        return part[::step].copy()

    def __getstate__(self) -> dict[str, object]:
        return {"n": self.n, "fetch": self.fetch, "_first": 0, "_ahead": np.empty(0, np.float32)}
