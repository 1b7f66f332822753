"""The shipped heads from their recordings: `python -m cardiofm.heads.learn.release --data-root DIR`.

Heads see training and validation patients: folds 1 to 7 and 8 of PTB-XL, the catalog's splits of the challenges. Fold 9
and the test splits are scored once, in the report; fold 10 is not touched. Which form a head has is decided by the loss
of the validation patients.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cardiofm import weights
from cardiofm.data import catalog
from cardiofm.data.catalog import Entry
from cardiofm.heads.head import Head
from cardiofm.heads.labels import Example, parts, target
from cardiofm.heads.learn.finetune import Plan, made
from cardiofm.heads.learn.fit import Data, also_untold, boosted_on_hand_crafted, fit
from cardiofm.heads.learn.gather import CACHE, gather
from cardiofm.heads.learn.report import lines
from cardiofm.heads.look import View
from cardiofm.measure.alarm import LOOK_S
from cardiofm.pipeline import Model, load
from cardiofm.signals import Record

MOST = 6000  # recordings of a dataset: all
ALARMS = ("Asystole", "Bradycardia", "Tachycardia", "Ventricular_Flutter_Fib", "Ventricular_Tachycardia")
OF_THE_RHYTHM = View(numbers="rhythm")
BEFORE_THE_ALARM = View(last_s=LOOK_S, numbers="end", types=ALARMS)
MISSED = 5  # what a true alarm that is missed costs, in false ones: PhysioNet/CinC 2015
_FOLDS = {8: "valid", 9: "test"}  # of ptb-xl; 1 to 7 train, 10 is sealed
_SEALED = 10
_FORMS: tuple[dict[str, Any], ...] = ({"form": "linear"}, {"form": "linear", "linear_of": "both"}, {"form": "fused"})
_OF_WINDOWS: tuple[dict[str, Any], ...] = ({"form": "attention"}, {"form": "fused-attention"})


@dataclass(frozen=True)
class Shipped:
    """A head of this package: the recordings that it is made of, and what it is asked."""

    dataset: str
    plan: Plan
    label: Callable[[Entry], str | None]  # None: the recording says nothing of this


SHIPPED = (
    Shipped(
        "ptb-xl",
        Plan(
            "superclass", "multilabel", "what a 10-second clinical ECG shows", threshold="f1",
            classes=("NORM", "MI", "STTC", "CD", "HYP"),
        ),
        lambda e: ";".join(e.labels["superclasses"]) or None,
    ),
    Shipped(
        "challenge-2017",
        Plan(
            "af", "classification", "atrial fibrillation", classes=("not AF", "AF"), threshold="f1", view=OF_THE_RHYTHM
        ),
        lambda e: "AF" if e.labels["rhythm"] == "A" else "not AF",
    ),
    Shipped(
        "challenge-2015",
        Plan(
            "alarm", "classification", "whether the arrhythmia alarm at the end is true", classes=("false", "true"),
            threshold=1 / (1 + MISSED), view=BEFORE_THE_ALARM,
        ),
        lambda e: "true" if e.labels["true_alarm"] else "false",
    ),
    Shipped("ptb-xl", Plan("age", "regression", "age", unit="years"), lambda e: _text(e.labels["age"])),
    Shipped("ptb-xl", Plan("sex", "classification", "sex", classes=("F", "M")), lambda e: e.labels["sex"]),
)  # fmt: skip


def examples(dataset: str, data_root: Path, limit: int | None = None) -> list[Example]:
    """Recordings of a dataset that heads may see, the first by the hash of their names."""
    found = [e for e in catalog.entries(dataset, data_root) if e.labels.get("strat_fold") != _SEALED]
    found = sorted(found, key=lambda e: hashlib.sha256(f"{e.dataset} {e.record}".encode()).digest())[:limit]
    return [
        Example(e.record, partial(_read, e, data_root), "", e.patient, _split(e), e.labels.get("alarm")) for e in found
    ]


def release(
    one: Shipped, model: Model, data_root: Path, out: Path, cache: Path | None = None, limit: int | None = None
) -> Head:
    """One head, in the form that the validation patients like best, written to a folder of its name in `out`."""
    view = one.plan.view
    good, seen = gather(examples(one.dataset, data_root, limit), model, view, cache)
    label = {e.record: one.label(e) for e in catalog.entries(one.dataset, data_root)}
    rows = [k for k, e in enumerate(good) if label[e.name] is not None]
    labelled = [replace(good[k], label=str(label[good[k].name])) for k in rows]
    plan = replace(one.plan, data=_source(one.dataset))
    goal = target(labelled, plan.kind, plan.classes)
    data = Data([seen[k] for k in rows], goal, np.asarray(parts(labelled, goal)))
    learned = also_untold(data, len(view.types))
    trees = boosted_on_hand_crafted(learned, plan.threshold).parts.trees
    several = max(len(s.known) for s in seen) > 1
    plans = [replace(plan, **form) for form in (*_FORMS, *(_OF_WINDOWS if several else ()))]
    losses = {p: fit(learned, p.form, p.linear_of, p.threshold, trees).loss for p in plans}
    head = made(labelled, data, min(plans, key=lambda p: losses[p]), model)
    head.save(out / plan.name)
    return head


def _source(dataset: str) -> dict[str, str]:
    about = catalog.about(dataset)
    return {"name": about.name, "licence": about.licence, "citation": about.citation, "url": about.url}


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"


def _split(entry: Entry) -> str:
    fold = entry.labels.get("strat_fold")
    return entry.split if fold is None else _FOLDS.get(fold, "train")


def _read(entry: Entry, data_root: Path) -> Record:
    record = catalog.load(entry, data_root)
    alarm_s = entry.labels.get("alarm_s")
    return record if alarm_s is None else record.crop(alarm_s - LOOK_S, alarm_s)


def main() -> None:
    """Make all shipped heads, or the named ones."""
    names = tuple(one.plan.name for one in SHIPPED)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("CARDIOFM_DATA_ROOT", "../shared/data")
    parser.add_argument("--data-root", type=Path, default=Path(data), help="folder of the datasets")
    parser.add_argument("--model", default="base", help="a released model's name or a model folder")
    parser.add_argument("--out", type=Path, default=weights.HEADS, help="the heads get folders of their names in it")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder that keeps what was seen of the recordings")
    parser.add_argument("--limit", type=int, default=MOST, help="recordings of a dataset (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="default: all")
    args = parser.parse_args()
    model = load(args.model, threads=1)
    for one in SHIPPED:
        if one.plan.name in args.only:
            head = release(one, model, args.data_root, args.out, args.cache, args.limit)
            print(f"{head.about.name}: {head.about.form} on {head.about.linear_of}", *lines(head.about), sep="\n")


if __name__ == "__main__":
    main()
