"""Records to windows on the network's grid: cut, resampled, aligned, with a validity mask; nothing is invented."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.data.quality import quality
from cardiofm.signals import MODALITIES, InputSpec, Record, Signal, SignalError, Window

FLAT_CHECK_S, FLAT_PIECE_S = 3600.0, 600.0
FLAT_S = 2.0  # exactly constant for this long: the sensor is off (or at its rail), not a heart at rest
MARGIN = 256  # samples of the slower rate read beyond both ends of a window, so that its cut leaves no filter edge
_TAPS = 64  # of the fractional-delay filter
_ON_GRID = 1e-4  # of a sample: closer than this two grids are the same


def cut(record: Record, spec: InputSpec, hop_s: float | None = None) -> Iterator[Window]:
    """Windows of `spec.window_s` seconds from `record.start_s + k * hop_s`, covering the record to its end.

    Lazy: only one window (and a margin) of each channel is in memory. Sample n of `values (C, N)` lies exactly at
    `start_s + n / spec.fs_hz`. The last window may be partly filled; a record shorter than a window gives one. Where
    a channel is absent, NaN or flat for 2 s and more, `valid` is False. `hop_s` is the window's length by default.

    >>> record = Record.from_arrays(ecg=(np.sin(np.arange(6250) / 8), 250.0))
    >>> [(w.start_s, int(w.valid[0].sum()), int(w.valid[1].sum())) for w in cut(record, InputSpec())]
    [(0.0, 2500, 0), (10.0, 2500, 0), (20.0, 1250, 0)]
    """
    hop_s = spec.window_s if hop_s is None else hop_s
    if not 0 < hop_s <= spec.window_s:
        raise SignalError(f"the hop must be above 0 and at most the window ({spec.window_s:g} s), found {hop_s:g} s")
    count = 1 + max(0, math.ceil((record.duration_s - spec.window_s) / hop_s - 1e-6))
    for k in range(count):
        yield window_at(record, spec, record.start_s + k * hop_s)


def window_at(record: Record, spec: InputSpec, start_s: float) -> Window:
    """The one window that starts at `start_s` (record time); invalid where the record has nothing."""
    values_CN = np.zeros((len(MODALITIES), spec.samples), np.float32)
    valid_CN = np.zeros(values_CN.shape, bool)
    in_mv_C = np.zeros(len(MODALITIES), bool)
    quality_C = np.zeros(len(MODALITIES), np.float32)
    for c, modality in enumerate(MODALITIES):
        signal = record.signal(modality)
        if signal is None:
            continue
        in_mv_C[c] = signal.unit == "mV"
        values_CN[c], valid_CN[c] = _window(signal, spec, start_s)
        quality_C[c] = quality(values_CN[c], valid_CN[c], spec.fs_hz, modality)
    return Window(start_s, values_CN, valid_CN, in_mv_C, quality_C)


def _window(signal: Signal, spec: InputSpec, start_s: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    margin_s = max(FLAT_S, MARGIN / min(signal.fs_hz, spec.fs_hz)) + 1 / signal.fs_hz
    part = signal.crop(start_s - margin_s, start_s + spec.window_s + margin_s)
    if part is None:
        return np.zeros(spec.samples, np.float32), np.zeros(spec.samples, bool)
    values_n = np.where(flat(part.values, part.fs_hz), np.float32(np.nan), part.values)
    return resample(values_n, part.fs_hz, part.start_s, spec.fs_hz, start_s, spec.samples)


def motionless(signal: Signal) -> str | None:
    """What is wrong when no sample of the first hour differs from another; looking stops at the first that does."""
    size = max(1, round(FLAT_PIECE_S * signal.fs_hz))
    seen: float | None = None
    looked = min(len(signal.samples), round(FLAT_CHECK_S * signal.fs_hz))
    for first in range(0, looked, size):
        part = np.asarray(signal.samples[first : min(first + size, looked)])
        finite = part[np.isfinite(part)]
        if len(finite) and seen is None:
            seen = float(finite[0])
        if np.any(finite != seen):
            return None
    where = "" if looked == len(signal.samples) else " in its first hour"
    return f"no sample at all{where}" if seen is None else f"the constant value {seen:g}{where}"


def flat(values_n: NDArray[np.float32], fs_hz: float) -> NDArray[np.bool_]:
    """True where a sample belongs to a stretch of at least `FLAT_S` seconds that is exactly constant, `(n,)`."""
    edges = np.flatnonzero(np.diff(values_n) != 0) + 1  # NaN differs from everything
    bounds = np.concatenate(([0], edges, [len(values_n)]))
    lengths = np.diff(bounds)
    return np.repeat(lengths >= FLAT_S * fs_hz, lengths)


def resample(
    values_n: ArrayLike, fs_from_hz: float, start_from_s: float, fs_to_hz: float, start_to_s: float, n: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`(n,)` values at `start_to_s + k / fs_to_hz` in the input's unit, and which of them are known.

    The input lies at `start_from_s + j / fs_from_hz`, NaN where there is no sample. An output is valid when the input
    samples on both of its sides are; elsewhere it is 0. Equal rates on the same grid are copied; otherwise the rate is
    changed by soxr (linear phase) and what is left of a sample by a windowed-sinc delay, on the faster side.

    >>> values, valid = resample([1.0, 2.0, np.nan, 4.0], 100.0, 0.0, 100.0, 0.01, 4)
    >>> values.tolist(), valid.tolist()
    ([2.0, 0.0, 4.0, 0.0], [True, False, True, False])
    """
    x = np.asarray(values_n, np.float32)
    good = np.isfinite(x)
    first = (start_to_s - start_from_s) * fs_from_hz  # position of output 0, in input samples
    if abs(first - round(first)) < _ON_GRID:
        first = float(round(first))
    position = first + np.arange(n, dtype=np.float64) * (fs_from_hz / fs_to_hz)
    valid = _between(good, position)
    out = np.zeros(n, np.float32)
    if not valid.any():
        return out, valid
    if fs_from_hz == fs_to_hz and first == round(first):
        out[valid] = x[np.rint(position[valid]).astype(np.int64)]
        return out, valid
    if not good.all():
        x = np.interp(np.arange(len(x)), np.flatnonzero(good), x[good]).astype(np.float32)
    out[valid] = _convert(x, first, fs_from_hz, fs_to_hz, n)[valid]
    return out, valid


