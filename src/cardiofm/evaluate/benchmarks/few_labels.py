"""How good a linear head becomes with the labels of 10, 50 and 100 patients, for the embedding and what is beside it.

The patients are drawn at random 20 times, each time with at least two who have each label and two who lack it; every
method has the same draws. The penalty is chosen by folds among the drawn patients, nothing else is looked at. Scored
are the test patients of ptb-xl (fold 9; drawn are those of folds 1 to 7), elsewhere the patients that were not drawn.
A set without its folder, or with too few patients, is named and left out.
Writes few_labels.json and .png. Shapes: R rows (records), D numbers, L labels, S scored rows, N repeats.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from cardiofm.evaluate import cached, cohorts, frozen, run, tasks
from cardiofm.evaluate.sample import Piece, summary
from cardiofm.evaluate.tables.few_labels import few_labels as table
from cardiofm.evaluate.tasks import Task
from cardiofm.heads import scores
from cardiofm.heads.learn import probes
from cardiofm.heads.learn.fit import linear_of
from cardiofm.heads.scores import Interval
from cardiofm.pipeline import load
from cardiofm.signals import SignalError

SIZES = (10, 50, 100)  # patients
DRAWS = 20
REPEATS = 500
LEAST = 2  # drawn patients with, and without, each label
METHODS = ("model", "untrained", "hand-crafted", "minirocket")
BOTH = "model + hand-crafted"  # side by side
PAIRS = (
    *(("model", "untrained"), ("model", "hand-crafted"), ("model", "minirocket")),
    *((BOTH, "hand-crafted"), (BOTH, "minirocket")),
)
ASKED = {  # of each set, the questions
    "ptb-xl": (partial(cohorts.ptb_xl, sealed=True), tasks.of_ptb_xl, ("abnormal", "superclasses")),
    "challenge-2017": (cohorts.challenge_2017, tasks.of_challenge_2017, ("AF",)),
    "challenge-2015": (cohorts.before_the_alarm, tasks.of_challenge_2015, ("alarm",)),
}
Floats = NDArray[np.float64]
Draw = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows to learn from, rows to score


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    made = run.parser(about, cohorts.LIMIT, cohorts.LIMIT_HELP)
    cached.add_argument(made)
    made.add_argument("--draws", type=int, default=DRAWS, help="of each size (default: %(default)s)")
    return made


def main(args: argparse.Namespace) -> None:
    """Read, encode, draw, fit, score; print the table; write the results."""
    from cardiofm.evaluate.pictures import few_labels as draw

    sha256 = run.checkpoint(args.model)["sha256"]
    model = load(args.model, backend=args.backend, threads=args.threads)
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    used: list[Piece] = []
    about: dict[str, str] = {}
    absent: dict[str, str] = {}
    reads = {
        name: partial(read, args.data_root, model.spec, cohorts.most(name, args.limit))
        for name, (read, _, _) in ASKED.items()
    }
    for name, cohort in cohorts.here(reads, absent):
        ask, questions = ASKED[name][1:]
        every = [e for e in frozen.always(cohort, model, sha256) if e.name in METHODS]
        about |= {e.name: e.meaning for e in every} | {BOTH: "the embedding with the hand-crafted numbers behind it"}
        features = {e.name: cohort.mean(e.kept(cohort.windows, args.cache)) for e in every}
        features[BOTH] = np.concatenate([features["model"], features["hand-crafted"]], axis=1)
        for task in (t for t in ask(cohort) if t.name in questions):
            for size in SIZES:
                try:
                    more = measured(task, features, size, args.draws, args.cache)
                except SignalError as error:
                    absent[f"{name} {task.name}, {size} patients"] = str(error)
                    continue
                rows += [one | {"refused": cohort.refused} for one in more[0]]
                differences += more[1]
        used += cohort.pieces()
    if not rows:
        raise SignalError(f"there must be patients enough for a draw, found none: {next(iter(absent.values()))}")
    frozen.unchanged(sha256, run.checkpoint(args.model)["sha256"])
    result = run.save(
        args.out / "few_labels.json", "few_labels", rows, args.model, summary(used),
        methods=about, draws=args.draws, differences=differences, absent=absent,
    )  # fmt: skip
    draw(result, args.out / "few_labels.png")
    print("\n".join(table(result)))


def measured(
    task: Task, features: Mapping[str, NDArray[np.floating]], size: int, draws: int = DRAWS, cache: Path = cached.CACHE
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A row for each method with so many patients, and paired differences; `features (records, D)` of the cohort."""
    name = "macro-AUROC" if task.y.ndim == 2 else "AUROC"
    drawn = drawings(task, size, draws)
    values = {}
    for method, all_records in features.items():
        x = np.asarray(all_records[task.rows], np.float64)
        words = f"{task.name}, {size}, {method}"
        made_by = f"few labels, {words} {_hash(x, task.y, *(rows for one in drawn for rows in one))}"
        values[method] = cached.array(cache, made_by, lambda x=x, words=words: _values(task, x, drawn, words))
    what = {"set": task.dataset, "task": task.name, "metric": name, "labelled": size}
    people = len({task.patients[k] for _, test in drawn for k in test})
    count = len({int(k) for _, test in drawn for k in test})
    rows = [run.row(_interval(v, people, count), 4, **what, method=m) | _spread(v) for m, v in values.items()]
    differences = [
        run.row(_interval(values[a] - values[b], people, count), 4, **what, difference=f"{a} - {b}")
        for a, b in PAIRS
        if a in values and b in values
    ]
    return rows, differences


