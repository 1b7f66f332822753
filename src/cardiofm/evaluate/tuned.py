"""The encoder tuned to a task, once for each of its folds: by the training patients, those who choose not among them.

Which step is kept is chosen by the patients that choose the penalty of the frozen probe, too; the patients that are
scored are not shown. Shapes: K folds, R records of the cohort, D numbers.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.evaluate import cached
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.extractors.extractor import source
from cardiofm.evaluate.tasks import Task
from cardiofm.heads.learn import tune
from cardiofm.pipeline import Model
from cardiofm.signals import SignalError

STEPS = 150
LEAST = 200  # patients to learn from in every fold; fewer do not move millions of weights to anything that lasts
MEANING = (
    f"CardioFM, its last {tune.LAST_BLOCKS} blocks tuned to the task on the training patients of each fold, in {STEPS} "
    f"steps of {tune.BATCH} windows; fused: averaged with the head on the frozen embedding"
)


def check(task: Task) -> None:
    """Raises SignalError where a fold of the task has too few patients to tune by."""
    fewest = min(len({p for p, of in zip(task.patients, part, strict=True) if of == "train"}) for part in task.parts)
    if fewest < LEAST:
        raise SignalError(f"patients to tune by must be {LEAST} or more in every fold, found {fewest}")


def embedding(
    cohort: Cohort,
    task: Task,
    model: Model,
    sha256: str,
    cache: Path,
    steps: int = STEPS,
    still: tune.Still | None = None,
) -> NDArray[np.float64]:
    """What the encoder tuned in each fold gives for every record `(K, R, D)`; `sha256` is that of the model's weights.

    `still`: what is kept of the cohort's windows, where several tasks ask for them. Raises SignalError where the
    records that may be learned from, or chosen by, have one kind of label only.
    """
    still = still or tune.Still(model)
    return np.stack(
        [cohort.mean(_fold(cohort, task, np.asarray(part), model, sha256, cache, steps, still)) for part in task.parts]
    )


def _fold(
    cohort: Cohort,
    task: Task,
    part: NDArray[np.str_],
    model: Model,
    sha256: str,
    cache: Path,
    steps: int,
    still: tune.Still,
) -> NDArray[np.float32]:
    """The embedding of every window `(W, D)` by the encoder tuned in one fold."""
    shown = {name: np.flatnonzero(part == name) for name in ("train", "valid")}
    for name, rows in shown.items():
        y = np.asarray(task.y[rows], np.float64).reshape(len(rows), -1)
        if not len(rows) or (y.min(axis=0) == y.max(axis=0)).all():  # of several, a rare one may be lacking
            raise SignalError(
                f"records to tune by ({name}) must show both labels of {task.dataset} {task.name}, found one kind in "
                f"{len(rows)}; take more records"
            )
    of_record: list[list[int]] = [[] for _ in cohort.entries]
    for window, record in enumerate(cohort.of_window):
        of_record[record].append(window)

    def make() -> NDArray[np.float32]:
        bags: dict[str, tune.Bags] = {
            name: [([cohort.windows[i] for i in of_record[task.rows[k]]], task.y[k]) for k in rows]
            for name, rows in shown.items()
        }
        outputs = 1 if task.y.ndim == 1 else task.y.shape[1]
        changed = tune.by_windows(bags, task.kind, outputs, "full", model, steps, still=still)
        return tune.embeddings(model, changed, cohort.windows, still)

    digest = hashlib.sha256(f"tuned {sha256} {source(tune.__file__, alone=True)} {steps}".encode())
    for name, rows in shown.items():
        records = [cohort.entries[task.rows[k]].record for k in rows]
        digest.update(f"{name} {records} {task.y.dtype} {task.y.shape}".encode() + task.y[rows].tobytes())
    digest.update(f"{len(cohort.windows)} {[e.record for e in cohort.entries]}".encode())
    return cached.array(cache, f"tuned {digest.hexdigest()}", make)
