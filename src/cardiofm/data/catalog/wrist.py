"""Wrist PPG During Exercise: chest ECG and wrist PPG at 256 Hz while walking, running and cycling.

The files are EDF: their last second is filled up with each channel's smallest value, which is cut off here. The header
says mV for the ECG, but R waves of 200 to 500 and T waves of 100 "mV" at the skin can only be µV: they are divided by
1000. Motion destroys the pulse for seconds at a time.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.catalog import About, Entry, folder, split_of
from cardiofm.data.readers import read
from cardiofm.signals import Record

ABOUT = About(
    name="wrist",
    folder="wrist/1.0.0",
    licence="ODC-By-1.0",
    citation="Jarchi D, Casson AJ. Description of a database containing wrist PPG signals recorded during physical "
    "exercise with both accelerometer and gyroscope measures of motion. Data 2(1):1 (2017).",
    url="https://physionet.org/content/wrist/",
    pretrain=False,
    marker="s[0-9]_*.edf",
)
ECG, PPG = "chest_ecg", "wrist_ppg"


def entries(root: Path) -> list[Entry]:
    """One entry per file; label `activity`: walk, run, low_resistance_bike or high_resistance_bike."""
    found = []
    for path in sorted(folder(ABOUT, root).glob("s[0-9]_*.edf")):
        person, activity = path.stem.split("_", 1)
        patient = f"wrist-{person}"
        labels = {"activity": activity}
        found.append(Entry(ABOUT.name, path.stem, path.relative_to(root), patient, split_of(patient), labels))
    return found


def load(entry: Entry, root: Path) -> Record:
    """The chest ECG in mV and the wrist PPG in the sensor's own units (the header's mV are the sensor's output)."""
    record = read(root / entry.path, ecg=ECG, ppg=PPG)
    ecg, ppg = record.ecg, record.ppg
    assert ecg is not None
    assert ppg is not None
    x, y = ecg.values, ppg.values
    last = max(_unpadded(x), _unpadded(y))  # both have the same rate
    ecg = replace(ecg, samples=x[:last] / np.float32(1000), unit="mV")
    ppg = replace(ppg, samples=y[:last], unit="NU")
    notes = (*record.notes, "its mV are µV: divided by 1000")
    return replace(record, ecg=ecg, ppg=ppg, patient=entry.patient, notes=notes)


def _unpadded(values: NDArray[np.float32]) -> int:
    """How many samples there are before the run of the smallest value at the end.

    >>> _unpadded(np.array([3.0, 1.0, 2.0, 0.0, 0.0, 0.0]))
    3
    """
    changing = np.flatnonzero(values != values.min())
    return int(changing[-1]) + 1 if len(changing) else 0
