"""The numbers that `measure` tells rhythms by for the recordings of a cohort, kept like the numbers of windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from cardiofm.data import catalog
from cardiofm.evaluate import cached
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.extractors.extractor import source
from cardiofm.heads.look import NAMES, rhythm_numbers
from cardiofm.measure import atria, beats, irregular, rhythms

NAME = "rhythm"
MEANING = (
    f"{len(NAMES['rhythm'])} numbers of intervals and atria, of all of a recording: those that `measure` tells AF by"
)


def of_recordings(cohort: Cohort, data_root: Path, cache: Path) -> NDArray[np.float64]:
    """`measure.rhythms.numbers` of every recording `(R, F)`, each kept by itself: an interrupted run goes on."""
    code = " ".join(source(module.__file__, alone=True) for module in (atria, beats, irregular, rhythms))

    def measured(entry: catalog.Entry) -> NDArray[np.float64]:
        ecg = catalog.load(entry, data_root).ecg
        assert ecg is not None
        return rhythm_numbers(ecg)

    return np.stack(
        [
            cached.array(cache, f"{NAME} {code} {entry.record}", lambda entry=entry: measured(entry))
            for entry in track(cohort.entries, NAME, transient=True)
        ]
    )
