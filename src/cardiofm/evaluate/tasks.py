"""What a frozen probe is asked: truth, rows, folds and metrics of each task, and the methods' scores on these folds.

Shapes: R rows (records), D features, L labels, K folds.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.evaluate import cached, rhythms
from cardiofm.evaluate.bootstrap import Interval
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.heads import scores
from cardiofm.heads.learn import probes
from cardiofm.heads.learn.decide import CHALLENGE, F1, F1_FALSE, Rule, positive
from cardiofm.heads.learn.probes import HeldOut, Kind

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
PAIRS = (  # what must be better than what
    "model - untrained",
    "model - minirocket",
    "model + hand-crafted - hand-crafted, linear",
    "model + hand-crafted - hand-crafted, boosting",
)
VIEWS = "model, ecg alone, ppg alone"  # side by side
TUNED = "model, fine-tuned"
TUNED_BOTH = f"{TUNED} + hand-crafted"
COMMON = 5, 1  # training and test records that a statement of PTB-XL must have to be asked for
Key = tuple[str, str]  # method, head


@dataclass(frozen=True)
class Asked:
    """A metric and, where it needs decisions, for which rule the threshold is found on validation patients."""

    metric: scores.Metric
    decide: Rule | None = None


def _true_negative(y: NDArray[Any], positive: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    return scores.true_rate(~np.asarray(y, bool), ~np.asarray(positive, bool), weight_RW)


_AUROC = {"AUROC": Asked(scores.auroc)}
_YEARS = {"MAE, years": Asked(scores.mae), "r": Asked(scores.pearson)}
_ALARM = {
    "challenge score": Asked(scores.challenge_score, CHALLENGE),
    "TPR": Asked(scores.true_rate, CHALLENGE),
    "TNR": Asked(_true_negative, CHALLENGE),
}


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
    head: probes.Head = "linear"  # of the embedding, where it is compared and joined
    crafted: str = "hand-crafted"  # the numbers that join the embedding
    trees: bool = True  # boosting is tried too

    @property
    def parts(self) -> list[list[str]]:
        """Of each fold whether a row trains, chooses ("valid") or is scored ("test"), as `held_out` deals them."""
        if self.part:
            return [self.part]
        fold = probes.folds_of(self.y, self.patients, self.kind, self.folds)
        found = []
        for k in range(self.folds):
            train = np.flatnonzero(fold != k)
            people = [self.patients[i] for i in train]
            inner = probes.folds_of(self.y[train], people, self.kind, min(5, len(set(people))), 1 + k)
            part = np.where(fold == k, "test", "train").astype("<U5")
            part[train[inner < self.inner]] = "valid"
            found.append(part.tolist())
        return found

    @property
    def pairs(self) -> dict[str, tuple[Key, Key]]:
        """Each of `PAIRS` that the task has, the views and the tuned network, with the heads that are compared."""
        own, crafted, both = ("model", self.head), self.crafted, "model + hand-crafted"
        found = {PAIRS[0]: (own, ("untrained", self.head)), PAIRS[1]: (own, ("minirocket", "linear"))}
        found[PAIRS[2]] = ((both, "linear"), (crafted, "linear"))
        found |= {PAIRS[3]: ((both, "fused"), (crafted, "boosting"))} if self.trees else {}
        found[f"{VIEWS} - minirocket"] = ((VIEWS, "linear"), ("minirocket", "linear"))
        found |= {f"{TUNED} - model": ((TUNED, "fused"), ("model", "linear"))}
        return found | {f"{TUNED_BOTH} - {both}": ((TUNED_BOTH, "fused"), (both, "fused"))}

    def held_out(self, x: NDArray[np.floating], head: probes.Head, cache: Path | None = None) -> HeldOut:
        """The rows' scores from features `(R, D)` of these rows; with `cache`, a folder, they are kept there.

        Features `(K, R, D)` are others in each fold: there the head is fitted to the patients that train it alone, as
        those that choose are the only ones among the others whom the features were not made by.
        """

        def make() -> HeldOut:
            if x.ndim == 3:
                each = [
                    probes.on_split(values, self.y, part, self.kind, head)
                    for values, part in zip(x, self.parts, strict=True)
                ]
                return _joined(each)
            if self.part:
                return probes.on_split(x, self.y, self.part, self.kind, head)
            return probes.held_out(x, self.y, self.patients, self.kind, self.folds, 0, head, self.inner)

        if cache is None:
            return make()
        digest = hashlib.sha256(Path(probes.__file__).read_bytes())
        digest.update(json.dumps([self.part, self.patients, self.kind, self.folds, self.inner, head]).encode())
        for array in (x, self.y):
            digest.update(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
        return cached.held_out(cache / f"probe-{digest.hexdigest()[:32]}.npz", make)


def _joined(folds: list[HeldOut]) -> HeldOut:
    """Folds that were scored one by one, as one."""
    out, fold = np.array(folds[0].scores), np.full(len(folds[0].fold), -1)
    for k, one in enumerate(folds):
        at = one.fold >= 0
        out[at], fold[at] = one.scores[at], k
    return HeldOut(out, fold, tuple(pair for one in folds for pair in one.inner))


def of_ptb_xl(cohort: Cohort) -> list[Task]:
    """Five superclasses, all statements, NORM against abnormal, age and sex: folds 1-7 train, 8 chooses, 9 is scored.

    Where fold 10 is there, it is scored, and 9 chooses too. Statements are those with enough records, `COMMON`.
    """
    folds = cohort.label("strat_fold")
    part = ["train" if fold < 8 else "test" if fold == max(9, *folds) else "valid" for fold in folds]
    classes = cohort.label("superclasses")
    truth = np.array([[one in own for one in CLASSES] for own in classes])
    labelled = np.flatnonzero(truth.any(1))
    five = {
        "macro-AUROC": Asked(scores.macro_auroc),
        "macro-F1": Asked(scores.macro_f1, F1),
        "weighted F1": Asked(scores.weighted_f1, F1),
    }
    two = _AUROC | {
        "F1 (abnormal)": Asked(F1.metric, F1),
        "F1 (NORM)": Asked(F1_FALSE.metric, F1_FALSE),
    }
    return [
        _task(cohort, "superclasses", "multilabel", labelled, truth, five, part=part),
        *_statements(cohort, part),
        _task(cohort, "abnormal", "binary", labelled, np.asarray(truth[:, 1:].any(1)), two, part=part),
        *_people(cohort, part=part),
    ]


def _statements(cohort: Cohort, part: list[str]) -> list[Task]:
    """What is said of enough records, if there is something."""
    own = [set(codes) for codes in cohort.label("scp_codes")]
    at = {name: [codes for codes, of in zip(own, part, strict=True) if of == name] for name in ("train", "test")}
    counts = {
        code: tuple(sum(code in codes for codes in at[name]) for name in ("train", "test"))
        for code in sorted(set().union(*own))
    }
    kept = [code for code, found in counts.items() if all(f >= least for f, least in zip(found, COMMON, strict=True))]
    truth = np.array([[code in codes for code in kept] for codes in own])
    asked = {"macro-AUROC": Asked(scores.macro_auroc)}
    every = np.arange(len(own))
    how: dict[str, Any] = {"part": part, "trees": False}
    return [_task(cohort, f"{len(kept)} statements", "multilabel", every, truth, asked, **how)] if kept else []


def of_challenge_2015(cohort: Cohort) -> list[Task]:
    """Is the alarm true? Without and with the type of alarm, which the monitor itself tells."""
    truth = np.array(cohort.label("true_alarm"), bool)
    alarms = np.array(cohort.label("alarm"))
    known = (alarms[:, None] == np.unique(alarms)).astype(np.float64)
    every, asked = np.arange(len(truth)), _AUROC | _ALARM
    how: dict[str, Any] = {"head": "boosting", "crafted": "before the alarm"}
    return [
        _task(cohort, "alarm", "binary", every, truth, asked, **how),
        _task(cohort, "alarm, type known", "binary", every, truth, asked, known=known, **how),
    ]


def of_challenge_2017(cohort: Cohort) -> list[Task]:
    """Atrial fibrillation against normal, other and noisy."""
    truth = np.array([one == "A" for one in cohort.label("rhythm")])
    asked = _AUROC | {"F1 (AF)": Asked(F1.metric, F1)}
    return [_task(cohort, "AF", "binary", np.arange(len(truth)), truth, asked, crafted=rhythms.NAME)]


def of_mitdb(cohort: Cohort) -> list[Task]:
    """The same of half minutes of mitdb, by heads that learned from challenge-2017 and from nobody of mitdb."""
    part = ["test" if e.dataset == "mitdb" else e.split for e in cohort.entries]
    rows = np.array([k for k, e in enumerate(cohort.entries) if e.dataset == "mitdb" or e.split != "test"])
    truth = np.array([one == "A" for one in cohort.label("rhythm")])
    asked = _AUROC | {"F1 (AF)": Asked(F1.metric, F1)}
    return [_task(cohort, "AF, learned elsewhere", "binary", rows, truth, asked, part=part)]


def of_bidmc(cohort: Cohort) -> list[Task]:
    """Age and sex; few patients, so ten folds, and the penalty is chosen on four inner ones."""
    return _people(cohort, folds=10, inner=4)


def of_ludb(cohort: Cohort) -> list[Task]:
    """Age and sex of 157 people or so."""
    return _people(cohort, folds=10, inner=4)


def of_ppg_bp(cohort: Cohort) -> list[Task]:
    """Body-mass index, hypertension (stage 1 or 2), diabetes, age and sex from segments of 2.1 s."""
    every, how = np.arange(len(cohort.entries)), {"folds": 10, "inner": 4}
    bmi = np.array(cohort.label("bmi"), np.float64)
    body = {"MAE, kg/m²": Asked(scores.mae), "MAE, z": Asked(_mae_z), "r": Asked(scores.pearson)}
    high = np.array(["hypertension" in str(one) and "Pre" not in str(one) for one in cohort.label("hypertension")])
    sugar = np.array([one is not None for one in cohort.label("diabetes")])
    return [
        _task(cohort, "BMI", "regression", every[np.isfinite(bmi)], bmi, body, **how),
        _task(cohort, "hypertension", "binary", every, high, _AUROC, **how),
        _task(cohort, "diabetes", "binary", every, sugar, _AUROC, **how),
        *_people(cohort, **how),
    ]


def _mae_z(y: NDArray[Any], predicted: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    return scores.mae(y, predicted, weight_RW) / float(np.std(y))


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


def probed(task: Task, features: dict[str, NDArray[np.floating]], cache: Path | None = None) -> dict[Key, HeldOut]:
    """Scores of every method; `features` of all records, among them the model's and the task's `crafted`.

    Those of the tuned encoder, where there are any, are others in each fold: `(K, R, D)`.
    With `cache`, a folder, a head that was fitted to the same numbers before is read from there.
    """
    told = np.zeros((len(task.rows), 0)) if task.known is None else task.known
    x = {name: _also(values[..., task.rows, :], told) for name, values in features.items()}
    both = np.concatenate([features["model"][task.rows], x[task.crafted]], axis=1)
    found = {(name, "linear"): task.held_out(values, "linear", cache) for name, values in x.items()}
    found["model + hand-crafted", "linear"] = task.held_out(both, "linear", cache)
    if task.trees:
        by_trees = {"hand-crafted", task.crafted} | ({"model", "untrained"} if task.head == "boosting" else set())
        found |= {(name, "boosting"): task.held_out(x[name], "boosting", cache) for name in sorted(by_trees)}
        found["model + hand-crafted", "fused"] = _fused(
            task, found["model", "linear"], found[task.crafted, "boosting"], found["model + hand-crafted", "linear"]
        )
    if TUNED in x:
        found[TUNED, "fused"] = _fused(task, found["model", "linear"], found[TUNED, "linear"])
        if task.trees:
            found[TUNED_BOTH, "fused"] = _fused(task, found["model + hand-crafted", "fused"], found[TUNED, "linear"])
    if task.known is not None:
        found["what is known", "linear"] = task.held_out(told, "linear", cache)
    found["constant", "none"] = task.held_out(np.zeros((len(task.rows), 1)), "linear")
    return found


def _fused(task: Task, first: HeldOut, *others: HeldOut) -> HeldOut:
    """Heads averaged one after another, each with the weight that the validation patients like best."""
    for one in others:
        first = probes.fused(first, one, task.y, task.kind)
    return first


def _also(x: NDArray[np.floating], told: NDArray[np.float64]) -> NDArray[np.floating]:
    """Features `(R, D)`, or `(K, R, D)`, with what is told behind them."""
    return np.concatenate([x, np.broadcast_to(told, (*x.shape[:-1], told.shape[1]))], axis=-1)


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
        for pair, (a, b) in task.pairs.items():
            if not {a, b} <= answers.keys():
                continue
            gain = scores.paired(asked.metric, y, answers[a], answers[b], patients)
            differences.append(what | {"difference": pair, "interval": gain})
    return rows, differences


def _answer(task: Task, one: HeldOut, asked: Asked) -> NDArray[Any]:
    """The scores, or the decisions where the metric wants them."""
    if asked.decide is None:
        return one.scores
    return positive(one, task.y, asked.decide)


def in_groups(task: Task, one: HeldOut, groups: dict[str, NDArray[np.bool_]]) -> dict[str, Interval]:
    """The AUROC within groups of the cohort's records `(R,)`, with its interval over their patients."""
    found = {}
    for name, belongs in groups.items():
        at = (one.fold >= 0) & belongs[task.rows]
        patients = [p for p, is_in in zip(task.patients, at, strict=True) if is_in]
        if patients:
            found[name] = scores.scored(scores.auroc, task.y[at], one.scores[at], patients)
    return found
