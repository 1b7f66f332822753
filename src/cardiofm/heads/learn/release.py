"""The shipped heads from the recordings that they are made of: `python -m cardiofm.heads.learn.release`."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from cardiofm.data import catalog
from cardiofm.data.catalog import Entry
from cardiofm.heads.labels import Example
from cardiofm.heads.look import View
from cardiofm.signals import Record

ALARM_S = 30.0  # before the alarm
_FOLDS = {8: "valid", 9: "test"}  # of ptb-xl; 1 to 7 train, 10 is sealed
_SEALED = 10


def examples(dataset: str, data_root: Path, limit: int | None = None) -> tuple[list[Example], View]:
    """Recordings of a dataset that heads may see, the first by the hash of their names, and how they are looked at."""
    found = [e for e in catalog.entries(dataset, data_root) if e.labels.get("strat_fold") != _SEALED]
    found = sorted(found, key=lambda e: hashlib.sha256(f"{e.dataset} {e.record}".encode()).digest())[:limit]
    view = View(last_s=ALARM_S) if dataset == "challenge-2015" else View()
    return [Example(e.record, partial(_read, e, data_root), "", e.patient, _split(e)) for e in found], view


def _split(entry: Entry) -> str:
    fold = entry.labels.get("strat_fold")
    return entry.split if fold is None else _FOLDS.get(fold, "train")


def _read(entry: Entry, data_root: Path) -> Record:
    record = catalog.load(entry, data_root)
    alarm_s = entry.labels.get("alarm_s")
    return record if alarm_s is None else record.crop(alarm_s - ALARM_S, alarm_s)
