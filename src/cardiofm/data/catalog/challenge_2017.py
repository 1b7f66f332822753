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
    """True when QRS and T both point down: the device was turned around (the lead is I-like: R tall, S small, T up).

    The QRS band (2-30 Hz) is cut into 1.5-second pieces, each with at least one beat down to 40 bpm; the medians over
    the pieces of depth and height ignore artefacts. QRS complexes clearly deeper than tall (1.4 times) alone could be
    a deviated axis, so the T wave of the median beat must agree, unless they are almost all depth (2.8 times). Near a
    tie the file is left as it is. P waves, which the rule does not use, agree with it in 92 % of the turned records.
    """
    from scipy.signal import butter, sosfiltfilt

    x = np.nan_to_num(np.asarray(values_n, np.float64))
    step, before, after = (round(t_s * fs_hz) for t_s in (1.5, 0.15, 0.4))
    if len(x) < 2 * step:
        return False
    band = sosfiltfilt(butter(2, (2.0, 30.0), "bandpass", fs=fs_hz, output="sos"), x)
    pieces = band[: len(band) // step * step].reshape(-1, step)
    depth, height = float(np.median(-pieces.min(1))), float(np.median(pieces.max(1)))
    if depth < 1.4 * height:
        return False
    slow = sosfiltfilt(butter(2, (0.5, 20.0), "bandpass", fs=fs_hz, output="sos"), x)
    lowest = np.arange(len(pieces)) * step + pieces.argmin(1)
    beats = [slow[k + before : k + after] for k in lowest if k + after <= len(slow)]
    t_wave = np.median(beats, axis=0)
    return bool(t_wave[np.abs(t_wave).argmax()] < 0 or depth > 2.8 * height)
