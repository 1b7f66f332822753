"""What a window can be asked about itself: where its beats are, and numbers that describe its rhythm and its beats.

Everything is computed from the clean signal, so a network that sees it noisy, in part, or through the other channel
alone has to work the answer out. `FACTS` names the numbers; one that cannot be measured is NaN.
Legend: `C` channels (ecg, ppg), `N` samples, `T` bins of the beat map, `A` points of an average beat, `F` facts.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure.beats import pulses, r_peaks

BIN = 4  # samples a bin of the beat map: 16 ms at 250 Hz
STEP_S = 0.02  # between the points of an average beat
REACH_S = ((-0.28, 0.52), (-0.2, 0.7))  # about the R peak, about the foot
BANDS_HZ = (0.5, 1.0, 2.0, 4.0, 7.0, 11.0, 16.0, 24.0, 40.0)
LEAST_BEATS = 3
_RHYTHM = ("log_interval", "log_sd", "log_rmssd", "share_nn50", "shortest", "longest", "turning", "alike")

POINTS = tuple(round((b - a) / STEP_S) + 1 for a, b in REACH_S)
FACTS = (
    *(
        f"{modality}_{name}"
        for modality, points in zip(("ecg", "ppg"), POINTS, strict=True)
        for name in (
            *_RHYTHM,
            "log_amplitude",
            *(f"band_{a:g}_{b:g}_hz" for a, b in pairwise(BANDS_HZ)),
            *(f"beat_{i}" for i in range(points)),
        )
    ),
    "lag_s",
    "lag_spread_s",
)


def describe(
    x_CN: NDArray[np.float32], valid_CN: NDArray[np.bool_], in_mv_C: NDArray[np.bool_], fs_hz: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The beat map `(C, T)`, 1 in the bin of each R peak and each foot, and the facts `(F,)` of a window."""
    beats = [_beats(x_CN[c], valid_CN[c], fs_hz, c) for c in range(2)]
    map_CT = np.zeros((2, x_CN.shape[1] // BIN), np.float32)
    for c, at_s in enumerate(beats):
        bins = np.floor(at_s * fs_hz / BIN).astype(np.int64)
        map_CT[c, bins[(bins >= 0) & (bins < map_CT.shape[1])]] = 1.0
    facts = [_channel(x_CN[c], valid_CN[c], bool(in_mv_C[c]), beats[c], fs_hz, c) for c in range(2)]
    return map_CT, np.concatenate([*facts, _lag(*beats)]).astype(np.float32)


def _beats(x_N: NDArray[np.float32], valid_N: NDArray[np.bool_], fs_hz: float, channel: int) -> NDArray[np.float64]:
    if not valid_N.any():
        return np.empty(0)
    return r_peaks(x_N, fs_hz, valid_N) if channel == 0 else pulses(x_N, fs_hz, valid_N).foot_s


def _channel(
    x_N: NDArray[np.float32],
    valid_N: NDArray[np.bool_],
    in_mv: bool,
    at_s: NDArray[np.float64],
    fs_hz: float,
    channel: int,
) -> NDArray[np.float64]:
    """Rhythm, amplitude, band powers and average beat of one channel."""
    out = np.full(len(_RHYTHM) + len(BANDS_HZ) + POINTS[channel], np.nan)
    sd = float(x_N[valid_N].std()) if valid_N.sum() > fs_hz else 0.0
    if sd == 0:
        return out
    z_N = np.where(valid_N, (x_N - x_N[valid_N].mean()) / sd, 0.0)
    spectrum = np.abs(np.fft.rfft(z_N * np.hanning(len(z_N)))) ** 2
    hz = np.fft.rfftfreq(len(z_N), 1 / fs_hz)
    power = np.add.reduceat(spectrum, np.searchsorted(hz, BANDS_HZ))[:-1]
    first = len(_RHYTHM)
    out[first] = np.log(sd) if in_mv else np.nan
    out[first + 1 : first + len(BANDS_HZ)] = np.log(power / spectrum.sum() + 1e-5)
    if len(at_s) >= LEAST_BEATS:
        beat_A, alike = average_beat(z_N, at_s, fs_hz, channel)
        out[: first - 1], out[first - 1] = rhythm(at_s), alike
        out[first + len(BANDS_HZ) :] = beat_A
    return out


def rhythm(at_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seven numbers of the intervals between beats; a rate, spreads, extremes and how often the interval turns."""
    gap_s = np.diff(at_s)
    step_s = np.diff(gap_s)
    middle_s = np.median(gap_s)
    turns = np.mean(step_s[1:] * step_s[:-1] < 0) if len(step_s) > 1 else np.nan
    return np.array([
        np.log(middle_s),
        np.log(gap_s.std() / middle_s + 0.005),
        np.log(np.sqrt(np.mean(step_s**2)) / middle_s + 0.005),
        np.mean(np.abs(step_s) > 0.05),
        np.log(gap_s.min() / middle_s),
        np.log(gap_s.max() / middle_s),
        turns,
    ])  # fmt: skip


def average_beat(
    z_N: NDArray[np.floating], at_s: NDArray[np.float64], fs_hz: float, channel: int
) -> tuple[NDArray[np.float64], float]:
    """The median of the beats that lie whole in the window `(A,)`, and how much they are like it (mean r)."""
    around_s = REACH_S[channel][0] + STEP_S * np.arange(POINTS[channel])
    at_s = at_s[(at_s + around_s[0] >= 0) & (at_s + around_s[-1] <= (len(z_N) - 1) / fs_hz)]
    if len(at_s) < 2:
        return np.full(len(around_s), np.nan), np.nan
    place = (at_s[:, None] + around_s) * fs_hz
    left = np.minimum(place.astype(np.int64), len(z_N) - 2)
    beats = z_N[left] + (place - left) * (z_N[left + 1] - z_N[left])
    middle_A = np.median(beats, axis=0)
    a, b = beats - beats.mean(-1, keepdims=True), middle_A - middle_A.mean()
    scale = np.sqrt((a**2).sum(-1) * (b**2).sum())
    return middle_A, float(np.mean((a @ b) / np.maximum(scale, 1e-9)))


def _lag(r_s: NDArray[np.float64], foot_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median and spread of the time from an R peak to the next foot; it includes the monitor's fixed delay."""
    if min(len(r_s), len(foot_s)) < LEAST_BEATS:
        return np.full(2, np.nan)
    after = np.searchsorted(foot_s, r_s)
    lag_s = foot_s[after[after < len(foot_s)]] - r_s[after < len(foot_s)]
    if len(lag_s) < 2:
        return np.full(2, np.nan)
    middle_s = float(np.median(lag_s))
    return np.array([middle_s, min(float(np.median(np.abs(lag_s - middle_s))), 0.3)])
