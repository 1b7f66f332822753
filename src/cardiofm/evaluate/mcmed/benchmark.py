"""`cardiofm benchmark mcmed`: the 20 questions of SignalMC-MED, the frozen embedding beside hand-crafted numbers.

For each visit the windows of its first ten minutes of ECG and PPG go through the users' door; a visit's features are
their mean. Settings: the ECG alone, the PPG alone, both encoded together, and the mean of the two alone, which is how
the paper fuses models of one signal. Writes mcmed.json. A synthetic stand-in is recognised by its signals and written
beside its own data, never among the results.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as Shown

from cardiofm.data.usable import usable
from cardiofm.evaluate import cached, run
from cardiofm.evaluate.extractors.crafted import hand_crafted
from cardiofm.evaluate.extractors.extractor import Extractor
from cardiofm.evaluate.extractors.own import embedding
from cardiofm.evaluate.frozen import unchanged
from cardiofm.evaluate.mcmed import probe, stand_in
from cardiofm.evaluate.mcmed.labels import Task, tasks
from cardiofm.evaluate.mcmed.visits import LICENCE, SEGMENT_S, URL, Visit, asked, folder, load, visits
from cardiofm.heads import scores
from cardiofm.pipeline import load as load_model
from cardiofm.signals import InputSpec, Record, SignalError

SETTINGS = {
    "ecg": "the ECG alone",
    "ppg": "the PPG alone",
    "both": "both channels encoded together",
    "mean": "the mean of the two alone",
}
METHODS = {
    "model": "CardioFM embedding, mean over the windows",
    "hand-crafted": "hand-crafted numbers, mean over the windows that have one",
    "model + hand-crafted": "both side by side",
}
PAIRS = {  # what must be better than what; each method with its setting
    "both - ecg": (("model", "both"), ("model", "ecg")),
    "both - ppg": (("model", "both"), ("model", "ppg")),
    "model - hand-crafted": (("model", "both"), ("hand-crafted", "both")),
    "model + hand-crafted - hand-crafted": (("model + hand-crafted", "both"), ("hand-crafted", "both")),
}
STAND_IN = "synthetic stand-in: simulated signals, labels drawn at random; these figures say nothing of MC-MED"
GROUPS = ("labs", "conditions")  # the mean over their questions is a row, too
_TOGETHER = 16  # visits, whose windows are computed in one go
Key = tuple[str, str]  # method, setting


@dataclass(frozen=True)
class Cohort:
    """The visits that could be read, their features by method and setting, and what they are."""

    visits: list[Visit]
    features: dict[Key, NDArray[np.float64]]  # (V, D)
    windows: int  # of both channels together
    sha256: str  # of these windows
    refused: int  # visits without enough of both channels
    simulated: bool


def main(args: argparse.Namespace) -> None:
    """Read, encode, fit, score; print the table; write the results. Raises SignalError for what MC-MED lacks."""
    show(mcmed(args))


def mcmed(args: argparse.Namespace) -> dict[str, Any]:
    """What was written. `args`: data_root, model, backend, threads, limit, out, cache, stand_in."""
    segment_s, how = (stand_in.SEGMENT_S, stand_in.PROTOCOL) if args.stand_in else (SEGMENT_S, probe.Protocol())
    if args.stand_in:
        stand_in.write(args.stand_in)
    place = args.stand_in or folder(args.data_root)
    chosen = sorted(visits(place), key=lambda v: hashlib.sha256(v.csn.encode()).digest())[: args.limit]
    sha256 = run.checkpoint(args.model)["sha256"]
    model = load_model(args.model, backend=args.backend, threads=args.threads)
    makers = {"model": embedding(model, sha256), "hand-crafted": hand_crafted(model.spec)}
    cohort = read(chosen, place, segment_s, model.spec, makers, args.cache)
    rows = probe.rows_of(cohort.visits)
    every = tasks(cohort.visits, place)
    absent = probe.unanswerable(every, rows)
    able = [task for task in every if task.name not in absent]
    found = {key: probe.predictions(x, able, rows, how) for key, x in cohort.features.items()}
    scored, differences = measured(able, found, cohort.visits, rows["test"], how)
    unchanged(sha256, run.checkpoint(args.model)["sha256"])
    path = place / "mcmed-stand-in.json" if cohort.simulated else args.out / "mcmed.json"
    return run.save(
        path, f"mcmed ({STAND_IN})" if cohort.simulated else "mcmed", scored, args.model,
        _data(cohort, place, rows, segment_s), methods=METHODS, settings=SETTINGS, protocol=asdict(how),
        differences=differences, absent=absent,
    )  # fmt: skip


def read(
    chosen: list[Visit], place: Path, segment_s: float, spec: InputSpec, makers: dict[str, Extractor], cache: Path
) -> Cohort:
    """The features of every visit that has `segment_s` of both channels, read from `cache` where they were computed."""
    console, digest = Console(stderr=True), hashlib.sha256()
    kept: list[Visit] = []
    means: dict[Key, list[NDArray[np.float64]]] = {(m, s): [] for m in makers for s in ("ecg", "ppg", "both")}
    windows, simulated, reason = 0, False, ""
    for first in range(0, len(chosen), _TOGETHER):
        some = [(visit, _loaded(visit, place, segment_s, spec)) for visit in chosen[first : first + _TOGETHER]]
        records = [record for _, record in some if isinstance(record, Record)]
        kept += [visit for visit, record in some if isinstance(record, Record)]
        reason = next((str(one) for _, one in some if isinstance(one, SignalError)), reason)
        simulated |= any("simulated" in record.notes for record in records)
        for setting in ("ecg", "ppg", "both") if records else ():
            own = [[w for w, _ in usable(_part(record, setting), spec, None)] for record in records]
            flat = [window for each in own for window in each]
            if setting == "both":
                windows += len(flat)
                for window in flat:
                    digest.update(window.values.tobytes())
            for method, make in makers.items():
                values = np.split(make.kept(flat, cache), np.cumsum([len(each) for each in own])[:-1])
                means[method, setting] += [_mean(one) for one in values]
        done = first + len(some)
        console.print(f"{done} of {len(chosen)} visits read, {done - len(kept)} of them refused")
    if not kept:
        raise SignalError(f"MC-MED must have visits with {segment_s:g} s of both channels, found none: {reason}")
    return Cohort(kept, _fused(means), windows, digest.hexdigest(), len(chosen) - len(kept), simulated)


def _loaded(visit: Visit, place: Path, segment_s: float, spec: InputSpec) -> Record | SignalError:
    """The record of a visit; the error where it cannot be read, is too short, or a channel holds nothing."""
    try:
        record = load(visit, place, segment_s)
        for setting in ("ecg", "ppg"):
            next(usable(_part(record, setting), spec, None))
    except SignalError as error:
        return error
    return record


def _part(record: Record, setting: str) -> Record:
    """The record with the channels of a setting."""
    return record if setting == "both" else replace(record, **{"ppg" if setting == "ecg" else "ecg": None})


def _mean(values_WD: NDArray[np.floating]) -> NDArray[np.float64]:
    """Over the windows that have a number `(D,)`; NaN where none has."""
    known = np.isfinite(values_WD)
    count = known.sum(0)
    total = np.where(known, values_WD, 0).sum(0, dtype=np.float64)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _fused(means: dict[Key, list[NDArray[np.float64]]]) -> dict[Key, NDArray[np.float64]]:
    """Features `(V, D)` of every method and setting."""
    found = {key: np.stack(each) for key, each in means.items()}
    found["model", "mean"] = (found["model", "ecg"] + found["model", "ppg"]) / 2
    for setting in ("ecg", "ppg", "both"):
        pair = [found[method, setting] for method in ("model", "hand-crafted")]
        found["model + hand-crafted", setting] = np.concatenate(pair, axis=1)
    return found


def measured(
    able: list[Task],
    found: dict[Key, dict[str, NDArray[np.float64]]],
    of: list[Visit],
    test: NDArray[np.int64],
    how: probe.Protocol,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of every question and of the mean of a group, with intervals over test patients; and paired differences."""
    rows, differences = [], []
    asks = [(task.name, [task]) for task in able]
    asks += [(f"{group}, mean", own) for group in GROUPS if (own := [t for t in able if t.group == group])]
    for name, own in asks:
        metric_name, single = probe.METRICS[own[0].kind]
        y = np.stack([task.y[test] for task in own], axis=1)
        at = np.isfinite(y).any(1)
        patients = [of[i].patient for i in test[at]]
        said = {key: np.stack([by[t.name] for t in own], axis=-1)[at] for key, by in found.items()}
        what = {"task": name, "metric": metric_name, "questions": len(own)}
        metric = probe.mean_over(single)
        for (method, setting), answer in said.items():
            value = scores.scored(metric, y[at], answer, patients, how.repeats)
            parts = zip(how.shares, np.split(answer, len(how.shares), axis=1), strict=True)
            each = {f"{share:g}": round(scores.once(metric, y[at], part), 4) for share, part in parts}
            rows.append(_row(value, **what, method=method, setting=setting) | {"at_shares": each})
        for pair, (a, b) in PAIRS.items():
            gain = scores.paired(metric, y[at], said[a], said[b], patients, how.repeats)
            differences.append(_row(gain, **what, difference=pair))
    return rows, differences


