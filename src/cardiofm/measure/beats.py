"""When the heart beats, in seconds from the first sample: R peaks of an ECG; feet, steepest points and peaks of a PPG.

Band-pass → how much a beat each place looks like → a threshold that moves with the signal → sub-sample refinement.
Filters are zero-phase (a Butterworth magnitude on the spectrum), so a rate only changes how finely one looks. Nothing
is found where a sample is not valid, in a flat line, or in less than one second of signal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter1d, median_filter

from cardiofm.measure.band import Bools, Floats, band_pass, clean, parabola

ECG_BAND_HZ = (5.0, 25.0)  # where the QRS stands out from P, T and wander
PPG_BAND_HZ = (0.5, 8.0)  # the pulse and its harmonics
ECG_REFRACTORY_S = 0.25  # no two R peaks are closer
PPG_REFRACTORY_S = 0.3  # nor two pulses

_ENERGY_S = 0.1  # a QRS lasts about this long
_ECG_SHARE = 0.34  # of the typical beat's strength: below it is no QRS
_ECG_BACK_SHARE = 0.2  # where a beat is overdue
_OVERDUE = 1.6  # of the median interval
_T_WAVE_S = 0.38  # sooner after a beat than this, a much weaker bump is its T wave
_T_WAVE_SHARE = 0.5
_REFINE_S = 0.08  # the R peak lies this close to the middle of the QRS's energy
_OTHER_SIGN = 1.4  # a beat may point the other way than the rest when it is this much larger there
_PPG_SHARE = 0.35  # as for the ECG; the dicrotic wave's is below
_UPSIDE_DOWN = -0.3  # skewness of the slope: a pulse rises faster than it falls


@dataclass(frozen=True)
class Pulses:
    """One row per PPG pulse, `(B,)` float64 seconds from the first sample; `sign` is -1 for a PPG that points down."""

    foot_s: Floats
    slope_s: Floats  # where the upstroke is steepest
    peak_s: Floats
    sign: int

    def __len__(self) -> int:
        return len(self.foot_s)


def r_peaks(x_N: ArrayLike, fs_hz: float, valid_N: ArrayLike | None = None) -> Floats:
    """The R peaks of an ECG in seconds from its first sample, ascending `(B,)` float64; empty where there is none.

    `x_N` in any unit, either polarity; not finite or not `valid_N`: no sample. Strength is the root of the slope's
    energy in 5-25 Hz over 100 ms, after Pan & Tompkins (IEEE Trans Biomed Eng 32, 1985, doi:10.1109/TBME.1985.325532),
    the threshold a share of the median of the strongest beats around (±5 s). The time is that of the largest swing of
    the band-passed signal, in the sign that most beats have, by a parabola through three samples.

    >>> t = np.arange(2500) / 250
    >>> r_peaks(np.exp(-(((t % 1) - 0.503) ** 2) / 2e-4), 250.0)[:3].round(3).tolist()
    [0.503, 1.503, 2.503]
    """
    x, good = clean(x_N, fs_hz, valid_N)
    band, pad = band_pass(x, good, fs_hz, ECG_BAND_HZ)
    if band is None:
        return np.empty(0)
    slope = np.diff(band, prepend=band[0]) * fs_hz
    strength = np.sqrt(np.maximum(_moving_mean(slope**2, max(1, round(_ENERGY_S * fs_hz))), 0.0))
    at = _tops(strength)
    at = at[(at >= pad) & (at < pad + len(x))]
    at = at[good[at - pad]]
    if len(at) == 0:
        return np.empty(0)
    typical = _typical(strength, fs_hz)[at]
    kept = _beats_of(at / fs_hz, strength[at], typical)
    return _refined(band, at[kept], pad, good, fs_hz)


def ppg_feet(x_N: ArrayLike, fs_hz: float, valid_N: ArrayLike | None = None) -> Floats:
    """The feet (onsets) of a PPG's pulses in seconds from its first sample, ascending `(B,)`; see `pulses`."""
    return pulses(x_N, fs_hz, valid_N).foot_s


