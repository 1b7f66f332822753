"""Samples bit for bit: whole steps of the converter, predicted by what the codes say and by the samples before.

Everything is whole numbers: the guess from the codes is their inverse transform in whole numbers, so no network and
no machine's rounding is in the way. Samples that lie on no converter's steps are coded as the bits of their float32.
Shapes: n samples of the channel's own clock, N of the network's grid.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardiofm.codec.arithmetic import NUMBER, STEPS, Bits, Coder, flat, number
from cardiofm.codec.prior import UNIT
from cardiofm.signals import SignalError

ORDER = 8  # samples before that predict
SCALE = 1 << 12  # of their weights
CLASSES = 32  # of how large the last errors were
PARTS = 40  # the least difference of two samples may be so many steps
DIGITS = 24  # more than this many significant bits are no converter's


@dataclass(frozen=True)
class Steps:
    """A converter: value = float32(step * whole + shift)."""

    step: float
    shift: float

    def values(self, whole_n: NDArray[np.int64]) -> NDArray[np.float32]:
        return (whole_n * self.step + self.shift).astype(np.float32)


def at(plain_N: NDArray[np.float64], position_N: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The guess on the channel's own clock, `(count,)`, by a line between its neighbours."""
    if len(position_N) < 2 or not count:
        return np.zeros(count)
    rate = position_N[1] - position_N[0]
    where = np.clip((np.arange(count) - position_N[0]) / rate, 0, len(plain_N) - 1.0)
    left = np.minimum(np.floor(where), len(plain_N) - 2.0).astype(np.int64)
    part = np.floor((where - left) * 1024)
    return np.floor((plain_N[left] * (1024 - part) + plain_N[left + 1] * part) / 1024)


