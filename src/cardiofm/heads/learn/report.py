"""How good a head is on people that it did not learn from, with intervals over patients and floors beside.

Shapes: R records, L classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.heads import scores
from cardiofm.heads.head import About, Head
from cardiofm.heads.learn.fit import Data, Learned
from cardiofm.heads.parts import Floats
from cardiofm.heads.scores import Interval, Metric

Answer = tuple[Floats, NDArray[np.bool_]]  # probabilities or values (R, L), and which classes are given (R, L)
FLOORS = {
    "hand-crafted": "boosted trees on the hand-crafted numbers alone, made and calibrated alike",
    "constant": "the shares of the classes, or the mean, of the training patients",
}


def report(data: Data, patients: Sequence[str], about: About, learned: dict[str, Learned]) -> dict[str, Any]:
    """Counts, and scores of the test patients (of the validation patients where there are none) by metric and method.

    `learned`: the "head" itself and its floors.
    """
    part = "test" if (data.part == "test").any() else "valid"
    at = np.flatnonzero(data.part == part).tolist()
    people = [patients[k] for k in at]
    seen, y = data.rows(part)
    answers = {name: answer(about, one, seen) for name, one in learned.items()}
    answers["constant"] = _constant(data, about, len(y))
    metrics = metrics_of(about)
    table = {name: {who: _one(ask, y, a, people) for who, a in answers.items()} for name, ask in metrics.items()}
    if about.kind == "regression":
        half = about.calibration.half_range or math.inf
        held = (np.abs(answers["head"][0][:, 0] - y) <= half).astype(np.float64)
        found = scores.scored(lambda t, f, w: (w @ f) / w.sum(1), y, held, people)
        table["share within low to high"] = {"head": _plain(found)}
    counts = {p: _counts(data, patients, p, about) for p in ("train", "valid", "test") if (data.part == p).any()}
    found = {"scored_on": part, "counts": counts, "scores": table, "floors": FLOORS}
    return found | ({} if about.kind == "regression" else {"each": _each(about, y, answers["head"], people)})


def metrics_of(about: About) -> dict[str, tuple[Metric, str]]:
    """The metrics of a head, each with what of its answer it takes."""
    return METRICS["two" if len(about.classes) == 2 and about.kind == "classification" else about.kind]


def scored(about: About, metric: str, y: NDArray[Any], found: Floats, people: Sequence[str]) -> dict[str, Any]:
    """A metric of a head's probabilities or values `(R, L)`, with its interval over patients."""
    positive = about.positive(found) if about.kind != "regression" else np.zeros(found.shape, bool)
    return _one(metrics_of(about)[metric], y, (found, positive), people)


def answer(about: About, learned: Learned, seen: list[Any]) -> Answer:
    """What a head of this task and these parts says of records."""
    own = About(**{**vars(about), "calibration": learned.calibration, "thresholds": learned.thresholds})
    head = Head(own, learned.parts)
    found = head.outputs(seen)
    return found, own.positive(found) if about.kind != "regression" else np.zeros(found.shape, bool)


def lines(about: About) -> list[str]:
    """The report of a head as lines to print: who learned, chose and is scored, then each metric and each class."""
    found, unit = about.report, about.unit or "the label's unit"
    out = []
    for part, c in found["counts"].items():
        said = ", ".join(f"{n} {name}" for name, n in c.get("classes", {}).items())
        said = said or f"mean {c['mean']:.3g}, standard deviation {c['sd']:.3g} {unit}"
        out.append(f"{part}: {c['records']} recordings of {c['patients']} patients ({said})")
    whom = {"test": "test patients", "valid": "the patients who chose (there are no test patients)"}[found["scored_on"]]
    out.append(f"scores on {whom}, in brackets the 95 % interval over patients:")
    for metric, methods in found["scores"].items():
        name = _named(metric, about)
        out += [f"  {name}, {who}: {_ranged(v)}" for who, v in methods.items()]
    for name, c in found.get("each", {}).items():
        rule = "given where it is the likeliest" if c["from"] is None else f"from a probability of {c['from']:.3g}"
        said = f"AUROC {_ranged(c['AUROC'])}, F1 {_ranged(c['F1'])}"
        out.append(f"  class {name!r} ({c['records']} of {c['of']} recordings; given {rule}): {said}")
    return [*out, *_doubt(found["scores"], about)]


def _doubt(scores: dict[str, dict[str, dict[str, Any]]], about: About) -> list[str]:
    """A sentence where the head is not shown to be better than saying the same of everybody."""
    metric = next((m for m in scores if m == "MAE" or m.endswith("AUROC")), None)
    if metric is None or not {"head", "constant"} <= scores[metric].keys():
        return []
    head, constant = scores[metric]["head"], scores[metric]["constant"]["value"]
    low, high = ((v if v is not None else head["value"]) for v in (head["low"], head["high"]))
    if constant is None or head["value"] is None or (high < constant if metric == "MAE" else low > constant):
        return []
    return [
        f"not shown to be better than a constant: {_named(metric, about)} may be {constant:.3g} as well, within its "
        "interval or beyond; label more patients"
    ]


