"""`cardiofm benchmark intervals`: every question of QT, PAT, R peaks and rate, the model beside the floors.

Writes intervals.json and its pictures. Without a fiducial head in the model's folder, the floors alone are measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as Shown

from cardiofm.data import catalog
from cardiofm.data.store import file_hash
from cardiofm.evaluate import run
from cardiofm.evaluate.beats import (
    boundaries,
    calibration,
    floors,
    pat,
    pat_rows,
    pooled,
    qt,
    r_peaks,
    rate,
    rhythm,
    silence,
)
from cardiofm.evaluate.beats import truth as true
from cardiofm.evaluate.beats.own import NAME, Own, methods
from cardiofm.evaluate.beats.pictures import draw
from cardiofm.evaluate.beats.table import Method
from cardiofm.evaluate.bootstrap import interval
from cardiofm.evaluate.noise import held_out
from cardiofm.model.checkpoint import HEAD_WEIGHTS
from cardiofm.signals import InputSpec, Record, SignalError

ALL = 100_000  # recordings: no limit
NOISY_SETS = ("bidmc", "challenge-2015")
SIMULATED = tuple(range(900, 912))  # seeds
SILENT = 2000  # windows
TOLERANCE_MS = {"qt": 30.0, "pat": 20.0}  # of the stated confidence
METRICS = {
    "mae_ms": "mean absolute error over beats",
    "median_ms": "median absolute error over beats",
    "bias_ms": "mean of found − true",
    "coverage": "share of the true beats that were given a value",
    "record_median_ms": "|median found − median true| of a record, mean over patients",
    "f1_…": "F1 of a boundary or of R peaks of pooled counts",
    "strict_mae_ms": "mae_ms of PAT as given; for mae_ms the pulses of another beat of a regular rhythm are given back",
    "other_beat": "share of stretches in which that was so, of those in which it is certain which beat a pulse is of",
    "block_median_ms": "|median found − median true| of 30 s, mean",
    "changes_r": "Pearson r of deviations from the 30-s median, mean over patients",
    "drift_r": "Pearson r of found and true PAT over a record, mean over patients",
    "mae_bpm": "mean absolute error of the rate of a window, per minute",
    "answered": "share of the windows with a rate",
    "refused": "share of the windows without a heart in which nothing was found",
    "invented": "R peaks and feet found in such a window, mean",
    "auroc_af": "AUROC of atrial fibrillation against every other rhythm and noise",
    "f1_af": "F1 of atrial fibrillation",
    "macro_f1": "mean F1: of the five boundaries; of sinus, AF and other rhythms",
    "ece": "expected calibration error of the stated probability that the error is within the tolerance",
}


class Run:
    """What the parts share: where the data are, how much of them, the model's methods, and what was worked out."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.root, self.limit = Path(args.data_root), int(args.limit)
        self.own: Own | None = methods(args.model, args.backend, args.threads, args.heads)
        self.rows: list[dict[str, Any]] = []
        self.patients: dict[str, set[str]] = {}
        self.beats: dict[str, qt.Beats] = {}  # by set, for the pictures
        self.noise: dict[float | None, dict[str, list[pat_rows.Scored]]] = {}
        self.console = Console(stderr=True)

    def with_own(self, found: dict[str, Any], mine: Any) -> dict[str, Any]:
        """The floors, and the model first where there is one."""
        return found if self.own is None else {NAME: mine(self.own), **found}

    def saw(self, dataset: str, patients: list[str]) -> None:
        self.patients.setdefault(dataset, set()).update(patients)


