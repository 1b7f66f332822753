"""Labels of recordings: a CSV file to examples, what they say as arrays, and who trains, chooses and is scored.

Shapes: R examples, L labels.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.files import recordings
from cardiofm.data.readers import read
from cardiofm.signals import Record, SignalError

Kind = Literal["classification", "multilabel", "regression"]
KINDS: tuple[Kind, ...] = ("classification", "regression", "multilabel")
SPLITS = ("train", "valid", "test")
SHARES = (0.6, 0.2, 0.2)  # of the patients, where no split is given
LEAST = 10  # patients that a head can be made of
BETWEEN = ";"  # labels of one recording


@dataclass(frozen=True)
class Example:
    """One labelled recording before it is read."""

    name: str
    read: Callable[[], Record]
    label: str  # as it is written
    patient: str
    split: str = ""  # "train", "valid", "test", or "" where none is given
    told: str | None = None  # of which type the recording is, where the head's view has types


@dataclass(frozen=True)
class Target:
    """What is asked of all examples."""

    kind: Kind
    classes: tuple[str, ...]  # () for kind "regression"
    y: NDArray[Any]  # (R,) number of the class or value; (R, L) bool for kind "multilabel"


def read_labels(path: Path, data_root: Path, column: str = "label") -> list[Example]:
    """The examples of a CSV file with the columns record (below `data_root`) and `column`.

    Optional columns: patient (else a recording is a patient), split (train, valid or test), and start_s and end_s,
    which choose a part of the recording. Raises SignalError for what cannot be meant; no signal is read yet.
    """
    if not path.is_file():
        raise SignalError(f"labels must be a CSV file, found no file at {path}; check the path")
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        lines = [(reader.line_num, {k: (v or "").strip() for k, v in row.items() if k}) for row in reader]
        named = tuple(name.strip() for name in reader.fieldnames or ())
    for wanted in ("record", column):
        if wanted not in named:
            raise SignalError(f"{path.name} must have a column {wanted!r}, found {', '.join(named) or 'none'}; add it")
    absent = [row["record"] for _, row in lines if not _recording(data_root / row["record"])]
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise SignalError(
            f"labels must be of recordings below {data_root}, found none for {absent[0]!r}{more}; "
            f"correct the column record, or --data-root"
        )
    return [_example(path, number, row, data_root, column) for number, row in lines]


def target(examples: Sequence[Example], kind: Kind, classes: Sequence[str] | None = None) -> Target:
    """What the examples' labels say; raises SignalError where they say one thing only.

    >>> target([Example("a", None, "AF", "p"), Example("b", None, "SR", "q")], "classification").y.tolist()
    [0, 1]
    """
    labels = [e.label for e in examples]
    if kind == "regression":
        values = np.array([_number(e) for e in examples])
        if len(values) and np.ptp(values) == 0:
            raise SignalError(f"labels must differ, found {labels[0]} for all {len(labels)}; check the column")
        return Target(kind, (), values)
    sets = [[part.strip() for part in label.split(BETWEEN)] if kind == "multilabel" else [label] for label in labels]
    names = tuple(classes or sorted({name for own in sets for name in own}))
    unknown = {name for own in sets for name in own} - set(names)
    if unknown:
        raise SignalError(f"labels must be of {', '.join(names)}, found {min(unknown)!r}; correct it")
    if len(names) < 2:
        raise SignalError(f"labels must be of two classes or more, found only {', '.join(names) or 'none'}; add others")
    if kind == "multilabel":
        return Target(kind, names, np.array([[name in own for name in names] for own in sets]))
    if len(names) > max(20, len(labels) // 5):
        raise SignalError(
            f"labels of a classification must repeat, found {len(names)} classes in {len(labels)} rows; "
            "use --task regression for numbers"
        )
    return Target(kind, names, np.array([names.index(own[0]) for own in sets], np.int64))


def parts(examples: Sequence[Example], goal: Target) -> list[str]:
    """Which part each example belongs to: the given one, or by the hash of its patient, even over the classes.

    Raises SignalError where a patient is in two parts, a part or a class of it is empty, or patients are too few.
    """
    patients = list(dict.fromkeys(e.patient for e in examples))
    if len(patients) < LEAST:
        raise SignalError(f"labels must be of {LEAST} patients or more, found {len(patients)}; add recordings")
    given = {e.split for e in examples}
    if given == {""}:
        found = _dealt(examples, goal)
    elif given <= set(SPLITS):
        found = [e.split for e in examples]
    else:
        wrong = next(s for s in given if s not in SPLITS)
        raise SignalError(f"split must be train, valid or test in every row, found {wrong!r}; correct it")
    home: dict[str, str] = {}
    for example, part in zip(examples, found, strict=True):
        if home.setdefault(example.patient, part) != part:
            both = f"{home[example.patient]} and {part}"
            raise SignalError(f"a patient must be in one split, found {example.patient!r} in {both}; correct it")
    _check(found, goal)
    return found


def _dealt(examples: Sequence[Example], goal: Target) -> list[str]:
    """Patients in the order of their hash, dealt to the parts; one class after another, the rarest first."""
    order = sorted({e.patient for e in examples}, key=lambda p: hashlib.sha256(p.encode()).digest())
    place: dict[str, str] = {}
    count = Counter(_class_of(goal, k) for k in range(len(examples)))
    for rarest in sorted(count, key=lambda c: (count[c], c)):
        own = {e.patient for k, e in enumerate(examples) if _class_of(goal, k) == rarest} - set(place)
        group = [p for p in order if p in own]
        first, second = round(SHARES[0] * len(group)), round((SHARES[0] + SHARES[1]) * len(group))
        if len(group) >= 3:  # every part gets one
            first, second = min(max(first, 1), len(group) - 2), min(max(second, first + 1), len(group) - 1)
        place |= {p: "train" if i < first else "valid" if i < second else "test" for i, p in enumerate(group)}
    return [place[e.patient] for e in examples]


def _class_of(goal: Target, k: int) -> str:
    """By what an example is dealt: its class, or its rarest label."""
    if goal.kind == "regression":
        return ""
    if goal.kind == "classification":
        return goal.classes[goal.y[k]]
    own = np.flatnonzero(goal.y[k])
    return goal.classes[own[np.argmin(goal.y.sum(0)[own])]] if len(own) else ""


def _check(found: Sequence[str], goal: Target) -> None:
    name = np.asarray(found)
    for part in ("train", "valid"):
        mine = goal.y[name == part]
        if not len(mine):
            raise SignalError(f"there must be patients to {_DOES[part]} ({part}), found none; add some to that split")
        seen = np.unique(mine).tolist() if goal.kind == "classification" else []
        lacking = [c for k, c in enumerate(goal.classes) if goal.kind == "classification" and k not in seen]
        if goal.kind == "multilabel":
            lacking = [c for k, c in enumerate(goal.classes) if mine[:, k].min() == mine[:, k].max()]
        if lacking:
            raise SignalError(
                f"patients to {_DOES[part]} ({part}) must show every class, with and without, found too few of "
                f"{lacking[0]!r} in {len(mine)} recordings; add patients of it"
            )


_DOES = {"train": "learn from", "valid": "choose by"}


def _example(path: Path, number: int, row: dict[str, str], data_root: Path, column: str) -> Example:
    label, where = row[column], f"{path.name} line {number}"
    if label.lower() in ("", "nan", "na", "none", "null"):
        raise SignalError(f"{where}: {column} must be known, found {label or 'nothing'!r}; fill it in or leave it out")
    span = [_seconds(row.get(name, ""), f"{where}: {name}") for name in ("start_s", "end_s")]
    file = recordings([data_root / row["record"]])[0][0]

    def load() -> Record:
        record = read(file)
        if span == [None, None]:
            return record
        whole = (record.start_s, record.end_s)
        return record.crop(*(there if s is None else s for s, there in zip(span, whole, strict=True)))

    return Example(row["record"], load, label, row.get("patient") or row["record"], row.get("split", "").lower())


def _recording(path: Path) -> bool:
    return path.is_file() or path.with_name(path.name + ".hea").is_file()


def _number(example: Example) -> float:
    try:
        value = float(example.label)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SignalError(
            f"labels of a regression must be numbers, found {example.label!r} for {example.name}; correct it or use "
            "--task classification"
        )
    return value


def _seconds(text: str, where: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise SignalError(f"{where} must be seconds, found {text!r}; correct it") from None