def ppg_peaks(x_N: ArrayLike, fs_hz: float, valid_N: ArrayLike | None = None) -> Floats:
    """The systolic peaks of a PPG's pulses in seconds from its first sample, ascending `(B,)`; see `pulses`."""
    return pulses(x_N, fs_hz, valid_N).peak_s


def pulses(x_N: ArrayLike, fs_hz: float, valid_N: ArrayLike | None = None) -> Pulses:
    """The pulses of a PPG: foot, steepest point and peak of each, in seconds from the first sample.

    In 0.5-8 Hz each upstroke is a run of positive slope; its strength is the root of (its rise x its steepest slope),
    which the dicrotic wave's is far below; the threshold is a share of the median of the strongest around. The foot is
    where the tangent at the steepest point meets the horizontal through the minimum before it (intersecting tangents,
    Chiu et al., Am Heart J 121, 1991, doi:10.1016/0002-8703(91)90019-O). A PPG that clearly falls faster than it rises
    is turned over first.

    >>> t = np.arange(2500) / 250
    >>> len(ppg_feet(np.exp(3 * np.cos(2 * np.pi * 1.2 * t)), 250.0)), len(ppg_feet(np.zeros(2500), 250.0))
    (11, 0)
    """
    x, good = clean(x_N, fs_hz, valid_N)
    wave, pad = band_pass(x, good, fs_hz, PPG_BAND_HZ)
    if wave is None:
        return Pulses(np.empty(0), np.empty(0), np.empty(0), 1)
    slope = np.gradient(wave) * fs_hz
    inside = slope[pad : pad + len(x)][good]
    sign = -1 if float(np.mean(inside**3)) < _UPSIDE_DOWN * float(np.mean(inside**2)) ** 1.5 else 1
    wave, slope = sign * wave, sign * slope
    rising = np.flatnonzero(np.diff(np.concatenate(([False], slope > 0, [False])).astype(np.int8)))
    first, last = rising[0::2], rising[1::2] - 1  # of each run of positive slope, padding included
    if len(first) == 0:
        return Pulses(np.empty(0), np.empty(0), np.empty(0), sign)
    steep = _steepest(slope, first)
    rise = np.maximum(wave[last] - wave[first], 0.0)
    strength = np.sqrt(rise * slope[steep])
    ok = (first >= pad + 1) & (steep < pad + len(x))
    ok[ok] = good[first[ok] - pad] & good[steep[ok] - pad]
    dense = np.zeros(len(wave))
    dense[steep] = strength
    typical = _typical(dense, fs_hz)[steep]
    ok &= strength > _PPG_SHARE * typical
    ok[ok] = _spaced(steep[ok] / fs_hz, strength[ok], PPG_REFRACTORY_S)
    return _located(wave, slope, first[ok], steep[ok], last[ok], pad, fs_hz, sign)


def _located(
    wave: Floats,
    slope: Floats,
    first: NDArray[np.int64],
    steep: NDArray[np.int64],
    last: NDArray[np.int64],
    pad: int,
    fs_hz: float,
    sign: int,
) -> Pulses:
    """Sub-sample foot, steepest point and peak of each kept upstroke."""
    shift, top = parabola(slope, steep)
    level = wave[steep] + shift * (wave[np.minimum(steep + 1, len(wave) - 1)] - wave[steep - 1]) / 2
    _, low = parabola(-wave, first)  # minus the minimum before the upstroke
    steep_s = (steep + shift - pad) / fs_hz
    foot_s = steep_s - (level + low) / top
    peak_shift, _ = parabola(wave, last)
    return Pulses(foot_s, steep_s, (last + peak_shift - pad) / fs_hz, sign)


