"""A window to about seventy hand-crafted numbers with a name: rhythm, shape, spectrum, and how ECG and PPG agree.

What a careful reader measures without a network: floors of the benchmarks and targets of the training. NaN wherever
something cannot be measured (channel absent, too few beats, no such wave); nothing is filled in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.measure.band import Bools, Floats, band_pass, clean
from cardiofm.measure.beats import PPG_BAND_HZ, pulses, r_peaks
from cardiofm.measure.rhythm import INTERVALS, delays, intervals, regularity
from cardiofm.measure.shape import (
    ECG_SHAPE,
    ECG_SPAN_S,
    PPG_SHAPE,
    PPG_SPAN_S,
    STEP_S,
    average_beat,
    beats_at,
    ecg_shape,
    likeness,
    ppg_shape,
)

__all__ = ["MEANING", "NAMES", "average_beat", "features"]

ECG_WIDE_HZ = (0.5, 40.0)  # where shapes are measured
LONGEST_DELAY_S = 1.3  # R peak to foot, a monitor's own delay included

_RHYTHM = {
    "mean_s": "mean interval, s",
    "sd_s": "standard deviation of the intervals, s",
    "rmssd_s": "root mean square of successive differences, s",
    "pnn50": "share of successive differences above 50 ms",
    "min_s": "shortest interval, s",
    "max_s": "longest interval, s",
    "mad_s": "median absolute deviation of the intervals, s",
    "irregularity": "coefficient of sample entropy (see rhythm.irregularity)",
    "sd1_s": "width of the Poincaré plot across its diagonal, s",
    "sd2_s": "width of the Poincaré plot along its diagonal, s",
}
MEANING: dict[str, str] = {
    "ecg_known": "share of samples that are valid",
    "ecg_in_mv": "1 where the ECG's amplitude is in mV, else 0",
    "ecg_std_mv": "standard deviation in 0.5-40 Hz, mV; 0 where not in mV",
    "ecg_qrs_mv": "height of the average QRS, highest minus lowest point, mV; 0 where not in mV",
    "ecg_skewness": "third standardised moment in 0.5-40 Hz",
    "ecg_kurtosis": "fourth standardised moment in 0.5-40 Hz (3: Gaussian)",
    "ecg_log_wander": "log10 of power in 0.1-0.5 Hz over power in 0.5-40 Hz",
    "ecg_log_0p5_4": "log10 of power in 0.5-4 Hz over power in 0.5-40 Hz",
    "ecg_log_4_8": "log10 of power in 4-8 Hz over power in 0.5-40 Hz",
    "ecg_log_8_16": "log10 of power in 8-16 Hz over power in 0.5-40 Hz",
    "ecg_log_16_40": "log10 of power in 16-40 Hz over power in 0.5-40 Hz",
    "ecg_beats": "number of R peaks",
    "ecg_rate_bpm": "60 / median RR interval, beats a minute",
    **{f"rr_{name}": f"RR: {text}" for name, text in _RHYTHM.items()},
    "ecg_likeness": "mean correlation of the beats with the median beat",
    "ecg_likeness_min": "smallest correlation of a beat with the median beat",
    "beat_peak": "R: the average beat at the R peak from the PR segment, share of the QRS's height, signed",
    "beat_q": "largest swing against R within 80 ms before it, share of the height, signed; 0 where none",
    "beat_s": "largest swing against R within 100 ms after it, share of the height, signed; 0 where none",
    "beat_qrs_half_s": "width of R at half its height, s",
    "beat_qrs_tenth_s": "width of the QRS at a tenth of its height, dips under 24 ms bridged, s; NaN if into P or T",
    "beat_st": "level 60 ms after the end of that width (where NaN by T: 110 ms after R), share of the height, signed",
    "beat_t": "T: largest swing between the QRS and 0.7 RR (at most 560 ms), share of the height, signed",
    "beat_t_s": "R peak to T peak, s; NaN where T is no hump",
    "beat_t_over_r": "T / R",
    "beat_p": "P: largest swing 260-90 ms before R, share of the height, signed",
    "beat_area_s": "area under the average beat's absolute value from R - 80 ms to 0.7 RR, share of the height x s",
    "beat_rt_end_s": "R peak to where T's steepest late tangent meets the PR level, s (Lepeschkin & Surawicz 1952)",
    "ppg_known": "share of samples that are valid",
    "ppg_skewness": "third standardised moment in 0.5-8 Hz, pulse upwards (Elgendi, Bioengineering 3, 2016)",
    "ppg_kurtosis": "fourth standardised moment in 0.5-8 Hz",
    "ppg_log_wander": "log10 of power in 0.1-0.5 Hz over power in 0.5-8 Hz",
    "ppg_log_0p5_1p5": "log10 of power in 0.5-1.5 Hz over power in 0.5-8 Hz",
    "ppg_log_1p5_3": "log10 of power in 1.5-3 Hz over power in 0.5-8 Hz",
    "ppg_log_3_8": "log10 of power in 3-8 Hz over power in 0.5-8 Hz",
    "ppg_pulses": "number of pulses",
    "ppg_rate_bpm": "60 / median interval between feet, beats a minute",
    **{f"pp_{name}": f"between feet: {text}" for name, text in _RHYTHM.items()},
    "ppg_likeness": "mean correlation of the pulses with the median pulse",
    "ppg_likeness_min": "smallest correlation of a pulse with the median pulse",
    "ppg_height_spread": "1.48 x median absolute deviation of the pulses' heights over their median",
    "pulse_rise_s": "foot to peak of the average pulse, s",
    "pulse_width25_s": "width of the average pulse at 25 % of its height, s",
    "pulse_width50_s": "width at 50 %, s",
    "pulse_width75_s": "width at 75 %, s",
    "pulse_reflection": "height where the fall after the peak is slowest, share of the pulse's height",
    "pulse_reflection_s": "peak to that place, s",
    "pulse_b_over_a": "b / a of the average pulse's second derivative",
    "pat_s": "median delay from R peak to foot, s (with the monitor's own delay)",
    "pat_spread_s": "1.48 x median absolute deviation of that delay, s",
    "pat_share": "share of R peaks with a foot",
    "rate_gap_bpm": "absolute difference of ECG and PPG rate, beats a minute",
}
NAMES: tuple[str, ...] = tuple(MEANING)
_EDGES_HZ = {"ecg": (0.1, 0.5, 4.0, 8.0, 16.0, 40.0), "ppg": (0.1, 0.5, 1.5, 3.0, 8.0)}
_BANDS = {"ecg": ("wander", "0p5_4", "4_8", "8_16", "16_40"), "ppg": ("wander", "0p5_1p5", "1p5_3", "3_8")}
_ECG_LIKE = slice(round(0.1 / STEP_S), round(0.7 / STEP_S))  # beats are compared from 0.2 s before to 0.4 s after R
_PPG_LIKE = slice(0, round(0.7 / STEP_S))  # pulses to 0.6 s after the foot
_LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class _Found:
    """One channel's numbers by name (those that could be measured), with its beats."""

    numbers: dict[str, float]
    beat_s: Floats
    rate_bpm: float


