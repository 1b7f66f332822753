"""Boosted decision trees as plain arrays: named numbers in, probabilities or a value out, with numpy alone.

Shapes: B rows, F numbers, T trees (those of a label stand `L` apart), L labels, M nodes of the largest tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.measure.band import Floats
from cardiofm.signals import CheckpointError

ROWS = 256  # looked up together, so that memory stays small


@dataclass(frozen=True)
class Trees:
    """Trees of gradient boosting; a leaf's children are itself, and only leaves have a value."""

    feature: NDArray[np.int16]  # (T, M) which number a node asks for
    threshold: NDArray[np.float64]  # (T, M) at or below it: left
    left: NDArray[np.int16]  # (T, M)
    right: NDArray[np.int16]  # (T, M)
    unknown_left: NDArray[np.bool_]  # (T, M) where a NaN goes
    value: NDArray[np.float64]  # (T, M) of a leaf, log-odds or in the unit of a regression
    start: NDArray[np.float64]  # (L,) before the first tree
    depth: NDArray[np.int64]  # (1,) steps from the root to the lowest leaf

    def __post_init__(self) -> None:
        shape = self.feature.shape
        same = all(getattr(self, f.name).shape == shape for f in fields(self)[:6])
        if len(shape) != 2 or not same or shape[0] % max(len(self.start), 1) or not len(self.start):
            raise CheckpointError(
                f"trees must be arrays of one shape (T, M) with T a multiple of the labels, found {shape} and "
                f"{len(self.start)} labels; take the file again"
            )

    def probabilities(self, x_BF: ArrayLike) -> Floats:
        """How likely each label is, `(B, L)`, rows sum to 1; a NaN is a number that could not be measured.

        >>> leaves = [np.zeros((2, 1), t) for t in ("i2", "f8", "i2", "i2", "?", "f8")]
        >>> flat = Trees(*leaves, start=np.log([3.0, 1.0]), depth=np.array([0]))
        >>> flat.probabilities([[np.nan]]).round(2).tolist()
        [[0.75, 0.25]]
        """
        odds = self.totals(x_BF)
        odds = np.exp(odds - odds.max(1, keepdims=True))
        return odds / odds.sum(1, keepdims=True)

    def totals(self, x_BF: ArrayLike) -> Floats:
        """The sum of the leaves that a row falls into, `(B, L)`: log-odds, or the value of a regression."""
        x_BF = np.asarray(x_BF, np.float64)
        return np.concatenate([self._some(x_BF[k : k + ROWS]) for k in range(0, max(len(x_BF), 1), ROWS)])

    def _some(self, x_BF: Floats) -> Floats:
        tree = np.arange(len(self.feature))
        row = np.arange(len(x_BF))[:, None]
        node = np.zeros((len(x_BF), len(tree)), np.int64)
        for _ in range(int(self.depth[0])):
            x = x_BF[row, self.feature[tree, node]]
            go = np.where(np.isnan(x), self.unknown_left[tree, node], x <= self.threshold[tree, node])
            node = np.where(go, self.left[tree, node], self.right[tree, node])
        labels = len(self.start)
        return self.start + self.value[tree, node].reshape(len(x_BF), len(tree) // labels, labels).sum(1)

    @classmethod
    def grown(cls, trees: Sequence[NDArray[Any]], start: ArrayLike) -> Trees:
        """From the node tables of scikit-learn's histogram boosting, the labels of a round one after another."""
        shape = (len(trees), max(len(nodes) for nodes in trees))
        out: dict[str, NDArray] = {
            "feature": np.zeros(shape, np.int16), "threshold": np.zeros(shape), "left": np.zeros(shape, np.int16),
            "right": np.zeros(shape, np.int16), "unknown_left": np.zeros(shape, bool), "value": np.zeros(shape),
        }  # fmt: skip
        for k, nodes in enumerate(trees):
            leaf, own, n = nodes["is_leaf"].astype(bool), np.arange(len(nodes)), len(nodes)
            out["feature"][k, :n] = np.where(leaf, 0, nodes["feature_idx"])
            out["threshold"][k, :n] = np.where(leaf, 0.0, nodes["num_threshold"])
            out["left"][k, :n] = np.where(leaf, own, nodes["left"])
            out["right"][k, :n] = np.where(leaf, own, nodes["right"])
            out["unknown_left"][k, :n] = nodes["missing_go_to_left"].astype(bool)
            out["value"][k, :n] = np.where(leaf, nodes["value"], 0.0)
        deepest = max(int(nodes["depth"].max()) for nodes in trees)
        return cls(**out, start=np.asarray(start, np.float64), depth=np.array([deepest]))

    def arrays(self, prefix: str) -> dict[str, NDArray]:
        """Every array under its name after a prefix, to be stored."""
        return {f"{prefix}.{f.name}": np.ascontiguousarray(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray], prefix: str) -> Trees:
        """The trees stored under a prefix; a missing array is a CheckpointError that names it."""
        for f in fields(cls):
            if f"{prefix}.{f.name}" not in arrays:
                raise CheckpointError(f"trees must have the array {prefix}.{f.name}, found none; take the file again")
        return cls(**{f.name: arrays[f"{prefix}.{f.name}"] for f in fields(cls)})