def _row(interval: scores.Interval, **keys: Any) -> dict[str, Any]:
    found = run.row(interval, 4, **keys)
    return found | {"visits": found.pop("windows")}


def _data(cohort: Cohort, place: Path, rows: dict[str, NDArray[np.int64]], segment_s: float) -> dict[str, Any]:
    """What was used, by its name: the stand-in is never called MC-MED."""
    who = {
        "visits": {split: len(at) for split, at in rows.items()},
        "patients": len({visit.patient for visit in cohort.visits}),
        "segment_s": segment_s,
        "windows": cohort.windows,
        "windows_sha256": cohort.sha256,
        "refused": cohort.refused,
    }
    if cohort.simulated:
        return {"synthetic stand-in": {"what": STAND_IN} | who}
    listed = "SignalMC-MED's own list" if asked(place) is not None else "every visit with ten minutes of both channels"
    return {"mc-med": {"source": URL, "licence": LICENCE, "visits_from": listed} | who}


def show(result: dict[str, Any]) -> None:
    """A line for each question, a column for each method and setting; of a stand-in only that it ran."""
    console = Console(width=200)
    if STAND_IN in result["task"]:
        asked_of = len({r["task"] for r in result["rows"] if r["questions"] == 1})
        console.print(f"{asked_of} questions asked of a {STAND_IN}")
    else:
        names = list(dict.fromkeys((r["method"], r["setting"]) for r in result["rows"]))
        table = Shown("question", "metric", *(", ".join(name) for name in names), title=result["task"])
        lines: dict[Key, dict[Key, str]] = {}
        for r in result["rows"]:
            lines.setdefault((r["task"], r["metric"]), {})[r["method"], r["setting"]] = f"{r['value']:.3f}"
        for key, cells in lines.items():
            table.add_row(*key, *(cells[name] for name in names))
        console.print(table)
    for reason in result["absent"].values():
        console.print(f"not asked: {reason}")


def parser(about: str | None = None) -> argparse.ArgumentParser:
    """The arguments of the script; the command line has the same."""
    made = run.parser(about, 1_000_000, "visits at most")
    cached.add_argument(made)
    made.add_argument("--stand-in", type=Path, metavar="DIR", help="write a synthetic stand-in to DIR and run on that")
    return made
