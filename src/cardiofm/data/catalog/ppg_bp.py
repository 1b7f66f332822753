"""PPG-BP: 2.1-second finger PPG segments at 1000 Hz, three per person, with blood pressure, body and diagnoses.

Plain text, numbers between tabs. Two files (231_1 and 231_2) hold two segments glued together with a jump between
them: only the first is used. The segments are shorter than any window of the network.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from cardiofm.data.catalog import About, Entry, folder, split_of
from cardiofm.signals import Record, Signal, SignalError

ABOUT = About(
    name="ppg-bp",
    folder="ppg-bp/1.0",
    licence="CC-BY-4.0",
    citation="Liang Y, et al. A new, short-recorded photoplethysmogram dataset for blood pressure monitoring in China. "
    "Sci Data 5:180020 (2018).",
    url="https://doi.org/10.6084/m9.figshare.5459299",
    pretrain=False,
    marker="0_subject/*.txt",
)
FS_HZ = 1000.0
SEGMENT = 2100  # samples
_COLUMNS = {
    "Sex(M/F)": "sex",
    "Age(year)": "age",
    "Height(cm)": "height_cm",
    "Weight(kg)": "weight_kg",
    "Systolic Blood Pressure(mmHg)": "sbp_mmhg",
    "Diastolic Blood Pressure(mmHg)": "dbp_mmhg",
    "Heart Rate(b/m)": "heart_rate_bpm",
    "BMI(kg/m^2)": "bmi",
    "Hypertension": "hypertension",
    "Diabetes": "diabetes",
    "cerebral infarction": "cerebral_infarction",
    "cerebrovascular disease": "cerebrovascular_disease",
}


def entries(root: Path) -> list[Entry]:
    """One entry per segment; the labels are the person's row of the spreadsheet, an empty cell is None."""
    home = folder(ABOUT, root)
    people = _people(home / "PPG-BP dataset.xlsx")
    found = []
    for path in sorted((home / "0_subject").glob("*_*.txt"), key=lambda p: tuple(map(int, p.stem.split("_")))):
        person = path.stem.split("_")[0]
        patient = f"ppg-bp-{person}"
        labels = people[person]
        found.append(Entry(ABOUT.name, path.stem, path.relative_to(root), patient, split_of(patient), dict(labels)))
    return found


def load(entry: Entry, root: Path) -> Record:
    """The PPG in the sensor's own units, 1000 Hz, 2.1 s."""
    words = (root / entry.path).read_text(encoding="ascii").split()
    values = np.array(words, dtype=np.float32)
    if len(values) < SEGMENT:
        raise SignalError(f"{entry.path.name} must hold {SEGMENT} numbers, found {len(values)}; get the file again")
    notes = () if len(values) == SEGMENT else ("the file holds more than one segment: only the first is used",)
    ppg = Signal(values[:SEGMENT], FS_HZ, "NU", "PPG")
    return Record(f"ppg-bp-{entry.record}", ppg=ppg, patient=entry.patient, notes=notes)


def _people(path: Path) -> dict[str, dict[str, Any]]:
    """Subject id → labels, from the table whose header row has `subject_ID`."""
    rows = _sheet(path)
    start = next(i for i, row in enumerate(rows) if "subject_ID" in row.values())
    names = rows[start]
    people: dict[str, dict[str, Any]] = {}
    for row in rows[start + 1 :]:
        cells = {name: row.get(column) for column, name in names.items()}
        labels = {label: cells.get(name) for name, label in _COLUMNS.items()}
        labels["sex"] = {"Female": "F", "Male": "M"}.get(str(labels["sex"]))
        people[f"{cells['subject_ID']:g}"] = labels
    return people


def _sheet(path: Path) -> list[dict[str, Any]]:
    """The rows of a workbook's first sheet, column letter → number or text: all of the xlsx format that is needed."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(path) as book:
        strings = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    shared = ["".join(t.text or "" for t in item.iter(f"{space}t")) for item in strings]
    rows = []
    for row in sheet.iter(f"{space}row"):
        cells: dict[str, Any] = {}
        for cell in row.iter(f"{space}c"):
            value = cell.findtext(f"{space}v")
            if value is not None:
                column = re.sub(r"\d", "", cell.get("r", ""))
                cells[column] = shared[int(value)].strip() if cell.get("t") == "s" else float(value)
        rows.append(cells)
    return rows
