"""The 20 questions of SignalMC-MED (arXiv 2603.09940) and what MC-MED's tables answer. Shapes: V visits.

Nine are values (age and eight laboratory results), eleven are yes or no (sex, disposition, and nine conditions of the
past). A laboratory result counts where the visit has one of its name, and where it is a number (not ">10.0"). A
condition counts where any row of the patient's history starts with one of its ICD-10 codes; no row is a no.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cardiofm.evaluate.mcmed.visits import Visit, columns

SEX = {"F": 1.0, "M": 0.0}
DISPOSITION = {"Discharge": 0.0, "Inpatient": 1.0, "Observation": 1.0, "ICU": 1.0}
LABS = {
    "potassium": "POTASSIUM",
    "calcium": "CALCIUM",
    "eGFR": "EGFR REFIT WITHOUT RACE (2021)",
    "glucose": "GLUCOSE",
    "haemoglobin": "HEMOGLOBIN (HGB)",
    "albumin": "ALBUMIN",
    "urea nitrogen": "BLOOD UREA NITROGEN (BUN)",
    "sodium": "SODIUM",
}
CONDITIONS = {
    "atrial fibrillation": ("I48",),
    "heart failure": ("I50",),
    "cardiac device": ("Z950", "Z952", "Z953"),
    "chronic kidney disease": ("N18",),
    "diabetes": ("E10", "E11"),
    "sleep-related breathing": ("G473", "E662"),
    "anaemia": ("D50", "D51", "D52", "D53", "D64"),
    "respiratory compromise": ("J96", "R0902", "R060"),
    "venous thromboembolism": ("I26", "I80", "I82"),
}


@dataclass(frozen=True)
class Task:
    """One question about every visit."""

    name: str
    group: str  # of the published table: "age", "sex", "disposition", "labs" or "conditions"
    kind: Literal["regression", "binary"]
    y: NDArray[np.float64]  # (V,), NaN where it is not known


def tasks(visits: list[Visit], place: Path) -> list[Task]:
    """The 20 questions, in the order of the paper. Raises SignalError where a table lacks a column."""
    age, sex, disposition = _of_visits(visits, place)
    found = [
        Task("age", "age", "regression", age),
        Task("sex", "sex", "binary", sex),
        Task("disposition", "disposition", "binary", disposition),
    ]
    found += [Task(name, "labs", "regression", y) for name, y in _labs(visits, place).items()]
    found += [Task(name, "conditions", "binary", y) for name, y in _conditions(visits, place).items()]
    return found


def _of_visits(visits: list[Visit], place: Path) -> list[NDArray[np.float64]]:
    csn, *answers = columns(place / "visits.csv", ("CSN", "Age", "Gender", "ED_dispo"))
    row_of = {one: i for i, one in enumerate(csn)}
    meaning: tuple[Callable[[str], float], ...] = (
        _number,
        lambda word: SEX.get(word, math.nan),
        lambda word: DISPOSITION.get(word, math.nan),
    )
    rows = [row_of[visit.csn] for visit in visits]
    return [np.array([of(told[i]) for i in rows]) for of, told in zip(meaning, answers, strict=True)]


def _labs(visits: list[Visit], place: Path) -> dict[str, NDArray[np.float64]]:
    asked = ("CSN", "Component_name", "Component_value")
    csn, component, value = columns(place / "labs.csv", asked, only=LABS.values())
    name_of = {component: name for name, component in LABS.items()}
    results: dict[str, dict[str, list[str]]] = {name: {} for name in LABS}
    for one, what, found in zip(csn, component, value, strict=True):
        results[name_of[what]].setdefault(one, []).append(found)
    out = {}
    for name, of in results.items():
        every = [of.get(visit.csn, []) for visit in visits]
        out[name] = np.array([_number(own[0]) if len(own) == 1 else math.nan for own in every])
    return out


def _conditions(visits: list[Visit], place: Path) -> dict[str, NDArray[np.float64]]:
    mrn, code = columns(place / "pmh.csv", ("MRN", "Code"))
    history: dict[str, set[str]] = {}
    for patient, one in zip(mrn, code, strict=True):
        history.setdefault(patient, set()).add(one.replace(".", ""))
    return {
        name: np.array([float(any(c.startswith(codes) for c in history.get(v.patient, ()))) for v in visits])
        for name, codes in CONDITIONS.items()
    }


def _number(text: str) -> float:
    """NaN where it is none."""
    try:
        found = float(text)
    except ValueError:
        return math.nan
    return found if math.isfinite(found) else math.nan