def _between(good: NDArray[np.bool_], position: NDArray[np.floating]) -> NDArray[np.bool_]:
    before = np.floor(position + _ON_GRID).astype(np.int64)
    after = np.ceil(position - _ON_GRID).astype(np.int64)
    inside = (before >= 0) & (after < len(good))
    if good.all():
        return inside
    last = len(good) - 1
    return inside & good[np.clip(before, 0, last)] & good[np.clip(after, 0, last)]


def _convert(x: NDArray[np.float32], first: float, fs_from_hz: float, fs_to_hz: float, n: int) -> NDArray[np.float32]:
    """`n` samples at `fs_to_hz`, the first at position `first` of x; ends are held so that soxr sees no step to 0."""
    if fs_from_hz == fs_to_hz:
        return _shift(x, first, n)
    import soxr

    ratio = fs_to_hz / fs_from_hz
    margin = math.ceil(MARGIN / 2 * max(1.0, ratio))  # outputs that are computed and dropped on both sides
    begin = first - margin / ratio
    length = math.ceil((n + 2 * margin) / ratio) + 2
    if ratio < 1:
        return soxr.resample(_shift(x, begin, length), fs_from_hz, fs_to_hz)[margin : margin + n]
    whole = math.floor(begin)
    y = soxr.resample(_take(x, whole, length), fs_from_hz, fs_to_hz)
    return _shift(y, margin + (begin - whole) * ratio, n)


def _shift(x: NDArray[np.float32], start: float, n: int) -> NDArray[np.float32]:
    """x at `start, start + 1, …` by a Kaiser-windowed sinc (a plain copy when `start` is whole)."""
    whole = math.floor(start + _ON_GRID)
    part = start - whole
    if abs(part) < _ON_GRID:
        return _take(x, whole, n)
    half = _TAPS // 2
    t = np.arange(1 - half, half + 1) - part
    kernel = np.sinc(t) * np.i0(8.0 * np.sqrt(np.maximum(0.0, 1 - (t / half) ** 2)))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    return np.convolve(_take(x, whole + 1 - half, n + _TAPS - 1), kernel[::-1], mode="valid")


def _take(x: NDArray[np.float32], first: int, n: int) -> NDArray[np.float32]:
    """`n` samples from `first` on; beyond its ends x is held."""
    if 0 <= first <= len(x) - n:
        return x[first : first + n]
    return x[np.clip(np.arange(first, first + n), 0, len(x) - 1)]
