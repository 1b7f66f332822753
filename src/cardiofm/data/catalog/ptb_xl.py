"""PTB-XL: 10-second clinical ECGs; lead II, SCP codes, age, sex and the official folds (1-7, 8, 9 and 10).

Records with unit `NU` in their header were band-passed and z-scored: their amplitude is not in mV, their unit says so.
Ages above 89 are stored as 300 in the database and given as 90 here.
"""

from __future__ import annotations

import ast
import csv
from dataclasses import replace
from pathlib import Path

from cardiofm.data.catalog import About, Entry, folder
from cardiofm.data.readers import wfdb
from cardiofm.signals import Record

ABOUT = About(
    name="ptb-xl",
    folder="ptb-xl/1.0.1",
    licence="CC-BY-4.0",
    citation="Wagner P, et al. PTB-XL, a large publicly available electrocardiography dataset. Sci Data 7, 154 (2020).",
    url="https://physionet.org/content/ptb-xl/",
    pretrain=True,
    marker="ptbxl_database.csv",
)
_SPLIT = {"8": "valid", "9": "test", "10": "test"}


def entries(root: Path) -> list[Entry]:
    """One entry per line of the database; only folds 1 to 8 may be pretrained on."""
    home = folder(ABOUT, root)
    classes = _superclasses(home / "scp_statements.csv")
    found = []
    with (home / "ptbxl_database.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            fold = str(int(float(row["strat_fold"])))
            scp = ast.literal_eval(row["scp_codes"])
            labels = {
                "scp_codes": scp,
                "superclasses": tuple(sorted({classes[code] for code in scp if code in classes})),
                "age": _age(row["age"]),
                "sex": {"0": "M", "1": "F"}.get(row["sex"].split(".")[0]),
                "strat_fold": int(fold),
            }
            found.append(
                Entry(
                    dataset=ABOUT.name,
                    record=Path(row["filename_hr"]).name,
                    path=(home / row["filename_hr"]).with_suffix(".hea").relative_to(root),
                    patient=f"ptb-xl-{int(float(row['patient_id']))}",
                    split=_SPLIT.get(fold, "train"),
                    labels=labels,
                    pretrain=int(fold) <= 8,
                )
            )
    return sorted(found, key=lambda e: e.record)


def load(entry: Entry, root: Path) -> Record:
    """Lead II, in mV where the header says mV."""
    return replace(wfdb.read(root / entry.path, ecg="II"), patient=entry.patient)


def _superclasses(path: Path) -> dict[str, str]:
    """Diagnostic SCP code → NORM, MI, STTC, CD or HYP."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        code = (rows.fieldnames or [""])[0]
        return {row[code]: row["diagnostic_class"] for row in rows if row["diagnostic_class"]}


def _age(text: str) -> float | None:
    return None if not text else 90.0 if float(text) == 300 else float(text)
