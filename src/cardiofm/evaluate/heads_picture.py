"""Pictures of what heads say of people that they did not learn from: ROC with its band, confusion, calibration.

Of a regression: predicted against true, the errors, and the mean truth of groups of like prediction. Shapes: R records,
L labels, N repeats, G points of a curve, K groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.heads import scores
from cardiofm.heads.head import About

REPEATS = 500
LEAST = 15  # records of a group of like probability
_GRID = np.linspace(0, 1, 101)
_COLOURS = ("#b4252d", "#1f5fa8", "#3b8a5a", "#d08a1d", "#7a4f9a")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Told:
    """What a head said of records, and what is true of them."""

    about: About
    y: NDArray[Any]  # (R,) number of the class, or value; (R, L) of labels
    found: Floats  # (R, L) probabilities of all classes, or values (R, 1)
    patients: Sequence[str]
    given: NDArray[np.bool_] | None = None  # (R, L) which classes it gave them, where `about` has no thresholds

    @property
    def decided(self) -> NDArray[np.bool_]:
        """Which classes each record was given `(R, L)`."""
        return self.about.positive(self.found) if self.given is None else self.given

    @property
    def labels(self) -> list[tuple[str, NDArray[np.bool_], Floats]]:
        """Of every label that is worth a curve: name, truth and probability; of two classes the second alone."""
        classes = self.about.classes
        truth = self.y if self.about.kind == "multilabel" else self.y[:, None] == np.arange(len(classes))
        kept = range(1, 2) if len(classes) == 2 else range(len(classes))
        return [(classes[k], np.asarray(truth[:, k], bool), self.found[:, k]) for k in kept]


def draw(told: Sequence[Told], path: Path) -> None:
    """A row of three panels for each head."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(told), 3, figsize=(11, 3.3 * len(told)), squeeze=False, layout="constrained")
    for row, one in zip(axes, told, strict=True):
        weight_NR = draws(one.patients)
        if one.about.kind == "regression":
            _values(row, one, weight_NR)
        else:
            _roc(row[0], one, weight_NR)
            _confusion(row[1], one)
            _calibration(row[2], one, weight_NR)
        row[0].set_ylabel(f"{one.about.name}\n{row[0].get_ylabel()}", fontsize=9)
        for axis in row:
            axis.tick_params(labelsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draws(patients: Sequence[str], repeats: int = REPEATS) -> Floats:
    """How often each record counts when patients are drawn again `(1 + N, R)`, the first time once each."""
    names, index = np.unique(np.asarray(patients, str), return_inverse=True)
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), repeats)
    return np.concatenate([np.ones((1, len(index))), drawn[:, index].astype(np.float64)])


def roc(y_R: NDArray[np.bool_], score_R: Floats, weight_NR: Floats) -> Floats:
    """Share of true records above a threshold, at shares of false ones above it from 0 to 1, `(1 + N, G)`.

    >>> float(roc(np.array([False, True]), np.array([0.1, 0.9]), np.ones((1, 2))).min())
    1.0
    """
    order = np.argsort(-score_R, kind="stable")
    score, truth, weight = score_R[order], y_R[order], weight_NR[:, order]
    last = np.flatnonzero(np.concatenate([np.diff(score) < 0, [True]]))  # of each run of ties
    out = []
    for own in weight:
        up, down = np.cumsum(own * truth)[last], np.cumsum(own * ~truth)[last]
        if up[-1] > 0 and down[-1] > 0:
            rise, right = np.concatenate([[0], up / up[-1]]), np.concatenate([[0], down / down[-1]])
            at = np.searchsorted(right, _GRID, side="right") - 1
            after = np.minimum(at + 1, len(right) - 1)
            step = np.where(
                right[after] > right[at], (_GRID - right[at]) / np.maximum(right[after] - right[at], 1e-12), 0
            )
            out.append(rise[at] + step * (rise[after] - rise[at]))
    return np.array(out)