def qt_part(job: Run) -> None:
    """QT of LUDB and QTDB: per beat, per record, from RR alone, and the second reader; calibration of both sets."""
    for dataset in ("ludb", "qtdb"):
        beats = qt.measured(true.cases(dataset, job.root, job.limit), job.with_own(floors.delineators(), _marked))
        qt.add_from_rr(beats)
        job.beats[dataset] = beats
        job.saw(dataset, beats.patient)
        job.rows += qt.rows(beats, dataset) + qt.differences(beats, dataset)
        if not all(beats.plausible):  # where the data hold sel33 or sele0116
            job.rows += qt.rows(beats, "qtdb without sel33, sele0116", beats.plausible)
    job.rows += qt.rows(qt.readers(true.second_reader(job.root)), "qtdb, both readers")
    if job.own:
        both = [(job.beats[d], job.beats[d].of(NAME) - np.asarray(job.beats[d].true_ms)) for d in job.beats]
        error = np.concatenate([e for _, e in both])
        sure = np.concatenate([np.asarray(b.confidence[NAME]) for b, _ in both])
        who = [p for b, _ in both for p in b.patient]
        job.rows += calibration.rows(error, sure, who, TOLERANCE_MS["qt"], set="ludb, qtdb", measure="qt", method=NAME)


def boundaries_part(job: Run) -> None:
    """F1 of wave boundaries on LUDB and QTDB."""
    for dataset in ("ludb", "qtdb"):
        tools = job.with_own(floors.delineators(), _marked)
        counts = boundaries.counted(true.cases(dataset, job.root, job.limit), tools)
        job.saw(dataset, counts.patient)
        job.rows += boundaries.rows(counts, dataset)


def r_peaks_part(job: Run) -> None:
    """R peaks of MIT-BIH, as recorded and at 0 dB."""
    tools = job.with_own(floors.r_detectors(), _marked)
    cases = list(true.cases("mitdb", job.root, job.limit))
    job.saw("mitdb", [c.patient for c in cases])
    job.rows += r_peaks.rows(r_peaks.counted(cases, tools), "as recorded", NAME)
    assert cases[0].record.ecg is not None
    noise = r_peaks.held_noise(job.root, cases[0].record.ecg.fs_hz)
    for kind in r_peaks.KINDS:
        counts = r_peaks.counted(r_peaks.noisy(cases, kind, noise), tools)
        job.rows += r_peaks.rows(counts, f"{kind}, 0 dB", NAME)


def pat_part(job: Run) -> None:
    """PAT against the consensus, clean and noisy, and against simulated truth; calibration over all of them."""
    tools = job.with_own(_pat_floors(), lambda own: pat.of_model(own.anybody))
    noise = held_out(job.root, InputSpec().fs_hz)
    every: list[pat_rows.Scored] = []
    for dataset in pat.SETS:
        clean = list(pat.stretches(dataset, job.root, job.limit))
        job.saw(dataset, [s.patient for s in clean])
        for snr_db in (None, *(pat.SNR_DB if dataset in NOISY_SETS else ())):
            noisy = [s if snr_db is None else pat.with_noise(s, snr_db, noise) for s in clean]
            results = pat_rows.scored(noisy, tools)
            keys = {"set": dataset, "snr_db": snr_db}
            job.rows += pat_rows.rows(results, **keys) + pat_rows.differences(results, NAME, **keys)
            if dataset in NOISY_SETS:
                whole = job.noise.setdefault(snr_db, {m: [] for m in results})
                for method, each in results.items():
                    whole[method] += each
            every += results.get(NAME, [])
    for snr_db, results in job.noise.items():
        keys = {"set": " + ".join(NOISY_SETS), "snr_db": snr_db}
        job.rows += pat_rows.rows(results, **keys) + pat_rows.differences(results, NAME, **keys)
    _simulated(job, tools)
    if every:
        error = np.concatenate([s.error_ms for s in every])
        sure = np.concatenate([s.confidence for s in every])
        who = [s.patient for s in every for _ in s.true_ms]
        place = "all, clean and noisy"
        job.rows += calibration.rows(error, sure, who, TOLERANCE_MS["pat"], set=place, measure="pat", method=NAME)


