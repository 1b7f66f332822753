"""Frozen probes: a simple head on fixed features, its penalty chosen on validation patients, scores of unseen ones.

The head is linear (logistic regression, ridge) or gradient boosting. Features that are NaN get the training median.
Shapes: W rows (windows or records), D features, L labels. Needs scikit-learn.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from cardiofm.signals import SignalError

Kind = Literal["binary", "classes", "multilabel", "regression"]
Head = Literal["linear", "boosting"]

PENALTIES = tuple(float(p) for p in 10.0 ** np.arange(5, -2, -1))  # of the squared weights, from strong to weak
LEAVES = (4, 8, 16)  # of a boosted tree
_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_BLAND = 1e-9  # a spread below this is a constant feature


class RowSpace(TransformerMixin, BaseEstimator):
    """Rotates standardised features into the space of the training rows where there are more features than rows.

    A squared penalty sees no difference (the weights lie in the span of the rows), and the fit costs W² instead of WD.
    """

    def fit(self, x: NDArray[Any], y: Any = None) -> RowSpace:
        self.basis_ = None
        if x.shape[1] > x.shape[0]:
            value, vector = np.linalg.eigh(x @ x.T)
            kept = value > 1e-10 * max(value[-1], _BLAND)
            self.basis_ = x.T @ (vector[:, kept] / np.sqrt(value[kept]))
        return self

    def transform(self, x: NDArray[Any]) -> NDArray[Any]:
        return x if self.basis_ is None else x @ self.basis_


class Varying(TransformerMixin, BaseEstimator):
    """Keeps the features that have two values among the training rows, which trees ask for; NaN stays NaN."""

    def fit(self, x: NDArray[Any], y: Any = None) -> Varying:
        low, high = (np.where(np.isfinite(x), x, fill) for fill in (np.inf, -np.inf))
        self.kept_ = np.flatnonzero(low.min(0) < high.max(0))
        return self

    def transform(self, x: NDArray[Any]) -> NDArray[Any]:
        return x[:, self.kept_]


def choose_and_fit(
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_valid: ArrayLike,
    y_valid: ArrayLike,
    kind: Kind,
    head: Head = "linear",
) -> Pipeline:
    """The head fitted on the training rows `x (W, D)`, `y (W,)` or `(W, L)`, whose penalty suits the validation best.

    Least log loss, or least squared error for kind "regression". `scores` gives its output for other rows.
    """
    best, least = None, np.inf
    for fitted in _path(np.asarray(x_train), np.asarray(y_train), kind, head):
        found = loss(np.asarray(y_valid), scores(fitted, x_valid, kind), kind)
        if best is None or found < least:
            best, least = fitted, found
    assert best is not None
    return best


def scores(fitted: Pipeline, x: ArrayLike, kind: Kind) -> NDArray[np.float64]:
    """Probability of "true" `(W,)`, of each label `(W, L)` or class `(W, K)`; the value for kind "regression"."""
    x = np.asarray(x, np.float64)
    if kind == "regression":
        return np.asarray(fitted.predict(x), np.float64)
    probability = np.asarray(fitted.predict_proba(x), np.float64)
    return probability[:, 1] if kind == "binary" else probability


def folds_of(y: ArrayLike, groups: Sequence[str], kind: Kind, folds: int, seed: int = 0) -> NDArray[np.int64]:
    """Which fold each row belongs to `(W,)`: a patient is in one only; kind "binary" spreads the true ones evenly.

    >>> folds_of([0, 0, 1, 1, 0], ["a", "a", "b", "c", "d"], "binary", 2).shape
    (5,)
    """
    names, index = np.unique(np.asarray(groups, str), return_inverse=True)
    if not 2 <= folds <= len(names):
        raise SignalError(f"folds must be 2 to the number of patients ({len(names)}), found {folds}; take fewer folds")
    order = np.random.default_rng(seed).permutation(len(names))
    if kind == "binary":
        positive = np.zeros(len(names), bool)
        np.logical_or.at(positive, index, np.asarray(y, bool))
        order = order[np.argsort(positive[order], kind="stable")]
    of_name = np.empty(len(names), np.int64)
    of_name[order] = np.arange(len(names)) % folds
    return of_name[index]


@dataclass(frozen=True)
class HeldOut:
    """Scores `(W,)` or `(W, L)` of rows that the head never saw, and those of the validation patients of each fold."""

    scores: NDArray[np.float64]  # NaN where a row is in no test fold
    fold: NDArray[np.int64]  # -1 where a row is in no test fold
    inner: tuple[tuple[NDArray[np.int64], NDArray[np.float64]], ...]  # of each fold: rows, their scores


def cross_validated(
    x: ArrayLike,
    y: ArrayLike,
    groups: Sequence[str],
    kind: Kind,
    folds: int = 5,
    seed: int = 0,
    head: Head = "linear",
) -> NDArray[np.float64]:
    """Out-of-fold scores `(W,)` or `(W, L)`; see `held_out`."""
    return held_out(x, y, groups, kind, folds, seed, head).scores


def held_out(
    x: ArrayLike,
    y: ArrayLike,
    groups: Sequence[str],
    kind: Kind,
    folds: int = 5,
    seed: int = 0,
    head: Head = "linear",
    inner: int = 1,
) -> HeldOut:
    """Every row scored by a head that never saw its patient.

    In each fold the training patients are split once more, into 5 parts; the penalty is the one that suits the first
    `inner` of them best (more than one where patients are few), then the head is fitted on all training patients.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y)
    names = np.asarray(groups, str)
    fold = folds_of(y, groups, kind, folds, seed)
    out = np.full(y.shape, np.nan)
    chosen: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    for k in range(folds):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        part = folds_of(y[train], list(names[train]), kind, min(5, len(np.unique(names[train]))), seed + 1 + k)
        fitted, rows, score = _by_folds(x, y, train, part, kind, head, inner)
        out[test] = scores(fitted, x[test], kind)
        chosen.append((rows, score))
    return HeldOut(out, fold, tuple(chosen))