def _values(task: Task, x: Floats, drawn: list[Draw], words: str) -> Floats:
    """The score of each draw, over all scored patients and each repeat of them, `(draws, 1 + N)`."""
    metric = scores.macro_auroc if task.y.ndim == 2 else scores.auroc
    weight_NR = _weights(task.patients)
    each = [
        metric(task.y[test], answers(task, x, train, test), weight_NR[:, test])
        for train, test in track(drawn, words, transient=True)
    ]
    return np.stack(each)


def _hash(*arrays: NDArray[Any]) -> str:
    """Of what the scores depend on: the numbers, the truth, the draws, and the code of the probes."""
    digest = hashlib.sha256(Path(probes.__file__).read_bytes())
    for one in arrays:
        digest.update(np.ascontiguousarray(one).tobytes())
    return digest.hexdigest()


def drawings(task: Task, size: int, draws: int = DRAWS, seed: int = 0) -> list[Draw]:
    """So many times, the rows of `size` patients and the rows to score; the same for the same task, size and seed."""
    part = np.array(task.part) if task.part else np.full(len(task.rows), "train")
    names = np.array(task.patients)
    pool, rng = np.unique(names[part == "train"]), np.random.default_rng((seed, size))
    truth = np.asarray(task.y, bool).reshape(len(names), -1)
    found: list[Draw] = []
    for _ in range(1000 * draws):
        if len(pool) <= size or len(found) == draws:
            break
        own = np.isin(names, rng.choice(pool, size, replace=False)) & (part == "train")
        train = np.flatnonzero(own)
        if _both_kinds(truth[train], names[train]):
            found.append((train, np.flatnonzero(part == "test" if task.part else ~own)))
    if len(found) < draws:
        raise SignalError(
            f"{task.dataset} must have more than {size} patients of whom {LEAST} have and {LEAST} lack each label of "
            f"{task.name!r}, found {len(pool)} patients and {len(found)} such draws; take more recordings"
        )
    return found


def _both_kinds(truth_RL: NDArray[np.bool_], names: NDArray[np.str_]) -> bool:
    return all(
        len(set(names[truth])) >= LEAST and len(set(names[~truth]) - set(names[truth])) >= LEAST for truth in truth_RL.T
    )


def answers(task: Task, x: Floats, train: NDArray[np.int64], test: NDArray[np.int64]) -> Floats:
    """Log-odds of the scored rows `(S,)` or `(S, L)`, from a head for each label that learned from `train` alone."""
    groups = [task.patients[k] for k in train]
    labels = np.asarray(task.y, bool).reshape(len(x), -1)
    heads = [linear_of(probes.of_few(x[train], y[train], groups, "binary")) for y in labels.T]
    said = np.concatenate([head.raw(x[test]) for head in heads], axis=1)
    return said if task.y.ndim == 2 else said[:, 0]


def _weights(patients: Sequence[str], repeats: int = REPEATS) -> Floats:
    """How often each row counts `(1 + repeats, R)`, the first time once each."""
    names, index = np.unique(np.asarray(patients, str), return_inverse=True)
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), repeats)
    return np.concatenate([np.ones((1, len(index))), drawn[:, index].astype(np.float64)])


def _interval(value_DN: Floats, patients: int, rows: int) -> Interval:
    """The mean over draws; each repeat draws scored patients anew, and the draws of labelled patients too."""
    draws, repeats = value_DN.shape[0], value_DN.shape[1] - 1
    pick = np.random.default_rng(1).integers(0, draws, (repeats, draws))
    again = value_DN[pick, np.arange(1, repeats + 1)[:, None]].mean(1)
    low, high = np.nanpercentile(again, [2.5, 97.5])
    return Interval(float(value_DN[:, 0].mean()), float(low), float(high), patients, rows)


def _spread(value_DN: Floats) -> dict[str, float]:
    """The worst and the best draw."""
    return {"worst": round(float(value_DN[:, 0].min()), 4), "best": round(float(value_DN[:, 0].max()), 4)}