def _simulated(job: Run, tools: dict[str, Any]) -> None:
    results = pat_rows.scored(list(pat.simulated(SIMULATED[: job.limit])), tools)
    job.rows += pat_rows.rows(results, set="simulated", snr_db=None)
    for method, each in results.items():
        values, who = pat_rows.drift_r(each)
        if not len(values):  # it gave no delays at all
            continue
        keys = {"task": "pat", "set": "simulated", "snr_db": None, "method": method, "metric": "drift_r"}
        job.rows.append(pooled.line(interval(values, who), 4, **keys))


def _pat_floors() -> dict[str, Any]:
    neurokit = pat.classical(floors.neurokit_r, floors.neurokit_feet)
    return {
        "neurokit2": neurokit,
        "neurokit2, 10-s median": pat.window_median(neurokit),
        "classical": pat.classical(floors.classical_r, floors.classical_feet),
    }


def rate_part(job: Run) -> None:
    """Heart rate of bidmc from each signal, and of ieee-spc-2015 from the wrist."""
    r_of: dict[str, rate.Events] = {"neurokit2": floors.neurokit_r, "classical": floors.classical_r}
    feet_of: dict[str, rate.Events] = {"neurokit2": floors.neurokit_feet, "classical": floors.classical_feet}
    own_r, own_feet = (job.with_own(f, lambda own, c=c: _column(own.anybody, c)) for f, c in
                       ((r_of, "r_peak_s"), (feet_of, "ppg_foot_s")))  # fmt: skip
    for modality, tools in (("ecg", own_r), ("ppg", own_feet)):
        rates = rate.of_bidmc(job.root, job.limit, tools, modality)
        job.saw("bidmc", rates.patient)
        job.rows += rate.rows(rates, set="bidmc", channel=modality)
    rates = rate.of_wrist(job.root, job.limit, own_feet)
    job.saw("ieee-spc-2015", rates.patient)
    job.rows += rate.rows(rates, set="ieee-spc-2015", channel="ppg")


def silence_part(job: Run) -> None:
    """Windows without a heart."""
    tools: dict[str, Method] = {
        "neurokit2": lambda r: _both(floors.neurokit_r, floors.neurokit_feet, r),
        "classical": lambda r: _both(floors.classical_r, floors.classical_feet, r),
    }
    job.rows += silence.rows(job.root, min(SILENT, 50 * job.limit), job.with_own(tools, lambda own: own.anybody))


def rhythm_part(job: Run) -> None:
    """Atrial fibrillation against the rest, of challenge-2017 by folds and of MIT-BIH."""
    job.rows += rhythm.rows(job.root, job.limit)
    for dataset in ("challenge-2017", "mitdb"):
        job.saw(dataset, [e.patient for e in catalog.entries(dataset, job.root)[: job.limit]])


def _both(r_of: rate.Events, feet_of: rate.Events, record: Record) -> dict[str, Any]:
    return {"r_peak_s": r_of(record), "ppg_foot_s": feet_of(record)}


def _marked(own: Own) -> Method:
    return own.marked


def _column(method: Method, column: str) -> rate.Events:
    def events(record: Record) -> np.ndarray:
        found = method(record)[column]
        return found[np.isfinite(found)]

    return events


PARTS: dict[str, Callable[[Run], None]] = {
    "qt": qt_part,
    "boundaries": boundaries_part,
    "r_peaks": r_peaks_part,
    "pat": pat_part,
    "rate": rate_part,
    "silence": silence_part,
    "rhythm": rhythm_part,
}


def intervals(args: argparse.Namespace) -> dict[str, Any]:
    """Measure the asked parts, write the results after each, and the pictures; return what was written.

    Parts that were not asked for stay as they were in the file, where it is of the same weights.
    """
    job = Run(args)
    if job.own is None:
        job.console.print(f"{args.model} has no fiducial head: floors alone")
    path = args.out / "intervals.json"
    before = _earlier(path, args)
    result: dict[str, Any] = before or {}
    done: list[str] = []
    for name in args.only or PARTS:
        job.console.print(name)
        PARTS[name](job)
        done.append(name)
        result = _saved(path, job, args, before, done)
    draw(job.beats, job.noise, result, args.out, job.root)
    return result


