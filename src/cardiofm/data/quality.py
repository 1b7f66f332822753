"""How much a window can be trusted, 0 to 1: known samples × not flat × power in band × looks like beats.

No learning, no thresholds hidden elsewhere. It orders windows (report, weighting, bars under a trace); it is not a
diagnosis of noise: a silent heart and a loose sensor both score low.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BAND_HZ = {"ecg": (0.5, 40.0), "ppg": (0.5, 8.0)}  # where the modality lives
_BEAT_HZ = {"ecg": (5.0, 25.0), "ppg": (0.5, 8.0)}  # where its beats stand out (QRS; pulse)
_RATE_BPM = (40.0, 200.0)
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
    spectrum = np.fft.rfft(x * np.hanning(n), 2 * n)
    power = np.abs(spectrum) ** 2
    hz = np.arange(len(power)) * (fs_hz / (2 * n))
    band = (hz >= _BAND_HZ[modality][0]) & (hz <= _BAND_HZ[modality][1])
    total = float(power[hz > 0.05].sum())
    if total <= 0:
        return 0.0
    beats = np.where((hz >= _BEAT_HZ[modality][0]) & (hz <= _BEAT_HZ[modality][1]), spectrum, 0)
    return float(known * moving * (power[band].sum() / total) * _beat_likeness(beats, n, fs_hz, modality))


def _flat_share(values_n: NDArray[np.float32], valid_n: NDArray[np.bool_]) -> float:
    """Share of the known samples that sit on the window's own maximum or minimum beside an equal neighbour."""
    v = values_n[valid_n]
    rail = (v == v.max()) | (v == v.min())
    return float((rail[1:] & (v[1:] == v[:-1])).mean())


def _beat_likeness(beats_f: NDArray[np.complex128], n: int, fs_hz: float, modality: str) -> float:
    """0..1 from the band-passed window's spectrum (zero-padded to 2n)."""
    wave = np.fft.irfft(beats_f, 2 * n)[:n]
    if modality == "ecg":  # the QRS's energy, smoothed over 100 ms, whatever its shape
        width = max(1, round(0.1 * fs_hz))
        total = np.concatenate(([0.0], np.cumsum(wave**2)))
        wave = (total[width:] - total[:-width]) / width
        wave = np.sqrt(np.maximum(wave, 0))
        wave = wave - wave.mean()
    m = len(wave)
    size = 1 << (2 * m - 1).bit_length()
    correlation = np.fft.irfft(np.abs(np.fft.rfft(wave, size)) ** 2, size)[:m]
    if correlation[0] <= 0:
        return 0.0
    correlation = correlation / correlation[0] * (m / (m - np.arange(m)))  # unbiased: long lags have fewer pairs
    low, high = round(60 / _RATE_BPM[1] * fs_hz), min(round(60 / _RATE_BPM[0] * fs_hz), int(0.75 * m))
    peak = float(correlation[low:high].max()) if high > low else 0.0
    if modality == "ecg":
        wave = np.fft.irfft(beats_f, 2 * n)[:n]
        spread = float(np.mean(wave**2))
        kurtosis = float(np.mean(wave**4)) / spread**2 if spread > 0 else 0.0
        peak = max(peak, min(1.0, (kurtosis - 3.0) / 12.0))
    return min(1.0, max(0.0, peak))