def of_few(x: ArrayLike, y: ArrayLike, groups: Sequence[str], kind: Kind, folds: int = 5, seed: int = 0) -> Pipeline:
    """The linear head of few rows `x (W, D)`, `y (W,)`, its penalty chosen by folds among their own patients.

    Every fold must leave true and false rows to learn from: at least two patients of each.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y)
    part = folds_of(y, groups, kind, folds, seed)
    return _by_folds(x, y, np.arange(len(y)), part, kind, "linear", folds)[0]


def on_split(x: ArrayLike, y: ArrayLike, part: Sequence[str], kind: Kind, head: Head = "linear") -> HeldOut:
    """The same from one given split: `part` says of each row "train", "valid" (chooses) or "test" (is scored)."""
    x, y, name = np.asarray(x, np.float64), np.asarray(y), np.asarray(part, str)
    train, valid, test = (np.flatnonzero(name == one) for one in ("train", "valid", "test"))
    fitted = choose_and_fit(x[train], y[train], x[valid], y[valid], kind, head)
    out = np.full(y.shape, np.nan)
    out[test] = scores(fitted, x[test], kind)
    return HeldOut(out, np.where(name == "test", 0, -1), ((valid, scores(fitted, x[valid], kind)),))


def fused(a: HeldOut, b: HeldOut, y: ArrayLike, kind: Kind) -> HeldOut:
    """Two heads of the same folds as one: their scores (logits where they are probabilities) averaged.

    The weight of b, 0 to 1, is the one that the validation patients of the fold like best.
    """
    y = np.asarray(y)
    out, inner = np.full(a.scores.shape, np.nan), []
    for fold, ((rows, first), (same, second)) in enumerate(zip(a.inner, b.inner, strict=True)):
        if not np.array_equal(rows, same):
            raise ValueError("both heads must come from the same folds; give both the same rows and seed")
        mixed = [_mixed(first, second, w, kind) for w in _WEIGHTS]
        best = int(np.argmin([loss(y[rows], score, kind) for score in mixed]))
        at = a.fold == fold
        out[at] = _mixed(a.scores[at], b.scores[at], _WEIGHTS[best], kind)
        inner.append((rows, mixed[best]))
    return HeldOut(out, a.fold, tuple(inner))


def _by_folds(
    x: NDArray[Any], y: NDArray[Any], train: NDArray[Any], part: NDArray[Any], kind: Kind, head: Head, inner: int
) -> tuple[Pipeline, NDArray[np.int64], NDArray[np.float64]]:
    """The head of all training rows with the penalty that the first `inner` parts like best; these rows' scores."""
    rows, per_penalty = _inner(x, y, train, part, kind, head, inner)
    best = int(np.argmin([loss(y[rows], score, kind) for score in per_penalty]))
    return next(_path(x[train], y[train], kind, head, only=best)), rows, per_penalty[best]