def code(
    coder: Coder, guess_n: NDArray[np.float64], scale: float, offset: float, values_n: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """The samples, NaN among them, through a coder. Raises SignalError where they are not what was written."""
    steps = None if values_n is None else converter(values_n)
    if coder.step(STEPS // 2, int(steps is not None)):
        raw = struct.pack("<dd", steps.step, steps.shift) if steps is not None else bytes(16)
        steps = Steps(*struct.unpack("<dd", _raw(coder, raw)))
        if not (np.isfinite([steps.step, steps.shift]).all() and steps.step > 0):
            raise SignalError("a chunk must hold a converter's step above 0, and does not; encode the file again")
        guess = np.floor((guess_n * (scale / UNIT) + (offset - steps.shift)) / steps.step)
        guess = np.clip(guess, -(2.0**40), 2.0**40).astype(np.int64)
        values = _stepped(coder, steps, guess, values_n)
    else:
        whole = None if values_n is None else ordered(values_n)
        values = unordered(_predicted(coder, np.zeros(len(guess_n), np.int64), whole))
    check = zlib.crc32(values.tobytes()).to_bytes(4, "little")
    if _raw(coder, check) != check:
        raise SignalError("exact samples must have the sum that was written with them, found another; encode again")
    return values


def _stepped(
    coder: Coder, steps: Steps, guess_n: NDArray[np.int64], values_n: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Whole steps, where there is a sample; and, where the file's own rounding was another, by how much."""
    bits, absent = Bits(flat(NUMBER + 2)), None if values_n is None else np.isnan(values_n)
    gone = np.array([bits.code(coder, NUMBER, 0 if absent is None else int(a)) for a in _each(absent, len(guess_n))])
    gone = gone.astype(bool).reshape(-1)
    whole = None
    if values_n is not None:
        filled = np.where(gone, steps.shift + guess_n * steps.step, values_n.astype(np.float64))
        whole = _steps(steps, filled)
    whole = _predicted(coder, guess_n, whole)
    made = steps.values(whole)
    other = None if values_n is None else np.where(gone, 0, ordered(values_n) - ordered(made))
    if coder.step(STEPS // 2, int(other is not None and bool(other.any()))):
        found = [number(coder, bits, 0, int(o)) for o in _each(other, len(made))]
        made = unordered(ordered(made) + np.array(found, np.int64))
    return np.where(gone, np.float32(np.nan), made)


def _each(given: NDArray | None, count: int) -> list[int]:
    return [0] * count if given is None else [int(v) for v in given]


def _predicted(coder: Coder, guess_n: NDArray[np.int64], whole_n: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Whole numbers as their guess plus an error, which those before it predict by weights that are sent along."""
    bits = Bits(flat(NUMBER * (CLASSES + 1)))
    wanted = None if whole_n is None else whole_n - guess_n
    weights = [0] * ORDER if wanted is None else _weights(wanted)
    weights = [number(coder, bits, NUMBER * CLASSES, w) for w in weights]
    given = _each(wanted, len(guess_n))
    past, size = [0] * ORDER, 0
    out = np.zeros(len(guess_n), np.int64)
    for n in range(len(guess_n)):
        expected = sum(w * p for w, p in zip(weights, past, strict=True)) // SCALE
        error = number(coder, bits, NUMBER * min(size.bit_length(), CLASSES - 1), given[n] - expected)
        past = [expected + error, *past[:-1]]
        size += abs(error) - (size >> 4)
        out[n] = past[0]
    return out + guess_n


def _weights(wanted_n: NDArray[np.int64]) -> list[int]:
    """Whole weights of the samples before, by least squares."""
    if len(wanted_n) < 8 * ORDER:
        return [0] * ORDER
    x = wanted_n.astype(np.float64)
    rows = np.stack([x[ORDER - 1 - k : len(x) - 1 - k] for k in range(ORDER)], 1)
    found = np.linalg.lstsq(rows, x[ORDER:], rcond=None)[0]
    return [int(w) for w in np.clip(np.rint(found * SCALE), -(1 << 18), 1 << 18)]


def converter(values_n: NDArray[np.float32]) -> Steps | None:
    """The steps on which all samples lie to within float32's own rounding; None where there are none."""
    known = np.unique(values_n[np.isfinite(values_n)].astype(np.float64))
    if np.isinf(values_n).any() or len(known) < 2:
        return Steps(1.0, float(known[0])) if len(known) == 1 and not np.isinf(values_n).any() else None
    fine = np.spacing(np.abs(known).max().astype(np.float32)).astype(np.float64)
    apart = np.diff(known)
    apart = apart[apart > 4 * fine]
    if not len(apart):
        return None
    for part in range(1, PARTS + 1):
        if (step := _fitted(known, float(apart.min()) / part, float(fine))) is not None:
            return _round(Steps(step, float(known[0])), known)
    return None


def _fitted(known: NDArray[np.float64], step: float, fine: float) -> float | None:
    """A step near `step` on which all values lie; None where there is none."""
    for _ in range(4):  # each round knows the step better, so that more steps may be counted
        whole = np.rint((known - known[0]) / step)
        close = np.abs((known - known[0]) - whole * step) < 0.1 * step
        if not close[: max(2, len(close) // 50)].all() or not whole[-1]:
            return None
        top = int(np.flatnonzero(close)[-1])
        step = float((known[top] - known[0]) / whole[top])
    whole = np.rint((known - known[0]) / step)
    if np.abs(known - known[0] - whole * step).max() > min(0.25 * step, 4 * fine) or whole[-1] >= 1 << DIGITS:
        return None
    return step


def _round(found: Steps, known: NDArray[np.float64]) -> Steps:
    """The roundest steps that give the file's own floats most often: a converter's gain is a short number."""
    tries = [found]
    for digits in range(1, 8):
        for step in (float(f"{found.step:.{digits}g}"), 1 / float(f"{1 / found.step:.{digits}g}")):
            offset = found.shift / step
            tries += [Steps(step, 0.0)] if abs(offset - round(offset)) < 0.01 else [Steps(step, found.shift)]
    return max(tries, key=lambda steps: int((steps.values(_steps(steps, known)) == known.astype(np.float32)).sum()))


def _steps(steps: Steps, values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint((values - steps.shift) / steps.step).astype(np.int64)


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
