"""AF against every other rhythm, and all four labels: five folds of PhysioNet/CinC 2017; MIT-BIH, not trained on.

R peaks are those of `measure.beats` for every method. Thresholds come from the training records of each fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm import weights
from cardiofm.data import catalog
from cardiofm.evaluate.beats.own import NAME
from cardiofm.evaluate.run import row
from cardiofm.heads import scores
from cardiofm.measure.band import Floats
from cardiofm.measure.beats import r_peaks
from cardiofm.measure.rhythms import LABELS, WAYS, Rhythms
from cardiofm.signals import SignalError
from cardiofm.train import rhythm as training

AF, CINC = training.AF, 3  # the challenge's score is the mean F1 of the first three labels
METHODS = {"ecg": NAME, "beats": f"{NAME}, intervals alone"}
FLOOR = "irregularity alone"
LEAST = 40  # records of a rhythm, so that every fold within a fold has some
STRETCH_S = 30.0
BINS = 10  # of the calibration
_AF_RHYTHMS = ("AFIB",)
_LEFT_OUT = ("AFL",)  # flutter is neither
_COLUMN = WAYS["beats"].index("irregularity")
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Said:
    """What one method says of every record: a score of AF, whether it is AF, and probabilities where it has them."""

    score: Floats  # (R,)
    af: Bools  # (R,)
    chance: Floats | None = None  # (R, L)


def rows(data_root: Path, limit: int | None = None, cache: Path | None = None) -> list[dict[str, Any]]:
    """Rows of every method on both sets; `cache`: a .npz that keeps the numbers of challenge-2017."""
    data = training.examples(data_root, limit, cache)
    few = int(np.bincount(data.y, minlength=len(LABELS)).min())
    if few < LEAST:
        raise SignalError(
            f"each rhythm must have at least {LEAST} records of {training.DATASET} to be told by folds, found {few}; "
            "measure more records, or the parts without rhythm"
        )
    noise = training.noise(data_root)
    said = {METHODS[way]: _crossed(data, way, noise) for way in WAYS}
    return challenge_rows(data, {**said, FLOOR: _floor(data)}) + mitdb_rows(data_root, limit)


def challenge_rows(data: training.Examples, said: dict[str, Said]) -> list[dict[str, Any]]:
    """Of each method: AUROC and F1 of AF, its calibration, F1 of the labels; and the first method minus the others."""
    out, af = [], data.y == AF
    first = next(iter(said.values()))
    for method, one in said.items():
        keys = {"task": "rhythm", "set": training.DATASET, "method": method}
        out += _af_rows(af, one, data.patient, keys)
        if one.chance is not None:
            label = np.eye(len(LABELS), dtype=bool)
            truth, found = label[data.y][:, :CINC], label[_labels(one)][:, :CINC]
            value = scores.scored(scores.macro_f1, truth, found, data.patient)
            out.append(row(value, 4, **keys, metric="macro_f1"))
            out.append(keys | {"metric": "ece_af", "value": round(calibration_error(one.chance[:, AF], af), 4)})
        if one is not first:
            pair = f"{next(iter(said))} − {method}"
            value = scores.paired(scores.auroc, af, first.score, one.score, data.patient)
            out.append(row(value, 4, **(keys | {"method": pair}), metric="auroc_af"))
            value = scores.paired(scores.f1, af, first.af, one.af, data.patient)
            out.append(row(value, 4, **(keys | {"method": pair}), metric="f1_af"))
    return out


def mitdb_rows(data_root: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """AF in stretches of 30 s by the released trees, which never saw MIT-BIH; AUROC and F1, people drawn again."""
    rhythms = Rhythms.load(weights.HERE)
    truth: list[bool] = []
    who: list[str] = []
    chance: list[list[float]] = []
    decided: list[bool] = []
    for patient, x, fs_hz, af in stretches(data_root, limit):
        told = rhythms.classify(r_peaks(x, fs_hz), x, fs_hz)
        truth.append(af)
        who.append(patient)
        chance.append([told.chances[name] for name in LABELS])
        decided.append(told.label == "af")
    if len(set(truth)) < 2:
        return []
    said = Said(np.array(chance)[:, AF], np.array(decided))
    return _af_rows(np.array(truth), said, who, {"task": "rhythm", "set": "mitdb", "method": NAME})


def stretches(data_root: Path, limit: int | None = None) -> Iterator[tuple[str, Floats, float, bool]]:
    """Patient, ECG, rate in Hz and whether it is AF, of every 30 s of MIT-BIH in which the rhythm stays AF or is not.

    Flutter, and a stretch in which AF begins or ends, is left out.
    """
    for entry in catalog.entries("mitdb", data_root)[:limit]:
        ecg = catalog.load(entry, data_root).ecg
        assert ecg is not None
        at_s, name = _changes(data_root / entry.labels["annotations"], ecg.fs_hz)
        for start_s in np.arange(0.0, ecg.duration_s - STRETCH_S + 1e-6, STRETCH_S):
            first = max(0, int(np.searchsorted(at_s, start_s, "right")) - 1)
            here = set(name[first : int(np.searchsorted(at_s, start_s + STRETCH_S))])
            af = here <= set(_AF_RHYTHMS)
            if here and not here & set(_LEFT_OUT) and (af or not here & set(_AF_RHYTHMS)):
                yield entry.patient, ecg.read(start_s, start_s + STRETCH_S).astype(np.float64), ecg.fs_hz, af


def calibration_error(chance_R: Floats, true_R: Bools) -> float:
    """Mean distance of a stated probability from the share that is true, over ten bins of stated probability.

    >>> calibration_error(np.array([0.25, 0.25, 0.25, 0.25]), np.array([True, False, False, False]))
    0.0
    """
    bin_R = np.minimum((chance_R * BINS).astype(int), BINS - 1)
    apart = [abs(float((chance_R - true_R)[bin_R == b].sum())) for b in range(BINS)]
    return sum(apart) / len(chance_R)


def _af_rows(af: Bools, said: Said, patients: Any, keys: dict[str, Any]) -> list[dict[str, Any]]:
    found = {"auroc_af": scores.scored(scores.auroc, af, said.score, patients)}
    found["f1_af"] = scores.scored(scores.f1, af, said.af, patients)
    out = [row(value, 4, **keys, metric=metric) for metric, value in found.items()]
    hits = float((said.af & af).sum())
    for metric, whole in (("sensitivity", af), ("precision", said.af)):
        out.append(keys | {"metric": metric, "value": round(hits / max(float(whole.sum()), 1.0), 4)})
    return out


def _crossed(data: training.Examples, way: str, noise: training.Examples) -> Said:
    found = training.crossed(data, way, besides=noise, tell=lambda _: None)
    return Said(found.chance[:, AF], found.chance[:, AF] >= found.af_from, found.chance)


def _labels(said: Said) -> NDArray[np.int64]:
    """AF where it is said, else the likeliest of the other labels."""
    assert said.chance is not None
    rest = said.chance.copy()
    rest[:, AF] = -1
    return np.where(said.af, AF, rest.argmax(1))


def _floor(data: training.Examples) -> Said:
    """One number, the coefficient of sample entropy; its threshold is the best F1 of the other folds."""
    score = np.nan_to_num(data.x["beats"][:, _COLUMN], nan=-9.0)
    af, fold, decided = data.y == AF, data.fold, np.zeros(len(data.y), bool)
    for k in range(training.FOLDS):
        rest = fold != k
        order = np.argsort(-score[rest], kind="stable")
        f1 = 2 * np.cumsum(af[rest][order]) / (np.arange(1, rest.sum() + 1) + af[rest].sum())
        decided[~rest] = score[~rest] >= score[rest][order][int(f1.argmax())]
    return Said(score, decided)


def _changes(path: Path, fs_hz: float) -> tuple[Floats, list[str]]:
    """When a rhythm begins (s), and its name, of a WFDB annotation file."""
    import wfdb

    marks = wfdb.rdann(str(path.with_suffix("")), path.suffix.lstrip("."))
    notes = [(s / fs_hz, str(n).strip("\x00 (")) for s, n in zip(marks.sample, marks.aux_note or [], strict=True)
             if str(n).startswith("(")]  # fmt: skip
    return np.array([s for s, _ in notes]), [n for _, n in notes]
