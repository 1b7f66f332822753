"""One way through a model for writing, reading and counting: `coder.symbol(weights, value)` gives the value back.

A writer is given the value, a reader finds it, a counter only adds up what it would cost. Weights are whole numbers
below 2^53, so that every machine makes the same intervals of them; the range coder is constriction's.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cardiofm.signals import SignalError

STEPS = 1024  # chances of a bit are told apart in this many steps
LIMIT = 512  # a context that has seen so many bits forgets half of them
WORD = 4  # bytes of a range coder's word


class Coder(Protocol):
    """What a model of symbols is run with."""

    def symbol(self, weights_K: NDArray[np.float64], value: int = -1) -> int:
        """One of K symbols, chances in proportion to whole positive weights."""
        ...

    def step(self, ones: int, value: int = -1) -> int:
        """A bit whose chance of 1 is `ones / STEPS`."""
        ...


def _library() -> tuple[Any, Any]:
    """constriction's models and range coders."""
    import constriction

    stream: Any = constriction.stream  # pyright: ignore[reportAttributeAccessIssue]
    return stream.model, stream.queue


class Writer:
    """Symbols to bytes."""

    def __init__(self) -> None:
        self._model, queue = _library()
        self._coder = queue.RangeEncoder()

    def symbol(self, weights_K: NDArray[np.float64], value: int = -1) -> int:
        self._coder.encode(int(value), self._model.Categorical(weights_K, lazy=True))
        return value

    def step(self, ones: int, value: int = -1) -> int:
        self._coder.encode(int(value), bit(ones))
        return value

    def bytes(self) -> bytes:
        """All of it; zeros at the end are left out, and a reader supplies them."""
        return self._coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


class Reader:
    """Bytes to symbols. Raises SignalError where the bytes cannot be of this model."""

    def __init__(self, data: bytes) -> None:
        self._model, queue = _library()
        words = np.frombuffer(data + bytes(-len(data) % WORD), "<u4").astype(np.uint32)
        self._coder = queue.RangeDecoder(np.append(words, np.zeros(2, np.uint32)))

    def symbol(self, weights_K: NDArray[np.float64], value: int = -1) -> int:
        return self._decode(self._model.Categorical(weights_K, lazy=True))

    def step(self, ones: int, value: int = -1) -> int:
        return self._decode(bit(ones))

    def _decode(self, model: object) -> int:
        try:
            return int(self._coder.decode(model))
        except Exception as error:  # constriction raises AssertionError or ValueError, by version
            raise SignalError(
                "a chunk must hold what its model can say, and does not; encode the file again"
            ) from error


class Counter:
    """Bits that a writer would need, without writing."""

    def __init__(self) -> None:
        self.bits = 0.0

    def symbol(self, weights_K: NDArray[np.float64], value: int = -1) -> int:
        self.bits += math.log2(float(weights_K.sum()) / float(weights_K[value]))
        return value

    def step(self, ones: int, value: int = -1) -> int:
        self.bits += PRICE[value][ones]
        return value


PRICE = tuple(
    tuple(-math.log2(min(max(n if value else STEPS - n, 1), STEPS) / STEPS) for n in range(STEPS + 1))
    for value in (0, 1)
)  # [value][ones], bits
_BITS: list[object] = []


def bit(ones: int) -> object:
    """The model of a bit that is 1 in `ones` of `STEPS` cases; made once."""
    if not _BITS:
        model, _ = _library()
        pairs = np.array([[STEPS - n, n] for n in range(STEPS + 1)], np.float64)
        _BITS.extend(model.Categorical(pair, perfect=False) for pair in pairs)
    return _BITS[ones]


class Bits:
    """Adaptive chances of bits by context: counts of 0 and 1, which start as `counts (2, contexts)`."""

    def __init__(self, counts: NDArray[np.integer]) -> None:
        self.seen = [[int(a), int(b)] for a, b in counts.T]

    def ones(self, context: int) -> int:
        """The chance of 1 in that context, in `STEPS`."""
        zero, one = self.seen[context]
        return min(max((one * STEPS + (zero + one) // 2) // (zero + one), 1), STEPS - 1)

    def code(self, coder: Coder, context: int, value: int = -1) -> int:
        """The bit, which the context then has seen."""
        value = coder.step(self.ones(context), value)
        self.learn(context, value)
        return value

    def learn(self, context: int, value: int) -> None:
        """Count a bit; each adds 2, so that counts can be halved."""
        seen = self.seen[context]
        seen[value] += 2
        if seen[0] + seen[1] > LIMIT:
            seen[0], seen[1] = (seen[0] + 1) // 2, (seen[1] + 1) // 2


def number(coder: Coder, bits: Bits, first: int, value: int = 0) -> int:
    """A whole number of either sign in adaptive Elias-gamma form: `NUMBER` contexts from `first` on."""
    negative = int(value < 0)
    size = abs(value) + 1
    length = 0
    while bits.code(coder, first + min(length, 15), int(size >> (length + 1) > 0)):
        length += 1
        if length > 40:
            raise SignalError("a chunk must hold numbers below 2^40, and does not; encode the file again")
    found = 1
    for k in range(length - 1, -1, -1):
        found = 2 * found + bits.code(coder, first + 16 + min(k, 7), (size >> k) & 1)
    if found == 1:
        return 0
    return -(found - 1) if bits.code(coder, first + 24, negative) else found - 1


NUMBER = 25


def flat(contexts: int) -> NDArray[np.int64]:
    """Counts of contexts that know nothing."""
    return np.full((2, contexts), 2, np.int64)
