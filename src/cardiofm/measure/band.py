"""A signal's samples made ready to be measured: gaps bridged, band-passed without delay, looked at between samples."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.signals import SignalError

MIN_S = 1.0  # less known signal than this says nothing
BAND_HZ = {"ecg": (0.5, 40.0), "ppg": (0.5, 8.0)}  # where each modality lives
PAD_S = 1.0  # odd reflection at both ends, so that filters see no step
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def clean(x_N: ArrayLike, fs_hz: float, valid_N: ArrayLike | None) -> tuple[Floats, Bools]:
    """The samples with gaps bridged by a line, and which are real."""
    x = np.asarray(x_N, np.float64)
    if x.ndim != 1:
        raise SignalError(f"a signal must be one-dimensional (N,), found shape {x.shape}; pass one channel")
    if not fs_hz > 0:
        raise SignalError(f"the rate must be above 0 Hz, found {fs_hz:g} Hz; give the signal's own")
    good = np.isfinite(x)
    if valid_N is not None:
        good &= np.asarray(valid_N, bool)
    if not good.all() and good.any():
        at = np.flatnonzero(good)
        x = np.interp(np.arange(len(x)), at, x[at])
    return x, good


def band_pass(x: Floats, good: Bools, fs_hz: float, band_hz: tuple[float, float]) -> tuple[Floats | None, int]:
    """The band-passed signal with its padding, and the padding's length; None where nothing moves in the band."""
    if good.sum() < max(4, MIN_S * fs_hz):
        return None, 0
    scale = float(np.abs(x).max())  # what is a millionth of the offset is its rounding
    x = x - x[good].mean()
    pad = min(round(PAD_S * fs_hz), len(x) - 1)
    wide = np.concatenate((2 * x[0] - x[pad:0:-1], x, 2 * x[-1] - x[-2 : -pad - 2 : -1]))
    size = 1 << (len(wide) - 1).bit_length()
    wave = np.fft.irfft(np.fft.rfft(wide, size) * _response(size, fs_hz, band_hz), size)[: len(wide)]
    moving = float(np.abs(wave[pad : pad + len(x)]).max())
    return (wave, pad) if moving > 1e-6 * scale and scale > 0 else (None, pad)


@lru_cache(maxsize=64)
def _response(size: int, fs_hz: float, band_hz: tuple[float, float]) -> Floats:
    """Third-order Butterworth magnitude (both flanks) at the frequencies of a real spectrum of `size` samples."""
    hz = np.fft.rfftfreq(size, 1 / fs_hz)
    low, high = band_hz
    up = (hz / low) ** 3
    return up / np.sqrt(1 + up**2) / np.sqrt(1 + (hz / high) ** 6)


def parabola(x: Floats, at: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Offset in samples (at most half) and value of the extremum of a parabola through three samples."""
    at = np.clip(at, 1, len(x) - 2)
    before, here, after = x[at - 1], x[at], x[at + 1]
    bend = before - 2 * here + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros(len(at)), where=bend != 0)
    shift = np.clip(shift, -0.5, 0.5)
    return shift, here - (before - after) * shift / 4


def power_in_band(x_N: NDArray[np.floating], valid_N: NDArray[np.bool_], fs_hz: float, modality: str) -> float:
    """Mean square of the known samples' part within the channel's band, in the squared unit of x; 0 for a constant.

    >>> t = np.arange(2500) / 250
    >>> round(power_in_band(np.sqrt(2) * np.sin(2 * np.pi * 5 * t), t >= 0, 250.0, "ecg"), 2)
    1.0
    """
    known = x_N[valid_N]
    if len(known) < 2 or known.std() == 0:
        return 0.0
    return float(np.mean(in_band(x_N, valid_N, fs_hz, modality)[valid_N] ** 2))


def in_band(x_N: NDArray[np.floating], valid_N: NDArray[np.bool_], fs_hz: float, modality: str) -> NDArray[np.floating]:
    """The part of a channel within its band, without delay, in the unit of x; what is not valid counts as its mean."""
    centred_N = np.where(valid_N, x_N - x_N[valid_N].mean(dtype=np.float64), 0.0)
    spectrum = np.fft.rfft(centred_N, 2 * len(centred_N))
    hz = np.fft.rfftfreq(2 * len(centred_N), 1 / fs_hz)
    low_hz, high_hz = BAND_HZ[modality]
    return np.fft.irfft(np.where((hz >= low_hz) & (hz <= high_hz), spectrum, 0))[: len(centred_N)]
