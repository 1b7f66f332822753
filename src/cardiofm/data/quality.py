"""How much a window can be trusted, 0 to 1: known samples × not flat × power in band × looks like beats.

No learning, no thresholds hidden elsewhere. It orders windows (report, weighting, bars under a trace); it is not a
diagnosis of noise: a silent heart and a loose sensor both score low.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_BAND_HZ = {"ecg": (0.5, 40.0), "ppg": (0.5, 8.0)}  # where the modality lives
_BEAT_HZ = {"ecg": (5.0, 25.0), "ppg": (0.5, 8.0)}  # where its beats stand out (QRS; pulse)
_RATE_BPM = (40.0, 200.0)
_DRIFT_HZ = 0.05  # below it a baseline that wanders, which is no power of either
_MIN_S = 1.5  # below one slow beat nothing can be said


def quality(values_n: NDArray[np.float32], valid_n: NDArray[np.bool_], fs_hz: float, modality: str) -> float:
    """One number in 0..1 for a channel of a window, `values_n (N,)` in any unit, 0 where `valid_n` is False.

    The product of four shares: samples known; of those, not repeated (flat or clipped); power inside 0.5-40 Hz (ECG)
    or 0.5-8 Hz (PPG), where half of the power out of band gives 0.5; and beat-likeness: the autocorrelation's peak at
    40-200 bpm, or for an ECG with an irregular rhythm how peaked it is (kurtosis: QRS are rare and tall, noise is not).

    >>> t = np.arange(2500) / 250
    >>> pulse = np.exp(8 * np.cos(2 * np.pi * 1.2 * t)).astype(np.float32)
    >>> known = np.ones(2500, bool)
    >>> quality(pulse, known, 250.0, "ppg") > 0.8, quality(pulse, ~known, 250.0, "ppg")
    (True, 0.0)
    """
    known = float(valid_n.mean()) if len(valid_n) else 0.0
    if known * len(valid_n) < _MIN_S * fs_hz:
        return 0.0
    x = values_n - values_n[valid_n].mean(dtype=np.float64).astype(np.float32)
    x = np.where(valid_n, x, np.float32(0))
    moving = 1.0 - _flat_share(values_n, valid_n)
    n = len(x)
    taper_n, slow, band, beat = _grid(n, fs_hz, modality)
    spectrum = np.fft.rfft(x * taper_n, 2 * n)
    power = spectrum.real**2 + spectrum.imag**2
    total = float(power[slow:].sum())
    if total <= 0:
        return 0.0
    beats = np.zeros_like(spectrum)
    beats[beat] = spectrum[beat]
    return float(known * moving * (power[band].sum() / total) * _beat_likeness(beats, n, fs_hz, modality))


@lru_cache(maxsize=32)
def _grid(n: int, fs_hz: float, modality: str) -> tuple[NDArray[np.float64], int, slice, slice]:
    """What all windows of a length share: the taper, and of its spectrum the first bin above drift, band and beats."""
    hz = np.arange(n + 1) * (fs_hz / (2 * n))
    band, beat = (
        slice(int(np.searchsorted(hz, low)), int(np.searchsorted(hz, high, side="right")))
        for low, high in (_BAND_HZ[modality], _BEAT_HZ[modality])
    )
    return np.hanning(n), int(np.searchsorted(hz, _DRIFT_HZ, side="right")), band, beat


def _flat_share(values_n: NDArray[np.float32], valid_n: NDArray[np.bool_]) -> float:
    """Share of the known samples that sit on the window's own maximum or minimum beside an equal neighbour."""
    v = values_n[valid_n]
    rail = (v == v.max()) | (v == v.min())
    return float((rail[1:] & (v[1:] == v[:-1])).mean())


def _beat_likeness(beats_f: NDArray[np.complex128], n: int, fs_hz: float, modality: str) -> float:
    """0..1 from the band-passed window's spectrum (zero-padded to 2n)."""
    passed = wave = np.fft.irfft(beats_f, 2 * n)[:n]
    if modality == "ecg":  # the QRS's energy, smoothed over 100 ms, whatever its shape
        width = max(1, round(0.1 * fs_hz))
        total = np.concatenate(([0.0], np.cumsum(passed**2)))
        wave = (total[width:] - total[:-width]) / width
        wave = np.sqrt(np.maximum(wave, 0))
        wave = wave - wave.mean()
    m = len(wave)
    low, high = round(60 / _RATE_BPM[1] * fs_hz), min(round(60 / _RATE_BPM[0] * fs_hz), int(0.75 * m))
    size = -(-(m + high) // 512) * 512  # no lag below `high` wraps around, and a quick length
    spectrum = np.fft.rfft(wave, size)
    correlation = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[: max(high, 1)]
    if correlation[0] <= 0:
        return 0.0
    lag = np.arange(low, high)
    beside = correlation[low:high] / correlation[0] * (m / (m - lag))  # unbiased: long lags have fewer pairs
    peak = float(beside.max()) if high > low else 0.0
    if modality == "ecg":
        square = passed**2
        spread = float(square.mean())
        kurtosis = float((square**2).mean()) / spread**2 if spread > 0 else 0.0
        peak = max(peak, min(1.0, (kurtosis - 3.0) / 12.0))
    return min(1.0, max(0.0, peak))
