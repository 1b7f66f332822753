"""The model through the users' door, as a method of the benchmark; for records with marks, the head of the right fold.

A head was trained on the marks of all folds of patients but one. A patient whose beats were marked by hand is measured
by the head that never saw the patient; everybody else by the released head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cardiofm.evaluate.beats.kept import remembered
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


def methods(name: str, backend: str | None, threads: int, heads: Path | None = None) -> Own | None:
    """The methods of a model by name or folder; None where there is no head yet.

    `heads` holds the released head and, in `without-0`, `without-1` …, those that never saw a fold; by default the
    model's own folder does.
    """
    folder = model_folder(name)
    heads = heads or folder
    if not (heads / HEAD).is_file():
        return None
    if heads == folder:
        released = of(load(folder, backend=backend, threads=threads))
    else:
        released = of(_with_head(folder, heads, threads))
    blind = sorted(heads.glob("without-*"))
    if not blind:
        return Own(released, released, 0)
    from cardiofm.train.annotated import FOLDS, fold_of

    if [b.name for b in blind] != [f"without-{k}" for k in range(FOLDS)]:
        raise SignalError(f"{heads} must hold a head for each of {FOLDS} folds, found {[b.name for b in blind]}")
    each = [of(_with_head(folder, head, threads)) for head in blind]

    def marked(record: Record) -> Table:
        return each[fold_of(str(record.patient))](record)

    return Own(released, remembered(marked), len(blind))


def _with_head(folder: Path, head: Path, threads: int) -> Model:
    """The model of a folder with the head of another one, run by torch."""
    from cardiofm.model.backend import TorchBackend

    return replace(
        load(folder, backend="torch", threads=threads),
        backend=TorchBackend(folder, threads, head=head),
        calibration=calibration(head),
    )


def of(model: Model) -> Method:
    """`model.measure` as a method."""
    return lambda record: table(model.measure(record))


def table(found: Measurement) -> Table:
    """The columns of a measurement, and the confidence in QT and PAT."""
    sure = {f"{name}_confidence": found.confidence[f"{name}_ms"].astype(np.float64) for name in ("qt", "pat")}
    return {**found.values, **sure}
