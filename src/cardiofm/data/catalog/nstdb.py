"""MIT-BIH Noise Stress Test Database: half an hour each of baseline wander, electrode motion and muscle noise, in mV.

Noise, not recordings of hearts: it augments training and is never prepared as a record.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cardiofm.data.catalog import About, Entry, folder
from cardiofm.data.readers import wfdb
from cardiofm.signals import Record

ABOUT = About(
    name="nstdb",
    folder="nstdb/1.0.0",
    licence="ODC-By-1.0",
    citation="Moody GB, Muldrow WK, Mark RG. A noise stress test for arrhythmia detectors. Comput Cardiol 11 (1984).",
    url="https://physionet.org/content/nstdb/",
    pretrain=False,
    marker="bw.hea",
)
_KINDS = {"bw": "baseline wander", "em": "electrode motion", "ma": "muscle"}


def entries(root: Path) -> list[Entry]:
    """Two entries per kind of noise, one per channel: `bw-1`, `bw-2`, `em-1`, …"""
    home = folder(ABOUT, root)
    return [
        Entry(
            dataset=ABOUT.name,
            record=f"{kind}-{channel}",
            path=(home / f"{kind}.hea").relative_to(root),
            patient=f"nstdb-{kind}",
            split="train",
            labels={"kind": kind, "words": words, "channel": f"noise{channel}"},
        )
        for kind, words in _KINDS.items()
        for channel in (1, 2)
    ]


def load(entry: Entry, root: Path) -> Record:
    """One channel of noise in the ECG's place, in mV."""
    record = wfdb.read(root / entry.path, ecg=entry.labels["channel"])
    return replace(record, patient=entry.patient, notes=(*record.notes, "noise, no heart"))
