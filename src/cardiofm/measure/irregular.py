"""How irregularly beats follow each other: intervals to named numbers, whatever the heart rate.

Lengths are shares of the median interval, so that neither rate nor duration shows, except where a name ends in `_s`.
A few intervals of another kind (ectopic beats, one missed beat) move some of the numbers and leave others: together
they tell "irregular here and there" from "irregular throughout".
"""

from __future__ import annotations

import numpy as np

from cardiofm.measure.band import Bools, Floats
from cardiofm.measure.rhythm import irregularity

LEAST = 5  # intervals below which nothing is said

_STEPS = (0.03, 0.06, 0.1, 0.15, 0.25)  # successive differences above these shares are counted
_QUANTILES = (0.05, 0.25, 0.75, 0.95)
_KEPT = (0.5, 0.75, 0.9)  # the narrowest that holds this share of the intervals
_LOCAL, _HOP = 12, 4  # intervals in a stretch and from one to the next
_BIN = 0.04  # of the plot of successive differences (Sarkar et al.)
_NEAR = 0.08  # from its origin: nothing changed
_EARLY, _LATE = 0.88, 1.08  # of the median: an early beat, and the pause after it

NAMES: tuple[str, ...] = (
    "median_s", "min_s", "max_s", "sd", "mad", "rmssd", "rmssd2", "rmssd3",
    *(f"step_above_{round(100 * s)}" for s in _STEPS),
    *(f"quantile_{round(100 * q)}" for q in _QUANTILES),
    *(f"narrowest_{round(100 * k)}" for k in _KEPT),
    "step_mad", "step_mean", "step2_mad", "skew", "early", "late", "early_late", "early_late_step", "turning", "signs",
    "lag1", "lag2", "lag3", "step_lag1", "step_lag2", "occupied", "near_origin", "far_origin", "entropy",
    "step_entropy", "irregularity", "sample_entropy", "local_low", "local_mid", "local_high", "local_sd_low",
    "local_sd_high", "drift", "longest_even", "two_groups", "three_groups", "without_early_rmssd",
    "without_early_irregularity",
)  # fmt: skip


def irregular(interval_s: Floats) -> Floats:
    """The numbers named in `NAMES` of successive intervals in seconds (NaN: not known); all NaN with fewer than five.

    `rmssd2` compares each interval with the next but one (small in bigeminy), `narrowest_50` is how wide the narrowest
    half of the intervals is, `occupied` and `*_origin` are after Sarkar et al., IEEE Trans Biomed Eng 55, 2008,
    doi:10.1109/TBME.2007.903707; `turning` is the share of turning points (2/3 in noise; Dash et al.,
    Ann Biomed Eng 37, 2009, doi:10.1007/s10439-009-9740-z); `irregularity` is `rhythm.irregularity`, `local_*` the
    same over stretches of a dozen intervals.

    >>> even, uneven = 0.8 + 0.01 * np.sin(np.arange(40)), 0.8 + 0.2 * np.sin(np.arange(40) ** 2)
    >>> at = NAMES.index("rmssd")
    >>> bool(irregular(even)[at] < 0.02 < 0.2 < irregular(uneven)[at]), bool(np.isnan(irregular(even[:4])).all())
    (True, True)
    """
    known = interval_s[np.isfinite(interval_s)]
    if len(known) < LEAST:
        return np.full(len(NAMES), np.nan)
    usual_s = float(np.median(known))
    r, rr = known / usual_s, interval_s / usual_s
    step = [_known(rr[lag:] - rr[:-lag]) for lag in (1, 2, 3)]
    found = {"median_s": usual_s, "min_s": known.min(), "max_s": known.max(), "sd": r.std(), "mad": _mad(r)}
    found |= {f"rmssd{lag if lag > 1 else ''}": _rms(d) for lag, d in enumerate(step, start=1)}
    found |= {f"step_above_{round(100 * s)}": _mean(np.abs(step[0]) > s) for s in _STEPS}
    found |= {f"quantile_{round(100 * q)}": np.quantile(r, q) for q in _QUANTILES}
    found |= {f"narrowest_{round(100 * k)}": _narrowest(r, k) for k in _KEPT}
    found |= {"step_mad": _mad(step[0]), "step_mean": _mean(np.abs(step[0])), "step2_mad": _mad(step[1])}
    found |= {"skew": np.mean((r - r.mean()) ** 3) / max(r.std(), 0.01) ** 3}
    found |= _order(rr) | _plot(rr) | _chaos(rr) | _local(rr)
    found |= {"two_groups": _groups(r, 2), "three_groups": _groups(r, 3)}
    found |= _without_early(rr)
    return np.array([found.get(name, np.nan) for name in NAMES], np.float64)


def _order(rr: Floats) -> dict[str, float]:
    """What depends on which interval comes after which."""
    early, late = rr < _EARLY, rr > _LATE
    d = np.diff(rr)
    turn = _known(d[1:] * d[:-1])
    both = early[:-1] & late[1:]
    out = {"early": _mean(early), "late": _mean(late), "early_late": _mean(both)}
    out["early_late_step"] = _mean(d[both]) if both.any() else 0.0
    out["turning"] = _mean(turn < 0)
    out["signs"] = _mean(np.abs(_known(d)) < 0.01)
    out |= {f"lag{k}": _correlation(rr, k) for k in (1, 2, 3)}
    return out | {f"step_lag{k}": _correlation(d, k) for k in (1, 2)}


