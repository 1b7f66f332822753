"""The average beat of a window, and what its shape measures: amplitudes as shares, widths and times in seconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.measure.band import Floats

STEP_S = 0.004  # of the grid on which shapes are measured
ECG_SPAN_S = (0.3, 0.6)  # before and after the R peak
PPG_SPAN_S = (0.1, 1.0)  # before and after the foot
ECG_SHAPE = (
    "peak", "q", "s", "qrs_half_s", "qrs_tenth_s", "st", "t", "t_s", "t_over_r", "p", "area_s", "rt_end_s"
)  # fmt: skip
PPG_SHAPE = ("rise_s", "width25_s", "width50_s", "width75_s", "reflection", "reflection_s", "b_over_a")
_QRS_S = (0.08, 0.1)  # around R, where Q and S may lie
_BASELINE_S = (-0.09, -0.06)  # the PR segment, before R
_P_S = (-0.26, -0.09)
_J_PLUS_S = 0.06  # where ST is read, after the end of the QRS
_QRS_MAX_S = (0.12, 0.16)  # before and after R: what reaches further runs into P or T
_USUAL_END_S = 0.05  # of a QRS after R, where its own end cannot be told
_SMEAR_S = 0.012  # a QRS crosses zero between its waves for shorter than twice this


def beats_at(x_N: ArrayLike, beat_s: Floats, fs_hz: float, before_s: float, after_s: float, points: int) -> Floats:
    """The stretches around each beat, `(B, points)`, from `before_s` before to `after_s` after it.

    Evenly spaced, both ends included, by a line between samples. Beats that do not fit, or hold a NaN, are left out.
    """
    x = np.asarray(x_N, np.float64)
    offset = np.linspace(-before_s, after_s, points) * fs_hz
    place = np.asarray(beat_s, np.float64)[:, None] * fs_hz + offset
    place = place[(place[:, 0] >= -1e-6) & (place[:, -1] <= len(x) - 1 + 1e-6)]
    at = np.clip(place.astype(np.int64), 0, max(len(x) - 2, 0))
    cut = x[at] + (place - at) * (x[np.minimum(at + 1, len(x) - 1)] - x[at])
    return cut[np.isfinite(cut).all(1)]


def average_beat(
    x_N: ArrayLike, beat_s: Floats, fs_hz: float, before_s: float, after_s: float, points: int
) -> NDArray[np.float32] | None:
    """The median over beats at each of `points` places around them, `(points,)` in the unit of x; None without a beat.

    `beat_s` in seconds from the first sample; a NaN in `x_N` is no sample.

    >>> x = np.tile([0.0, 1.0, 5.0, 1.0], 25)
    >>> average_beat(x, np.arange(2, 100, 4) / 100, 100.0, 0.02, 0.01, 4).tolist()
    [0.0, 1.0, 5.0, 1.0]
    """
    cut = beats_at(x_N, beat_s, fs_hz, before_s, after_s, points)
    return np.median(cut, axis=0).astype(np.float32) if len(cut) else None


def likeness(cut_BP: Floats) -> tuple[float, float]:
    """Mean and smallest Pearson correlation of each beat with the median beat; NaN with fewer than two beats."""
    if len(cut_BP) < 2:
        return float("nan"), float("nan")
    centred = cut_BP - cut_BP.mean(1, keepdims=True)
    middle = np.median(cut_BP, axis=0)
    middle = middle - middle.mean()
    scale = np.sqrt((centred**2).sum(1) * (middle @ middle))
    if not (scale > 0).all():
        return float("nan"), float("nan")
    r = centred @ middle / scale
    return float(r.mean()), float(r.min())


def ecg_shape(beat_P: Floats, rr_s: float) -> tuple[Floats, float]:
    """The numbers named in `ECG_SHAPE` of an average beat over `ECG_SPAN_S`, and its QRS's height in the beat's unit.

    Amplitudes are from the PR segment and shares of that height (highest minus lowest point of the QRS). `rr_s`, the
    median interval (NaN: not known), keeps the T wave's search off the next beat.
    """
    t = np.linspace(-ECG_SPAN_S[0], ECG_SPAN_S[1], len(beat_P))
    out = np.full(len(ECG_SHAPE), np.nan)
    level = np.median(beat_P[(t >= _BASELINE_S[0]) & (t <= _BASELINE_S[1])])
    qrs = (t >= -_QRS_S[0]) & (t <= _QRS_S[1])
    height = float(np.ptp(beat_P[qrs]))
    if not height > 0:
        return out, float("nan")
    y = (beat_P - level) / height
    centre = int(np.argmin(np.abs(t)))
    peak, sign = y[centre], 1.0 if y[centre] >= 0 else -1.0
    against = np.maximum(-sign * y, 0.0)
    q = -sign * against[qrs & (t < 0)].max()
    s = -sign * against[qrs & (t > 0)].max()
    half_s = _width(sign * y, centre, 0.5 * abs(peak))
    begin, end = _extent(np.abs(y), centre, 0.1)
    runs_on = t[begin] < -_QRS_MAX_S[0] or t[end] > _QRS_MAX_S[1]
    end_s = float(t[end]) if t[end] <= _QRS_MAX_S[1] else _USUAL_END_S
    until_s = min(0.56, 0.7 * rr_s) if np.isfinite(rr_s) else 0.56
    out[:4] = peak, q, s, half_s
    out[4:6] = np.nan if runs_on else t[end] - t[begin], np.interp(end_s + _J_PLUS_S, t, y)
    out[6:8], out[11] = _t_wave(y, t, max(end_s + 0.04, 0.12), until_s)
    out[8] = out[6] / peak if abs(peak) > 0.05 else np.nan
    p = y[(t >= _P_S[0]) & (t <= _P_S[1])]
    out[9] = p[np.argmax(np.abs(p))]
    whole = (t >= -_QRS_S[0]) & (t <= until_s)
    out[10] = np.abs(y[whole]).sum() * (t[1] - t[0])
    return out, height


def _t_wave(y: Floats, t: Floats, from_s: float, until_s: float) -> tuple[tuple[float, float], float]:
    """Amplitude and time of T, and where its steepest late tangent meets the PR level; NaN where there is no hump."""
    nan = float("nan")
    inside = np.flatnonzero((t >= from_s) & (t <= until_s))
    if len(inside) < 10:
        return (nan, nan), nan
    top = inside[np.argmax(np.abs(y[inside]))]
    height = float(y[top])
    if top in (inside[0], inside[-1]):
        return (height, nan), nan
    sign = 1.0 if height > 0 else -1.0
    late = np.arange(top + 1, min(len(t) - 1, top + round(0.16 / (t[1] - t[0]))))
    if len(late) == 0:
        return (height, float(t[top])), nan
    slope = sign * (y[late + 1] - y[late - 1]) / (t[2] - t[0])
    k = int(np.argmin(slope))
    end_s = float(t[late[k]] + sign * y[late[k]] / -slope[k]) if slope[k] < 0 else nan
    return (height, float(t[top])), end_s if end_s < t[top] + 0.3 else nan


def ppg_shape(beat_P: Floats, pulse_s: float) -> Floats:
    """The numbers named in `PPG_SHAPE` of an average pulse over `PPG_SPAN_S`, whose foot is at 0.

    The pulse stands on the line from its foot to the next (`pulse_s` later), its height is 1. The reflected wave is
    where, after the peak, the fall is slowest (Millasseau et al., Clin Sci 103, 2002, doi:10.1042/cs1030371); b / a
    are the first two waves of the second derivative (Takazawa et al., Hypertension 32, 1998,
    doi:10.1161/01.HYP.32.2.365).
    """
    t = np.linspace(-PPG_SPAN_S[0], PPG_SPAN_S[1], len(beat_P))
    step_s = t[1] - t[0]
    out = np.full(len(PPG_SHAPE), np.nan)
    pulse_s = min(pulse_s, PPG_SPAN_S[1]) if np.isfinite(pulse_s) else PPG_SPAN_S[1]
    foot, last = np.interp(0.0, t, beat_P), np.interp(pulse_s, t, beat_P)
    y = beat_P - foot - (last - foot) * t / pulse_s
    systole = np.flatnonzero((t > 0) & (t <= min(0.5, 0.7 * pulse_s)))
    if len(systole) < 10:
        return out
    top = systole[np.argmax(y[systole])]
    if not y[top] > 0 or top == systole[-1]:
        return out
    y = y / y[top]
    ended = np.where(t <= pulse_s, y, -1.0)
    out[:4] = t[top], *(_width(ended, int(top), share) for share in (0.25, 0.5, 0.75))
    after = np.flatnonzero((t >= t[top] + 0.08) & (t <= min(t[top] + 0.4, 0.85 * pulse_s)))
    slope = np.gradient(y, step_s)
    if len(after) >= 5:
        slow = after[np.argmax(slope[after])]
        out[4:6] = y[slow], t[slow] - t[top]
    bend = np.gradient(slope, step_s)
    rise = np.flatnonzero((t >= -0.06) & (t <= t[top]))
    a = rise[np.argmax(bend[rise])]
    b = bend[a : top + round(0.05 / step_s)].min()
    out[6] = b / bend[a] if bend[a] > 0 else np.nan
    return out


def _width(y: Floats, centre: int, height: float) -> float:
    """Seconds (in steps of `STEP_S`, between them by a line) that y stays above `height` around `centre`, or NaN."""
    below = np.flatnonzero(y < height)
    left, right = below[below < centre], below[below > centre]
    if len(left) == 0 or len(right) == 0:
        return float("nan")
    i, j = int(left[-1]), int(right[0])
    start = i + (height - y[i]) / (y[i + 1] - y[i])
    end = j - (height - y[j]) / (y[j - 1] - y[j])
    return float(end - start) * STEP_S


def _extent(size_P: Floats, centre: int, share: float) -> tuple[int, int]:
    """First and last place of the stretch around `centre` where size is `share` and more, short dips bridged."""
    reach = round(_SMEAR_S / STEP_S)
    high = size_P >= share
    wide = np.convolve(high, np.ones(2 * reach + 1), "same") > 0.5
    low = np.flatnonzero(~wide)
    left, right = low[low < centre], low[low > centre]
    begin = (int(left[-1]) + 1 if len(left) else 0) + reach
    end = (int(right[0]) - 1 if len(right) else len(size_P) - 1) - reach
    return min(begin, centre), max(end, centre)
