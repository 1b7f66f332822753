"""What a frozen probe is asked: truth, rows, folds and metrics of each task, and the methods' scores on these folds.

Shapes: R rows (records), D features, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.evaluate.bootstrap import Interval
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.heads import scores
from cardiofm.heads.learn import probes
from cardiofm.heads.learn.probes import HeldOut, Kind

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
_PARTS = {8: "valid", 9: "test"}  # the folds of ptb-xl; 1 to 7 train
PAIRS = {  # what must be better than what; each method with its head
    "model - untrained": (("model", "linear"), ("untrained", "linear")),
    "model - minirocket": (("model", "linear"), ("minirocket", "linear")),
    "model + hand-crafted - hand-crafted, linear": (("model + hand-crafted", "linear"), ("hand-crafted", "linear")),
    "model + hand-crafted - hand-crafted, boosting": (("model + hand-crafted", "fused"), ("hand-crafted", "boosting")),
}
Key = tuple[str, str]  # method, head


@dataclass(frozen=True)
class Asked:
    """A metric and, where it needs decisions, what the threshold is chosen for on validation patients."""

    metric: scores.Metric
    decide: scores.Metric | None = None


def _f1_false(y: NDArray[Any], positive: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    return scores.f1(~np.asarray(y, bool), ~np.asarray(positive, bool), weight_RW)


_AUROC = {"AUROC": Asked(scores.auroc)}
_YEARS = {"MAE, years": Asked(scores.mae), "r": Asked(scores.pearson)}
_ALARM = {"challenge score": Asked(scores.challenge_score, scores.challenge_score)}


@dataclass(frozen=True)
class Task:
    """One question about the records of a cohort."""

    dataset: str
    name: str
    kind: Kind
    rows: NDArray[np.int64]  # of the cohort's records: those with a label
    y: NDArray[Any]  # (R,) or (R, L), of these rows
    patients: list[str]
    asked: dict[str, Asked]
    part: list[str] = field(default_factory=list)  # "train", "valid" or "test"; empty: cross-validated
    folds: int = 5
    inner: int = 1  # inner folds that choose the penalty
    known: NDArray[np.float64] | None = None  # what every method is told (R, K)

    def held_out(self, x: NDArray[np.floating], head: probes.Head) -> HeldOut:
        """The rows' scores from features `(R, D)` of these rows."""
        if self.part:
            return probes.on_split(x, self.y, self.part, self.kind, head)
        return probes.held_out(x, self.y, self.patients, self.kind, self.folds, 0, head, self.inner)


def of_ptb_xl(cohort: Cohort) -> list[Task]:
    """Five superclasses, NORM against abnormal, age and sex: folds 1-7 train, 8 chooses, 9 is scored."""
    part = [_PARTS.get(fold, "train") for fold in cohort.label("strat_fold")]
    classes = cohort.label("superclasses")
    truth = np.array([[one in own for one in CLASSES] for own in classes])
    labelled = np.flatnonzero(truth.any(1))
    five = {
        "macro-AUROC": Asked(scores.macro_auroc),
        "macro-F1": Asked(scores.macro_f1, scores.f1),
        "weighted F1": Asked(scores.weighted_f1, scores.f1),
    }
    two = _AUROC | {"F1 (abnormal)": Asked(scores.f1, scores.f1), "F1 (NORM)": Asked(_f1_false, _f1_false)}
    return [
        _task(cohort, "superclasses", "multilabel", labelled, truth, five, part=part),
        _task(cohort, "abnormal", "binary", labelled, np.asarray(truth[:, 1:].any(1)), two, part=part),
        *_people(cohort, part=part),
    ]


def of_challenge_2015(cohort: Cohort) -> list[Task]:
    """Is the alarm true? Without and with the type of alarm, which the monitor itself tells."""
    truth = np.array(cohort.label("true_alarm"), bool)
    alarms = np.array(cohort.label("alarm"))
    known = (alarms[:, None] == np.unique(alarms)).astype(np.float64)
    every, asked = np.arange(len(truth)), _AUROC | _ALARM
    return [
        _task(cohort, "alarm", "binary", every, truth, asked),
        _task(cohort, "alarm, type known", "binary", every, truth, asked, known=known),
    ]


