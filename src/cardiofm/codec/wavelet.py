"""The classical layer: bior4.4 wavelet, dead-zone quantiser, adaptive context range coder.

It carries what codes leave of a chunk, or the whole signal where that is cheaper.
Shapes: N samples, K coefficients of a band.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pywt
from numpy.typing import NDArray
from scipy.special import betaln

from cardiofm.codec.arithmetic import STEPS, Bits, Coder
from cardiofm.signals import SignalError

WAVELET, EDGES, LEVELS = "bior4.4", "periodization", 7
ROUND = 0.35  # a coefficient reaches the next level this much early: below 0.5 it widens the dead zone
CENTRE = 0.06  # within a level values lie below its middle: they are drawn this much nearer to 0
UNARY = 14  # larger levels go on in Elias gamma
SIZES = 9  # contexts of the neighbourhood
BAND = SIZES + UNARY
SLOTS = (LEVELS + 2) * BAND  # the last one: how many bands are in use
MOST = 2**30  # of a coefficient
Bands = list[NDArray[np.int64]]


def spectrum(x_N: NDArray[np.floating]) -> list[NDArray[np.float64]]:
    """The bands of a signal, coarse to fine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a short signal has edges at every coefficient of the coarsest band
        return pywt.wavedec(np.asarray(x_N, np.float64), WAVELET, EDGES, LEVELS)


def waveform(bands: Sequence[NDArray[np.int64]], step: float, samples: int) -> NDArray[np.float64]:
    """The signal of quantised bands."""
    sized = [np.sign(q) * np.maximum(np.abs(q) + 0.5 - ROUND - CENTRE, 0) * step * (q != 0) for q in bands]
    return pywt.waverec(sized, WAVELET, EDGES)[:samples]


def quantised(waves: Sequence[NDArray[np.float64]], step: float) -> Bands:
    """Whole levels of the bands."""
    return [(np.sign(w) * np.floor(np.abs(w) / step + ROUND)).astype(np.int64) for w in waves]


def lengths(samples: int) -> list[int]:
    """Coefficients of each band of so many samples, coarse to fine.

    >>> lengths(2500)
    [20, 20, 40, 79, 157, 313, 625, 1250]
    """
    sizes = []
    for _ in range(LEVELS):
        samples = (samples + 1) // 2
        sizes.append(samples)
    return [sizes[-1], *reversed(sizes)]


def code(coder: Coder, bits: Bits, samples: int, bands: Bands | None = None) -> Bands:
    """The bands through a coder; silent ones at the end cost next to nothing."""
    sizes = lengths(samples)
    used = 0 if bands is None else max([b + 1 for b, band in enumerate(bands) if band.any()], default=0)
    found, first = 0, (LEVELS + 1) * BAND
    while found < len(sizes) and bits.code(coder, first + found, int(found < used)):
        found += 1
    out, parent = [], [0]
    for b, size in enumerate(sizes):
        values = None if bands is None else bands[b].tolist()
        band = _band(coder, bits, b * BAND, size, parent, values) if b < found else [0] * size
        parent = [abs(v) for v in band]
        out.append(np.array(band, np.int64))
    return out


def _band(coder: Coder, bits: Bits, first: int, size: int, parent: list[int], values: list[int] | None) -> list[int]:
    """One band; what a coefficient may be is told by two before it and by the coarser band at its place."""
    out, before, earlier, coarse = [0] * size, 0, 0, len(parent)
    for i in range(size):
        value = 0 if values is None else values[i]
        near = min((2 * before + min(earlier, 2)) // 2, 2)
        context = first + 3 * near + min(parent[i * coarse // size], 2)
        earlier, before = before, 0
        if bits.code(coder, context, int(value != 0)):
            before = _level(coder, bits, first + SIZES, abs(value))
            out[i] = -before if coder.step(STEPS // 2, int(value < 0)) else before
    return out


def _level(coder: Coder, bits: Bits, first: int, level: int) -> int:
    """A level of 1 or more: unary up to `UNARY`, then Elias gamma."""
    reached = 1
    while reached <= UNARY and bits.code(coder, first + reached - 1, int(level > reached)):
        reached += 1
    if reached <= UNARY:
        return reached
    over, length = level - UNARY, 0
    while coder.step(STEPS // 2, int(over >> (length + 1) > 0)):
        length += 1
        if length > 30:
            raise SignalError(f"a chunk must hold levels below {MOST}, and does not; encode the file again")
    found = 1
    for k in range(length - 1, -1, -1):
        found = 2 * found + coder.step(STEPS // 2, (over >> k) & 1)
    return UNARY + found


def finest(waves: Sequence[NDArray[np.float64]], counts: NDArray[np.integer], budget: float, per: int) -> int:
    """The step, as `per` * its log2, whose quantised bands are about as long as the budget, a little shorter."""
    largest = max(float(np.abs(w).max()) for w in waves) + 1e-9
    low, high = -20 * per, int(np.ceil(per * np.log2(2 * largest))) + per
    while high - low > 1:
        middle = (low + high) // 2
        fits = length(quantised(waves, 2.0 ** (middle / per)), counts) <= budget
        low, high = (low, middle) if fits else (middle, high)
    return high


def length(bands: Bands, counts: NDArray[np.integer]) -> float:
    """About the bits of quantised bands: within a context the adaptive length depends on the final counts alone."""
    slots_R, hits_R, raw = decisions(bands)
    start = counts / 2
    seen = counted(slots_R, hits_R)
    return float((betaln(*start) - betaln(*(start + seen))).sum() / np.log(2)) + raw


def counted(slots_R: NDArray[np.int64], hits_R: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How often each context saw 0 and 1, `(2, contexts)`."""
    return np.bincount(slots_R + SLOTS * hits_R, minlength=2 * SLOTS).reshape(2, SLOTS).astype(np.float64)


def decisions(bands: Bands) -> tuple[NDArray[np.int64], NDArray[np.bool_], float]:
    """Context and outcome `(R,)` of each bit that `code` would write, and the bits that no context helps."""
    used = max([b + 1 for b, band in enumerate(bands) if band.any()], default=0)
    end = np.arange(min(used + 1, len(bands)))
    slots, hits, raw, parent = [(LEVELS + 1) * BAND + end], [end < used], 0.0, np.zeros(1, np.int64)
    for b, band in enumerate(bands[:used]):
        size_K = np.abs(band)
        above_K = np.minimum(parent[np.arange(len(band)) * len(parent) // len(band)], 2)
        before_K = np.concatenate([[0], size_K[:-1]])
        earlier_K = np.concatenate([[0, 0], size_K[:-2]])[: len(band)]
        near_K = np.minimum((2 * before_K + np.minimum(earlier_K, 2)) // 2, 2)
        slots.append(b * BAND + 3 * near_K + above_K)
        hits.append(size_K > 0)
        some = size_K[size_K > 0]
        reached = np.arange(1, UNARY + 1)[None, :]
        asked = some[:, None] >= reached
        slots.append((b * BAND + SIZES + reached - 1 + 0 * some[:, None])[asked])
        hits.append((some[:, None] > reached)[asked])
        large = some[some > UNARY] - UNARY
        raw += len(some) + float((2 * np.floor(np.log2(large)) + 1).sum()) if len(large) else float(len(some))
        parent = size_K
    return np.concatenate(slots), np.concatenate(hits), raw
