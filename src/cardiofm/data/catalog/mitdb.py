"""MIT-BIH Arrhythmia Database: half-hour ambulatory ECGs, lead MLII (102 and 104: V5), beats and rhythms in `.atr`.

Records 201 and 202 are one man: one patient.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cardiofm.data.catalog import About, Entry, folder, split_of
from cardiofm.data.readers import wfdb
from cardiofm.signals import Record

ABOUT = About(
    name="mitdb",
    folder="mitdb/1.0.0",
    licence="ODC-By-1.0",
    citation="Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE Eng Med Biol 20(3):45-50 (2001).",
    url="https://physionet.org/content/mitdb/",
    pretrain=True,
    marker="10[0-9].hea",
)


def entries(root: Path) -> list[Entry]:
    """One entry per header; label `annotations` is the path of the `.atr` file relative to the data root."""
    found = []
    for header in sorted(folder(ABOUT, root).glob("[12][0-9][0-9].hea")):
        path = header.relative_to(root)
        patient = patient_of(header.stem)
        labels = {"annotations": path.with_suffix(".atr")}
        found.append(Entry(ABOUT.name, header.stem, path, patient, split_of(patient), labels, pretrain=True))
    return found


def load(entry: Entry, root: Path) -> Record:
    """MLII, or V5 where the record has no MLII."""
    return replace(wfdb.read(root / entry.path), patient=entry.patient)


def patient_of(record: str) -> str:
    """The person behind a record: 201 and 202 are the same.

    >>> patient_of("102"), patient_of("202")
    ('mitdb-102', 'mitdb-201')
    """
    return f"mitdb-{'201' if record == '202' else record}"
