"""The numbers of the seconds before an alarm for the recordings of a cohort, kept like the numbers of windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from cardiofm.data import catalog
from cardiofm.data.store import file_hash
from cardiofm.evaluate import cached
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.extractors.extractor import source
from cardiofm.measure import alarm
from cardiofm.model.checkpoint import HEAD_WEIGHTS
from cardiofm.pipeline import Model
from cardiofm.signals import SignalError

NAME = "before the alarm"
MEANING = f"{len(alarm.NAMES)} numbers of beats and waves in the last 16 s, beats located by CardioFM's fiducial head"


def before(cohort: Cohort, data_root: Path, model: Model, cache: Path) -> NDArray[np.float64]:
    """`measure.alarm.numbers` of every recording `(R, F)`, each kept by itself: an interrupted run goes on.

    Raises SignalError where the model has no head that finds the beats.
    """
    if model.folder is None or not (model.folder / HEAD_WEIGHTS).is_file():
        raise SignalError(f"numbers before an alarm need a model that finds beats, found {model.name!r}; use base")
    head, code = file_hash(model.folder / HEAD_WEIGHTS), source(alarm.__file__)

    def measured(entry: catalog.Entry) -> NDArray[np.float64]:
        alarm_s = entry.labels["alarm_s"]
        record = catalog.load(entry, data_root).crop(alarm_s - alarm.LOOK_S, alarm_s)
        return alarm.numbers(record, model.gather(record), alarm_s)

    return np.stack(
        [
            cached.array(cache, f"{NAME} {head} {code} {entry.record}", lambda entry=entry: measured(entry))
            for entry in track(cohort.entries, NAME, transient=True)
        ]
    )
