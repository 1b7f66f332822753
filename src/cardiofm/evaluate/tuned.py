"""The encoder tuned to the superclasses of PTB-XL: folds 1 to 7 learn, fold 8 chooses; fold 9 is not shown to it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.data import catalog
from cardiofm.evaluate import cached
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.extractors.extractor import source
from cardiofm.evaluate.tasks import CLASSES, PARTS
from cardiofm.heads.labels import Example
from cardiofm.heads.learn import tune
from cardiofm.heads.look import View
from cardiofm.pipeline import Model

STEPS = 150
MEANING = (
    f"CardioFM, its last {tune.LAST_BLOCKS} blocks tuned to the superclasses on the training folds in {STEPS} steps of "
    f"{tune.BATCH} windows; fused: averaged with the head on the frozen embedding, weight chosen on fold 8"
)


def embedding(
    cohort: Cohort, data_root: Path, model: Model, sha256: str, cache: Path, steps: int = STEPS
) -> NDArray[np.float32]:
    """What the tuned encoder gives for every window of ptb-xl `(W, D)`; `sha256` is that of the model's weights.

    Raises SignalError where the records that may be learned from lack a class.
    """
    shown = [
        Example(e.record, partial(catalog.load, e, data_root), ";".join(e.labels["superclasses"]), e.patient, part)
        for e in cohort.entries
        if e.labels["superclasses"] and (part := PARTS.get(e.labels["strat_fold"], "train")) != "test"
    ]
    names = " ".join(f"{e.name} {e.split}" for e in shown)

    def make() -> NDArray[np.float32]:
        changed = tune.tune(shown, "multilabel", "full", model, View(), steps, CLASSES)
        return cached.embeddings(tune.tuned(model, changed), cohort.windows)

    made_by = f"tuned {sha256} {source(tune.__file__, alone=True)} {steps} {len(cohort.windows)} {names}"
    return cached.array(cache, made_by, make)
