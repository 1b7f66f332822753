"""IEEE Signal Processing Cup 2015: running on a treadmill, green wrist PPG at 125 Hz, heart rate every 2 s.

Rows of `sig`: with six, ECG, two PPG, three of acceleration; with five (the test part), the same without the ECG. The
first PPG is used: its pulse points up and follows the R peak in every recording, the second one's does not always.
Motion destroys the pulse for seconds at a time, and the ECG is clipped at -1024 in places. Units are not stated.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.catalog import About, Entry, folder, split_of
from cardiofm.signals import Record, Signal, SignalError

ABOUT = About(
    name="ieee-spc-2015",
    folder="ieee-spc-2015",
    licence="CC-BY-4.0",
    citation="Zhang Z, et al. TROIKA: a general framework for heart rate monitoring using wrist-type "
    "photoplethysmographic signals during intensive physical exercise. IEEE Trans Biomed Eng 62(2):522-531 (2015).",
    url="https://doi.org/10.5281/zenodo.3902710",
    pretrain=False,
    marker="Training_data/DATA_*.mat",
)
FS_HZ = 125.0
WINDOW_S, STEP_S = 8.0, 2.0  # of the reference heart rate


def entries(root: Path) -> list[Entry]:
    """One entry per recording; `heart_rate` is the path of its reference (read with `heart_rate`)."""
    home = folder(ABOUT, root)
    found = []
    for path in sorted([*home.glob("*/DATA_*.mat"), *home.glob("TestData/TEST_*.mat")], key=lambda p: p.stem):
        if path.stem.endswith("BPMtrace"):
            continue
        number = re.fullmatch(r"(?:DATA|TEST)_(S?\d+)_.*", path.stem)
        if number is None:
            raise SignalError(f"{path.name} must be named DATA_01_TYPE01.mat or TEST_S01_T01.mat; restore its name")
        patient = f"ieee-spc-2015-{number[1]}"  # the test part has other people; S04 is in it and in the extra training
        reference = {
            "DATA_S": path.with_name(path.name.replace("DATA", "BPM")),
            "TEST_S": home / "TrueBPM" / path.name.replace("TEST", "True"),
        }.get(path.stem[:6], path.with_name(f"{path.stem}_BPMtrace.mat"))
        labels = {"heart_rate": reference.relative_to(root) if reference.is_file() else None}
        found.append(Entry(ABOUT.name, path.stem, path.relative_to(root), patient, split_of(patient), labels))
    return found


def load(entry: Entry, root: Path) -> Record:
    """The first PPG and, where there is one, the chest ECG, both in the recorder's own units at 125 Hz."""
    rows = _matrix(root / entry.path, "sig")
    if len(rows) not in (5, 6):
        raise SignalError(f"{entry.path.name} must have 5 or 6 rows, found {len(rows)}; get the file again")
    ecg = Signal(rows[0].astype(np.float32), FS_HZ, "NU", "ECG") if len(rows) == 6 else None
    ppg = Signal(rows[-5].astype(np.float32), FS_HZ, "NU", "PPG 1")
    notes = ("a chest lead instead of lead II",) if ecg else ()
    return Record(entry.record, ecg, ppg, patient=entry.patient, notes=notes)


def heart_rate(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Start of each 8-second window in seconds `(T,)` and its heart rate from the ECG, beats per minute `(T,)`."""
    bpm = _matrix(path, "BPM0").ravel()
    return STEP_S * np.arange(len(bpm), dtype=np.float64), bpm


def _matrix(path: Path, name: str) -> NDArray[np.float64]:
    from scipy.io import loadmat

    found = loadmat(path)
    if name not in found:
        raise SignalError(
            f"{path.name} must hold the variable {name!r}, found {sorted(k for k in found if k[0] != '_')}"
        )
    return np.asarray(found[name], dtype=np.float64)
