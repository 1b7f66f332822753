"""A value over beats with its 95 % interval: beats of all patients are pooled, patients are drawn again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cardiofm.evaluate.bootstrap import Interval, ratio
from cardiofm.evaluate.run import row

REPEATS = 1000


def mean(values: ArrayLike, patients: Sequence[str]) -> Interval:
    """The mean over all beats, in the unit of the values; patients are resampled.

    >>> mean([1.0, 2.0, 6.0], ["a", "a", "b"]).value
    3.0
    """
    found = np.asarray(values, np.float64)
    return ratio(found, np.ones(len(found)), patients, REPEATS)


def median(values: ArrayLike, patients: Sequence[str], seed: int = 0) -> Interval:
    """The median over all beats, in the unit of the values; patients are resampled.

    >>> median([1.0, 2.0, 6.0], ["a", "a", "b"]).value
    2.0
    """
    found = np.asarray(values, np.float64)
    names, index = np.unique(np.asarray(patients, str), return_inverse=True)
    value = float(np.median(found))
    if len(names) < 2:
        return Interval(value, math.nan, math.nan, len(names), len(found))
    order = np.argsort(found)
    ranked, who = found[order], index[order]
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), REPEATS)
    total = np.cumsum(draws[:, who], axis=1) if len(found) * REPEATS < 5e7 else None
    if total is None:  # a long list: one repeat at a time, so that memory stays small
        middles = [ranked[np.searchsorted(c := np.cumsum(d[who]), c[-1] / 2)] for d in draws]
    else:
        middles = [ranked[np.searchsorted(c, c[-1] / 2)] for c in total]
    low, high = np.percentile(middles, [2.5, 97.5])
    return Interval(value, float(low), float(high), len(names), len(found))


def line(interval: Interval, digits: int, **keys: Any) -> dict[str, Any]:
    """One row of the results: what `keys` say, then value, interval, patients and beats (or what else was counted)."""
    made = row(interval, digits, **keys)
    counted = {"beats": made.pop("windows")}
    return {k: v for k, v in made.items() if k in keys} | {k: made[k] for k in asdict(interval) if k in made} | counted
