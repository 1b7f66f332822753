"""MC-MED as PhysioNet lays it out: which visits there are, whose, in which split, and ten minutes of ECG and PPG.

    visits.csv labs.csv pmh.csv split_chrono_{train,val,test}.csv
    waveforms/<last three digits of the visit>/<visit>/{II,Pleth}/<visit>_1.{hea,dat}

A visit is a CSN, a patient an MRN. The set is credentialed (PhysioNet, doi:10.13026/wvyw-g663): get it there, unzip the
waveforms. Which visits belong to SignalMC-MED is a list of its authors, `signalmc-med_csns.pkl` (or `.csv`, one visit a
line) in the same folder; without it every visit of the splits is asked, and those with ten minutes of both are taken.
"""

from __future__ import annotations

import csv
import datetime
import pickle
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cardiofm.data.readers import read
from cardiofm.data.readers.lazy import one_sentence
from cardiofm.signals import Record, Signal, SignalError

URL = "https://physionet.org/content/mc-med"
LICENCE = "credentialed access at PhysioNet, under the terms of its page"
FOLDERS = ("mc-med/1.0.1", "mc-med/1.0.0", "mc-med", ".")  # below the data root
SPLITS = {"train": "split_chrono_train.csv", "valid": "split_chrono_val.csv", "test": "split_chrono_test.csv"}
LIST = "signalmc-med_csns"
SEGMENT_S = 600.0
CHANNELS = {"ecg": "II", "ppg": "Pleth"}  # folder and name of each modality
ENOUGH = 0.999  # of the segment: a channel may end a sample early


@dataclass(frozen=True)
class Visit:
    """One visit to the emergency department."""

    csn: str
    patient: str  # MRN
    split: str  # "train" | "valid" | "test"


def folder(data_root: Path) -> Path:
    """The folder of MC-MED below a data root, or the root itself."""
    for name in FOLDERS:
        if (data_root / name / "visits.csv").is_file():
            return data_root / name
    raise SignalError(f"MC-MED must lie in {data_root / FOLDERS[0]} with visits.csv, found none; get it from {URL}")


def columns(path: Path, names: Iterable[str], only: Iterable[str] = ()) -> list[list[str]]:
    """The named columns of a table, as text: one list each; of the rows whose second one is among `only`, if given."""
    import pyarrow as pa
    import pyarrow.compute
    import pyarrow.csv

    if not path.is_file():
        raise SignalError(f"MC-MED must have {path.name}, found none in {path.parent}; get it from {URL}")
    wanted = list(names)
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file), [])
    absent = [name for name in wanted if name not in header]
    if absent:
        raise SignalError(f"{path.name} must have the columns {', '.join(wanted)}, found no {', '.join(absent)}")
    with one_sentence(path, "CSV"):
        table = pyarrow.csv.read_csv(
            path,
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())
            ),
        )
    if kept := list(only):
        table = table.filter(pyarrow.compute.field(wanted[1]).isin(kept))
    return [[(value or "").strip() for value in table[name].to_pylist()] for name in wanted]


def visits(place: Path) -> list[Visit]:
    """The visits that are asked, in the order of the splits. Raises SignalError where the splits share anything."""
    csn, mrn = columns(place / "visits.csv", ("CSN", "MRN"))
    patient_of = dict(zip(csn, mrn, strict=True))
    if twice := _repeated(csn):
        raise SignalError(f"visits.csv must hold a visit once, found {twice} again; get the file again")
    listed = asked(place)
    found: dict[str, Visit] = {}
    split_of: dict[str, str] = {}
    for split, name in SPLITS.items():
        for one in _lines(place / name):
            if one in found:
                raise SignalError(f"a visit must be in one split, found {one} in {found[one].split} and {split}")
            if one not in patient_of:
                raise SignalError(f"visits.csv must hold every visit of {name}, found no {one}; get both again")
            patient = patient_of[one]
            if split_of.setdefault(patient, split) != split:
                raise SignalError(f"a patient must be in one split, found {patient} in {split_of[patient]} and {split}")
            found[one] = Visit(one, patient, split)
    if listed is not None and (unknown := next((one for one in listed if one not in found), None)):
        raise SignalError(f"{LIST} must name visits of the splits, found {unknown} in none of them")
    return [visit for one, visit in found.items() if listed is None or one in listed]


def asked(place: Path) -> set[str] | None:
    """The visits of SignalMC-MED's own list; None where the folder has none."""
    path = place / f"{LIST}.pkl"
    if path.is_file():
        with path.open("rb") as file:
            return {str(one) for one in _Plain(file).plain()}
    path = path.with_suffix(".csv")
    return set(_lines(path)) if path.is_file() else None


class _Plain(pickle.Unpickler):
    """A pickle of nothing but numbers and words: whatever would run code is refused."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise pickle.UnpicklingError(f"{module_name}.{global_name}")

    def plain(self) -> list[int | str]:
        try:
            found = self.load()
        except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, ValueError) as error:
            raise SignalError(f"{LIST}.pkl must hold a plain list of visits, found {error}; write .csv") from error
        if not isinstance(found, list) or not all(isinstance(one, int | str) for one in found):
            raise SignalError(f"{LIST}.pkl must hold a list of visits, found {type(found).__name__}; write .csv")
        return found


def load(visit: Visit, place: Path, segment_s: float = SEGMENT_S) -> Record:
    """The first `segment_s` that both first segments share, from 0 s on. Raises SignalError where there is less."""
    base = place / "waveforms" / visit.csn[-3:] / visit.csn
    both = {m: _segment(base / name / f"{visit.csn}_1", m) for m, name in CHANNELS.items()}
    from_then = max(start for _, start, _ in both.values())
    signals = {
        m: replace(signal, start_s=(start - from_then).total_seconds()) for m, (signal, start, _) in both.items()
    }
    for m, signal in signals.items():
        if signal.end_s < ENOUGH * segment_s:
            raise SignalError(
                f"visit {visit.csn} must have {segment_s:g} s of both channels, found {max(0, signal.end_s):g} s of {m}"
            )
    notes = tuple(dict.fromkeys(note for _, _, own in both.values() for note in own))
    return Record(f"mc-med-{visit.csn}", **signals, patient=visit.patient, notes=notes).crop(0.0, segment_s)


def _segment(path: Path, modality: str) -> tuple[Signal, datetime.datetime, tuple[str, ...]]:
    """A channel, the moment of its first sample, and the notes of its file."""
    import wfdb

    record = read(path.with_name(path.name + ".hea"))
    signal = record.signal(modality)
    with one_sentence(path, "WFDB"):
        start = wfdb.rdheader(str(path)).base_datetime
    if signal is None or start is None:
        what = f"{'a date and time' if signal is not None else f'a channel {CHANNELS[modality]}'}"
        raise SignalError(f"{path.name}.hea in {path.parent.name} must state {what}, found none")
    return signal, start, record.notes


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise SignalError(f"MC-MED must have {path.name}, found none in {path.parent}; get it from {URL}")
    return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def _repeated(names: list[str]) -> str | None:
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    return name if times > 1 else None
