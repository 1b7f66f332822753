"""PhysioNet QT Database: 15-minute two-lead excerpts of other databases, with manual waves in `.q1c` (and `.q2c`).

`sel1xx` and `sel2xx` are excerpts of MIT-BIH records and share their patient with `mitdb`. sele0121 and sele0122, and
sele0124 and sele0126, agree in age, sex, history and recorder, and count as one patient each. sel35 and sel37 have no
usable QT (label `qt_usable`); sel33 and sele0116 have implausibly long ones.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from cardiofm.data.catalog import About, Entry, folder, mitdb, split_of
from cardiofm.data.readers import wfdb
from cardiofm.signals import Record

ABOUT = About(
    name="qtdb",
    folder="qtdb/1.0.0",
    licence="ODC-By-1.0",
    citation="Laguna P, et al. A database for evaluation of algorithms for measurement of QT and other waveform "
    "intervals in the ECG. Comput Cardiol 24:673-676 (1997).",
    url="https://physionet.org/content/qtdb/",
    pretrain=True,
    marker="sel*.hea",
)
_TWINS = {"sele0122": "sele0121", "sele0126": "sele0124"}
_NO_QT = ("sel35", "sel37")
_LONG_QT = ("sel33", "sele0116")
_ANNOTATORS = ("q1c", "q2c", "pu0", "pu1", "atr", "man")


def entries(root: Path) -> list[Entry]:
    """One entry per header; `annotations` maps annotator (q1c, q2c, pu0, …) to a path relative to the data root."""
    found = []
    for header in sorted(folder(ABOUT, root).glob("sel*.hea")):
        path = header.relative_to(root)
        patient = patient_of(header.stem)
        labels = {
            "annotations": {a: path.with_suffix(f".{a}") for a in _ANNOTATORS if header.with_suffix(f".{a}").is_file()},
            "qt_usable": header.stem not in _NO_QT,
            "qt_plausible": header.stem not in _NO_QT + _LONG_QT,
        }
        found.append(Entry(ABOUT.name, header.stem, path, patient, split_of(patient), labels, pretrain=True))
    return found


def load(entry: Entry, root: Path) -> Record:
    """The lead nearest to II; the first of two where the names leave it open (`ECG1`, `CM5`, `V1-V2`)."""
    first = _channels(root / entry.path)[0]
    ecg = first if first.startswith(("ECG", "CM5", "V1-V2")) else None
    return replace(wfdb.read(root / entry.path, ecg=ecg), patient=entry.patient)


def read_leads(entry: Entry, root: Path) -> list[Record]:
    """Both leads of an entry, each a record of its own; the marks were made with both in sight."""
    leads = _channels(root / entry.path)
    return [replace(wfdb.read(root / entry.path, ecg=lead, ppg="none"), patient=entry.patient) for lead in leads]


def patient_of(record: str) -> str:
    """The person behind a record, shared with `mitdb` where the excerpt comes from there.

    >>> patient_of("sel102"), patient_of("sel16265"), patient_of("sele0122")
    ('mitdb-102', 'qtdb-sel16265', 'qtdb-sele0121')
    """
    if re.fullmatch(r"sel[12]\d\d", record):
        return mitdb.patient_of(record[3:])
    return f"qtdb-{_TWINS.get(record, record)}"


def _channels(header: Path) -> list[str]:
    lines = [line for line in header.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [line.split()[-1] for line in lines[1:]]
