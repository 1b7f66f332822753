"""BIDMC PPG and Respiration: 8-minute ICU excerpts from MIMIC-II; lead II and pleth at 125 Hz, vital signs at 1 Hz.

Seven records come from repeated patients: the patient is the MIMIC id in `_Fix.txt`. The bedside monitor delays the
pleth by a fixed time (R peak to upslope 552 ms in the median), so PAT is beat-synchronous but relative: a note says so.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.catalog import About, Entry, folder, split_of
from cardiofm.data.readers import wfdb
from cardiofm.signals import Record, SignalError

ABOUT = About(
    name="bidmc",
    folder="bidmc/1.0.0",
    licence="ODC-By-1.0",
    citation="Pimentel MAF, et al. Toward a robust estimation of respiratory rate from pulse oximeters. "
    "IEEE Trans Biomed Eng 64(8):1914-1923 (2017).",
    url="https://physionet.org/content/bidmc/",
    pretrain=False,
    marker="bidmc[0-9][0-9].hea",
)
DELAYED = "the monitor delays the PPG by a fixed, unknown time: PAT is relative"


def entries(root: Path) -> list[Entry]:
    """One entry per header; labels `age` (90: above 89), `sex`, `location` and the path of the 1 Hz `numerics`."""
    found = []
    for header in sorted(folder(ABOUT, root).glob("bidmc[0-9][0-9].hea")):
        fix = _fix(header)
        patient = f"bidmc-{fix['MIMIC II matched wdb ID']}"
        age = fix.get("Age", "").rstrip("+")
        labels = {
            "age": float(age) if age.isdigit() else None,
            "sex": fix["Gender"] if fix.get("Gender") in ("F", "M") else None,
            "location": fix.get("Location"),
            "numerics": _beside(header, f"bidmc_{header.stem[-2:]}_Numerics.csv").relative_to(root),
        }
        found.append(Entry(ABOUT.name, header.stem, header.relative_to(root), patient, split_of(patient), labels))
    return found


def load(entry: Entry, root: Path) -> Record:
    """Lead II in mV and the pleth in NU, 125 Hz."""
    record = wfdb.read(root / entry.path, ecg="II", ppg="PLETH")
    return replace(record, patient=entry.patient, notes=(*record.notes, DELAYED))


def numerics(path: Path) -> dict[str, NDArray[np.float64]]:
    """The monitor's values once a second, `(T,)` each: "Time [s]", "HR" and "PULSE" per minute, "RESP", "SpO2" in %.

    The file's column names start with a space and their order varies; a missing value is NaN.
    """
    with path.open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    table = np.array([[float(cell) if cell.strip() else np.nan for cell in row] for row in rows if row])
    return {name.strip(): table[:, i] for i, name in enumerate(names)}


def _fix(header: Path) -> dict[str, str]:
    """The `key: value` lines of the record's `_Fix.txt`."""
    number = header.stem[-2:]
    path = _beside(header, f"bidmc{number}_Fix.txt", f"bidmc_{number}_Fix.txt")
    lines = path.read_text(encoding="utf-8").splitlines()
    return {key.strip(): value.strip() for key, sep, value in (line.partition(":") for line in lines) if sep}


def _beside(header: Path, *names: str) -> Path:
    """The first of these files beside the header or in `bidmc_csv/`, where the home archive has them."""
    places = [place / name for place in (header.parent, header.parent / "bidmc_csv") for name in names]
    for path in places:
        if path.is_file():
            return path
    raise SignalError(
        f"{header.name} must have {names[0]} beside it or in bidmc_csv/, found none; get the whole dataset"
    )
