"""What a frozen embedding tells of the heart and its owner, beside floors on the same folds.

Writes representation.json and .png, and for each set a picture of its tasks (ROC, confusion, calibration). Tasks: the
five superclasses of PTB-XL, its statements, NORM against abnormal, whether an ICU alarm is true, atrial fibrillation in
hand-held ECG, age, sex, body-mass index, hypertension, diabetes.
The features are frozen (the mean over a record's windows; before an alarm the last window), the head is linear or
gradient boosting, its penalty chosen on validation patients. A set without its folder is named and left out.
Intervals and paired differences are 95 % bootstraps over patients. Features and heads are kept in --cache, so an
interrupted run goes on. A second row has the encoder tuned to the task in each fold, where a fold trains 200 patients.
Peers join with --weights NAME=PATH and, where their code is a checkout, --repo NAME=PATH; of
the others no number is given.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cardiofm.evaluate import alarms, cached, cohorts, frozen, rhythms, run, task_picture, tasks, tuned
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.extractors import peers
from cardiofm.evaluate.extractors.extractor import Extractor
from cardiofm.evaluate.sample import Piece, summary
from cardiofm.heads.learn.tune import Still
from cardiofm.pipeline import Model, load
from cardiofm.signals import SignalError

METHODS = {  # beside the extractors
    "model + hand-crafted": "CardioFM embedding and hand-crafted numbers",
    alarms.NAME: alarms.MEANING,
    rhythms.NAME: rhythms.MEANING,
    "what is known": "the type of alarm alone",
    tasks.VIEWS: "CardioFM embeddings of both signals together and of each alone, side by side",
    tasks.TUNED: tuned.MEANING,
    tasks.TUNED_BOTH: "the heads on both and on the tuned encoder, averaged; weight chosen on validation patients",
    "constant": "the majority, or the mean",
}
HEADS = {
    "linear": "logistic or ridge regression, penalty chosen on validation patients",
    "boosting": "gradient boosting, tree size chosen on validation patients",
    "fused": "linear on the embedding, boosting on the numbers and linear on both (or as the method says), averaged; "
    "weights chosen on validation patients",
    "none": "no features",
}
SETS = {
    "ptb-xl": (partial(cohorts.ptb_xl, sealed=True), tasks.of_ptb_xl),
    "challenge-2015": (cohorts.before_the_alarm, tasks.of_challenge_2015),
    "challenge-2017": (cohorts.challenge_2017, tasks.of_challenge_2017),
    "mitdb": (cohorts.mitdb, tasks.of_mitdb),
    "bidmc": (cohorts.bidmc, tasks.of_bidmc),
    "ludb": (cohorts.ludb, tasks.of_ludb),
    "ppg-bp": (cohorts.ppg_bp, tasks.of_ppg_bp),
}
OLD_YEARS = 60


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    found = run.parser(about, cohorts.LIMIT, cohorts.LIMIT_HELP)
    cached.add_argument(found)
    run.add_only(found, SETS, "sets")
    found.add_argument("--steps", type=int, default=tuned.STEPS, help="of fine-tuning; 0: none (default: %(default)s)")
    peers.add_arguments(found)
    return found


def main(args: argparse.Namespace) -> None:
    """Read, encode, fit, score; print the table; write the results."""
    asked = run.only(args, SETS, "set")
    sha256 = run.checkpoint(args.model)["sha256"]
    model = load(args.model, backend=args.backend, threads=args.threads)
    result: dict[str, list[dict[str, Any]]] = {"rows": [], "differences": []}
    used: list[Piece] = []
    counted: set[str] = set()  # sets whose windows are among them
    about: dict[str, str] = {}
    others, absent = peers.here(args.weights, args.repo, model.spec)
    reads = {name: partial(SETS[name][0], args.data_root, model.spec, cohorts.most(name, args.limit)) for name in asked}
    for name, cohort in cohorts.here(reads, absent):
        try:
            own, shown, meaning = _of_cohort(cohort, SETS[name][1](cohort), model, sha256, args, others, absent)
        except SignalError as error:  # too few records, or a model that lacks a part
            absent[name] = str(error)
            print(f"{name}: {error}", file=sys.stderr)
            continue
        about |= meaning
        for kind, found in own.items():
            result[kind] += found
        args.out.mkdir(parents=True, exist_ok=True)
        task_picture.drawn(shown, args.out / f"representation_{name}.png")
        new = [piece for piece in cohort.pieces() if piece.dataset not in counted]
        used, counted = [*used, *new], counted | {piece.dataset for piece in new}
    if not result["rows"]:
        raise SignalError(f"a set must be large enough to be asked, found none: {'; '.join(absent[n] for n in reads)}")
    frozen.unchanged(sha256, run.checkpoint(args.model)["sha256"])
    saved = run.save(
        args.out / "representation.json", "representation", result["rows"], args.model, summary(used),
        methods=about | METHODS, heads=HEADS, differences=result["differences"], absent=absent,
    )  # fmt: skip
    draw(saved, args.out / "representation.png")
    show(saved)


def _of_cohort(
    cohort: Cohort,
    asked: list[tasks.Task],
    model: Model,
    sha256: str,
    args: argparse.Namespace,
    others: list[Extractor],
    absent: dict[str, str],
) -> tuple[dict[str, list[dict[str, Any]]], list[task_picture.Told], dict[str, str]]:
    """Rows and differences of all tasks of a set, what is drawn of each, and what the features are."""
    made, about = frozen.numbers(cohort, model, sha256, args.cache, others)
    features = {method: cohort.mean(values) for method, values in made.items()}
    features |= _of_set(cohort, model, args)
    views = [features[name] for name in ("model", "ecg alone", "ppg alone") if name in features]
    if len(views) == 3:
        features[tasks.VIEWS] = np.concatenate(views, axis=-1)
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    still, shown = Still(model), []
    for task in asked:
        here = dict(features)
        if args.steps:
            try:
                tuned.check(task)
                here[tasks.TUNED] = tuned.embedding(cohort, task, model, sha256, args.cache, args.steps, still)
            except SignalError as error:
                absent.setdefault(f"{tasks.TUNED}, {cohort.dataset}", f"{task.name}: {error}")
        found = tasks.probed(task, here, args.cache)
        more = tasks.measured(task, found)
        rows += [_row(one, cohort.refused) for one in (*more[0], *_groups(cohort, task, found))]
        differences += [_row(one, cohort.refused) for one in more[1]]
        shown.append(task_picture.told(task, found))
    return {"rows": rows, "differences": differences}, shown, about


def _of_set(cohort: Cohort, model: Model, args: argparse.Namespace) -> dict[str, NDArray[np.floating]]:
    """What one set alone has: numbers of the seconds before an alarm, or of the rhythm of a recording."""
    if cohort.dataset == "challenge-2015":
        return {alarms.NAME: alarms.before(cohort, args.data_root, model, args.cache)}
    if cohort.dataset == "challenge-2017":
        return {rhythms.NAME: rhythms.of_recordings(cohort, args.data_root, args.cache)}
    return {}


def _row(one: dict[str, Any], refused: int) -> dict[str, Any]:
    names = {k: v for k, v in one.items() if k != "interval"}
    return run.row(one["interval"], 4, **names, refused=refused)


def _groups(cohort: Cohort, task: tasks.Task, found: dict[tasks.Key, Any]) -> list[dict[str, Any]]:
    """NORM against abnormal by sex and by age; alarms by their type."""
    if task.name == "abnormal":
        sex = np.array([s or "" for s in cohort.label("sex")])
        age = np.array([np.nan if a is None else a for a in cohort.label("age")], np.float64)
        groups = {
            "women": sex == "F",
            "men": sex == "M",
            f"under {OLD_YEARS}": age < OLD_YEARS,
            f"{OLD_YEARS} and older": age >= OLD_YEARS,
        }
    elif task.known is not None:
        kind = np.array(cohort.label("alarm"))
        groups = {name: kind == name for name in np.unique(kind).tolist()}
    else:
        return []
    out = []
    for method, head in (("model", task.head), (task.crafted, "boosting"), ("model + hand-crafted", "fused")):
        what = {"set": task.dataset, "task": task.name, "metric": "AUROC", "method": method, "head": head}
        values = tasks.in_groups(task, found[method, head], groups)
        out += [what | {"group": group, "interval": value} for group, value in values.items()]
    return out


def draw(result: dict[str, Any], path: Path) -> None:
    """Paired differences as a picture: one panel a pair, one line a task, 0 is "no better"."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [d for d in result["differences"] if d["metric"] in ("macro-AUROC", "AUROC")]
    names = list(dict.fromkeys(f"{d['set']}: {d['task']}" for d in shown))
    pairs = list(tasks.PAIRS)
    figure, axes = plt.subplots(1, len(pairs), figsize=(3.4 * len(pairs), 0.42 * len(names) + 1.6), sharey=True)
    for axis, pair in zip(np.atleast_1d(axes), pairs, strict=True):
        for d in (d for d in shown if d["difference"] == pair):
            at = names.index(f"{d['set']}: {d['task']}")
            color = "#1a7f5a" if (d["low"] or 0) > 0 else "#b3261e" if (d["high"] or 0) < 0 else "#555555"
            axis.plot([d["low"], d["high"]], [at, at], color=color, linewidth=2)
            axis.plot(d["value"], at, "o", color=color, markersize=5)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(pair.replace(" - ", "\n− ", 1), fontsize=9)
        axis.set_xlabel("difference of AUROC", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(axis="x", alpha=0.3)
    np.atleast_1d(axes)[0].set_yticks(range(len(names)), names)
    np.atleast_1d(axes)[0].invert_yaxis()
    figure.suptitle("Frozen probes, paired differences with 95 % intervals over patients", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def show(result: dict[str, Any]) -> None:
    """The tables on the terminal: a line for each task and metric, a column for each method."""
    for title, rows, column in (("frozen probes", result["rows"], _method), ("paired", result["differences"], _pair)):
        names = list(dict.fromkeys(column(r) for r in rows))
        found: dict[tuple[str, ...], dict[str, str]] = {}
        for r in rows:
            key = (r["set"], " ".join((r["task"], r.get("group", ""))).strip(), r["metric"])
            found.setdefault(key, {})[column(r)] = _text(r)
        table = Table(title=title)
        for name in ("set", "task", "metric", *names):
            table.add_column(name)
        for key, cells in found.items():
            table.add_row(*key, *(cells.get(name, "") for name in names))
        Console(width=200).print(table)


def _method(row: dict[str, Any]) -> str:
    return f"{row['method']}, {row['head']}"


def _pair(row: dict[str, Any]) -> str:
    return row["difference"]


def _text(row: dict[str, Any]) -> str:
    bounds = "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{row['value']:.3f}{bounds}"
