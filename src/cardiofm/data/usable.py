"""The windows of a record that hold enough signal to be worth a look, in batches of the same channels.

Shapes: B windows, C channels (ecg, ppg), N samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.hide import Hidden
from cardiofm.data.windows import cut, window_at
from cardiofm.signals import InputSpec, Record, SignalError, Window

MIN_S = 1.0  # a channel with less known signal in a window counts as absent there
T = TypeVar("T")


class NothingKnown(SignalError):
    """A record without usable signal: an error where a result is owed, none where a refusal is a result."""


def usable(
    record: Record, spec: InputSpec, hop_s: float | None, hidden: Hidden | None = None
) -> Iterator[tuple[Window, Window]]:
    """Windows as the network may see them, hidden samples not valid, each beside the whole one.

    A channel with less than `MIN_S` to see is not valid either; windows with nothing to see are left out. Raises
    SignalError for a record of less than `MIN_S`, and NothingKnown at the end where there was no window.
    """
    if record.duration_s < MIN_S:
        raise SignalError(
            f"record {record.name!r} must last at least {MIN_S:g} s, found {record.duration_s:.3g} s; record longer"
        )
    found = False
    covered = None if hidden is None or hidden.none else hidden.cover(record)
    for whole in cut(record, spec, hop_s):
        window = visible(whole if covered is None else window_at(covered, spec, whole.start_s), spec)
        if window is not None:
            found = True
            yield window, whole
    if not found:
        kind = "signal" if covered is None else "signal that is not hidden"
        raise NothingKnown(
            f"record {record.name!r} must hold {MIN_S:g} s of {kind} within "
            f"{spec.window_s:g} s, found only absent or constant samples; choose another channel or recording"
        )


def visible(window: Window, spec: InputSpec) -> Window | None:
    """The window with a channel of which less than `MIN_S` is known not valid; None where nothing is left."""
    known_C = window.valid.sum(-1) >= MIN_S * spec.fs_hz
    if not known_C.any():
        return None
    quality_C = np.where(known_C, window.quality, np.float32(0))
    return replace(window, valid=window.valid & known_C[:, None], quality=quality_C)


def kinds(windows: list[Window]) -> Iterator[tuple[list[int], tuple[int, ...]]]:
    """The windows that have the same channels, by index, and which channels these are."""
    each = [tuple(int(c) for c in np.flatnonzero(w.valid.any(-1))) for w in windows]
    for kind in dict.fromkeys(each):
        yield [i for i, k in enumerate(each) if k == kind], kind


def stacked(windows: list[Window]) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Values `(B, C, N)`, 0 where not visible, what is visible, and `(B, C)` whether they are in mV."""
    x, seen, in_mv = (np.stack([getattr(w, n) for w in windows]) for n in ("values", "valid", "in_mv"))
    return np.where(seen, x, np.float32(0)), seen, in_mv


def batches(items: Iterable[tuple[Record, T]], size: int) -> Iterator[list[tuple[Record, T]]]:
    """The items in lists that hold at most `size` windows each, together with the ends between them."""
    chunk: list[tuple[Record, T]] = []
    windows = 0
    for item in items:
        chunk.append(item)
        windows += isinstance(item[1], Window)
        if windows == size:
            yield chunk
            chunk, windows = [], 0
    if chunk:
        yield chunk
