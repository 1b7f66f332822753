"""The model through the users' door, as a method of the benchmark; for records with marks, the head of the right fold.

A head was trained on the marks of all folds of patients but one. A patient whose beats were marked by hand is measured
by the head that never saw the patient; everybody else by the released head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cardiofm.evaluate.beats.table import Method, Table
from cardiofm.evaluate.run import model_folder
from cardiofm.model.checkpoint import HEAD
from cardiofm.pipeline import Model, calibration, load
from cardiofm.signals import Measurement, Record, SignalError

NAME = "CardioFM"
MARKED = ("ludb", "qtdb", "mitdb")  # on whose marks heads are trained


@dataclass(frozen=True)
class Own:
    """The methods of one model: for anybody, and for patients whose beats were marked by hand."""

    anybody: Method
    marked: Method
    folds: int  # heads that leave patients out; 0: the released head measures everybody, which is no fair test


def methods(name: str, backend: str | None, threads: int, heads: Sequence[Path] = ()) -> Own | None:
    """The methods of a model by name or folder; None where it has no head yet. `heads`: folders in order of folds."""
    folder = model_folder(name)
    if not (folder / HEAD).is_file() and not heads:
        return None
    model = load(folder, backend=backend, threads=threads) if (folder / HEAD).is_file() else None
    if not heads:
        assert model is not None
        return Own(of(model), of(model), 0)
    from cardiofm.model.backend import TorchBackend
    from cardiofm.train.annotated import FOLDS, fold_of

    if len(heads) != FOLDS:
        raise SignalError(f"there must be a head for each of {FOLDS} folds, found {len(heads)}; name their folders")
    base = load(folder, backend="torch", threads=threads)
    each = [
        of(replace(base, backend=TorchBackend(folder, threads, head=head), calibration=calibration(head)))
        for head in heads
    ]

    def marked(record: Record) -> Table:
        return each[fold_of(str(record.patient))](record)

    return Own(of(model) if model else each[0], marked, len(heads))


def of(model: Model) -> Method:
    """`model.measure` as a method."""
    return lambda record: table(model.measure(record))


def table(found: Measurement) -> Table:
    """The columns of a measurement, and the confidence in QT and PAT."""
    sure = {f"{name}_confidence": found.confidence[f"{name}_ms"].astype(np.float64) for name in ("qt", "pat")}
    return {**found.values, **sure}