def groups(chance_R: Floats, most: int = scores.GROUPS) -> NDArray[np.int64]:
    """Which group of like probability each record is in `(R,)`: at most `most`, of at least `LEAST` records or so."""
    count = max(1, min(most, len(chance_R) // LEAST))
    edges = np.unique(np.quantile(chance_R, np.linspace(0, 1, count + 1)[1:-1]))
    return np.searchsorted(edges, chance_R, side="right")


def reliability(truth_R: NDArray[Any], said_R: Floats, weight_NR: Floats) -> tuple[Floats, Floats]:
    """Of groups of like answers: the mean of what was said `(K,)`; of what is true low, value and high `(3, K)`."""
    group = groups(said_R)
    said, true = [], []
    for g in np.unique(group):
        at = group == g
        total = weight_NR[:, at].sum(1)
        shares = np.divide(weight_NR[:, at] @ truth_R[at], total, out=np.full(len(total), np.nan), where=total > 0)
        low, high = np.nanpercentile(shares[1:], [2.5, 97.5])
        said.append(said_R[at].mean())
        true.append((low, shares[0], high))
    return np.array(said), np.array(true).T


def _roc(axis: Any, told: Told, weight_NR: Floats) -> None:
    for (name, truth, chance), colour in zip(told.labels, _COLOURS, strict=False):
        curves = roc(truth, chance, weight_NR)
        low, high = np.percentile(curves[1:], [2.5, 97.5], axis=0)
        area = scores.scored(scores.auroc, truth, chance, told.patients, REPEATS)
        words = f"{name} {area.value:.3f} [{area.low:.3f}, {area.high:.3f}]"
        axis.plot(_GRID, curves[0], color=colour, lw=1.4, label=words)
        axis.fill_between(_GRID, low, high, color=colour, alpha=0.12 if len(told.labels) > 1 else 0.22, lw=0)
    axis.plot([0, 1], [0, 1], color="black", lw=0.7, ls=":")
    axis.set_xlabel("share of false ones called true", fontsize=8)
    axis.set_ylabel("share of true ones", fontsize=8)
    axis.set_title("ROC, area and 95 % over patients", fontsize=9)
    axis.legend(fontsize=7, frameon=False, loc="lower right")


def _confusion(axis: Any, told: Told) -> None:
    """Counts of records with each class (rows) that were given each (columns); several labels count in each."""
    classes = told.about.classes
    truth = told.y if told.about.kind == "multilabel" else told.y[:, None] == np.arange(len(classes))
    counts = np.asarray(truth, np.int64).T @ told.decided.astype(np.int64)
    share = counts / np.maximum(np.asarray(truth).sum(0)[:, None], 1)
    axis.imshow(share, cmap="Reds", vmin=0, vmax=1.3)
    for i, j in np.ndindex(counts.shape):
        axis.text(j, i, f"{counts[i, j]}\n{share[i, j]:.0%}", ha="center", va="center", fontsize=8)
    axis.set_xticks(range(len(classes)), classes)
    axis.set_yticks(range(len(classes)), classes)
    axis.set_xlabel("given", fontsize=8)
    axis.set_ylabel("true", fontsize=8)
    axis.set_title("records of each class, and what they were given", fontsize=9)


def _calibration(axis: Any, told: Told, weight_NR: Floats) -> None:
    for (name, truth, chance), colour in zip(told.labels, _COLOURS, strict=False):
        said, (low, value, high) = reliability(truth.astype(np.float64), chance, weight_NR)
        axis.errorbar(said, value, np.maximum([value - low, high - value], 0), marker="o", ms=4, lw=1.2, capsize=2,
                      color=colour, label=name)  # fmt: skip
    axis.plot([0, 1], [0, 1], color="black", lw=0.7, ls=":")
    axis.set_xlabel("mean probability of a group of like probability", fontsize=8)
    axis.set_ylabel("share that has the class", fontsize=8)
    axis.set_title("calibration, 95 % over patients", fontsize=9)
    axis.legend(fontsize=7, frameon=False, loc="upper left")


def _values(row: Sequence[Any], told: Told, weight_NR: Floats) -> None:
    """Of a regression."""
    y, found, unit = np.asarray(told.y, np.float64), told.found[:, 0], told.about.unit
    half = told.about.calibration.half_range
    ends = np.array([min(y.min(), found.min()), max(y.max(), found.max())])
    row[0].scatter(y, found, s=8, alpha=0.5, lw=0, color=_COLOURS[0])
    row[0].plot(ends, ends, color="black", lw=0.7, ls=":")
    row[0].set_xlabel(f"true, {unit}", fontsize=8)
    row[0].set_ylabel(f"predicted, {unit}", fontsize=8)
    row[0].set_title(f"mean absolute error {np.abs(found - y).mean():.1f} {unit}", fontsize=9)
    row[1].hist(found - y, bins=25, color=_COLOURS[1], alpha=0.8)
    for edge in () if half is None else (-half, half):
        row[1].axvline(edge, color="black", lw=0.8, ls="--")
    inside = "" if half is None else f"stated range holds {np.mean(np.abs(found - y) <= half):.0%} (aim 90 %)"
    row[1].set_xlabel(f"error, {unit}", fontsize=8)
    row[1].set_title(inside or f"errors of {len(y)} records", fontsize=9)
    said, (low, value, high) = reliability(y, found, weight_NR)
    row[2].errorbar(said, value, np.maximum([value - low, high - value], 0), marker="o", ms=4, lw=1.2, capsize=2,
                    color=_COLOURS[0])  # fmt: skip
    row[2].plot(ends, ends, color="black", lw=0.7, ls=":")
    row[2].set_xlabel(f"mean prediction of a group, {unit}", fontsize=8)
    row[2].set_ylabel(f"mean truth, {unit}", fontsize=8)
    row[2].set_title("groups of like prediction, 95 % over patients", fontsize=9)