def of_challenge_2017(cohort: Cohort) -> list[Task]:
    """Atrial fibrillation against normal, other and noisy."""
    truth = np.array([one == "A" for one in cohort.label("rhythm")])
    asked = _AUROC | {"F1 (AF)": Asked(scores.f1, scores.f1)}
    return [_task(cohort, "AF", "binary", np.arange(len(truth)), truth, asked)]


def of_bidmc(cohort: Cohort) -> list[Task]:
    """Age and sex; few patients, so ten folds, and the penalty is chosen on four inner ones."""
    return _people(cohort, folds=10, inner=4)


def _people(cohort: Cohort, **how: Any) -> list[Task]:
    age, sex = cohort.label("age"), cohort.label("sex")
    with_age = np.array([k for k, a in enumerate(age) if a is not None])
    with_sex = np.array([k for k, s in enumerate(sex) if s is not None])
    years = np.array([np.nan if a is None else a for a in age], np.float64)
    return [
        _task(cohort, "age", "regression", with_age, years, _YEARS, **how),
        _task(cohort, "sex", "binary", with_sex, np.array([s == "M" for s in sex]), _AUROC, **how),
    ]


def _task(
    cohort: Cohort, name: str, kind: Kind, rows: NDArray[np.int64], y: NDArray[Any], asked: dict[str, Asked], **how: Any
) -> Task:
    if how.get("part"):
        how["part"] = [how["part"][k] for k in rows]
    patients = [cohort.patients[k] for k in rows]
    return Task(cohort.dataset, name, kind, rows, y[rows], patients, asked, **how)


def probed(task: Task, features: dict[str, NDArray[np.floating]]) -> dict[Key, HeldOut]:
    """Scores of every method; `features` of all records: `model`, `untrained`, `hand-crafted`, `minirocket`."""
    told = np.zeros((len(task.rows), 0)) if task.known is None else task.known
    x = {name: np.concatenate([values[task.rows], told], axis=1) for name, values in features.items()}
    both = np.concatenate([features["model"][task.rows], x["hand-crafted"]], axis=1)
    found = {(name, "linear"): task.held_out(values, "linear") for name, values in x.items()}
    found["hand-crafted", "boosting"] = task.held_out(x["hand-crafted"], "boosting")
    found["model + hand-crafted", "linear"] = task.held_out(both, "linear")
    found["model + hand-crafted", "fused"] = probes.fused(
        found["model", "linear"], found["hand-crafted", "boosting"], task.y, task.kind
    )
    if task.known is not None:
        found["what is known", "linear"] = task.held_out(told, "linear")
    found["constant", "none"] = task.held_out(np.zeros((len(task.rows), 1)), "linear")
    return found


def measured(task: Task, found: dict[Key, HeldOut]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(rows, paired differences): each a dict of names and its `interval`."""
    rows, differences = [], []
    tested = next(iter(found.values())).fold >= 0
    y, patients = task.y[tested], [p for p, is_in in zip(task.patients, tested, strict=True) if is_in]
    for name, asked in task.asked.items():
        what = {"set": task.dataset, "task": task.name, "metric": name}
        answers = {key: _answer(task, one, asked)[tested] for key, one in found.items()}
        for (method, head), answer in answers.items():
            if method == "constant" and asked.decide is None and task.kind != "regression":
                continue  # its rank is that of the folds' rates, which says nothing
            value = scores.scored(asked.metric, y, answer, patients)
            rows.append(what | {"method": method, "head": head, "interval": value})
        for pair, (a, b) in PAIRS.items():
            gain = scores.paired(asked.metric, y, answers[a], answers[b], patients)
            differences.append(what | {"difference": pair, "interval": gain})
    return rows, differences


def _answer(task: Task, one: HeldOut, asked: Asked) -> NDArray[Any]:
    """The scores, or the decisions where the metric wants them."""
    if asked.decide is None:
        return one.scores
    decide = asked.decide
    return one.positive(task.y, lambda y, positive: np.nan_to_num(scores.once(decide, y, positive), nan=-1.0))


def in_groups(task: Task, one: HeldOut, groups: dict[str, NDArray[np.bool_]]) -> dict[str, Interval]:
    """The AUROC within groups of the cohort's records `(R,)`, with its interval over their patients."""
    found = {}
    for name, belongs in groups.items():
        at = (one.fold >= 0) & belongs[task.rows]
        patients = [p for p, is_in in zip(task.patients, at, strict=True) if is_in]
        if patients:
            found[name] = scores.scored(scores.auroc, task.y[at], one.scores[at], patients)
    return found
