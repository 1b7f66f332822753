"""How good the shipped heads are on people that they did not learn from, through the users' door.

Writes results/heads.json and .png (ROC, confusion, calibration). Every recording of the test patients (PTB-XL fold 9,
the catalog's test splits of the challenges) is read and looked at as `Head.predict` does. The floors (boosted trees on
the hand-crafted numbers alone, and a constant) are those of the head's own report, made on the same recordings. 95 %
intervals over patients.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cardiofm import heads, weights
from cardiofm.data import catalog
from cardiofm.evaluate import cached, run
from cardiofm.evaluate.heads_picture import Told, draw
from cardiofm.evaluate.tables.heads import heads as table
from cardiofm.heads.head import Head
from cardiofm.heads.labels import Example, target
from cardiofm.heads.learn.fit import untold
from cardiofm.heads.learn.gather import gather
from cardiofm.heads.learn.release import MOST, SHIPPED, Shipped, examples
from cardiofm.heads.learn.report import metrics_of, scored
from cardiofm.heads.look import Seen, View
from cardiofm.pipeline import load
from cardiofm.signals import SignalError

UNTOLD = "head, type not told"


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    found = run.parser(about, MOST, "recordings of a dataset, the first by the hash of their names")
    cached.add_argument(found)
    found.add_argument("--heads", type=Path, default=weights.HEADS, help="folder of the heads; default the shipped")
    return found


def main(args: argparse.Namespace) -> None:
    """Predict, score, print, write the results."""
    model = load(args.model, backend=args.backend, threads=args.threads)
    rows: list[dict[str, Any]] = []
    every: list[Told] = []
    data: dict[str, Any] = {}
    absent: dict[str, str] = {}
    seen: dict[tuple[str, View], tuple[list[Example], list[Seen]]] = {}
    for one in SHIPPED:
        head = heads.load(args.heads / one.plan.name)
        key = one.dataset, head.about.view
        try:
            tested = [e for e in examples(one.dataset, args.data_root, args.limit) if e.split == "test"]
        except SignalError as error:
            absent[one.plan.name] = str(error)
            print(f"{one.plan.name}: {error}", file=sys.stderr)
            continue
        if key not in seen:  # what several heads look at is read once
            seen[key] = gather(tested, head.fitting(model), head.about.view, args.cache)
        label = {e.record: one.label(e) for e in catalog.entries(one.dataset, args.data_root)}
        every.append(told(head, one, *seen[key], label))
        refused = {"refused": len(tested) - len(seen[key][1])}
        rows += [row | refused for row in measured(every[-1], one.dataset)]
        if types := len(head.about.view.types):
            good, known = seen[key]
            blind = told(head, one, good, [untold(s, types) for s in known], label)
            own = (row for row in measured(blind, one.dataset) if row["method"] == "head")
            rows += [row | refused | {"method": UNTOLD} for row in own]
        data[one.plan.name] = {
            "set": one.dataset,
            "licence": catalog.about(one.dataset).licence,
            "records": len(tested),
        }
    if not rows:
        raise SignalError(f"{args.data_root} must hold a set that heads were made of, found none; give --data-root")
    result = run.save(args.out / "heads.json", "heads", rows, args.model, data, absent=absent)
    draw(every, args.out / "heads.png")
    print("\n".join(table(result)))


def told(head: Head, one: Shipped, tested: list[Example], seen: list[Seen], label: dict[str, str | None]) -> Told:
    """What a head says of the records whose label is known, and what is true."""
    at = [k for k, e in enumerate(tested) if label[e.name] is not None]
    known = [replace(tested[k], label=str(label[tested[k].name])) for k in at]
    about, found = head.about, [head.told(seen[k]) for k in at]
    y = target(known, one.plan.kind, about.classes or None).y
    values = np.array([[p.value] if p.value is not None else [p.probability[c] for c in about.classes] for p in found])
    return Told(about, y, values, [e.patient for e in known])


def measured(own: Told, dataset: str) -> list[dict[str, Any]]:
    """Rows of one head, each a metric of a method."""
    about = own.about
    what = {"head": about.name, "set": dataset, "form": about.form}
    rows = []
    for name in metrics_of(about):
        now = scored(about, name, own.y, own.found, own.patients)
        floors = about.report["scores"][name].items()
        rows.append(what | {"metric": name, "method": "head"} | now)
        rows += [what | {"metric": name, "method": who} | v for who, v in floors if who != "head"]
    return rows
