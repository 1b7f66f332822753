"""Beat times to how regular they are: intervals in seconds and their spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure.band import Bools, Floats

INTERVALS = ("mean_s", "sd_s", "rmssd_s", "pnn50", "min_s", "max_s", "mad_s", "irregularity", "sd1_s", "sd2_s")
_GAP_S = 0.1  # an interval with more unknown signal inside may hide a beat


def intervals(beat_s: Floats, good_N: Bools, fs_hz: float) -> Floats:
    """Seconds from each beat to the next, `(B - 1,)`; NaN where more than 0.1 s between them is not known."""
    if len(beat_s) < 2:
        return np.empty(0)
    missing = np.concatenate(([0], np.cumsum(~good_N)))
    at = np.clip(np.rint(beat_s * fs_hz).astype(np.int64), 0, len(good_N))
    return np.where(np.diff(missing[at]) > _GAP_S * fs_hz, np.nan, np.diff(beat_s))


def regularity(interval_s: Floats) -> Floats:
    """The numbers named in `INTERVALS`, in that order, of intervals in seconds (NaN: not known); NaN where too few.

    mean, standard deviation (n - 1), root mean square of successive differences, share of those above 50 ms, shortest,
    longest, median absolute deviation (Task Force, Circulation 93, 1996, doi:10.1161/01.CIR.93.5.1043), `irregularity`,
    and the Poincaré plot's widths SD1 = sd(differences) / √2, SD2 = √(2 sd² - SD1²) (Brennan et al., IEEE Trans
    Biomed Eng 48, 2001, doi:10.1109/10.959330).

    >>> dict(zip(INTERVALS, regularity(np.array([0.8, 0.9, 0.8, 0.9])).round(3).tolist()))["rmssd_s"]
    0.1
    """
    out = np.full(len(INTERVALS), np.nan)
    rr = interval_s[np.isfinite(interval_s)]
    if len(rr) < 2:
        if len(rr) == 1:
            out[0] = rr[0]
        return out
    step = np.diff(interval_s)
    step = step[np.isfinite(step)]
    spread = float(rr.std(ddof=1))
    out[:2] = rr.mean(), spread
    out[4:7] = rr.min(), rr.max(), np.median(np.abs(rr - np.median(rr)))
    out[7] = irregularity(interval_s)
    if len(step):
        out[2:4] = np.sqrt(np.mean(step**2)), np.mean(np.abs(step) > 0.05)
    if len(step) > 1:
        narrow = float(step.std(ddof=1)) / np.sqrt(2)
        out[8:] = narrow, np.sqrt(max(2 * spread**2 - narrow**2, 0.0))
    return out


def irregularity(interval_s: Floats) -> float:
    """How little an interval says of the next: the coefficient of sample entropy, for series as short as a dozen.

    With pairs (i, j) of intervals closer than r as matches, A of B matches are followed by another match:
    ln(B / A) + ln(2 r) - ln(mean), r the smallest above 30 ms that leaves A of 5 and more (Lake & Moorman, Am J Physiol
    Heart 300, 2011, doi:10.1152/ajpheart.00561.2010). NaN with fewer than 6 intervals.

    >>> rng = np.random.default_rng(0)
    >>> irregularity(0.8 + 0.005 * rng.normal(size=12)) < -2 < -1 < irregularity(0.8 + 0.2 * rng.normal(size=12))
    True
    """
    known = np.isfinite(interval_s)
    both = known[1:] & known[:-1]
    now, after = interval_s[:-1][both], interval_s[1:][both]
    if len(now) < 5:
        return float("nan")
    i, j = _pairs(len(now))
    near = np.abs(now[i] - now[j])
    twice = np.maximum(near, np.abs(after[i] - after[j]))
    r = max(0.03, float(np.partition(twice, 4)[4]))
    b, a = int(np.sum(near <= r)), int(np.sum(twice <= r))
    return float(np.log(b / a) + np.log(2 * r) - np.log(interval_s[known].mean()))


def delays(r_s: Floats, foot_s: Floats, longest_s: float) -> Floats:
    """Seconds from each R peak to the foot that belongs to it, `(B,)`; NaN where there is none within `longest_s`.

    It is the first foot after the R peak, or the second or third where that one's delay varies clearly less: bedside
    monitors delay the PPG, in a fast rhythm by more than a beat.
    """
    if len(r_s) == 0 or len(foot_s) == 0:
        return np.full(len(r_s), np.nan)
    best, best_spread = np.full(len(r_s), np.nan), np.inf
    first = np.searchsorted(foot_s, r_s)
    for skip in range(3):
        at = first + skip
        delay = np.where(at < len(foot_s), foot_s[np.minimum(at, len(foot_s) - 1)] - r_s, np.nan)
        delay[delay > longest_s] = np.nan
        seen = delay[np.isfinite(delay)]
        if len(seen) < 3:
            if skip == 0:
                best = delay
            continue
        spread = float(np.median(np.abs(seen - np.median(seen))))
        if skip == 0 or (len(seen) > len(r_s) / 2 and spread < 0.5 * best_spread - 0.002):
            best, best_spread = delay, spread
    return best


def _pairs(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    i, j = np.triu_indices(n, 1)
    return i, j
