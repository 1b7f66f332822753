"""Many windows of one recording to one answer: gated attention against the mean, with and without HRV beside it.

Whether an ICU alarm is true from the two minutes before it; age and sex from twelve windows over eight minutes of ICU
recordings. Every method sees the same windows, learns from the same patients, and is chosen on the same others: the
mean by its penalty, the attention (which begins as that linear head on the mean) by when it stops. Writes pooling.json
and .png. Shapes: R records, W windows, D numbers, H numbers of variability.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from cardiofm.data import catalog
from cardiofm.data.usable import usable
from cardiofm.evaluate import cached, cohorts, run, tasks
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.extractors.own import embedding
from cardiofm.evaluate.frozen import unchanged
from cardiofm.evaluate.sample import summary
from cardiofm.evaluate.tables.pooling import pooling as table
from cardiofm.heads import scores
from cardiofm.heads.labels import Target
from cardiofm.heads.learn import probes
from cardiofm.heads.learn.attention import attention
from cardiofm.heads.learn.fit import Data, linear_of
from cardiofm.heads.look import Seen
from cardiofm.heads.parts import numbers
from cardiofm.measure.beats import r_peaks
from cardiofm.measure.variability import variability
from cardiofm.pipeline import load
from cardiofm.signals import InputSpec, Record, SignalError

LIMIT = 1000  # records of a set: all
WINDOWS = 12  # of a record
HRV = ("sdnn_ms", "rmssd_ms", "pnn50", "lf_ms2", "hf_ms2", "lf_hf", "nn_share")
METHODS = {
    "mean": "mean of the embeddings, linear head",
    "attention": "gated attention over the embeddings, linear head",
    "mean + HRV": "the same mean with heart rate variability beside it",
    "attention + HRV": "the same attention with heart rate variability beside every window",
    "HRV": "heart rate variability alone, linear head",
}
PAIRS = (("attention", "mean"), ("attention + HRV", "mean + HRV"), ("mean + HRV", "mean"))
_INNER = {"challenge-2015": 1, "bidmc": 2}  # splits of a fold's training patients, whose answers are averaged
_METRIC: dict[str, tuple[str, scores.Metric]] = {
    "binary": ("AUROC", scores.auroc),
    "regression": ("MAE, years", scores.mae),
}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Long:
    """Records with several windows, what is seen of each of these, and their variability."""

    cohort: Cohort
    embedding: NDArray[np.float32]  # (W, D)
    hrv: Floats  # (R, H), NaN where unknown

    def seen(self, with_hrv: bool) -> list[Seen]:
        """The records as heads see them `(R,)`; with variability, every window of a record ends with its numbers."""
        beside = filled(self.hrv)
        out = []
        for k, entry in enumerate(self.cohort.entries):
            at = np.flatnonzero(self.cohort.of_window == k)
            z = self.embedding[at]
            if with_hrv:
                z = np.concatenate([z, np.tile(beside[k], (len(at), 1))], axis=1).astype(np.float32)
            windows = [self.cohort.windows[i] for i in at]
            known = np.array([w.valid.any(0).mean() for w in windows], np.float32)
            quality, present = np.stack([w.quality for w in windows]), np.stack([w.valid.any(-1) for w in windows])
            out.append(Seen(entry.record, z, np.zeros((len(at), 0), np.float32), known, quality, present))
        return out


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    made = run.parser(about, LIMIT, "records of a set")
    cached.add_argument(made)
    made.add_argument("--windows", type=int, default=WINDOWS, help="of a record (default: %(default)s)")
    return made


def main(args: argparse.Namespace) -> None:
    """Read, encode, fit, score; print the table; write the results."""
    from cardiofm.evaluate.pictures import pooling as draw

    sha256 = run.checkpoint(args.model)["sha256"]
    model = load(args.model, backend=args.backend, threads=args.threads)
    make = embedding(model, sha256)
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    used, looks = [], {}
    absent: dict[str, str] = {}
    asked = {"challenge-2015": (before_the_alarm, tasks.of_challenge_2015), "bidmc": (cohorts.bidmc, tasks.of_bidmc)}
    reads = {
        name: partial(read, args.data_root, model.spec, args.limit, args.windows) for name, (read, _) in asked.items()
    }
    for name, cohort in cohorts.here(reads, absent):
        long = Long(cohort, make.kept(cohort.windows, args.cache), variabilities(cohort, args.data_root))
        for task in asked[name][1](cohort):
            if task.known is None and task.kind in _METRIC:
                found, shares = answers(task, long, _INNER[task.dataset])
                more = measured(task, found)
                rows += [one | {"refused": cohort.refused} for one in more[0]]
                differences += more[1]
                if task.name == "alarm":
                    looks = looked(cohort, shares)
        used += cohort.pieces()
    unchanged(sha256, run.checkpoint(args.model)["sha256"])
    result = run.save(
        args.out / "pooling.json", "pooling", rows, args.model, summary(used),
        methods=METHODS, windows=args.windows, differences=differences, looked=looks, absent=absent,
    )  # fmt: skip
    draw(result, args.out / "pooling.png")
    print("\n".join(table(result)))


def before_the_alarm(data_root: Path, spec: InputSpec, limit: int, windows: int = WINDOWS) -> Cohort:
    """The last `windows` windows before the alarm of challenge-2015, those without signal left out."""
    found = sorted(
        catalog.entries("challenge-2015", data_root),
        key=lambda e: hashlib.sha256(f"{e.dataset} {e.record}".encode()).digest(),
    )[:limit]
    kept, cut, of = [], [], []
    for entry in track(found, "reading challenge-2015", transient=True):
        record = _until_the_alarm(entry, catalog.load(entry, data_root))
        try:
            some = [w for w, _ in usable(record.crop(record.end_s - windows * spec.window_s, record.end_s), spec, None)]
        except SignalError:
            continue
        cut += some
        of += [len(kept)] * len(some)
        kept.append(entry)
    return Cohort("challenge-2015", kept, cut, np.array(of), len(found) - len(kept))


def variabilities(cohort: Cohort, data_root: Path) -> Floats:
    """`HRV` of the whole ECG of every record `(R, H)`, before the alarm where there is one; NaN where unknown."""
    rows = []
    for entry in track(cohort.entries, "variability", transient=True):
        ecg = _until_the_alarm(entry, catalog.load(entry, data_root)).ecg
        at_s = np.empty(0) if ecg is None else r_peaks(ecg.values, ecg.fs_hz)
        known = variability(at_s[1:], 1000 * np.diff(at_s)) if len(at_s) > 1 else {}
        rows.append([np.nan if known.get(name) is None else known[name] for name in HRV])
    return np.array(rows, np.float64)


def _until_the_alarm(entry: catalog.Entry, record: Record) -> Record:
    alarm_s = entry.labels.get("alarm_s")
    return record if alarm_s is None else record.crop(record.start_s, alarm_s)


def filled(hrv: Floats) -> Floats:
    """On a log scale (but the shares), what is unknown replaced by the median of all records; uses no label."""
    share = np.array([name in ("pnn50", "nn_share") for name in HRV])
    z = np.where(share, hrv, np.log(np.maximum(hrv, 1e-3)))
    usual = np.array([np.median(own[np.isfinite(own)]) if np.isfinite(own).any() else 0.0 for own in z.T])
    return np.where(np.isfinite(z), z, usual)


def answers(task: tasks.Task, long: Long, inner: int) -> tuple[dict[str, Floats], Floats]:
    """What each method says of every record of the task `(R,)`, by heads that never saw its patient; and the attention
    each window got, `(W,)`, NaN for windows of other records."""
    goal = Target("regression" if task.kind == "regression" else "classification", _classes(task), _truth(task))
    views = {"": _of(long.seen(False), task), " + HRV": _of(long.seen(True), task)}
    beside = filled(long.hrv)[task.rows]
    fold = probes.folds_of(task.y, task.patients, task.kind, task.folds)
    found = {name: np.zeros(len(task.rows)) for name in METHODS}
    shares = {k: np.zeros(len(views[""][k].known)) for k in range(len(task.rows))}
    for k in track(range(task.folds), f"{task.dataset}, {task.name}", transient=True):
        for part in _parts(task, fold, k, inner):
            test = np.flatnonzero(part == "test")
            for name, seen in views.items():
                data = Data(seen, goal, part)
                some = [seen[i] for i in test]
                start = linear_of(_linear(task, numbers(seen, "embedding"), part))
                learned = attention(data, task.kind, start)
                found[f"mean{name}"][test] += start.raw(numbers(some, "embedding"))[:, 0] / inner
                found[f"attention{name}"][test] += learned.raw(some)[:, 0] / inner
                if not name:
                    for i, one in zip(test, some, strict=True):
                        shares[int(i)] += learned.shares(one) / inner
            alone = _linear(task, beside, part)
            found["HRV"][test] += linear_of(alone).raw(beside[test])[:, 0] / inner
    out = np.full(len(long.embedding), np.nan)
    for k, row in enumerate(task.rows):
        out[long.cohort.of_window == row] = shares[k]
    return found, out


def _parts(task: tasks.Task, fold: NDArray[np.int64], k: int, inner: int) -> list[NDArray[np.str_]]:
    """Of one fold `inner` ways to put its other patients into "train" and "valid" (a fifth), `(R,)` each."""
    train = np.flatnonzero(fold != k)
    own = probes.folds_of(task.y[train], [task.patients[i] for i in train], task.kind, 5, 1 + k)
    out = []
    for p in range(inner):
        part = np.full(len(fold), "test ")
        part[train] = np.where(own == p, "valid", "train")
        out.append(np.char.strip(part))
    return out


def _linear(task: tasks.Task, x: Floats, part: NDArray[np.str_]) -> Any:
    train, valid = part == "train", part == "valid"
    return probes.choose_and_fit(x[train], task.y[train], x[valid], task.y[valid], task.kind)


def _classes(task: tasks.Task) -> tuple[str, ...]:
    return () if task.kind == "regression" else ("no", "yes")


def _truth(task: tasks.Task) -> NDArray[Any]:
    return task.y if task.kind == "regression" else np.asarray(task.y, np.int64)


def _of(seen: list[Seen], task: tasks.Task) -> list[Seen]:
    return [seen[k] for k in task.rows]


def measured(task: tasks.Task, found: dict[str, Floats]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A row for each method, and paired differences."""
    name, metric = _METRIC[task.kind]
    what = {"set": task.dataset, "task": task.name, "metric": name}
    rows = [
        run.row(scores.scored(metric, task.y, said, task.patients), 4, **what, method=method)
        for method, said in found.items()
    ]
    differences = [
        run.row(
            scores.paired(metric, task.y, found[a], found[b], task.patients), 4, **what, difference=f"{a} - {b}"
        )
        for a, b in PAIRS
    ]  # fmt: skip
    return rows, differences


def looked(cohort: Cohort, share_W: Floats) -> dict[str, float]:
    """The mean share of attention of a window by how many seconds before the alarm it begins."""
    pairs = zip(cohort.of_window, cohort.windows, strict=True)
    before = np.array([round(cohort.entries[k].labels["alarm_s"] - window.start_s) for k, window in pairs])
    return {str(s): round(float(np.nanmean(share_W[before == s])), 4) for s in np.unique(before)}