def features(values_CN: ArrayLike, valid_CN: ArrayLike, in_mv_C: ArrayLike, fs_hz: float) -> NDArray[np.float32]:
    """The numbers named in `NAMES` of one window, `(F,)` float32, units in `MEANING`; NaN where not measurable.

    `values_CN` are (ecg, ppg) as `Window` has them, `valid_CN` which samples are known (none: the channel is absent),
    `in_mv_C` whether the amplitude is in mV. Nothing but the `_mv` numbers depends on a channel's scale.

    >>> t = np.arange(2500) / 250
    >>> window = np.stack([np.exp(-(((t % 0.8) - 0.4) ** 2) / 3e-4), np.zeros(2500)])
    >>> found = features(window, np.array([[True], [False]]) & (t >= 0), [True, False], 250.0)
    >>> round(float(found[NAMES.index("ecg_rate_bpm")]), 2), float(found[NAMES.index("ppg_rate_bpm")])
    (75.0, nan)
    """
    values, valid, in_mv = np.asarray(values_CN), np.asarray(valid_CN, bool), np.asarray(in_mv_C, bool)
    ecg = _ecg(values[0], valid[0], bool(in_mv[0]), fs_hz)
    ppg = _ppg(values[1], valid[1], fs_hz)
    found = ecg.numbers | ppg.numbers | _both(ecg, ppg)
    return np.array([found.get(name, np.nan) for name in NAMES], np.float32)


def _ecg(x_N: NDArray, valid_N: Bools, in_mv: bool, fs_hz: float) -> _Found:
    x, good = clean(x_N, fs_hz, valid_N)
    out = {"ecg_known": float(good.mean()) if len(good) else 0.0, "ecg_in_mv": float(in_mv and good.any())}
    wide, pad = band_pass(x, good, fs_hz, ECG_WIDE_HZ)
    if wide is None:
        return _Found(out, np.empty(0), float("nan"))
    wide = wide[pad : pad + len(x)]
    spread, out["ecg_skewness"], out["ecg_kurtosis"] = _moments(wide[good])
    out["ecg_std_mv"] = spread if in_mv else 0.0
    out |= _powers(x, fs_hz, "ecg")
    r_s = r_peaks(x, fs_hz, good)
    rr_s = intervals(r_s, good, fs_hz)
    usual_s = _median(rr_s)
    out |= {"ecg_beats": float(len(r_s)), "ecg_rate_bpm": 60 / usual_s}
    out |= {f"rr_{name}": value for name, value in zip(INTERVALS, regularity(rr_s), strict=True)}
    cut = _cut(wide, good, r_s, fs_hz, ECG_SPAN_S)
    if len(cut):
        out["ecg_likeness"], out["ecg_likeness_min"] = likeness(cut[:, _ECG_LIKE])
        shape, height = ecg_shape(np.median(cut, axis=0), usual_s)
        out |= {f"beat_{name}": value for name, value in zip(ECG_SHAPE, shape, strict=True)}
        out["ecg_qrs_mv"] = height if in_mv else 0.0
    return _Found(out, r_s, 60 / usual_s)


