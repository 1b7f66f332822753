"""Is a stated confidence what it says: the share of errors within the tolerance among beats of that confidence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cardiofm.evaluate.beats import pooled
from cardiofm.evaluate.bootstrap import Interval

BINS = 10  # of as many beats each
WORST = 0.1  # of the beats, by confidence


def expected_error(confidence: ArrayLike, within: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error, 0…1: mean over beats of |stated − observed| in bins of as many beats each.

    >>> expected_error([0.5, 0.5, 0.5, 0.5], [True, False, True, False], bins=1)
    0.0
    """
    sure, right = np.asarray(confidence, np.float64), np.asarray(within, np.float64)
    order = np.argsort(sure, kind="stable")
    parts = [p for p in np.array_split(order, bins) if len(p)]
    return float(sum(abs(sure[p].mean() - right[p].mean()) * len(p) for p in parts) / len(sure))


def curve(confidence: ArrayLike, within: ArrayLike, bins: int = BINS) -> list[tuple[float, float, int]]:
    """(stated, observed, beats) of each bin, the least sure first."""
    sure, right = np.asarray(confidence, np.float64), np.asarray(within, np.float64)
    parts = [p for p in np.array_split(np.argsort(sure, kind="stable"), bins) if len(p)]
    return [(float(sure[p].mean()), float(right[p].mean()), len(p)) for p in parts]


def rows(
    error_ms: ArrayLike, confidence: ArrayLike, patients: list[str], tolerance_ms: float, **keys: Any
) -> list[dict[str, Any]]:
    """Expected calibration error with its interval, and how much refusing the least sure tenth lowers the MAE, %."""
    error, sure = np.abs(np.asarray(error_ms, np.float64)), np.asarray(confidence, np.float64)
    known = np.isfinite(error) & np.isfinite(sure)
    if known.sum() < 2 * BINS:
        return []
    error, sure, who = error[known], sure[known], np.asarray(patients)[known]
    within = error <= tolerance_ms
    keys = {"task": "calibration", **keys, "tolerance_ms": tolerance_ms}
    kept = sure > np.quantile(sure, WORST)
    gain = 100 * (1 - error[kept].mean() / error.mean()) if kept.any() and error.mean() > 0 else 0.0
    ece = _drawn(lambda i: expected_error(sure[i], within[i]), who)
    single = Interval(float(gain), float("nan"), float("nan"), len(set(who)), len(error))
    return [
        pooled.line(ece, 4, **keys, metric="ece", curve=[[round(v, 3) for v in p] for p in curve(sure, within)]),
        pooled.line(single, 1, **keys, metric="gain_worst_tenth_refused_pct"),
        pooled.line(pooled.mean(error[kept], who[kept].tolist()), 2, **keys, metric="mae_worst_tenth_refused_ms"),
    ]


def _drawn(of: Any, who: np.ndarray, repeats: int = 200, seed: int = 0) -> Interval:
    """A statistic of indices of beats, with its interval when patients are drawn again."""
    names, index = np.unique(who, return_inverse=True)
    own = [np.flatnonzero(index == i) for i in range(len(names))]
    value = float(of(np.arange(len(who))))
    if len(names) < 2:
        return Interval(value, float("nan"), float("nan"), len(names), len(who))
    rng = np.random.default_rng(seed)
    drawn = [of(np.concatenate([own[i] for i in rng.integers(0, len(names), len(names))])) for _ in range(repeats)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value, float(low), float(high), len(names), len(who))