def _saved(
    path: Path, job: Run, args: argparse.Namespace, before: dict[str, Any] | None, done: list[str]
) -> dict[str, Any]:
    """The file with the parts that are done, and with those of an earlier run that are not done again."""
    rows = job.rows if before is None else [r for r in _all(before) if _part(r) not in done] + job.rows
    rows = sorted(rows, key=lambda r: list(PARTS).index(_part(r)))
    data = {} if before is None else dict(before["data"])
    data |= {d: {"folder": catalog.about(d).folder, "licence": catalog.about(d).licence, "patients": len(p)}
             for d, p in sorted(job.patients.items())}  # fmt: skip
    parts = {} if before is None else dict(before["parts"])
    return run.save(
        path, "intervals", [r for r in rows if "difference" not in r], args.model, data,
        head=_head(args), head_folds=job.own.folds if job.own else None,
        parts=parts | dict.fromkeys(done, run.command()),
        differences=[r for r in rows if "difference" in r], metrics=METRICS,
        tolerances_ms={"boundaries": boundaries.TOLERANCES_MS, "confidence": TOLERANCE_MS},
        same_beat="a found R peak within 150 ms of the marked one; ventricular flutter (207) is not scored",
        pat_truth="mean of two detectors of R peaks and of two of feet where they agree within 20 ms; of delays a beat "
        "apart that whose changes do not carry those of RR",
    )  # fmt: skip


def _earlier(path: Path, args: argparse.Namespace) -> dict[str, Any] | None:
    """What the file holds, where only some parts are asked for and it is of the same weights and head."""
    if not args.only or not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    same = found["model"] == run.checkpoint(args.model) and found["head"] == _head(args)
    return found if same else None


def _head(args: argparse.Namespace) -> str | None:
    """The hash of the released head; None without one."""
    path = Path(args.heads or run.model_folder(args.model)) / HEAD_WEIGHTS
    return file_hash(path) if path.is_file() else None


def _all(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [*result["rows"], *result["differences"]]


def _part(row: dict[str, Any]) -> str:
    """The part of the benchmark that made a row; calibration is made beside what it is of."""
    return row["measure"] if row["task"] == "calibration" else row["task"]


def show(result: dict[str, Any]) -> None:
    """The main figures on the terminal."""
    table = Shown(title="intervals", caption=result["hardware"])
    for name in ("task", "where", "method", "metric", "value", "95 %", "patients", "n", "refused"):
        table.add_column(name)
    skipped = ("bias_ms", "curve")
    for r in result["rows"]:
        if r["metric"] in skipped:
            continue
        extra = [r.get(k) for k in ("set", "condition", "snr_db", "channel", "tolerance", "measure")]
        where = ", ".join(str(x) for x in extra if x is not None)
        bounds = "" if r.get("low") is None else f"{r['low']:g} – {r['high']:g}"
        cells = (
            r["task"],
            where,
            r["method"],
            r["metric"],
            f"{r['value']:g}",
            bounds,
            r.get("patients", ""),
            r.get("beats", ""),
        )
        table.add_row(*map(str, cells), str(r.get("refused", "")))
    Console(width=160).print(table)


def main(args: argparse.Namespace) -> None:
    """Run the parts that are asked for, print, write. Raises SignalError for an unknown part."""
    unknown = [name for name in args.only or () if name not in PARTS]
    if unknown:
        raise SignalError(f"a part must be one of {', '.join(PARTS)}, found {', '.join(unknown)}")
    show(intervals(argparse.Namespace(**vars(args) | {"limit": args.limit or ALL})))


def parser(about: str | None = None) -> argparse.ArgumentParser:
    """The arguments of the script; the command line has the same."""
    made = run.parser(about, ALL, "recordings of each set at most")
    made.add_argument("--heads", type=Path, help="folder of a head and of those of the folds (default: the model's)")
    made.add_argument("--only", nargs="*", choices=tuple(PARTS), help="parts to measure (default: all)")
    return made