def _inner(
    x: NDArray[Any], y: NDArray[Any], train: NDArray[Any], part: NDArray[Any], kind: Kind, head: Head, inner: int
) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
    """Rows of the inner validation patients, and their scores for every penalty."""
    rows: list[NDArray[np.int64]] = []
    found: list[list[NDArray[np.float64]]] = []
    for p in range(min(inner, part.max() + 1)):
        fit, valid = train[part != p], train[part == p]
        rows.append(valid)
        found.append([scores(fitted, x[valid], kind) for fitted in _path(x[fit], y[fit], kind, head)])
    return np.concatenate(rows), [np.concatenate(one) for one in zip(*found, strict=True)]


def _path(x: NDArray[Any], y: NDArray[Any], kind: Kind, head: Head, only: int | None = None) -> Iterator[Pipeline]:
    """The head fitted once for each penalty, strongest first (or for the `only` one of that number)."""
    if kind != "regression" and (y.min() == y.max()):
        raise SignalError("the training rows must hold true and false labels, found one kind; take more patients")
    before = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), RowSpace())
    before.set_params(simpleimputer__strategy="median")
    if head == "boosting":
        before = make_pipeline(Varying())  # trees take NaN and any scale
    z = before.fit_transform(np.asarray(x, np.float64))
    grid = PENALTIES if head == "linear" else LEAVES
    for setting in grid if only is None else grid[only : only + 1]:
        with warnings.catch_warnings(), threadpool_limits(1):  # small fits: threads wait for each other
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = _head(kind, head, setting).fit(z, y)
        yield Pipeline([*before.steps, ("head", fitted)])


def _head(kind: Kind, head: Head, setting: float) -> Any:
    if head == "boosting":
        grow: dict[str, Any] = {"max_leaf_nodes": int(setting), "max_iter": 100, "learning_rate": 0.07}
        grow |= {"early_stopping": False, "random_state": 0, "min_samples_leaf": 10}
        if kind == "regression":
            return HistGradientBoostingRegressor(**grow)
        one: Any = HistGradientBoostingClassifier(**grow)
    elif kind == "regression":
        return Ridge(alpha=setting)
    else:
        one = LogisticRegression(C=1 / setting, max_iter=500)
    return OneVsRestClassifier(one) if kind == "multilabel" else one


def _mixed(a: NDArray[np.float64], b: NDArray[np.float64], weight: float, kind: Kind) -> NDArray[np.float64]:
    if kind == "regression":
        return (1 - weight) * a + weight * b
    first, second = (np.log(p / (1 - p)) for p in (np.clip(a, 1e-6, 1 - 1e-6), np.clip(b, 1e-6, 1 - 1e-6)))
    return 1 / (1 + np.exp(-(1 - weight) * first - weight * second))


def loss(y: NDArray[Any], score: NDArray[np.float64], kind: Kind) -> float:
    """Mean log loss, or mean squared error for kind "regression"."""
    if kind == "regression":
        return float(np.mean((y - score) ** 2))
    p = np.clip(score, 1e-6, 1 - 1e-6)
    if kind == "classes":
        return float(-np.mean(np.log(p[np.arange(len(y)), y])))
    return float(-np.mean(np.where(np.asarray(y, bool), np.log(p), np.log(1 - p))))
