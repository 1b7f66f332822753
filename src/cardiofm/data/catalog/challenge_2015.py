"""PhysioNet/CinC Challenge 2015: ICU alarms; one ECG lead and the pleth, alarm type and whether the alarm was true.

Missing samples (NaN) and flat lines are part of the task: NaN stays NaN and `windows.cut` masks flat stretches. Where
a record has arterial pressure (ABP) instead of a pleth it has no PPG: a pressure wave is another signal. Patients are
not disclosed, so the record is the patient. The alarm sounds at 5:00.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from cardiofm.data.catalog import About, Entry, folder, split_of
from cardiofm.data.readers import wfdb
from cardiofm.signals import Record

ABOUT = About(
    name="challenge-2015",
    folder="challenge-2015/1.0.0",
    licence="ODC-By-1.0",
    citation="Clifford GD, et al. The PhysioNet/Computing in Cardiology Challenge 2015: Reducing False Arrhythmia "
    "Alarms in the ICU. Comput Cardiol 42 (2015).",
    url="https://physionet.org/content/challenge-2015/",
    pretrain=True,
    marker="training/ALARMS",
)
ALARM_S = 300.0  # when the alarm sounds, record time


def entries(root: Path) -> list[Entry]:
    """One entry per line of ALARMS; labels `alarm` (the type) and `true_alarm`."""
    home = folder(ABOUT, root) / "training"
    found = []
    with (home / "ALARMS").open(newline="", encoding="utf-8") as file:
        for record, alarm, truth in csv.reader(file):
            patient = f"challenge-2015-{record}"
            found.append(
                Entry(
                    dataset=ABOUT.name,
                    record=record,
                    path=(home / f"{record}.hea").relative_to(root),
                    patient=patient,
                    split=split_of(patient),
                    labels={"alarm": alarm, "true_alarm": truth.strip() == "1", "alarm_s": ALARM_S},
                    pretrain=True,
                )
            )
    return sorted(found, key=lambda e: e.record)


def load(entry: Entry, root: Path) -> Record:
    """The ECG lead nearest to II and the pleth, if there is one (a pressure channel is no pleth to the reader)."""
    return replace(wfdb.read(root / entry.path), patient=entry.patient)
