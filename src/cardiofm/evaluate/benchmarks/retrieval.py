"""Whose heart is it? What an embedding reveals of its owner.

Writes results/retrieval.json. On BIDMC, a set the model was never trained on, on QTDB and on 150 recordings of
challenge-2015 (both of which it may have been trained on), every window looks for the most alike one (cosine of
z-scored numbers) among the windows of other records and those of its own record that lie at least 2 minutes away.
Counted are the share whose neighbour is the same patient (rank 1) and the mean average precision of all of them, most
alike first. The same neighbour among other records only, for patients who have several, on BIDMC and on PTB-XL (whose
folds 1 to 8 the model may have been trained on). And verification: the rate at which as many own windows are missed as
others' are let in. All averaged over patients, with 95 % bootstraps over patients. Nobody tells who has several records
in challenge-2015: there a record is a patient. Beside it: chance, the same network untrained, MiniRocket and
hand-crafted numbers. A set without its folder is named and left out. Features are kept in --cache.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cardiofm.evaluate import cached, cohorts, frozen, identity, run
from cardiofm.evaluate.bootstrap import Interval, difference, interval
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.sample import Piece, summary
from cardiofm.pipeline import load
from cardiofm.signals import InputSpec

APART_S = 120.0
SETS = ("bidmc", "qtdb", "challenge-2015", "ptb-xl")
ALARMS = 150  # recordings of challenge-2015, half as many windows of each as of the others
NEAREST, ANOTHER, ERROR = "same patient", "same patient, another recording", "equal error rate"
PRECISION = "mean average precision"
FEW = 3  # patients with several records: fewer say nothing


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    found = run.parser(about, 12, "windows of each record of BIDMC and QTDB, evenly spaced")
    cached.add_argument(found)
    run.add_only(found, SETS, "sets")
    return found


def main(args: argparse.Namespace) -> None:
    """Embed the windows, compare them, print the table, write the results."""
    asked = run.only(args, SETS, "set")
    sha256 = run.checkpoint(args.model)["sha256"]
    model = load(args.model, backend=args.backend, threads=args.threads)
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    used: list[Piece] = []
    records = {}
    about = {"chance": "by counts"}
    absent: dict[str, str] = {}
    for name, cohort in cohorts.here({name: partial(_read, name, args, model.spec) for name in asked}, absent):
        values, own = frozen.numbers(cohort, model, sha256, args.cache)
        about = own | about
        for more, all_of in zip(compared(values, cohort, name != "ptb-xl"), (rows, differences), strict=True):
            all_of += more
        used += cohort.pieces()
        records[name] = len(cohort.entries)
    frozen.unchanged(sha256, run.checkpoint(args.model)["sha256"])
    result = run.save(
        args.out / "retrieval.json", "retrieval", rows, args.model, summary(used), methods=about,
        metrics={NEAREST: "share of windows", ANOTHER: "share of windows", ERROR: "share of pairs",
                 PRECISION: "mean over windows"},
        apart_s=APART_S, records=records, differences=differences, absent=absent,
    )  # fmt: skip
    show(result)


def _read(name: str, args: argparse.Namespace, spec: InputSpec) -> Cohort:
    if name == "ptb-xl":
        return cohorts.ptb_xl(args.data_root, spec)
    if name == "challenge-2015":
        return cohorts.long_challenge_2015(args.data_root, spec, ALARMS, max(2, args.limit // 2))
    return {"bidmc": cohorts.bidmc, "qtdb": cohorts.qtdb}[name](args.data_root, spec, each=args.limit)


def compared(
    values: dict[str, NDArray[np.floating]], cohort: Cohort, long: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(rows, paired differences to the model); a set of long records also has neighbours within a record."""
    of = [cohort.entries[k] for k in cohort.of_window]
    patients, records = [e.patient for e in of], [e.record for e in of]
    apart = identity.eligible(records, np.array([w.start_s for w in cohort.windows]), APART_S)
    like = {name: identity.similarity(_filled(x)) for name, x in values.items()}
    found: list[tuple[dict[str, str], Interval]] = []
    gains: list[tuple[dict[str, str], Interval]] = []
    for metric in (NEAREST, ANOTHER) if long else (ANOTHER,):
        allowed = apart if metric == NEAREST else identity.in_another_record(records, patients)
        asked = np.flatnonzero(allowed.any(1))
        own = [patients[k] for k in asked]
        if metric == ANOTHER and len(set(own)) < FEW:
            continue
        hits = {name: identity.same_patient(one, patients, allowed)[asked] for name, one in like.items()}
        hits["chance"] = identity.chance(patients, allowed)[asked]
        for name, hit in hits.items():
            found.append(({"metric": metric, "method": name}, interval(hit, own)))
            gains.append(({"metric": metric, "difference": f"model - {name}"}, difference(hits["model"], hit, own)))
    if long:
        each = {name: identity.average_precision(one, patients, apart) for name, one in like.items()}
        asked = np.flatnonzero(np.isfinite(each["model"]))
        own = [patients[k] for k in asked]
        for name, one in each.items():
            found.append(({"metric": PRECISION, "method": name}, interval(one[asked], own)))
            gain = difference(each["model"][asked], one[asked], own)
            gains.append(({"metric": PRECISION, "difference": f"model - {name}"}, gain))
        checks = {name: identity.verification(one, patients, apart) for name, one in like.items()}
        for name, one in checks.items():
            gain = identity.equal_error(checks["model"], one)
            found.append(({"metric": ERROR, "method": name}, identity.equal_error(one)))
            gains.append(({"metric": ERROR, "difference": f"model - {name}"}, gain))
    gains = [(what, value) for what, value in gains if what["difference"] != "model - model"]
    name = cohort.dataset
    return [_row(v, set=name, **what) for what, v in found], [_row(v, set=name, **what) for what, v in gains]


def _filled(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """NaN replaced by the median of the others; a number that no window has becomes 0."""
    known = np.isfinite(values)
    middle = [np.median(column[is_in]) if is_in.any() else 0.0 for column, is_in in zip(values.T, known.T, strict=True)]
    return np.where(known, values, np.array(middle))


def _row(value: Interval, **names: str) -> dict[str, Any]:
    return run.row(value, 4, **names, refused=0)


def show(result: dict[str, Any]) -> None:
    """The table on the terminal."""
    table = Table(title="whose window is it?")
    for name in ("set", "metric", "method", "value", "95 %", "patients", "windows"):
        table.add_column(name)
    for r in result["rows"]:
        bounds = f"{r['low']:.1%} - {r['high']:.1%}"
        counts = (str(r["patients"]), str(r["windows"]))
        table.add_row(r["set"], r["metric"], result["methods"][r["method"]], f"{r['value']:.1%}", bounds, *counts)
    Console(width=180).print(table)