def _named(metric: str, about: About) -> str:
    """A metric with what it is of: the second of two classes, the mean of several, the unit of a value."""
    if metric == "MAE":
        return f"mean absolute error in {about.unit}" if about.unit else "mean absolute error"
    if metric == "share within low to high":
        return f"{metric} (± {about.calibration.half_range or math.inf:.3g})"
    two = METRICS["two"] is metrics_of(about)
    return f"{metric} of {about.classes[1]!r}" if two and metric != "accuracy" else metric


def _ranged(v: dict[str, Any]) -> str:
    value = "not known" if v["value"] is None else f"{v['value']:.3g}"
    return value if v["low"] is None else f"{value} [{v['low']:.3g}, {v['high']:.3g}]"


def _each(about: About, y: NDArray[Any], answer: Answer, people: Sequence[str]) -> dict[str, Any]:
    """Of every class: its recordings, from which probability on it is given, AUROC and F1."""
    (chance, positive), out = answer, {}
    for k, name in enumerate(about.classes):
        truth = np.asarray(y[:, k] if about.kind == "multilabel" else y == k, bool)
        out[name] = {
            "records": int(truth.sum()),
            "of": len(truth),
            "from": round(about.thresholds[k], 4) if about.thresholds else None,
            "AUROC": _plain(scores.scored(scores.auroc, truth, chance[:, k], people)),
            "F1": _plain(scores.scored(scores.f1, truth, positive[:, k], people)),
        }
    return out


def _one(ask: tuple[Metric, str], y: NDArray[Any], answer: Answer, people: Sequence[str]) -> dict[str, Any]:
    metric, how = ask
    chance, positive = answer
    found: NDArray[Any] = {
        "value": lambda: chance[:, 0], "second": lambda: chance[:, 1], "all": lambda: chance,
        "given": lambda: positive, "second given": lambda: positive[:, 1], "class": lambda: positive.argmax(1),
    }[how]()  # fmt: skip
    return _plain(scores.scored(metric, y, found, people))


def _plain(found: Interval) -> dict[str, Any]:
    """Ready for JSON: rounded, None for what is not known."""
    return {
        k: (round(v, 4) if math.isfinite(v) else None) if isinstance(v, float) else v for k, v in asdict(found).items()
    }


def _constant(data: Data, about: About, rows: int) -> Answer:
    _, y = data.rows("train")
    if about.kind == "regression":
        return np.full((rows, 1), float(np.mean(y))), np.zeros((rows, 1), bool)
    share = y.mean(0) if about.kind == "multilabel" else np.bincount(y, minlength=len(about.classes)) / len(y)
    given = share >= 0.5 if about.kind == "multilabel" else np.arange(len(share)) == share.argmax()
    return np.tile(share, (rows, 1)), np.tile(given, (rows, 1))


def _counts(data: Data, patients: Sequence[str], part: str, about: About) -> dict[str, Any]:
    at = np.flatnonzero(data.part == part).tolist()
    out: dict[str, Any] = {"records": len(at), "patients": len({patients[k] for k in at})}
    y = data.goal.y[at]
    if about.kind == "regression":
        return out | {"mean": round(float(y.mean()), 3), "sd": round(float(y.std()), 3)}
    each = y.sum(0) if about.kind == "multilabel" else np.bincount(y, minlength=len(about.classes))
    return out | {"classes": dict(zip(about.classes, each.tolist(), strict=True))}


def _of_classes(metric: Metric) -> Metric:
    """A metric of labels for exclusive classes."""
    return lambda y, found, weight: metric(np.arange(found.shape[1]) == np.asarray(y)[:, None], found, weight)


METRICS: dict[str, dict[str, tuple[Metric, str]]] = {
    "two": {
        "AUROC": (scores.auroc, "second"),
        "F1": (scores.f1, "second given"),
        "accuracy": (scores.accuracy, "class"),
        "calibration error": (scores.calibration_error, "second"),
    },
    "classification": {
        "macro-AUROC": (_of_classes(scores.macro_auroc), "all"),
        "macro-F1": (_of_classes(scores.macro_f1), "given"),
        "accuracy": (scores.accuracy, "class"),
        "calibration error": (_of_classes(scores.calibration_error), "all"),
    },
    "multilabel": {
        "macro-AUROC": (scores.macro_auroc, "all"),
        "macro-F1": (scores.macro_f1, "given"),
        "weighted F1": (scores.weighted_f1, "given"),
        "calibration error": (scores.calibration_error, "all"),
    },
    "regression": {"MAE": (scores.mae, "value"), "r": (scores.pearson, "value")},
}
