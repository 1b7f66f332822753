"""Which windows are scored: chosen by patient and by position, never by how they look."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cardiofm.data import catalog
from cardiofm.data.quality import quality
from cardiofm.data.windows import window_at
from cardiofm.signals import MODALITIES, InputSpec, Window

HELD_OUT = (
    "challenge-2015",
    "challenge-2017",
    "mitdb",
    "qtdb",
    "ptb-xl",
)  # their test patients
ZERO_SHOT = ("bidmc", "ludb", "ppg-bp", "ieee-spc-2015", "wrist")  # never trained on
CLEAN = 0.6
CLEAN_RULE = f"cardiofm.data.quality of the channel from its first to its last known sample is at least {CLEAN:g}"


@dataclass(frozen=True)
class Piece:
    """One window of one patient."""

    dataset: str
    patient: str
    record: str
    window: Window


def pieces(dataset: str, data_root: Path, spec: InputSpec, limit: int, split: str | None = None) -> list[Piece]:
    """About `limit` windows of a dataset (or of one split of it), from as many patients as there are up to `limit`.

    Patients come in the order of the hash of their names; where there are fewer than `limit`, each gives several
    windows, spread evenly over the patient's records and over the record.
    """
    entries: dict[str, list[catalog.Entry]] = {}
    for entry in catalog.entries(dataset, data_root):
        if split in (None, entry.split) and entry.labels.get("strat_fold") != 10:  # PTB-XL's last fold stays sealed
            entries.setdefault(entry.patient, []).append(entry)
    chosen = sorted(entries, key=lambda patient: hashlib.sha256(patient.encode()).digest())[:limit]
    each = max(1, limit // max(1, len(chosen)))
    found = []
    for patient in chosen:
        own = sorted(entries[patient], key=lambda e: e.record)
        for k in range(each):
            place = (k + 0.5) / each * len(own)
            entry = own[int(place)]
            record = catalog.load(entry, data_root)
            start_s = record.start_s + max(0.0, record.duration_s - spec.window_s) * (place - int(place))
            grid_s = record.start_s + round((start_s - record.start_s) * spec.fs_hz) / spec.fs_hz
            found.append(Piece(dataset, patient, entry.record, window_at(record, spec, grid_s)))
    return found


def is_clean(window: Window, channel: int, fs_hz: float) -> bool:
    """Whether a channel of a window passes `CLEAN_RULE`; a short recording is not blamed for the rest of the window."""
    known = np.flatnonzero(window.valid[channel])
    if not len(known):
        return False
    part = slice(known[0], known[-1] + 1)
    return quality(window.values[channel][part], window.valid[channel][part], fs_hz, MODALITIES[channel]) >= CLEAN


def summary(used: Iterable[Piece]) -> dict[str, Any]:
    """Per dataset what was used: folder, licence, patients, windows, and a hash of which windows they are."""
    by_set: dict[str, list[Piece]] = {}
    for piece in used:
        by_set.setdefault(piece.dataset, []).append(piece)
    return {
        dataset: {
            "folder": catalog.about(dataset).folder,
            "licence": catalog.about(dataset).licence,
            "patients": len({p.patient for p in own}),
            "windows": len(own),
            "windows_sha256": _hash(own),
        }
        for dataset, own in by_set.items()
    }


def _hash(own: list[Piece]) -> str:
    """Of names, positions and the samples themselves."""
    digest = hashlib.sha256()
    for piece in own:
        digest.update(f"{piece.patient} {piece.record} {piece.window.start_s:.3f}\n".encode())
        digest.update(piece.window.values.tobytes())
    return digest.hexdigest()
