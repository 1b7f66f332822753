"""A channel cleaned of noise by a gain per band of frequencies, said by how its power lies over the bands.

A heart's signal has its power where it always has it; drift, motion and muscle put theirs elsewhere. So the shares of
the bands tell how much of each is signal, and each is kept by that much (Wiener 1949). What is kept of nothing but
noise is little, so a hopeless channel ends near its level and not far from it. The numbers behind the gains are in
`cleaning.json`, fitted by `python -m cardiofm.train.cleaning`.

Shapes: X any axes, N samples, K bands.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.signals import MODALITIES

EDGES_HZ = (0.5, 1.5, 5.0, 15.0)  # between drift, the slow and quick parts of a pulse, of a QRS, and what is above
STEEP = 8  # power of the frequency with which a band ends
FAINT = 1e-4  # share of the power that counts as none
MOST_KNOWN = 0.9  # share of a signal's power that a guess from elsewhere can tell
FILE = Path(__file__).with_suffix(".json")
Floats = NDArray[np.floating]


def bands(x_XN: Floats, fs_hz: float) -> NDArray[np.float64]:
    """The bands `(K, X, N)` of a wave, which add up to it; it is mirrored at its end.

    >>> x = np.random.default_rng(0).normal(size=1000)
    >>> parts = bands(x, 250.0)
    >>> parts.shape, bool(np.allclose(parts.sum(0), x))
    ((5, 1000), True)
    """
    n = x_XN.shape[-1]
    spectrum = np.fft.rfft(np.concatenate([x_XN, x_XN[..., ::-1]], axis=-1))
    hz = np.fft.rfftfreq(2 * n, 1 / fs_hz)
    below = [np.zeros_like(hz), *(1 / (1 + (hz / edge) ** STEEP) for edge in EDGES_HZ), np.ones_like(hz)]
    return np.stack([np.fft.irfft(spectrum * part, 2 * n)[..., :n] for part in np.diff(below, axis=0)])


def shares(bands_KXN: Floats) -> NDArray[np.float64]:
    """Log of each band's share of the power, `(X, K)`; the mean of the wave is no power."""
    power = np.moveaxis(bands_KXN.var(-1), 0, -1)
    total = power.sum(-1, keepdims=True)
    return np.log(power / np.where(total > 0, total, 1.0) + FAINT)


def gains(bands_KXN: Floats, modality: str) -> NDArray[np.float64]:
    """How much of each band is signal, `(K, X)`, 0 to 1."""
    return said(shares(bands_KXN), fitted()[MODALITIES.index(modality)])


def said(shares_XK: Floats, weight_KJ: Floats) -> NDArray[np.float64]:
    """Gains `(K, X)` from log shares and the weights `(K, 1 + K)`, the offset first."""
    logit_XK = shares_XK @ weight_KJ[:, 1:].T + weight_KJ[:, 0]
    return np.moveaxis(1 / (1 + np.exp(-logit_XK)), -1, 0)


def kept_share(x_XN: Floats, fs_hz: float, modality: str) -> NDArray[np.float64]:
    """How much of the power `(X,)` is signal, 0 to 1; 1 of a wave without any."""
    parts = bands(x_XN, fs_hz)
    power_KX = parts.var(-1)
    total_X = power_KX.sum(0)
    kept_X = (gains(parts, modality) * power_KX).sum(0)
    return np.where(total_X > 0, kept_X / np.where(total_X > 0, total_X, 1.0), 1.0)


def cleaned(x_XN: Floats, fs_hz: float, modality: str, instead_XN: Floats | None = None) -> NDArray[np.float32]:
    """The wave with each band kept as far as it is signal; what is taken away comes from `instead`, where given.

    `instead` is a guess of the same channel from elsewhere, in any unit. It is believed as far as the noisy wave goes
    along with it, above the drift: noise has no reason to. The better the guess, the less is kept of the noisy wave.
    """
    parts = bands(x_XN, fs_hz)
    mean = parts.mean(-1, keepdims=True)
    gain = gains(parts, modality)[..., None]
    guess = np.zeros_like(parts)
    if instead_XN is not None:
        guess[1:] = bands(instead_XN, fs_hz)[1:]
        power_X = (guess**2).sum((0, -1))
        along_X = np.maximum((parts * guess).sum((0, -1)) / np.where(power_X > 0, power_X, 1.0), 0.0)
        signal_X = (gain * (parts - mean) ** 2)[1:].sum((0, -1))
        known_X = np.minimum(along_X**2 * power_X / np.where(signal_X > 0, signal_X, np.inf), MOST_KNOWN)
        guess = guess * along_X[..., None]
        gain[1:] = (gain * (1 - known_X[..., None]) / (1 - gain * known_X[..., None]))[1:]
    return (mean + gain * (parts - mean) + (1 - gain) * guess).sum(0).astype(np.float32)


@cache
def fitted() -> NDArray[np.float64]:
    """The weights behind the gains, `(C, K, 1 + K)`."""
    told = json.loads(FILE.read_text(encoding="utf-8"))
    return np.array([told["weights"][m] for m in MODALITIES])
