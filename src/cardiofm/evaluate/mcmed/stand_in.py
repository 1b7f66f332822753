"""A synthetic stand-in for MC-MED: its files and folders, simulated signals, labels drawn at random.

It shows that the benchmark runs. What it measures says nothing of MC-MED or of anybody's heart: every waveform file
carries the note "simulated", and the benchmark then says so wherever it prints or writes.
"""

from __future__ import annotations

import csv
import datetime
from pathlib import Path
from typing import Any

import numpy as np

from cardiofm.data.simulate import simulate
from cardiofm.evaluate.mcmed.labels import CONDITIONS, DISPOSITION, LABS
from cardiofm.evaluate.mcmed.probe import Protocol
from cardiofm.evaluate.mcmed.visits import CHANNELS, SPLITS
from cardiofm.signals import Signal, SignalError

VISITS = 48
SEGMENT_S = 20.0  # in the place of ten minutes
PROTOCOL = Protocol((1.0, 0.5), runs=1, alphas=(1.0, 1e3), cs=(1e-2, 1.0), repeats=100)  # enough to show that it runs
SHARE = {"train": 0.6, "valid": 0.2, "test": 0.2}
FS_HZ = {"ecg": 500.0, "ppg": 125.0}
FIRST = 98_000_101  # CSN
_LATE_S = 1.5  # at most, that the PPG starts after the ECG


def write(place: Path, visits: int = VISITS, segment_s: float = SEGMENT_S, seed: int = 0) -> None:
    """Write the stand-in into `place`: `visits` visits of as many people and a bit more than `segment_s` of signal.

    Raises SignalError for a folder that holds anything: nothing is written over.
    """
    if place.is_dir() and any(place.iterdir()):
        raise SignalError(f"a stand-in must have a folder of its own, found files in {place}; name an empty one")
    random = np.random.default_rng(seed)
    csns = [str(FIRST + i) for i in range(visits)]
    mrns = [str(99_000_000 + i) for i in range(visits)]
    place.mkdir(parents=True, exist_ok=True)
    ends = np.round(np.cumsum([0.0, *SHARE.values()]) * visits).astype(int)
    for name, first, last in zip(SPLITS.values(), ends, ends[1:], strict=False):
        (place / name).write_text("".join(f"{csn}\n" for csn in csns[first:last]), encoding="utf-8")
    dispositions = random.choice(list(DISPOSITION), visits)
    answers = [
        {"CSN": csn, "MRN": mrn, "Age": int(random.integers(18, 91)), "Gender": "FM"[i % 2], "ED_dispo": where}
        for i, (csn, mrn, where) in enumerate(zip(csns, mrns, dispositions, strict=True))
    ]
    _table(place / "visits.csv", answers)
    _table(place / "labs.csv", [row for csn in csns for row in _results(csn, random)])
    coded = [(mrn, codes[0]) for codes in CONDITIONS.values() for mrn in mrns if random.random() < 0.4]
    _table(place / "pmh.csv", [{"MRN": mrn, "Code": f"{code}9"} for mrn, code in coded])
    for i, csn in enumerate(csns):
        _waveforms(place, csn, segment_s, seed + i)


def _results(csn: str, random: np.random.Generator) -> list[dict[str, Any]]:
    """One result of each name, and, now and then, a second one or one that is no number."""
    rows = []
    for component in LABS.values():
        values: list[Any] = [round(random.uniform(1, 9), 1)]
        kind = random.random()
        if kind < 0.1:
            values.append(round(random.uniform(1, 9), 1))
        elif kind < 0.2:
            values = [">10.0"]
        rows += [{"CSN": csn, "Component_name": component, "Component_value": value} for value in values]
    return rows


def _waveforms(place: Path, csn: str, segment_s: float, seed: int) -> None:
    """The PPG starts up to 1.5 s after the ECG, on a whole sample of both."""
    import wfdb

    random = np.random.default_rng(seed)
    late_s = int(random.integers(0, round(_LATE_S * FS_HZ["ppg"]))) / FS_HZ["ppg"]
    record = simulate(
        segment_s + _LATE_S + 0.5, fs_ecg_hz=FS_HZ["ecg"], fs_ppg_hz=FS_HZ["ppg"], seed=seed, ecg_noise_mv=0.02
    ).record
    start = datetime.datetime(2100, 1, 1) + datetime.timedelta(minutes=seed)
    for modality, name in CHANNELS.items():
        signal = record.signal(modality)
        assert isinstance(signal, Signal)
        from_s = late_s if modality == "ppg" else 0.0
        then = start + datetime.timedelta(seconds=from_s)
        where = place / "waveforms" / csn[-3:] / csn / name
        where.mkdir(parents=True, exist_ok=True)
        wfdb.wrsamp(
            f"{csn}_1", fs=signal.fs_hz, units=[signal.unit], sig_name=[name], fmt=["16"], write_dir=str(where),
            p_signal=signal.read(from_s, signal.end_s).astype(np.float64)[:, None],
            base_date=then.date(), base_time=then.time(), comments=["note: simulated"],
        )  # fmt: skip


def _table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
