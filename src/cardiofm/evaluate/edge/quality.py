"""What fewer bits take away, in the user's units: QT and PAT of a beat, and what a frozen probe tells of an ECG.

The probe is the project's own (`evaluate.tasks`, NORM against abnormal of ptb-xl: folds 1 to 7 learn, 8 chooses, 9 is
scored), fitted anew on embeddings of each kind, beside floors. Intervals are compared beat by beat with those in full
precision, on records that nothing was chosen by.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.data import catalog
from cardiofm.data.usable import stacked
from cardiofm.edge.runtime import OnnxBackend, source_hash
from cardiofm.evaluate import cached, cohorts, run, tasks
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.extractors.crafted import hand_crafted
from cardiofm.evaluate.extractors.own import untrained
from cardiofm.heads import scores
from cardiofm.model.checkpoint import HEAD
from cardiofm.pipeline import Model
from cardiofm.signals import Measurement, Record, Window

TASK, METRIC = "abnormal", "AUROC"
FULL = "fp32"
INTERVALS = ("qt_ms", "pat_ms")
SAME_S = 0.05  # two R peaks closer than this are one beat
SECONDS = 60.0  # of each record that is measured
TOLD_MS = 1.0
Kind = tuple[str, str]  # name, precision
Rows = list[dict[str, Any]]


def quality(models: dict[Kind, Model], cohort: Cohort, pieces: list[Record], cache: Path) -> tuple[Rows, Rows]:
    """Rows and paired differences: a row for each model and precision, and for each floor.

    AUROC of NORM against abnormal with its interval over the patients of `cohort` (ptb-xl), least cosine of embeddings
    to full precision, and how far intervals of the records `pieces` lie from those in full precision. `models` by
    (name, precision), "fp32" of a name before its others; one without a fiducial head does not measure. A difference
    is AUROC of fewer bits minus that of full precision on the same patients.
    """
    embedded = {kind: embeddings(model, kind[1], cohort.windows, cache) for kind, model in models.items()}
    rows, differences = probed(cohort, embedded | floors(models, cohort, cache), cache)
    measured: dict[str, list[Measurement]] = {}
    for row in rows:
        kind = (row["model"], row["precision"])
        if kind not in models:
            continue
        mine_WD, true_WD = (embedded[k].astype(np.float64) for k in (kind, (kind[0], FULL)))
        cosine = (mine_WD * true_WD).sum(1) / np.linalg.norm(mine_WD, axis=1) / np.linalg.norm(true_WD, axis=1)
        row["least_cosine"] = round(float(cosine.min()), 6)
        folder = models[kind].folder
        if folder is not None and (folder / HEAD).is_file():
            mine = [models[kind].measure(record) for record in pieces]
            true = measured.setdefault(kind[0], mine)
            row |= {k: v for one in INTERVALS for k, v in _apart(true, mine, one).items()}
    return rows, differences


def read(model: Model, data_root: Path, limit: int, records: int) -> tuple[Cohort, list[Record]]:
    """`limit` records of ptb-xl for the probe, and the first minute of `records` records of bidmc to measure."""
    pieces = [_piece(catalog.load(e, data_root)) for e in catalog.entries("bidmc", data_root)[:records]]
    return cohorts.ptb_xl(data_root, model.spec, limit), pieces


def embeddings(model: Model, precision: str, windows: list[Window], cache: Path) -> NDArray[np.float32]:
    """Embeddings `(W, D)` of ECG windows as the model's backend makes them, kept in the folder `cache`."""
    assert model.folder is not None
    made_by = f"embed {precision} {type(model.backend).__name__} {source_hash(model.folder)}"
    if isinstance(model.backend, OnnxBackend):
        graph = model.folder / model.backend.embedders[0,]
        made_by += f" {graph.name} {hashlib.sha256(graph.read_bytes()).hexdigest()}"

    def make(some: list[Window]) -> NDArray[np.float32]:
        parts = (some[first : first + 16] for first in range(0, len(some), 16))
        return np.concatenate([model.backend.embed(*stacked(part), (0,)) for part in parts])

    return cached.numbers(cache, made_by, windows, make)


def floors(models: dict[Kind, Model], cohort: Cohort, cache: Path) -> dict[Kind, NDArray[np.floating]]:
    """Numbers of the windows that a model must beat: its untrained network, hand-crafted numbers, and none."""
    full = {name: model for (name, precision), model in models.items() if precision == FULL}
    found: dict[Kind, NDArray[np.floating]] = {
        (f"{name}, untrained", FULL): untrained(model, cohort.windows[:16]).kept(cohort.windows, cache)
        for name, model in full.items()
    }
    crafted = hand_crafted(next(iter(models.values())).spec)
    found["hand-crafted numbers", ""] = crafted.kept(cohort.windows, cache)
    found["the mean", ""] = np.zeros((len(cohort.windows), 1))
    return found


def probed(cohort: Cohort, features: dict[Kind, NDArray[np.floating]], cache: Path) -> tuple[Rows, Rows]:
    """AUROC of a linear probe on each kind of numbers `(W, D)`, and of fewer bits minus full precision, paired."""
    (task,) = (one for one in tasks.of_ptb_xl(cohort) if one.name == TASK)
    found = {kind: task.held_out(cohort.mean(x)[task.rows], "linear", cache) for kind, x in features.items()}
    tested = next(iter(found.values())).fold >= 0
    y, patients = task.y[tested], [p for p, is_in in zip(task.patients, tested, strict=True) if is_in]
    metric, answer = task.asked[METRIC].metric, {kind: one.scores[tested] for kind, one in found.items()}
    rows, differences = [], []
    for (name, precision), mine in answer.items():
        what = {"model": name, "precision": precision, "set": task.dataset, "task": TASK, "metric": METRIC}
        what |= {"refused": cohort.refused}
        rows.append(run.row(scores.scored(metric, y, mine, patients), 4, **what))
        if precision not in (FULL, ""):
            gain = scores.paired(metric, y, mine, answer[name, FULL], patients)
            differences.append(run.row(gain, 4, **what, difference=f"{precision} - {FULL}"))
    return rows, differences


def _piece(record: Record) -> Record:
    return record.crop(record.start_s, record.start_s + SECONDS)


def _apart(true: list[Measurement], mine: list[Measurement], what: str) -> dict[str, Any]:
    """How far an interval of the same beats lies from that in full precision: share within 1 ms, largest, and beats
    that only one of them gives."""
    apart, lone = [], 0
    for a, b in zip(true, mine, strict=True):
        first, second = _given(a, what), _given(b, what)
        for at_s, value_ms in first:
            near = [v for s, v in second if abs(s - at_s) <= SAME_S]
            lone += not near
            apart += [abs(near[0] - value_ms)] if near else []
        lone += sum(not any(abs(s - at_s) <= SAME_S for at_s, _ in first) for s, _ in second)
    short = what.removesuffix("_ms")
    within = float(np.mean(np.array(apart) <= TOLD_MS)) if apart else None
    return {
        f"{short}_beats": len(apart),
        f"{short}_within": None if within is None else round(within, 4),
        f"{short}_largest_ms": round(float(max(apart)), 2) if apart else None,
        f"{short}_lone": lone,
    }


def _given(found: Measurement, what: str) -> list[tuple[float, float]]:
    """R peak in s and the interval in ms of every beat that has both."""
    r_s, value_ms = (np.asarray(found.values[name], np.float64) for name in ("r_peak_s", what))
    both = np.isfinite(r_s) & np.isfinite(value_ms)
    return list(zip(r_s[both].tolist(), value_ms[both].tolist(), strict=True))
