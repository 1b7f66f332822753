"""Trains what tells rhythms: boosted trees on named numbers of PhysioNet/CinC 2017, by folds of records, to arrays.

`python -m cardiofm.train.rhythm --data-root DIR --out FOLDER` writes rhythm.safetensors and rhythm.json (needs
scikit-learn). AF is said from half of the best F1 on: where probabilities are right, that is the threshold of the
best F1 (Lipton et al., ECML 2014, doi:10.1007/978-3-662-44851-9_15); it varies less than the best of them.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from cardiofm.data import catalog
from cardiofm.data.prepare import NOISE_S
from cardiofm.measure import irregular
from cardiofm.measure.band import Floats, clean
from cardiofm.measure.beats import r_peaks
from cardiofm.measure.rhythm import intervals
from cardiofm.measure.rhythms import LABELS, WAYS, numbers
from cardiofm.measure.trees import Trees

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

DATASET = "challenge-2017"
LETTERS = "NAO~"  # the data's labels, in the order of `LABELS`
AF = LABELS.index("af")
FOLDS, INNER = 5, 2
STRETCH_S = 30.0  # of noise, a row
JITTER_S = 0.008  # how much less exactly a pulse's foot is known than an R peak
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """Of the boosting; the same for both ways."""

    rounds: int = 180
    rate: float = 0.06
    leaves: int = 10
    least: int = 20  # records in a leaf
    shrink: float = 5.0  # L2 on a leaf's value
    share: float = 0.15  # of the numbers tried at a split
    bags: int = 1  # models with different seeds, whose log-odds are averaged


USUAL = Settings()


@dataclass(frozen=True)
class Examples:
    """One row per record: its numbers by way, its label (index into `LABELS`) and its patient."""

    x: dict[str, Floats]  # way → (R, F)
    y: Ints  # (R,)
    patient: tuple[str, ...]

    def rows(self, where: NDArray) -> Examples:
        """Those records."""
        at = np.arange(len(self.y))[where]
        return Examples({w: x[at] for w, x in self.x.items()}, self.y[at], tuple(self.patient[k] for k in at))

    def and_all(self, other: Examples | None) -> Examples:
        """These records and then the others."""
        if other is None:
            return self
        x = {w: np.concatenate((mine, other.x[w])) for w, mine in self.x.items()}
        return Examples(x, np.concatenate((self.y, other.y)), self.patient + other.patient)

    @property
    def fold(self) -> Ints:
        """The fold of each record, by a hash of its patient, `(R,)`."""
        return folds(self.patient, FOLDS, "rhythm")


def folds(patients: Sequence[str], count: int, name: str) -> Ints:
    """A fold for each patient, `(R,)`, by a hash of the split's name and the patient's.

    >>> folds(["a", "b", "a"], 5, "rhythm").tolist()
    [2, 4, 2]
    """
    digests = [hashlib.sha256(f"{name} {p}".encode()).digest() for p in patients]
    return np.array([int.from_bytes(d[:8], "big") % count for d in digests], np.int64)


def examples(data_root: Path, limit: int | None = None, cache: Path | None = None) -> Examples:
    """The numbers of every record, R peaks by `measure.beats`; read from `cache` (.npz) where it is."""
    if cache is not None and cache.is_file():
        with np.load(cache) as kept:
            if all(tuple(kept[f"names.{w}"]) == names for w, names in WAYS.items()):
                return Examples({w: kept[w] for w in WAYS}, kept["y"], tuple(kept["patient"].tolist()))
    found: dict[str, list[Floats]] = {way: [] for way in WAYS}
    label: list[int] = []
    patient: list[str] = []
    for entry in catalog.entries(DATASET, data_root)[:limit]:
        ecg = catalog.load(entry, data_root).ecg
        assert ecg is not None
        x, good = clean(ecg.values, ecg.fs_hz, None)
        r_s = r_peaks(x, ecg.fs_hz, good)
        found["ecg"].append(numbers(r_s, x, ecg.fs_hz, good))
        found["beats"].append(_as_pulse(r_s, x, ecg.fs_hz, len(label)))
        label.append(LETTERS.index(str(entry.labels["rhythm"])))
        patient.append(entry.patient)
    out = Examples({w: np.array(rows) for w, rows in found.items()}, np.array(label, np.int64), tuple(patient))
    if cache is not None:
        names: dict[str, Any] = {f"names.{w}": np.array(names) for w, names in WAYS.items()}
        np.savez(cache, y=out.y, patient=np.array(patient), **out.x, **names)
    return out


def noise(data_root: Path) -> Examples:
    """Noise without a heart, half a minute a row, as unreadable: nstdb's first 20 minutes; the rest is held out.

    It is learned from, never counted: a loose electrode draws what a detector takes for beats.
    """
    found: dict[str, list[Floats]] = {way: [] for way in WAYS}
    patient: list[str] = []
    for entry in catalog.entries("nstdb", data_root):
        ecg = catalog.load(entry, data_root).ecg
        assert ecg is not None
        for start_s in np.arange(0.0, NOISE_S, STRETCH_S):
            x, good = clean(ecg.read(start_s, start_s + STRETCH_S), ecg.fs_hz, None)
            r_s = r_peaks(x, ecg.fs_hz, good)
            found["ecg"].append(numbers(r_s, x, ecg.fs_hz, good))
            found["beats"].append(irregular.irregular(intervals(r_s, good, ecg.fs_hz)))
            patient.append(entry.patient)
    y = np.full(len(patient), LABELS.index("unreadable"), np.int64)
    return Examples({w: np.array(rows) for w, rows in found.items()}, y, tuple(patient))


def _as_pulse(r_s: Floats, x: Floats, fs_hz: float, seed: int) -> Floats:
    """The numbers of the intervals as a pulse would show them: each beat a little off."""
    off_s = JITTER_S * np.random.default_rng(seed).normal(size=len(r_s))
    return irregular.irregular(intervals(r_s + off_s, np.ones(len(x), bool), fs_hz))


def fitted(x_RF: Floats, y_R: Ints, settings: Settings = USUAL, seed: int = 0) -> Trees:
    """Trees for all four labels, trained on these records."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    models = []
    for k in range(settings.bags):
        model = HistGradientBoostingClassifier(
            learning_rate=settings.rate, max_iter=settings.rounds, max_leaf_nodes=settings.leaves,
            min_samples_leaf=settings.least, l2_regularization=settings.shrink, max_features=settings.share,
            early_stopping=False,  # type: ignore[arg-type]  # the stub knows "auto" alone
            random_state=seed + k,
        )  # fmt: skip
        models.append(model.fit(x_RF, y_R))
    return exported(models)