def _plot(rr: Floats) -> dict[str, float]:
    """The plot of each difference against the one before: how many of its cells are hit, how far from its origin."""
    d = np.diff(rr)
    pair = np.stack((d[:-1], d[1:]), axis=1)
    pair = pair[np.isfinite(pair).all(1)]
    if len(pair) == 0:
        return {}
    cells = len(np.unique(np.round(np.clip(pair, -1, 1) / _BIN), axis=0))
    size = np.abs(pair).max(1)
    return {
        "occupied": cells / len(pair) ** 0.75,  # so that it hardly grows with the number of beats
        "near_origin": _mean(size < _NEAR),
        "far_origin": _mean(np.abs(pair).min(1) > _NEAR),
    }


def _chaos(rr: Floats) -> dict[str, float]:
    """Entropies: of the histograms (nats), and how unpredictable the next interval is."""
    out = {"entropy": _entropy(_known(rr)), "step_entropy": _entropy(_known(np.diff(rr)))}
    out["irregularity"] = irregularity(rr)
    both = np.isfinite(rr[1:]) & np.isfinite(rr[:-1])
    now, after = rr[:-1][both], rr[1:][both]
    if len(now) > 5:
        i, j = np.triu_indices(len(now), 1)
        near = np.abs(now[i] - now[j]) <= 0.05
        twice = near & (np.abs(after[i] - after[j]) <= 0.05)
        out["sample_entropy"] = float(np.log((near.sum() + 1) / (twice.sum() + 1)))
    return out


def _local(rr: Floats) -> dict[str, float]:
    """The same over a dozen intervals each: an arrhythmia may begin or end, one early beat is in few."""
    starts = range(0, max(len(rr) - _LOCAL, 0) + 1, _HOP)
    parts = [rr[s : s + _LOCAL] for s in starts]
    chaos = _known(np.array([irregularity(part) for part in parts]))
    spread = _known(np.array([_rms(_known(np.diff(part))) for part in parts]))
    level = _known(np.array([_median(part) for part in parts]))
    out = {"drift": float(np.ptp(level)) if len(level) else 0.0, "longest_even": _longest_even(rr)}
    if len(chaos):
        out |= {"local_low": chaos.min(), "local_mid": float(np.median(chaos)), "local_high": chaos.max()}
    if len(spread):
        out |= {"local_sd_low": spread.min(), "local_sd_high": spread.max()}
    return out


def _without_early(rr: Floats) -> dict[str, float]:
    """Irregularity once early beats are gone, each with the pause after it."""
    drop = rr < _EARLY
    drop[1:] |= drop[:-1] & (rr[1:] > 1.0)
    rest = np.where(drop, np.nan, rr)
    return {
        "without_early_rmssd": _rms(_known(np.diff(rest))),
        "without_early_irregularity": irregularity(rest),
    }


def _longest_even(rr: Floats) -> float:
    """Share of the intervals in the longest run without a change of 5 % or more."""
    even = np.abs(np.diff(rr)) < 0.05  # a comparison with NaN is False
    edges = np.flatnonzero(np.diff(np.concatenate(([False], even, [False])).astype(np.int8)))
    runs = edges[1::2] - edges[0::2]
    return float(runs.max() + 1) / len(rr) if len(runs) else 0.0


def _groups(r: Floats, count: int) -> float:
    """Root mean square distance to the nearest of `count` typical intervals: small in bigeminy, not in AF."""
    middle = np.quantile(r, (np.arange(count) + 0.5) / count)
    for _ in range(8):
        nearest = np.abs(r[:, None] - middle).argmin(1)
        middle = np.array([r[nearest == k].mean() if (nearest == k).any() else middle[k] for k in range(count)])
    return _rms(r - middle[np.abs(r[:, None] - middle).argmin(1)])


def _narrowest(r: Floats, share: float) -> float:
    """Width of the narrowest range that holds a share of the values."""
    ordered = np.sort(r)
    held = max(2, int(np.ceil(share * len(r))))
    return float((ordered[held - 1 :] - ordered[: len(r) - held + 1]).min())


def _correlation(x: Floats, lag: int) -> float:
    """Pearson correlation of a series with itself `lag` later; 0 where it does not move."""
    a, b = x[:-lag], x[lag:]
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < 4:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 1e-9 else 0.0


def _entropy(x: Floats) -> float:
    """Of the histogram in cells of 5 %, nats, as a share of what so few values could give."""
    if len(x) < 2:
        return float("nan")
    _, count = np.unique(np.round(x / 0.05), return_counts=True)
    p = count / len(x)
    return float(-(p * np.log(p)).sum() / np.log(len(x)))


def _known(x: Floats) -> Floats:
    return x[np.isfinite(x)]


def _rms(x: Floats) -> float:
    return float(np.sqrt(np.mean(x**2))) if len(x) else float("nan")


def _mean(x: Floats | Bools) -> float:
    return float(np.mean(x)) if len(x) else float("nan")


def _median(x: Floats) -> float:
    x = _known(x)
    return float(np.median(x)) if len(x) else float("nan")


def _mad(x: Floats) -> float:
    return float(np.median(np.abs(x - np.median(x)))) if len(x) else float("nan")
