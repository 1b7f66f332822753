"""The classical layer: bior4.4 wavelet, rate-distortion quantiser, adaptive context range coder.

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
SLOPE = 0.08  # squared steps of error that a bit is worth when levels are lowered
UNARY = 14  # larger levels go on in Elias gamma
STAIRS = np.array([1, 2, 3, 4, 6, 8, 12, 16])  # classes of how large neighbours are
BESIDE, ABOVE = 7, len(STAIRS) + 1  # classes of those before it in the band, of those above it
SIZES = BESIDE * ABOVE  # contexts of "is it 0?"; those of "does it go on?" follow
BAND = SIZES + ABOVE * UNARY
SLOTS = LEVELS * BAND + BAND + LEVELS + 1  # the last ones: how many bands are in use
RATES = (16.0, 32.0, 64.0, 128.0, 256.0, 512.0)  # bit/s, each with its own counts to start from
MOST = 2**30  # of a coefficient
Bands = list[NDArray[np.int64]]


def nearest(bits_per_second: float) -> int:
    """Which of `RATES` is nearest.

    >>> [nearest(b) for b in (0.5, 50.0, 9000.0)]
    [0, 2, 5]
    """
    return int(np.abs(np.log2(np.array(RATES) / max(bits_per_second, 1.0))).argmin())


def spectrum(x_N: NDArray[np.floating]) -> list[NDArray[np.float64]]:
    """The bands of a signal, coarse to fine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a short signal has edges at every coefficient of the coarsest band
        return pywt.wavedec(np.asarray(x_N, np.float64), WAVELET, EDGES, LEVELS)


def waveform(bands: Sequence[NDArray[np.int64]], step: float, samples: int) -> NDArray[np.float64]:
    """The signal of quantised bands."""
    return pywt.waverec([band * step for band in bands], WAVELET, EDGES)[:samples]


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
    found, first = 0, _END
    while found < len(sizes) and bits.code(coder, first + found, int(found < used)):
        found += 1
    out, parent = list[NDArray[np.int64]](), np.zeros(1, np.int64)
    for b, size in enumerate(sizes):
        values = None if bands is None else bands[b].tolist()
        band = _band(coder, bits, b * BAND, _above(parent, size), values) if b < found else [0] * size
        out.append(np.array(band, np.int64))
        parent = np.abs(out[-1])
    return out