def exported(models: Sequence[HistGradientBoostingClassifier]) -> Trees:
    """The mean of models' log-odds as arrays: the same probabilities as scikit-learn's for a single model."""
    trees = Trees.grown(
        [tree.nodes for m in models for labels in m._predictors for tree in labels],
        np.mean([np.ravel(m._baseline_prediction) for m in models], axis=0),
    )
    return replace(trees, value=trees.value / len(models))


def out_of_fold(data: Examples, way: str, fold_R: Ints, settings: Settings = USUAL) -> Floats:
    """Probabilities `(R, L)` of each record by trees that saw none of its fold."""
    chance = np.zeros((len(data.y), len(LABELS)))
    for k in np.unique(fold_R):
        trees = fitted(data.x[way][fold_R != k], data.y[fold_R != k], settings)
        chance[fold_R == k] = trees.probabilities(data.x[way][fold_R == k])
    return chance


def af_from(chance_R: Floats, af_R: NDArray[np.bool_]) -> float:
    """From which probability of AF on to say AF: half of the best F1 that any threshold has.

    >>> af_from(np.array([0.9, 0.8, 0.3, 0.1]), np.array([True, True, False, False]))
    0.5
    """
    order = np.argsort(-chance_R, kind="stable")
    hits = np.cumsum(af_R[order])
    return float(np.max(2 * hits / (np.arange(1, len(order) + 1) + af_R.sum()))) / 2


@dataclass(frozen=True)
class Crossed:
    """What a record's probabilities are, and from which probability AF is said, by models that did not see it."""

    chance: Floats  # (R, L)
    af_from: Floats  # (R,)


def crossed(
    data: Examples,
    way: str,
    settings: Settings = USUAL,
    besides: Examples | None = None,
    tell: Callable[[str], None] = print,
) -> Crossed:
    """Five folds of records; the threshold of each by two folds inside its training records.

    `besides` is learned from in every fold, and not counted.
    """
    chance, threshold, fold = np.zeros((len(data.y), len(LABELS))), np.zeros(len(data.y)), data.fold
    for k in range(FOLDS):
        train, test = data.rows(fold != k), fold == k
        inside = out_of_fold(train, way, folds(train.patient, INNER, "inside"), replace(settings, bags=1))
        threshold[test] = af_from(inside[:, AF], train.y == AF)
        seen = train.and_all(besides)
        chance[test] = fitted(seen.x[way], seen.y, settings).probabilities(data.x[way][test])
        tell(f"{way}: fold {k + 1} of {FOLDS}, AF from {threshold[test][0]:.3f}")
    return Crossed(chance, threshold)


def train(
    data: Examples,
    out: Path,
    settings: Settings = USUAL,
    besides: Examples | None = None,
    found: dict[str, Crossed] | None = None,
) -> None:
    """Trees of all records and both ways to `rhythm.safetensors`, what they are to `rhythm.json`."""
    arrays: dict[str, NDArray] = {}
    about: dict[str, Any] = {
        "labels": list(LABELS), "numbers": {w: list(names) for w, names in WAYS.items()}, "af_from": {},
        "noise": 0 if besides is None else len(besides.y),
        "trained_on": {"dataset": DATASET, "records": len(data.y), "labels": np.bincount(data.y, minlength=4).tolist()},
        "settings": vars(settings),
        "versions": {p: importlib.metadata.version(p) for p in ("scikit-learn", "numpy", "scipy")},
    }  # fmt: skip
    for way in WAYS:
        by = (found or {}).get(way)
        chance = by.chance if by is not None else out_of_fold(data, way, data.fold, replace(settings, bags=1))
        about["af_from"][way] = round(af_from(chance[:, AF], data.y == AF), 4)
        seen = data.and_all(besides)
        arrays |= fitted(seen.x[way], seen.y, settings).arrays(way)
    out.mkdir(parents=True, exist_ok=True)
    save_file(arrays, out / "rhythm.safetensors")
    (out / "rhythm.safetensors").chmod(0o644)  # it is written for its owner alone
    (out / "rhythm.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Train on everything under a data root."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("CARDIOFM_DATA_ROOT", "../shared/data")
    parser.add_argument("--data-root", type=Path, default=Path(data), help="folder of the datasets")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets rhythm.safetensors and rhythm.json")
    parser.add_argument("--cache", type=Path, help="a .npz that keeps the numbers of every record")
    args = parser.parse_args()
    train(examples(args.data_root, cache=args.cache), args.out, besides=noise(args.data_root))


if __name__ == "__main__":
    main()
