"""What of a channel follows another wave: that wave filtered as it suits the channel best, and how far it does.

The delay of a monitor, a person's own beat and the channel's amplitude are all in one filter, fitted by ridge
regression to what is known of the channel. What a stretch is given comes from a filter that other stretches taught, so
a wave that tells nothing of the channel ends near its level, and noise in the channel is not learned by heart.
Shapes: N samples, K waves, L columns (a wave at one lag).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cardiofm.measure.band import Bools, Floats

LAG_S = 0.75  # the delay of the whole is looked for so far to both sides
REACH_S = 0.6  # of the filter to both sides of it …
STEPS_S = (0.012, 0.02)  # … in steps of this: of the first wave, of all others
OTHERS = 0.3  # weight of all waves but the first, which is of the channel's own kind
PENALTIES = (0.02, 0.2, 2.0)  # shares of the mean power of the columns
BLOCK_S, FOLDS = 1.0, 3  # stretches that are foretold by the filter of the others


@dataclass(frozen=True)
class Followed:
    """`values (N,)` in the channel's unit; `share` of the power of what is known of the channel that they foretell."""

    values: NDArray[np.float64]
    share: float


def follow(own_N: Floats, known_N: Bools, waves_KN: Floats, fs_hz: float) -> Followed:
    """The channel as far as it follows the waves; `share` is 0 where nothing is known of it, or nothing moves.

    >>> beats = np.zeros(2500)
    >>> beats[np.cumsum(np.random.default_rng(0).integers(150, 250, 12))] = 1
    >>> wave, own = np.convolve(beats, np.hanning(30), "same"), 7 - np.convolve(beats, np.hanning(50), "same")
    >>> made = follow(own, np.arange(2500) < 1500, np.roll(wave, -40)[None], 250.0)
    >>> made.share > 0.9, bool(np.abs(made.values - own)[1500:2400].max() < 0.2)
    (True, True)
    """
    spread = own_N[known_N].std() if known_N.any() else 0.0
    if spread == 0 or (waves_KN.std(-1) == 0).all():
        return Followed(np.full(len(own_N), own_N[known_N].mean() if known_N.any() else 0.0), 0.0)
    level = own_N[known_N].mean()
    z_N = np.where(known_N, (own_N - level) / spread, 0.0)
    scale_K1 = waves_KN.std(-1, keepdims=True)
    waves_KN = (waves_KN - waves_KN.mean(-1, keepdims=True)) / np.where(scale_K1 > 0, scale_K1, 1.0)
    lag = _lag(z_N, known_N, waves_KN[0], round(LAG_S * fs_hz))
    x_NL = np.hstack(
        [
            (OTHERS if k else 1.0) * _lagged(_moved(wave_N, lag), round(REACH_S * fs_hz), STEPS_S[min(k, 1)], fs_hz)
            for k, wave_N in enumerate(waves_KN)
        ]
    )
    fold_N = (np.arange(len(z_N)) // round(BLOCK_S * fs_hz)) % FOLDS
    rows = [known_N & (fold_N == f) for f in range(FOLDS)]
    product_FLL = np.stack([x_NL[r].T @ x_NL[r] for r in rows])
    along_FL = np.stack([x_NL[r].T @ z_N[r] for r in rows])
    best: tuple[float, Floats] | None = None
    for penalty in PENALTIES:
        made_N = x_NL @ _solved(product_FLL.sum(0), along_FL.sum(0), penalty)
        for f, row_N in enumerate(rows):
            others = np.arange(FOLDS) != f
            made_N[row_N] = x_NL[row_N] @ _solved(product_FLL[others].sum(0), along_FL[others].sum(0), penalty)
        error = float(np.mean((made_N - z_N)[known_N] ** 2))
        if best is None or error < best[0]:
            best = error, made_N
    assert best is not None
    return Followed(best[1] * spread + level, max(0.0, 1.0 - best[0]))


def _lag(z_N: Floats, known_N: Bools, wave_N: Floats, reach: int) -> int:
    """Samples by which the wave has to be moved later to be most like the channel."""
    size = 1 << (2 * len(z_N) - 1).bit_length()
    z, known, wave, power = (np.fft.rfft(a, size) for a in (z_N, known_N.astype(float), wave_N, wave_N**2))
    lags = np.arange(-reach, reach + 1)
    along = np.fft.irfft(np.conj(wave) * z, size)[lags]
    return int(lags[np.argmax(along / np.sqrt(np.maximum(np.fft.irfft(np.conj(power) * known, size)[lags], 1e-6)))])


def _moved(wave_N: Floats, lag: int) -> Floats:
    """The wave `lag` samples later, its mean where it has nothing."""
    out = np.zeros_like(wave_N)
    out[max(lag, 0) : len(out) + min(lag, 0)] = wave_N[max(-lag, 0) : len(wave_N) - max(lag, 0)]
    return out


def _lagged(wave_N: Floats, reach: int, step_s: float, fs_hz: float) -> Floats:
    """The wave, averaged over a step, at every step from `reach` samples later to earlier, `(N, L)`."""
    step = max(1, round(step_s * fs_hz))
    smooth_N = np.convolve(wave_N, np.full(step, 1 / step), "same")
    return sliding_window_view(np.pad(smooth_N, reach), 2 * reach + 1)[:, ::step]


def _solved(product_LL: Floats, along_L: Floats, penalty: float) -> Floats:
    ridge = penalty * np.trace(product_LL) / len(product_LL) + 1e-9
    return np.linalg.solve(product_LL + ridge * np.eye(len(product_LL)), along_L)