def _ppg(x_N: NDArray, valid_N: Bools, fs_hz: float) -> _Found:
    x, good = clean(x_N, fs_hz, valid_N)
    out = {"ppg_known": float(good.mean()) if len(good) else 0.0}
    wave, pad = band_pass(x, good, fs_hz, PPG_BAND_HZ)
    if wave is None:
        return _Found(out, np.empty(0), float("nan"))
    found = pulses(x, fs_hz, good)
    wave = found.sign * wave[pad : pad + len(x)]
    _, out["ppg_skewness"], out["ppg_kurtosis"] = _moments(wave[good])
    out |= _powers(x, fs_hz, "ppg")
    pp_s = intervals(found.foot_s, good, fs_hz)
    usual_s = _median(pp_s)
    out |= {"ppg_pulses": float(len(found)), "ppg_rate_bpm": 60 / usual_s}
    out |= {f"pp_{name}": value for name, value in zip(INTERVALS, regularity(pp_s), strict=True)}
    t = np.arange(len(x)) / fs_hz
    height = np.interp(found.peak_s, t, wave) - np.interp(found.foot_s, t, wave)
    out["ppg_height_spread"] = _spread(height) / _median(height)
    cut = _cut(wave, good, found.foot_s, fs_hz, PPG_SPAN_S)
    if len(cut):
        out["ppg_likeness"], out["ppg_likeness_min"] = likeness(cut[:, _PPG_LIKE])
        shape = ppg_shape(np.median(cut, axis=0), usual_s)
        out |= {f"pulse_{name}": value for name, value in zip(PPG_SHAPE, shape, strict=True)}
    return _Found(out, found.foot_s, 60 / usual_s)


def _both(ecg: _Found, ppg: _Found) -> dict[str, float]:
    if not (len(ecg.beat_s) and len(ppg.beat_s)):
        return {}
    delay_s = delays(ecg.beat_s, ppg.beat_s, LONGEST_DELAY_S)
    return {
        "pat_s": _median(delay_s),
        "pat_spread_s": _spread(delay_s),
        "pat_share": float(np.isfinite(delay_s).mean()),
        "rate_gap_bpm": abs(ecg.rate_bpm - ppg.rate_bpm),
    }


def _cut(wave: Floats, good: Bools, beat_s: Floats, fs_hz: float, span_s: tuple[float, float]) -> Floats:
    """The beats that lie wholly in known signal, on the grid of `STEP_S`."""
    known = wave if good.all() else np.where(good, wave, np.nan)
    return beats_at(known, beat_s, fs_hz, *span_s, round(sum(span_s) / STEP_S) + 1)


def _moments(x: Floats) -> tuple[float, float, float]:
    """Standard deviation, skewness and kurtosis."""
    centred = x - x.mean()
    square = centred**2
    variance = float(square.mean())
    if not variance > 0:
        return 0.0, float("nan"), float("nan")
    return variance**0.5, float((square * centred).mean()) / variance**1.5, float((square**2).mean()) / variance**2


def _powers(x: Floats, fs_hz: float, modality: str) -> dict[str, float]:
    """log10 of each band's share of the power in all bands but the first (wander); not below -6."""
    names, edges_hz = _BANDS[modality], _EDGES_HZ[modality]
    power = np.abs(np.fft.rfft((x - x.mean()) * np.hanning(len(x)))) ** 2
    at = np.searchsorted(np.arange(len(power)) * (fs_hz / len(x)), edges_hz)
    sums = np.diff(np.concatenate(([0.0], np.cumsum(power)))[at])
    whole = float(sums[1:].sum())
    if not whole > 0:
        return {}
    logs = np.log10(np.maximum(sums / whole, _LEAST_SHARE))
    return {f"{modality}_log_{name}": value for name, value in zip(names, logs.tolist(), strict=True)}


def _median(x: Floats) -> float:
    """Of what is known; NaN where nothing is."""
    x = x[np.isfinite(x)]
    return float(np.median(x)) if len(x) else float("nan")


def _spread(x: Floats) -> float:
    """1.48 x median absolute deviation: the standard deviation of a Gaussian without its outliers."""
    return 1.4826 * _median(np.abs(x - _median(x)))
