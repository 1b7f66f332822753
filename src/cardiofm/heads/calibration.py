"""Outputs of a head to probabilities that can be believed, fitted on patients that it did not learn from.

Log-odds are stretched and moved (Platt 1999), one pair a label; for exclusive classes one stretch for all (temperature:
Guo et al., ICML 2017). A regression keeps its value and gets a range that holds nine in ten (split conformal: Lei et
al. 2018). Shapes: R records, L labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Link = Literal["each", "one of", "value"]  # a probability for each label, one label of several, or a value
HELD = 0.9  # share of people whose value lies in the range
_PRIOR = 1.0  # as sure that nothing needs to be changed as one record makes it


@dataclass(frozen=True)
class Calibration:
    """Stretch and shift of each output `(L,)`, and half the width of a value's range."""

    link: str  # a Link
    stretch: tuple[float, ...]
    shift: tuple[float, ...]
    half_range: float | None = None  # in the unit of the value

    def __call__(self, raw_RL: Floats) -> Floats:
        """Probabilities, or values, `(R, L)`.

        >>> Calibration("each", (1.0,), (0.0,))(np.array([[0.0]])).tolist()
        [[0.5]]
        """
        z = raw_RL * np.array(self.stretch) + np.array(self.shift)
        if self.link == "value":
            return z
        if self.link == "each":
            return _sigmoid(z)
        z = np.exp(z - z.max(1, keepdims=True))
        return z / z.sum(1, keepdims=True)


def fit(raw_RL: Floats, y: NDArray[Any], link: Link) -> Calibration:
    """From outputs `(R, L)` of people that the head did not see, and what is true of them `(R,)` or `(R, L)`."""
    labels = raw_RL.shape[1]
    if link == "value":
        return Calibration(link, (1.0,), (0.0,), _half_range(np.abs(raw_RL[:, 0] - y)))
    if link == "each":
        truth = np.asarray(y, bool).reshape(len(raw_RL), labels)
        pairs = [_platt(raw_RL[:, k], truth[:, k]) for k in range(labels)]
        return Calibration(link, tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
    grid = np.geomspace(0.1, 4.0, 200)
    loss = [len(y) * _cross_entropy(a * raw_RL, y) + _PRIOR * np.log(a) ** 2 for a in grid]
    stretch = grid[int(np.argmin(loss))]
    return Calibration(link, (float(stretch),) * labels, (0.0,) * labels)


def _half_range(error_R: Floats) -> float:
    """The error that nine in ten of further people do not exceed."""
    rank = min(len(error_R), math.ceil(HELD * (len(error_R) + 1)))
    return float(np.sort(error_R)[rank - 1])


def _platt(z_R: Floats, y_R: NDArray[np.bool_]) -> tuple[float, float]:
    """Stretch and shift of least log loss, by Newton's steps, near (1, 0) where there is little to tell."""
    theta = np.array([1.0, 0.0])
    design = np.stack([z_R, np.ones(len(z_R))], axis=1)
    for _ in range(50):
        p = _sigmoid(design @ theta)
        gradient = design.T @ (p - y_R) + _PRIOR * (theta - [1.0, 0.0])
        curvature = (design * (p * (1 - p))[:, None]).T @ design + _PRIOR * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        theta = theta - step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return max(float(theta[0]), 0.05), float(theta[1])


def _cross_entropy(z_RL: Floats, y_R: NDArray[np.int64]) -> float:
    z = z_RL - z_RL.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(len(y_R)), y_R]))


def _sigmoid(z: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(z, -60, 60)))
