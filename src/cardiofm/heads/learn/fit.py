"""What is seen of labelled recordings to a fitted head: parts by scikit-learn or torch, calibration, thresholds.

Penalty, size of trees, their share and calibration are chosen on the validation patients. Shapes: R records, D numbers,
L outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from cardiofm.heads import calibration
from cardiofm.heads.calibration import Calibration, Link
from cardiofm.heads.labels import Target
from cardiofm.heads.learn import decide, probes
from cardiofm.heads.look import Seen
from cardiofm.heads.parts import Floats, Linear, Numbers, Parts, numbers
from cardiofm.measure.trees import Trees

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the trees in a fused head


@dataclass(frozen=True)
class Learned:
    """A head before it has a name."""

    parts: Parts
    calibration: Calibration
    thresholds: tuple[float, ...]
    loss: float  # of the validation patients after calibration: log loss, or mean squared error


@dataclass(frozen=True)
class Data:
    """What is seen, what is true, and in which part each record is, `(R,)`."""

    seen: list[Seen]
    goal: Target
    part: NDArray[np.str_]

    def rows(self, part: str) -> tuple[list[Seen], NDArray[Any]]:
        """What is seen of the records of a part, and what is true of them."""
        at = np.flatnonzero(self.part == part)
        return [self.seen[k] for k in at], self.goal.y[at]


def also_untold(data: Data, types: int) -> Data:
    """With every training record a second time, its type (the last `types` numbers) not told, to learn from both."""
    if not types:
        return data
    at = np.flatnonzero(data.part == "train")
    again = [untold(data.seen[k], types) for k in at]
    part = np.concatenate([data.part, data.part[at]])
    return Data([*data.seen, *again], replace(data.goal, y=np.concatenate([data.goal.y, data.goal.y[at]])), part)


def untold(seen: Seen, types: int) -> Seen:
    """The same where the type is not known."""
    kept = seen.crafted[:, : seen.crafted.shape[1] - types]
    return replace(seen, crafted=np.pad(kept, ((0, 0), (0, types)), constant_values=np.nan))


def fit(
    data: Data,
    form: str,
    linear_of: Numbers = "embedding",
    threshold: float | str = 0.5,
    crafted: Trees | None = None,
) -> Learned:
    """A head of a form: "linear", "boosted", "attention"; "fused" and "fused-attention": with trees on the hand-crafted
    numbers beside the linear map and the attention.

    `threshold`: from which probability on a label is given, or "f1": half of the best F1 on the validation patients,
    which for right probabilities is where F1 is best (Lipton et al., ECML 2014). `crafted`: trees on the hand-crafted
    numbers, where they are grown already.
    """
    kind = probe_kind(data.goal)
    if form == "boosted":
        return _finished(data, kind, Parts(trees=_trees(data, kind, "both"), trees_of="both"), threshold)
    parts = Parts(linear=_linear(data, kind, linear_of), linear_of=linear_of)
    if form.endswith("attention"):
        from cardiofm.heads.learn.attention import attention

        start = parts.linear if linear_of == "embedding" else _linear(data, kind, "embedding")
        assert start is not None
        parts = Parts(attention=attention(data, kind, start))
    if form.startswith("fused"):
        parts = _fused(data, kind, parts, crafted or _trees(data, kind, "hand-crafted"))
    return _finished(data, kind, parts, threshold)


def boosted_on_hand_crafted(data: Data, threshold: float | str) -> Learned:
    """The floor: boosted trees on the hand-crafted numbers alone, made and calibrated like a head."""
    kind = probe_kind(data.goal)
    parts = Parts(trees=_trees(data, kind, "hand-crafted"), trees_of="hand-crafted")
    return _finished(data, kind, parts, threshold)


def _finished(data: Data, kind: probes.Kind, parts: Parts, threshold: float | str) -> Learned:
    """Calibrated, with thresholds, by the validation patients."""
    seen, y = data.rows("valid")
    raw = parts.raw(seen)
    calibrated = calibration.fit(raw, y, link_of(kind))
    chance = calibrated(raw)
    return Learned(parts, calibrated, _thresholds(chance, y, kind, threshold), _loss(chance, y, kind))


def probe_kind(goal: Target) -> probes.Kind:
    """How the probes call it: two exclusive classes are one yes or no."""
    if goal.kind == "classification":
        return "binary" if len(goal.classes) == 2 else "classes"
    return goal.kind


def link_of(kind: probes.Kind) -> Link:
    return "value" if kind == "regression" else "one of" if kind == "classes" else "each"


def _linear(data: Data, kind: probes.Kind, which: Numbers) -> Linear:
    (train, y_train), (valid, y_valid) = data.rows("train"), data.rows("valid")
    x = numbers(train, which)
    return linear_of(probes.choose_and_fit(x, y_train, numbers(valid, which), y_valid, kind, "linear"))


def linear_of(fitted: Pipeline) -> Linear:
    """Imputing, scaling, turning and the linear model of a probe as one map."""
    named = fitted.named_steps
    model: Any = named["head"]
    models = model.estimators_ if hasattr(model, "estimators_") else [model]
    weight = np.concatenate([np.atleast_2d(m.coef_) for m in models]).T
    bias = np.concatenate([np.atleast_1d(m.intercept_) for m in models])
    basis = named["rowspace"].basis_
    weight = (weight if basis is None else basis @ weight) / named["standardscaler"].scale_[:, None]
    usual = named["simpleimputer"].statistics_
    return Linear(np.nan_to_num(usual), weight, bias - named["standardscaler"].mean_ @ weight)


def _trees(data: Data, kind: probes.Kind, which: Numbers) -> Trees:
    (train, y_train), (valid, y_valid) = data.rows("train"), data.rows("valid")
    x_train, x_valid = numbers(train, which), numbers(valid, which)
    return trees_of(probes.choose_and_fit(x_train, y_train, x_valid, y_valid, kind, "boosting"))


def trees_of(fitted: Pipeline) -> Trees:
    """The trees of a boosted probe, which ask for the numbers as they come."""
    model: Any = fitted.named_steps["head"]
    kept = fitted.named_steps["varying"].kept_
    models = model.estimators_ if hasattr(model, "estimators_") else [model]
    rounds = zip(*(m._predictors for m in models), strict=True)
    nodes = [tree.nodes.copy() for one in rounds for labels in one for tree in labels]
    for table in nodes:
        table["feature_idx"] = kept[table["feature_idx"]]
    return Trees.grown(nodes, np.concatenate([np.ravel(m._baseline_prediction) for m in models]))


def _fused(data: Data, kind: probes.Kind, parts: Parts, trees: Trees) -> Parts:
    """The share of the trees that the validation patients like best."""
    seen, y = data.rows("valid")
    mixed = [replace(parts, trees=trees, trees_of="hand-crafted", share=share) for share in SHARES]
    plain = Calibration(link_of(kind), (1.0,), (0.0,))
    return min(mixed, key=lambda one: _loss(plain(one.raw(seen)), y, kind))


def _loss(found: Floats, y: NDArray[Any], kind: probes.Kind) -> float:
    return probes.loss(y, found if kind in ("classes", "multilabel") else found[:, 0], kind)


def _thresholds(chance: Floats, y: NDArray[Any], kind: probes.Kind, rule: float | str) -> tuple[float, ...]:
    """Of every class; () where the likeliest of several is given."""
    if kind in ("regression", "classes"):
        return ()
    if rule != "f1":
        each = float(rule)
        return (1 - each, each) if kind == "binary" else (each,) * chance.shape[1]
    truth = np.asarray(y, bool).reshape(len(y), -1)
    found = [round(decide.start(truth[:, k], chance[:, k], decide.F1), 4) for k in range(chance.shape[1])]
    return (1 - found[0], found[0]) if kind == "binary" else tuple(found)
