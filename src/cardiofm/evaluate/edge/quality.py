"""What fewer bits take away, in the user's units: QT and PAT of a beat, and what a frozen probe tells of an ECG.

The probe is fitted on embeddings of each kind, folds 1 to 7 of ptb-xl, its penalty chosen on fold 8, scored on fold 9.
Intervals are compared beat by beat with those in full precision, on records that nothing was chosen by.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cardiofm.data import catalog
from cardiofm.data.usable import stacked
from cardiofm.evaluate import cohorts
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.model.checkpoint import HEAD
from cardiofm.pipeline import Model
from cardiofm.signals import Measurement, Record, SignalError

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # inverse, of the logistic regression
INTERVALS = ("qt_ms", "pat_ms")
SAME_S = 0.05  # two R peaks closer than this are one beat
SECONDS = 60.0  # of each record that is measured
TOLD_MS = 1.0


def quality(models: dict[tuple[str, str], Model], data_root: Path, limit: int, records: int) -> list[dict[str, Any]]:
    """A row for each model and precision: AUROC of abnormal against normal, cosine to full precision, its intervals.

    `models` by (name, precision), "fp32" of a name before its others; one without a fiducial head is not measured.
    `limit`: records of ptb-xl; `records`: of bidmc.
    """
    spec = next(iter(models.values())).spec
    cohort = cohorts.ptb_xl(data_root, spec, limit)
    pieces = [_piece(catalog.load(e, data_root)) for e in catalog.entries("bidmc", data_root)[:records]]
    embedded: dict[str, NDArray[np.float64]] = {}
    measured: dict[str, list[Measurement]] = {}
    rows = []
    for (name, precision), model in models.items():
        mine_WD = _embeddings(model, cohort)
        true_WD = embedded.setdefault(name, mine_WD)
        cosine = (mine_WD * true_WD).sum(1) / np.linalg.norm(mine_WD, axis=1) / np.linalg.norm(true_WD, axis=1)
        row: dict[str, Any] = {"model": name, "precision": precision, "auroc": round(_auroc(mine_WD, cohort), 4)}
        row["least_cosine"] = round(float(cosine.min()), 6)
        if model.folder is not None and (model.folder / HEAD).is_file():
            mine = [model.measure(record) for record in pieces]
            true = measured.setdefault(name, mine)
            row |= {k: v for one in INTERVALS for k, v in _apart(true, mine, one).items()}
        rows.append(row)
    return rows


def _piece(record: Record) -> Record:
    return record.crop(record.start_s, record.start_s + SECONDS)


def _embeddings(model: Model, cohort: Cohort) -> NDArray[np.float64]:
    some = (cohort.windows[first : first + 16] for first in range(0, len(cohort.windows), 16))
    parts = [model.backend.embed(*stacked(windows), (0,)) for windows in some]
    return np.concatenate(parts).astype(np.float64)


def _auroc(x_WD: NDArray[np.float64], cohort: Cohort) -> float:
    """Of abnormal against normal in fold 9; records whose superclass is not stated are left out."""
    stated = cohort.label("superclasses")
    abnormal = np.array([stated[k] is not None and "NORM" not in stated[k] for k in cohort.of_window])
    known = np.array([bool(stated[k]) for k in cohort.of_window])
    fold = np.array([cohort.entries[k].labels["strat_fold"] for k in cohort.of_window])
    train, valid, test = known & (fold <= 7), known & (fold == 8), known & (fold == 9)
    if min(len(set(abnormal[part].tolist())) for part in (train, valid, test)) < 2:
        raise SignalError("a probe needs normal and abnormal records in folds 1-7, 8 and 9; give a larger --limit")

    def score(penalty: float, part: NDArray[np.bool_]) -> float:
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=2000))
        probe.fit(x_WD[train], abnormal[train])
        return float(roc_auc_score(abnormal[part], probe.decision_function(x_WD[part])))

    return score(max(PENALTIES, key=lambda penalty: score(penalty, valid)), test)


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
