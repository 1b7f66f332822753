"""PhysioNet/CinC Challenge 2017: hand-held single-lead ECGs; normal, AF, other or noisy (labels version 3).

About a quarter of the recordings were made with the device turned around and are upside down. The file does not say
which, so `upside_down` decides per record from the QRS complexes. Patients are not disclosed: the record is the
patient.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.catalog import About, Entry, folder, split_of
from cardiofm.data.readers import wfdb
from cardiofm.signals import Record

ABOUT = About(
    name="challenge-2017",
    folder="challenge-2017/1.0.0",
    licence="ODC-By-1.0",
    citation="Clifford GD, et al. AF Classification from a Short Single Lead ECG Recording: the PhysioNet/Computing in "
    "Cardiology Challenge 2017. Comput Cardiol 44 (2017).",
    url="https://physionet.org/content/challenge-2017/",
    pretrain=True,
    marker="training/A00",
)


def entries(root: Path) -> list[Entry]:
    """One entry per line of REFERENCE-v3.csv; label `rhythm` is N, A (AF), O (other) or ~ (too noisy)."""
    home = folder(ABOUT, root)
    inside = home / "training" / "REFERENCE-v3.csv"
    found = []
    with (inside if inside.is_file() else home / inside.name).open(newline="", encoding="utf-8") as file:
        for name, rhythm, *_ in csv.reader(file):  # the name is "A00001" or "A00/A00001"
            record = name.rpartition("/")[2]
            path = home / "training" / record[:3] / f"{record}.hea"
            patient = f"challenge-2017-{record}"
            found.append(
                Entry(
                    dataset=ABOUT.name,
                    record=record,
                    path=path.relative_to(root),
                    patient=patient,
                    split=split_of(patient),
                    labels={"rhythm": rhythm},
                    pretrain=True,
                )
            )
    return sorted(found, key=lambda e: e.record)


def load(entry: Entry, root: Path) -> Record:
    """The one lead, turned upright where it was recorded upside down (`ecg.inverted`, and a note)."""
    record = replace(wfdb.read(root / entry.path), patient=entry.patient)
    ecg = record.ecg
    assert ecg is not None
    if upside_down(ecg.values, ecg.fs_hz):
        notes = (*record.notes, "recorded upside down, turned upright")
        return replace(record, ecg=replace(ecg, inverted=not ecg.inverted), notes=notes)
    return record


def upside_down(values_n: NDArray[np.float32], fs_hz: float) -> bool:
    """True when most QRS complexes point down: their depth is more than 1.2 times their height, by the median.

    The QRS band (2-30 Hz) is cut into 1.5-second pieces, each holding at least one beat down to 40 bpm. In each the
    largest and the smallest value are taken; the medians over the pieces ignore artefacts. The lead is I-like: R is
    tall and S is small, so a clearly deeper than taller QRS means a turned device (or a marked right axis: rare, and
    the same picture). Near a tie the file is left as it is.
    """
    from scipy.signal import butter, sosfiltfilt

    x = np.nan_to_num(np.asarray(values_n, np.float64))
    step = round(1.5 * fs_hz)
    if len(x) < step:
        return False
    band = sosfiltfilt(butter(2, (2.0, 30.0), "bandpass", fs=fs_hz, output="sos"), x)
    pieces = band[: len(band) // step * step].reshape(-1, step)
    return float(np.median(-pieces.min(1))) > 1.2 * float(np.median(pieces.max(1)))
