"""Intervals of a statistic over patients: windows of one person are not independent, so people are resampled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.heads.scores import Interval

__all__ = ["Interval", "difference", "interval", "ratio", "ratio_difference"]

Statistic = Literal["mean", "median"]


def interval(
    values: ArrayLike, patients: Sequence[str], statistic: Statistic = "mean", repeats: int = 2000, seed: int = 0
) -> Interval:
    """The statistic over patients of each patient's own (mean of means, median of medians), percentile bootstrap.

    `values (W,)` belong to `patients (W,)`. A value that is not a number is an error: refuse it before.

    >>> interval([1.0, 3.0, 4.0], ["a", "a", "b"]).value  # patient a counts once
    3.0
    """
    found = np.asarray(values, np.float64)
    if len(found) != len(patients) or not len(found) or not np.isfinite(found).all():
        raise ValueError(f"values must be finite and as many as patients, found {found.shape} and {len(patients)}")
    of = np.mean if statistic == "mean" else np.median
    names, index = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    each = np.array([of(found[index == i]) for i in range(len(names))])
    value = float(of(each))
    if len(each) < 2:
        return Interval(value, math.nan, math.nan, len(each), len(found))
    drawn = np.random.default_rng(seed).integers(0, len(each), (repeats, len(each)))
    low, high = np.percentile(of(each[drawn], axis=1), [2.5, 97.5])
    return Interval(value, float(low), float(high), len(each), len(found))


def ratio(parts: ArrayLike, wholes: ArrayLike, patients: Sequence[str], repeats: int = 2000, seed: int = 0) -> Interval:
    """Sum of `parts (W,)` over sum of `wholes (W,)`: a share or an F1 of pooled counts; patients are resampled.

    >>> ratio([9.0, 1.0], [10.0, 2.0], ["a", "b"]).value
    0.8333333333333334
    """
    part, whole = np.asarray(parts, np.float64), np.asarray(wholes, np.float64)
    if not len(part) == len(whole) == len(patients) or not whole.sum() > 0:
        raise ValueError(f"parts, wholes and patients must be as many, and wholes above 0, found {len(part)} parts")
    sums, drawn = _sums(np.stack([part, whole]), patients, repeats, seed)
    return _of_sums(lambda s: _quotient(s[0], s[1]), sums, drawn, len(part))


def ratio_difference(
    a: tuple[ArrayLike, ArrayLike],
    b: tuple[ArrayLike, ArrayLike],
    patients: Sequence[str],
    repeats: int = 2000,
    seed: int = 0,
) -> Interval:
    """Pooled ratio of `a` (parts, wholes) minus that of `b` on the same windows (paired), with its interval.

    >>> ratio_difference(([9.0, 8.0], [10.0, 10.0]), ([8.0, 7.0], [10.0, 10.0]), ["a", "b"]).value.__round__(6)
    0.1
    """
    counts = np.stack([np.asarray(x, np.float64) for x in (*a, *b)])
    if counts.shape != (4, len(patients)) or not (counts[[1, 3]].sum(-1) > 0).all():
        raise ValueError(f"counts must be as many as patients, and wholes above 0, found {counts.shape}")
    sums, drawn = _sums(counts, patients, repeats, seed)
    return _of_sums(lambda s: _quotient(s[0], s[1]) - _quotient(s[2], s[3]), sums, drawn, counts.shape[1])


def _sums(
    counts: NDArray[np.float64], patients: Sequence[str], repeats: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """Each patient's sum of each count, and which patients each repeat draws."""
    names, index = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    each = np.stack([np.bincount(index, count).astype(np.float64) for count in counts])
    return each, np.random.default_rng(seed).integers(0, len(names), (repeats, len(names)))


def _of_sums(
    of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    sums: NDArray[np.float64],
    drawn: NDArray[np.integer],
    windows: int,
) -> Interval:
    value, people = float(of(sums.sum(-1))), sums.shape[-1]
    if people < 2:
        return Interval(value, math.nan, math.nan, people, windows)
    low, high = np.nanpercentile(of(sums[:, drawn].sum(-1)), [2.5, 97.5])
    return Interval(value, float(low), float(high), people, windows)


def _quotient(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return part / np.where(whole > 0, whole, np.nan)


def difference(
    a: ArrayLike, b: ArrayLike, patients: Sequence[str], statistic: Statistic = "mean", repeats: int = 2000
) -> Interval:
    """The statistic of a - b on the same windows (paired), with its interval over patients.

    >>> difference([2.0, 3.0, 5.0], [1.0, 2.0, 4.0], ["a", "b", "c"]).low
    1.0
    """
    return interval(np.asarray(a, np.float64) - np.asarray(b, np.float64), patients, statistic, repeats)