def _moving_mean(x: Floats, width: int) -> Floats:
    """Mean over `width` samples centred on each."""
    total = np.cumsum(np.concatenate((np.zeros(width // 2 + 1), x, np.zeros(width - width // 2 - 1))))
    return np.maximum(total[width:] - total[:-width], 0.0) / width if width > 1 else x


def _tops(x: Floats) -> NDArray[np.int64]:
    """Where x has a local maximum."""
    return np.flatnonzero((x[1:-1] > x[:-2]) & (x[1:-1] >= x[2:])) + 1


def _typical(strength: Floats, fs_hz: float) -> Floats:
    """The usual strength of a beat around each sample: the median over ±5 s of the largest within ±1 s."""
    step = max(1, round(0.1 * fs_hz))
    count = -(-len(strength) // step)
    coarse = np.pad(strength, (0, count * step - len(strength))).reshape(count, step).max(1)
    tops = maximum_filter1d(coarse, 21, mode="nearest")
    around = np.full(count, np.median(tops)) if count <= 125 else median_filter(tops, 101, mode="nearest")
    return np.repeat(around, step)[: len(strength)]


def _beats_of(at_s: Floats, strength: Floats, typical: Floats) -> Bools:
    """Which candidates are beats: strong, apart, not the T wave of another; weaker ones where a beat is overdue."""
    kept = strength > _ECG_SHARE * typical
    kept[kept] = _spaced(at_s[kept], strength[kept], ECG_REFRACTORY_S)
    kept = _without_t(kept, at_s, strength)
    chosen = np.flatnonzero(kept)
    if len(chosen) < 3:
        return kept
    gap_s = np.diff(at_s[chosen])
    usual_s = float(np.median(gap_s))
    for k in np.flatnonzero(gap_s > _OVERDUE * usual_s):
        between = np.arange(chosen[k] + 1, chosen[k + 1])
        apart = (at_s[between] - at_s[chosen[k]] > _T_WAVE_S) & (at_s[chosen[k + 1]] - at_s[between] > _T_WAVE_S)
        between = between[apart & (strength[between] > _ECG_BACK_SHARE * typical[between])]
        if len(between):
            kept[between[np.argmax(strength[between])]] = True
    return kept


def _without_t(kept: Bools, at_s: Floats, strength: Floats) -> Bools:
    """The beats without those that follow a far stronger one so soon that they are its T wave."""
    chosen = np.flatnonzero(kept)
    soon = np.diff(at_s[chosen]) < _T_WAVE_S
    weak = strength[chosen][1:] < _T_WAVE_SHARE * strength[chosen][:-1]
    kept[chosen[1:][soon & weak]] = False
    return kept


def _spaced(at_s: Floats, strength: Floats, apart_s: float) -> Bools:
    """Which to keep so that none has a stronger one closer than `apart_s`, the strongest first."""
    kept = np.ones(len(at_s), bool)
    if len(at_s) < 2 or float(np.diff(at_s).min()) >= apart_s:
        return kept
    low = np.searchsorted(at_s, at_s - apart_s, "right")
    high = np.searchsorted(at_s, at_s + apart_s, "left")
    for i in np.argsort(-strength, kind="stable"):
        if kept[i]:
            kept[low[i] : high[i]] = False
            kept[i] = True
    return kept


def _refined(band: Floats, at: NDArray[np.int64], pad: int, good: Bools, fs_hz: float) -> Floats:
    """The largest swing near each place, in the common sign unless the other is clearly larger; seconds."""
    reach = max(1, round(_REFINE_S * fs_hz))
    index = np.clip(at[:, None] + np.arange(-reach, reach + 1), 1, len(band) - 2)
    near = band[index]
    up, down = near.max(1), -near.min(1)
    common = 1.0 if np.median(np.log(np.maximum(up, 1e-300) / np.maximum(down, 1e-300))) >= 0 else -1.0
    ratio = np.where(common > 0, down, up) > _OTHER_SIGN * np.where(common > 0, up, down)
    sign = np.where(ratio, -common, common)
    best = index[np.arange(len(at)), np.argmax(sign[:, None] * near, axis=1)]
    shift, _ = parabola(band, best)
    best, shift = best[order := np.argsort(best)], shift[order]
    inside = (best >= pad) & (best < pad + len(good))
    inside[inside] = good[best[inside] - pad]
    time_s = (best + shift - pad)[inside] / fs_hz
    return time_s[np.diff(time_s, prepend=-np.inf) > ECG_REFRACTORY_S / 2]


def _steepest(slope: Floats, first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each run of positive slope is steepest (between runs the slope is not positive)."""
    top = np.maximum.reduceat(slope, first)
    run = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(slope))))
    hit = np.flatnonzero(slope[first[0] :] == top[run]) + first[0]
    _, index = np.unique(run[hit - first[0]], return_index=True)
    return hit[index]
