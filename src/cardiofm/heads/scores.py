"""Scores of a classifier or a regression over rows, with intervals and paired differences over patients.

A metric takes the truth, what was scored or decided, and weights `(R, W)`: each bootstrap repeat counts a row as often
as its patient was drawn. Shapes: W rows, L labels, R repeats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval, in the unit of what was averaged; NaN bounds where there is one patient."""

    value: float
    low: float
    high: float
    patients: int
    windows: int


GROUPS = 10  # of like probability
Metric = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], NDArray[np.float64]]


def auroc(y: NDArray[Any], score: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    """Chance that a true row scores above a false one, ties half, 0 to 1, `(R,)`; NaN where one kind is missing.

    >>> auroc(np.array([0, 1, 1]), np.array([0.2, 0.2, 0.9]), np.ones((1, 3))).tolist()
    [0.75]
    """
    order = np.argsort(score, kind="stable")
    truth, weight = np.asarray(y, bool)[order], weight_RW[:, order]
    first = np.flatnonzero(np.concatenate([[True], np.diff(score[order]) > 0]))
    up = np.add.reduceat(weight * truth, first, axis=1)
    down = np.add.reduceat(weight * ~truth, first, axis=1)
    wins = (up * (np.cumsum(down, axis=1) - down / 2)).sum(1)
    return _ratio(wins, up.sum(1) * down.sum(1))


def macro_auroc(y: NDArray[Any], score: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    """Mean AUROC of the labels `(W, L)`, `(R,)`."""
    each = np.stack([auroc(y[:, k], score[:, k], weight_RW) for k in range(y.shape[1])])
    known = np.isfinite(each)  # a rare label may be absent from a draw
    return _ratio(np.where(known, each, 0).sum(0), known.sum(0))


def f1(y: NDArray[Any], positive: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    """2 TP / (2 TP + FP + FN), 0 to 1, `(R,)`.

    >>> f1(np.array([1, 1, 0]), np.array([1, 0, 0]), np.ones((1, 3))).round(3).tolist()
    [0.667]
    """
    truth, positive = np.asarray(y, bool), np.asarray(positive, bool)
    both = weight_RW @ (truth & positive)
    return _ratio(2 * both, weight_RW @ truth + weight_RW @ positive)


def macro_f1(y: NDArray[Any], positive: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    """Mean F1 of the labels `(W, L)`, `(R,)`."""
    return np.mean([f1(y[:, k], positive[:, k], weight_RW) for k in range(y.shape[1])], axis=0)


def weighted_f1(y: NDArray[Any], positive: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    """Mean F1 of the labels `(W, L)`, each label weighted by its true rows, `(R,)`."""
    support = weight_RW @ np.asarray(y, np.float64)
    each = np.stack([f1(y[:, k], positive[:, k], weight_RW) for k in range(y.shape[1])], axis=1)
    return _ratio((each * support).sum(1), support.sum(1))


def challenge_score(y: NDArray[Any], positive: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    """(TP + TN) / (TP + TN + FP + 5 FN) of PhysioNet/CinC 2015, 0 to 1, `(R,)`: a missed true alarm costs five.

    >>> challenge_score(np.array([1, 1, 0]), np.array([1, 0, 0]), np.ones((1, 3))).round(3).tolist()
    [0.286]
    """
    truth, positive = np.asarray(y, bool), np.asarray(positive, bool)
    right, missed = weight_RW @ (truth == positive), weight_RW @ (truth & ~positive)
    return _ratio(right, weight_RW.sum(1) + 4 * missed)


def true_rate(y: NDArray[Any], positive: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    """Share of the true rows that were called so (TPR), 0 to 1, `(R,)`."""
    truth = np.asarray(y, bool)
    return _ratio(weight_RW @ (truth & np.asarray(positive, bool)), weight_RW @ truth)


def accuracy(y: NDArray[Any], found: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    """Share of rows whose class is right, 0 to 1, `(R,)`."""
    return _ratio(weight_RW @ (np.asarray(y) == np.asarray(found)), weight_RW.sum(1))


def calibration_error(y: NDArray[Any], chance: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    """Expected calibration error, 0 to 1, `(R,)`: ten groups of like probability, how far each is from its share.

    For labels `(W, L)` their mean. Small sets show some error even where the probabilities are right.

    >>> calibration_error(np.array([0, 1]), np.array([0.5, 0.5]), np.ones((1, 2))).tolist()
    [0.0]
    """
    if np.ndim(chance) == 2:
        return np.mean([calibration_error(y[:, k], chance[:, k], weight_RW) for k in range(chance.shape[1])], axis=0)
    edges = np.unique(np.quantile(chance, np.linspace(0, 1, GROUPS + 1)[1:-1]))
    group = np.searchsorted(edges, chance, side="right")
    off = np.asarray(y, np.float64) - chance
    total = sum(np.abs(weight_RW[:, group == g] @ off[group == g]) for g in range(len(edges) + 1))
    return _ratio(np.asarray(total), weight_RW.sum(1))


def mae(y: NDArray[Any], predicted: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    """Mean absolute error in the unit of y, `(R,)`."""
    return _ratio(weight_RW @ np.abs(y - predicted), weight_RW.sum(1))


def pearson(y: NDArray[Any], predicted: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    """Pearson correlation, `(R,)`; 0 for a constant prediction, which says nothing of who is older."""
    w = weight_RW / weight_RW.sum(1, keepdims=True)
    if np.ptp(predicted) == 0:
        return np.zeros(len(w))
    a, b = y - (w @ y)[:, None], predicted - (w @ predicted)[:, None]
    return _ratio((w * a * b).sum(1), np.sqrt((w * a * a).sum(1) * (w * b * b).sum(1)))


def scored(metric: Metric, y: ArrayLike, found: ArrayLike, patients: Sequence[str], repeats: int = 2000) -> Interval:
    """The metric over all rows, with its 95 % percentile interval when patients are drawn again."""
    weight_RW, count = _draws(patients, repeats)
    return _interval(metric(np.asarray(y), np.asarray(found), weight_RW), count, len(weight_RW[0]))


def paired(
    metric: Metric, y: ArrayLike, a: ArrayLike, b: ArrayLike, patients: Sequence[str], repeats: int = 2000
) -> Interval:
    """The metric of a minus that of b on the same rows, with its 95 % interval: both see the same drawn patients."""
    weight_RW, count = _draws(patients, repeats)
    y = np.asarray(y)
    found = metric(y, np.asarray(a), weight_RW) - metric(y, np.asarray(b), weight_RW)
    return _interval(found, count, len(weight_RW[0]))


def once(metric: Metric, y: ArrayLike, found: ArrayLike) -> float:
    """The metric over all rows, nothing else."""
    y = np.asarray(y)
    return float(metric(y, np.asarray(found), np.ones((1, len(y))))[0])


def _draws(patients: Sequence[str], repeats: int, seed: int = 0) -> tuple[NDArray[np.float64], int]:
    """How often each row counts `(1 + repeats, W)`, the first time once each; and the number of patients."""
    names, index = np.unique(np.asarray(patients, str), return_inverse=True)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), repeats)
    return np.concatenate([np.ones((1, len(index))), drawn[:, index].astype(np.float64)]), len(names)


def _interval(found: NDArray[np.float64], patients: int, rows: int) -> Interval:
    """Of the value and its repeats; a repeat without both kinds of rows gives none."""
    rest = found[1:][np.isfinite(found[1:])]
    if patients < 2 or not len(rest):
        return Interval(float(found[0]), math.nan, math.nan, patients, rows)
    low, high = np.percentile(rest, [2.5, 97.5])
    return Interval(float(found[0]), float(low), float(high), patients, rows)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """NaN where there is nothing below."""
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