def _band(coder: Coder, bits: Bits, first: int, above_K: NDArray[np.int64], values: list[int] | None) -> list[int]:
    """One band; what a coefficient may be is told by two before it and by the coarser band at its place."""
    above, beside = above_K.tolist(), _class(above_K).tolist()
    out, before, earlier = [0] * len(above), 0, 0
    for i, over in enumerate(beside):
        value = 0 if values is None else values[i]
        near = 2 * before + earlier
        earlier, before = before, 0
        if bits.code(coder, first + min(_STAIR[min(near, 16)], BESIDE - 1) * ABOVE + over, int(value != 0)):
            size = first + SIZES + _STAIR[min(near + above[i], 16)] * UNARY
            before = _level(coder, bits, size, abs(value))
            out[i] = -before if coder.step(STEPS // 2, int(value < 0)) else before
    return out


def _above(parent_K: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """How large the coarser band is at the place of each of `size` coefficients: twice there, once on each side."""
    at = np.arange(size) * len(parent_K) // max(size, 1)
    padded = np.pad(parent_K, 1, mode="edge")
    return 2 * padded[at + 1] + padded[at] + padded[at + 2]


def _class(size_K: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(STAIRS, size_K, "right")


_STAIR = _class(np.arange(17)).tolist()
_END = (LEVELS + 1) * BAND  # the first context of how many bands are in use


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


def finest(
    waves: Sequence[NDArray[np.float64]], counts: NDArray[np.number], budget: float, per: int
) -> tuple[int, Bands]:
    """The step, as `per` * its log2, and the bands about as long as the budget, a little shorter."""
    largest = max(float(np.abs(w).max()) for w in waves) + 1e-9
    low, high = -20 * per, int(np.ceil(per * np.log2(2 * largest))) + per
    while high - low > 1:
        middle = (low + high) // 2
        fits = length(quantised(waves, 2.0 ** (middle / per)), counts) <= budget
        low, high = (low, middle) if fits else (middle, high)
    error, step, bands = _error(waves, plain := quantised(waves, 2.0 ** (high / per)), 2.0 ** (high / per)), high, plain
    for near in range(high + per // 4, high - per // 2, -1):
        lower = lowered(waves, 2.0 ** (near / per), counts)
        if length(lower, counts) > budget:
            break
        if (left := _error(waves, lower, 2.0 ** (near / per))) < error:
            error, step, bands = left, near, lower
    return step, bands


def _error(waves: Sequence[NDArray[np.float64]], bands: Bands, step: float) -> float:
    return sum(float(((w - band * step) ** 2).sum()) for w, band in zip(waves, bands, strict=True))


def lowered(waves: Sequence[NDArray[np.float64]], step: float, counts: NDArray[np.number], rounds: int = 2) -> Bands:
    """Levels of least squared error plus `SLOPE` a bit, at the prices that the levels themselves leave behind."""
    bands = quantised(waves, step)
    for _ in range(rounds):
        slots_R, hits_R, _ = decisions(bands)
        seen = counts / 2 + counted(slots_R, hits_R)
        price = np.log2(seen.sum(0)) - np.log2(seen)
        used = max([b + 1 for b, band in enumerate(bands) if band.any()], default=0)
        for b, parent in enumerate([np.zeros(1, np.int64), *(np.abs(band) for band in bands[: used - 1])][:used]):
            bands[b] = _lower(waves[b] / step, *_contexts(np.abs(bands[b]), parent, b * BAND), price)
    return bands


def _lower(
    wave_K: NDArray[np.float64], zero_K: NDArray[np.int64], size_K: NDArray[np.int64], price: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Of the nearest level, the one below it and 0, the cheapest for each coefficient."""
    top_K = np.floor(np.abs(wave_K) + 0.5).astype(np.int64)
    best_K, least_K = np.zeros_like(top_K), wave_K**2 + SLOPE * price[0, zero_K]
    some = np.flatnonzero(top_K)
    top, first = top_K[some], size_K[some]
    reach = first[:, None] + np.arange(UNARY)
    on = np.concatenate([np.zeros((len(some), 1)), price[1, reach].cumsum(1)], 1)
    row = np.arange(len(some))
    for level in (top, top - 1):
        steps = np.minimum(level, UNARY + 1)
        end = np.where(level <= UNARY, price[0, first + np.clip(level, 1, UNARY) - 1], _gamma(level - UNARY))
        bits = price[1, zero_K[some]] + 1 + on[row, np.maximum(steps - 1, 0)] + end
        cost = (np.abs(wave_K[some]) - level) ** 2 + SLOPE * bits
        better = (level > 0) & (cost < least_K[some])
        best_K[some] = np.where(better, level, best_K[some])
        least_K[some] = np.where(better, cost, least_K[some])
    return np.sign(wave_K).astype(np.int64) * best_K


def _gamma(over: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bits of a number of 1 or more in Elias gamma."""
    return 2 * np.floor(np.log2(np.maximum(over, 1))) + 1


def length(bands: Bands, counts: NDArray[np.number]) -> float:
    """About the bits of quantised bands: within a context the adaptive length depends on the final counts alone."""
    slots_R, hits_R, raw = decisions(bands)
    start = counts / 2
    seen = counted(slots_R, hits_R)
    some = seen.any(0)
    start, seen = start[:, some], seen[:, some]
    return float((betaln(*start) - betaln(*(start + seen))).sum() / np.log(2)) + raw


def counted(slots_R: NDArray[np.int64], hits_R: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How often each context saw 0 and 1, `(2, contexts)`."""
    return np.bincount(slots_R + SLOTS * hits_R, minlength=2 * SLOTS).reshape(2, SLOTS).astype(np.float64)


def decisions(bands: Bands) -> tuple[NDArray[np.int64], NDArray[np.bool_], float]:
    """Context and outcome `(R,)` of each bit that `code` would write, and the bits that no context helps."""
    used = max([b + 1 for b, band in enumerate(bands) if band.any()], default=0)
    end = np.arange(min(used + 1, len(bands)))
    slots, hits, raw, parent = [_END + end], [end < used], 0.0, np.zeros(1, np.int64)
    for b, band in enumerate(bands[:used]):
        level_K = np.abs(band)
        zero_K, size_K = _contexts(level_K, parent, b * BAND)
        slots.append(zero_K)
        hits.append(level_K > 0)
        some = level_K > 0
        level, reached = level_K[some][:, None], np.arange(1, UNARY + 1)
        asked = level >= reached
        slots.append((size_K[some][:, None] + reached - 1)[asked])
        hits.append((level > reached)[asked])
        large = level[level > UNARY] - UNARY
        raw += float(some.sum()) + float(_gamma(large).sum())
        parent = level_K
    return np.concatenate(slots), np.concatenate(hits), raw


def _contexts(
    level_K: NDArray[np.int64], parent_K: NDArray[np.int64], first: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The context of "is it 0?" of each coefficient, and the first of those of "does it go on?"."""
    above_K = _above(parent_K, len(level_K))
    padded = np.concatenate([[0, 0], level_K])[: len(level_K) + 1]
    near_K = 2 * padded[1:] + padded[:-1]
    zero_K = first + np.minimum(_class(near_K), BESIDE - 1) * ABOVE + _class(above_K)
    return zero_K, first + SIZES + _class(near_K + above_K) * UNARY
