"""Samples bit for bit: whole steps of the converter, or their levels, predicted by the samples before.

What codes say of the samples is not asked: it is less than the samples before say, and what it leaves is rougher than
the signal. Everything is whole numbers, so no network and no machine's rounding is in the way. Samples that lie on no
converter's steps are coded as the bits of their float32. Shapes: n known samples, L levels, K samples that predict.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardiofm.codec.arithmetic import NUMBER, STEPS, Bits, Coder, flat, number
from cardiofm.data.converter import DIGITS, Steps, converter
from cardiofm.signals import SignalError

ORDER = 16  # samples before that predict, by weights that are sent; and errors of that, by weights that follow them
UNIT = 16  # bits of 1 in a weight
FINE = 4  # bits of a step in what the following weights hear
PACE = 6  # bits by which they follow less than all the way
CLASSES = 64  # of how large the last errors were
LEVEL_BITS = 4  # about what a level's place costs
LOUD = 1 << 40  # whole numbers stay within this


@dataclass(frozen=True)
class Levels:
    """Whole steps that occur, where a coarser converter's values were written on a finer one's."""

    whole_L: NDArray[np.int64]
    number_L: NDArray[np.int64]  # the coarser converter's own count; it may leave some out

    @staticmethod
    def of(whole_n: NDArray[np.int64]) -> Levels | None:
        """The levels of samples; None where numbering them saves nothing."""
        whole_L = np.unique(whole_n)
        apart = np.diff(whole_L)
        if len(apart) < 2 or apart.max() >= 1 << 30:
            return None
        usual = float(np.median(apart))
        usual = float(apart[np.abs(apart - usual) <= 0.3 * usual].mean())
        if usual < 1.5 or len(whole_n) * math.log2(usual) < LEVEL_BITS * len(whole_L):
            return None
        steps = np.maximum(1, np.rint(apart / usual)).astype(np.int64)
        return Levels(whole_L, np.concatenate([[0], steps.cumsum()]))

    def numbers(self, whole_n: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.number_L[np.searchsorted(self.whole_L, whole_n)]

    def whole(self, number_n: NDArray[np.int64]) -> NDArray[np.int64]:
        """The inverse of `numbers`. Raises SignalError for a number without a level."""
        at = np.minimum(np.searchsorted(self.number_L, number_n), len(self.number_L) - 1)
        if (self.number_L[at] != number_n).any():
            raise SignalError("a chunk must hold samples on its own levels, and does not; encode the file again")
        return self.whole_L[at]


def code(coder: Coder, count: int, values_n: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """So many finite samples through a coder. Raises SignalError where they are not what was written."""
    steps = None if values_n is None else converter(values_n)
    if coder.step(STEPS // 2, int(steps is not None)):
        raw = struct.pack("<dd", steps.step, steps.shift) if steps is not None else bytes(16)
        steps = Steps(*struct.unpack("<dd", _raw(coder, raw)))
        if not (np.isfinite([steps.step, steps.shift]).all() and steps.step > 0):
            raise SignalError("a chunk must hold a converter's step above 0, and does not; encode the file again")
        values = _stepped(coder, steps, count, values_n)
    else:
        values = unordered(_predicted(coder, count, None if values_n is None else ordered(values_n)))
    check = zlib.crc32(values.tobytes()).to_bytes(4, "little")
    if _raw(coder, check) != check:
        raise SignalError("exact samples must have the sum that was written with them, found another; encode again")
    return values


def _stepped(coder: Coder, steps: Steps, count: int, values_n: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Whole steps; and, where the file's own rounding was another, by how much."""
    bits, whole = Bits(flat(NUMBER)), None if values_n is None else steps.whole(values_n.astype(np.float64))
    levels = None if whole is None else Levels.of(whole)
    if coder.step(STEPS // 2, int(levels is not None)):
        levels = _levels(coder, levels)
        whole = levels.whole(_predicted(coder, count, None if whole is None else levels.numbers(whole)))
    else:
        whole = _predicted(coder, count, whole)
    made = steps.values(whole)
    other = None if values_n is None else ordered(values_n) - ordered(made)
    if coder.step(STEPS // 2, int(other is not None and bool(other.any()))):
        found = [number(coder, bits, 0, int(o)) for o in _each(other, len(made))]
        made = unordered(ordered(made) + np.array(found, np.int64))
    return made


def _levels(coder: Coder, given: Levels | None) -> Levels:
    """Levels through a coder: how far each is from the one before, in steps and in numbers."""
    bits = Bits(flat(3 * NUMBER))
    count = number(coder, bits, 0, 0 if given is None else len(given.whole_L))
    whole = number(coder, bits, 0, 0 if given is None else int(given.whole_L[0]))
    if not 1 <= count < 1 << DIGITS:
        raise SignalError("a chunk must hold a level or more, and does not; encode the file again")
    apart = None if given is None else np.diff(given.whole_L)
    skips = None if given is None else np.diff(given.number_L)
    wholes, numbers, usual = [whole], [0], 0
    for gap, skip in zip(_each(apart, count - 1), _each(skips, count - 1), strict=True):
        skip = 1 + number(coder, bits, NUMBER, skip - 1)
        gap = skip * usual + number(coder, bits, 2 * NUMBER, gap - skip * usual)
        if skip < 1 or gap < 1 or gap > LOUD:
            raise SignalError("a chunk must hold levels that rise, and does not; encode the file again")
        usual = gap // skip
        wholes.append(wholes[-1] + gap)
        numbers.append(numbers[-1] + skip)
    return Levels(np.array(wholes, np.int64), np.array(numbers, np.int64))


def _each(given: NDArray | None, count: int) -> list[int]:
    return [0] * count if given is None else [int(v) for v in given]


def _predicted(coder: Coder, count: int, whole_n: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Whole numbers as errors of a prediction: by weights that are sent, then by weights that follow its errors."""
    bits = Bits(flat(NUMBER * (CLASSES + 1)))
    centre = number(coder, bits, NUMBER * CLASSES, 0 if whole_n is None else int(np.median(whole_n)) if count else 0)
    wanted = None if whole_n is None else whole_n - centre
    weights_K = [0] * ORDER if wanted is None else _weights(wanted)
    weights_K = np.array([number(coder, bits, NUMBER * CLASSES, w) for w in weights_K], np.int64)
    given = _each(wanted, count)
    out, left = np.zeros(ORDER + count, np.int64), np.zeros(ORDER + count, np.int64)
    follow_K, size = np.zeros(ORDER, np.int64), 0
    for n in range(count):
        heard_K = left[n : n + ORDER]
        first = int(weights_K @ out[n : n + ORDER]) >> (UNIT - FINE)
        second = int(follow_K @ heard_K) >> UNIT
        expected = (first + second + (1 << (FINE - 1))) >> FINE
        octave = size.bit_length()
        klass = min(2 * octave + (size >> max(octave - 2, 0) & 1), CLASSES - 1)
        error = number(coder, bits, NUMBER * klass, given[n] - expected)
        if abs(value := expected + error) > LOUD:
            raise SignalError(f"a chunk must hold samples within {LOUD} steps, and does not; encode the file again")
        out[n + ORDER] = value
        missed = min(max((value << FINE) - first, -(1 << 20)), 1 << 20)
        left[n + ORDER] = missed
        follow_K += ((missed - second) * heard_K << (UNIT - PACE)) // (int(heard_K @ heard_K) + (1 << 2 * FINE))
        size += abs(error) - (size >> 4)
    return out[ORDER:] + centre


def _weights(wanted_n: NDArray[np.int64]) -> list[int]:
    """Whole weights of the samples before, oldest first, by least squares."""
    if len(wanted_n) < 8 * ORDER:
        return [0] * ORDER
    x = wanted_n.astype(np.float64)
    rows = np.lib.stride_tricks.sliding_window_view(x[:-1], ORDER)
    power = rows.T @ rows
    found = np.linalg.lstsq(power + 1e-3 * np.eye(ORDER), rows.T @ x[ORDER:], rcond=None)[0]
    return [int(w) for w in np.clip(np.rint(found * 2.0**UNIT), -(1 << 22), 1 << 22)]


def ordered(values_n: NDArray[np.float32]) -> NDArray[np.int64]:
    """The bits of float32 as whole numbers in the order of the values; NaN lies at the ends."""
    whole = values_n.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(whole < 0, -(whole & 0x7FFFFFFF) - 1, whole)


def unordered(whole_n: NDArray[np.int64]) -> NDArray[np.float32]:
    """The inverse of `ordered`."""
    whole = np.where(whole_n < 0, (-(whole_n + 1)) | 0x80000000, whole_n)
    return (whole & 0xFFFFFFFF).astype(np.uint32).view(np.float32)


def _raw(coder: Coder, data: bytes) -> bytes:
    """Bytes as they are."""
    return bytes(coder.symbol(EVEN, byte) for byte in data)


EVEN = np.ones(256)
