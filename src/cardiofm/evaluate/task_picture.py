"""The tasks of frozen probes as the pictures of heads: ROC with its band, confusion, calibration, or a value's errors.

Drawn is the embedding with hand-crafted numbers where the task has them, else the embedding alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cardiofm.evaluate.heads_picture import Told, draw
from cardiofm.evaluate.tasks import CLASSES, Key, Task
from cardiofm.heads.calibration import Calibration
from cardiofm.heads.head import About
from cardiofm.heads.learn import decide
from cardiofm.heads.learn.probes import HeldOut

_CLASSES = {  # by the beginning of a task's name
    "superclasses": CLASSES,
    "abnormal": ("NORM", "abnormal"),
    "alarm": ("false", "true"),
    "AF": ("not AF", "AF"),
    "sex": ("F", "M"),
}
_UNITS = {"age": "years", "BMI": "kg/m²"}
_WORDS = {"fused": "with hand-crafted numbers", "boosting": "boosted", "linear": "linear"}


def told(task: Task, found: Mapping[Key, HeldOut]) -> Told:
    """What the embedding, with hand-crafted numbers where it has them, says of the records that are scored."""
    keys = ("model + hand-crafted", "fused"), ("model", task.head)
    key = next(key for key in keys if key in found)
    one, own = found[key], task.name.partition(",")[0]
    at = one.fold >= 0
    people = [p for p, is_in in zip(task.patients, at, strict=True) if is_in]
    kind = {"binary": "classification", "regression": "regression"}.get(task.kind, "multilabel")
    classes = () if kind == "regression" else _CLASSES.get(own, (f"no {own}", own))
    about = About(
        f"{task.dataset}: {task.name}\n{_WORDS[key[1]]}", task.name, kind, key[1], classes, "", "",
        Calibration("value" if kind == "regression" else "each", (1.0,), (0.0,)), unit=_UNITS.get(task.name, ""),
    )  # fmt: skip
    y, said = task.y[at], one.scores[at]
    if kind == "regression":
        return Told(about, y, said[:, None], people)
    rule = next((asked.decide for asked in task.asked.values() if asked.decide), None)
    given = said >= 0.5 if rule is None else decide.positive(one, task.y, rule)[at]  # the likelier, where none is asked
    if kind == "multilabel":
        return Told(about, y, said, people, given)
    return Told(
        about, y.astype(int), np.stack([1 - said, said], axis=1), people, np.stack([~given, given], axis=1)
    )  # fmt: skip


def drawn(asked: Sequence[Told], path: Path) -> None:
    """A row of three panels for each task that has few enough classes to be told apart."""
    few = [one for one in asked if one.about.kind == "regression" or one.found.shape[1] == len(one.about.classes)]
    if few:
        draw(few, path)
