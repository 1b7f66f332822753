"""Welltory: a finger on a phone camera, about 30 frames per second on an uneven clock, RR intervals of a chest strap.

Red is used: its pulse is the clearest of the three colours in most recordings, except where red is saturated (20, 21):
there it is green. More blood lets less light through, so every colour's pulse points down and is turned. Frames come
1 to 600 ms apart: the reader of tables puts them on an even clock and leaves what lies in a gap empty.

13 people made 21 recordings; who made which is not disclosed, so the recording is the patient.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from cardiofm.data.catalog import About, Entry, folder, split_of
from cardiofm.data.readers import read
from cardiofm.signals import Record, Signal

ABOUT = About(
    name="welltory",
    folder="welltory",
    licence="CC0-1.0",
    citation="Neshitov A, et al. Wavelet analysis and self-similarity of photoplethysmography signals for HRV "
    "estimation and quality assessment. Sensors 21(20):6798 (2021).",
    url="https://github.com/Welltory/welltory-ppg-dataset",
    pretrain=False,
    marker="data/subject_*/PPG.csv",
)
SATURATED = 254.0  # of 255


def entries(root: Path) -> list[Entry]:
    """One entry per recording; label `rr_ms`: the chest strap's RR intervals, in order, without a common clock."""
    found = []
    for path in sorted(folder(ABOUT, root).glob("data/subject_*/PPG.csv")):
        record = path.parent.name
        patient = f"welltory-{record}"
        strap = path.with_name("RR.txt")
        rr_ms = tuple(int(word) for word in strap.read_text(encoding="ascii").split()) if strap.is_file() else None
        found.append(Entry(ABOUT.name, record, path.relative_to(root), patient, split_of(patient), {"rr_ms": rr_ms}))
    return found


def load(entry: Entry, root: Path) -> Record:
    """The PPG in the camera's own units, pulse upwards, on the even clock (about 30 Hz) that the reader makes."""
    record = read(root / entry.path, ecg="none", ppg="R")
    if np.nanmedian(_ppg(record).values) >= SATURATED:
        record = read(root / entry.path, ecg="none", ppg="G")
    ppg = replace(_ppg(record), inverted=True)
    notes = (*record.notes, f"channel {ppg.name!r} is turned upside down: a camera's pulse points down")
    return replace(record, name=f"welltory-{entry.record}", ppg=ppg, patient=entry.patient, notes=notes)


def _ppg(record: Record) -> Signal:
    assert record.ppg is not None
    return record.ppg
