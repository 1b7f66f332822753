"""Lobachevsky University Database: 10-second 12-lead ECGs at 500 Hz, with P, QRS and T marked by hand in every lead.

The headers (the official ones too) carry a gain equal to each lead's own range, so that a plain physical read gives
0 to 1 and not mV. Here the digital values are read and divided by 1000, which is mV.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from cardiofm.data.catalog import About, Entry, folder, split_of
from cardiofm.data.readers import wfdb
from cardiofm.signals import Record

ABOUT = About(
    name="ludb",
    folder="ludb/1.0.1",
    licence="ODC-By-1.0",
    citation="Kalyakulina AI, et al. LUDB: a new open-access validation tool for electrocardiogram delineation "
    "algorithms. IEEE Access 8:186181-186190 (2020).",
    url="https://physionet.org/content/ludb/",
    pretrain=False,
    marker="ludb.csv",
)
LEADS = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
ADU_PER_MV = 1000.0


def entries(root: Path) -> list[Entry]:
    """One entry per header, in the order of the database; `annotations` maps a lead to the path of its marks."""
    home = folder(ABOUT, root)
    with (home / "ludb.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = {row["ID"].strip(): row for row in csv.DictReader(file)}
    found = []
    for header in sorted((home / "data").glob("*.hea"), key=lambda p: int(p.stem)):
        path, row, patient = header.relative_to(root), rows[header.stem], f"ludb-{header.stem}"
        labels = {
            "age": _age(row["Age"]),
            "sex": row["Sex"].strip() or None,
            "rhythm": " / ".join(row["Rhythms"].split("\n")).strip() or None,
            "diagnoses": tuple(
                line.strip()
                for name, cell in row.items()
                if name not in ("ID", "Sex", "Age", "Rhythms")
                for line in cell.splitlines()
                if line.strip()
            ),
            "annotations": {a: path.with_suffix(f".{a}") for a in LEADS if header.with_suffix(f".{a}").is_file()},
        }
        found.append(Entry(ABOUT.name, header.stem, path, patient, split_of(patient), labels))
    return found


def load(entry: Entry, root: Path) -> Record:
    """Lead II in mV."""
    return read_lead(entry, root, "ii")


def read_lead(entry: Entry, root: Path, lead: str) -> Record:
    """One of the twelve leads in mV, the gains of the header set right; the marks of the same lead belong to it."""
    record = wfdb.read(root / entry.path, ecg=lead, ppg="none", digital=True)
    assert record.ecg is not None
    ecg = replace(record.ecg, samples=record.ecg.values / ADU_PER_MV, unit="mV", inverted=False)
    return replace(record, ecg=ecg, patient=entry.patient)


def _age(text: str) -> float | None:
    """Years; ages above 89 are hidden in the database and given as 90.

    >>> _age("51"), _age(">89"), _age("")
    (51.0, 90.0, None)
    """
    digits = text.strip().lstrip(">")
    return None if not digits else 90.0 if text.strip().startswith(">") else float(digits)
