"""How much an embedding tells of where a recording comes from: device, hospital and patients of its dataset together.

One window from the middle of one recording for each of at most 150 patients a dataset, the ECG alone, so that the
presence of a PPG tells nothing. A linear probe names the dataset of patients that it did not learn from; then the same
after each dataset's mean (over the patients that the probe learns from) is taken away. Beside it, the share of windows
whose nearest neighbour is of the same dataset. Writes device_bias.json and .png, a map of the windows.
Shapes: W windows, D numbers, K datasets.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.data import catalog
from cardiofm.data.usable import visible
from cardiofm.evaluate import cached, run
from cardiofm.evaluate.extractors.crafted import hand_crafted
from cardiofm.evaluate.extractors.own import embedding, untrained
from cardiofm.evaluate.frozen import unchanged
from cardiofm.evaluate.sample import Piece, pieces, summary
from cardiofm.evaluate.tables.device_bias import device_bias as table
from cardiofm.heads import scores
from cardiofm.heads.learn import probes
from cardiofm.pipeline import load
from cardiofm.signals import InputSpec, SignalError

SETS = ("ptb-xl", "challenge-2015", "challenge-2017", "mitdb", "bidmc", "ludb")
LIMIT = 150  # patients of a dataset
FOLDS = 5
METHODS = {
    "model": "CardioFM embedding of the ECG",
    "untrained": "the same network before training",
    "hand-crafted": "hand-crafted numbers of the ECG",
}
PROBES = {
    "linear": "logistic regression, cross-validated by patient",
    "nearest": "the nearest other window of standardised numbers, by the angle",
}
_SINUS = {"SR", "SBRAD", "STACH", "SARRH"}  # SCP statements of PTB-XL
_AF = {"AFIB", "AFLT"}
Floats = NDArray[np.float64]


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    made = run.parser(about, LIMIT, "patients of a dataset")
    cached.add_argument(made)
    return made


def main(args: argparse.Namespace) -> None:
    """Read, encode, probe; draw the map; print the table; write the results."""
    from cardiofm.evaluate.pictures import maps

    sha256 = run.checkpoint(args.model)["sha256"]
    model = load(args.model, backend=args.backend, threads=args.threads)
    used, refused = sample(args.data_root, model.spec, args.limit)
    windows = [piece.window for piece in used]
    makers = (embedding(model, sha256), untrained(model, windows[:16]), hand_crafted(model.spec))
    features = {one.name: np.asarray(one.kept(windows, args.cache), np.float64) for one in makers}
    names = [piece.dataset for piece in used]
    rows = [row for name, x in features.items() for row in measured(name, x, names, [p.patient for p in used])]
    unchanged(sha256, run.checkpoint(args.model)["sha256"])
    place, share = plane(features["model"])
    result = run.save(
        args.out / "device_bias.json", "device_bias", rows, args.model, summary(used),
        methods=METHODS, probes=PROBES, chance=chances(names), refused=refused, variance=[round(s, 4) for s in share],
    )  # fmt: skip
    colours = {"dataset": [name.upper() for name in names], "rhythm": rhythms(used, args.data_root)}
    maps(place, share, colours, "CardioFM embedding of the ECG, a window a patient", args.out / "device_bias.png")
    print("\n".join(table(result)))


def sample(data_root: Path, spec: InputSpec, limit: int) -> tuple[list[Piece], int]:
    """A window for each of at most `limit` patients of a dataset, the ECG alone; and how many had no ECG."""
    found, refused, absent = [], 0, []
    for name in SETS:
        try:
            people = len({e.patient for e in catalog.entries(name, data_root) if e.labels.get("strat_fold") != 10})
        except SignalError as error:
            absent.append(name)
            print(f"{name}: {error}", file=sys.stderr)
            continue
        for piece in pieces(name, data_root, spec, min(limit, people)):
            window = piece.window
            only = np.array([[True], [False]])
            values = np.where(only & window.valid, window.values, np.float32(0))
            seen = visible(replace(window, values=values, valid=window.valid & only), spec)
            refused += seen is None
            if seen is not None:
                found.append(replace(piece, window=seen))
    if len(SETS) - len(absent) < 2:
        raise SignalError(f"{data_root} must hold two of {', '.join(SETS)}, found {len(SETS) - len(absent)}; add one")
    return found, refused


def measured(method: str, x_WD: Floats, names: Sequence[str], patients: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a method: how often the dataset is told, as it is and without the datasets' means."""
    kinds = list(dict.fromkeys(names))
    y = np.array([kinds.index(name) for name in names])
    x = x_WD[:, np.isfinite(x_WD).any(0)]
    x = np.where(np.isfinite(x), x, np.nanmedian(x, axis=0))
    rows = []
    for centred in (False, True):
        found = {"linear": told(x, y, patients, centred), "nearest": nearest(x, y, centred)}
        for probe, said in found.items():
            what = {"method": method, "probe": probe, "means_removed": centred}
            rows.append(run.row(scores.scored(balanced, y, said, patients), 4, metric="balanced accuracy", **what))
            rows.append(run.row(scores.scored(scores.accuracy, y, said, patients), 4, metric="accuracy", **what))
    return rows


def told(x_WD: Floats, y_W: NDArray[np.int64], patients: Sequence[str], centred: bool) -> NDArray[np.int64]:
    """The dataset that a linear probe names `(W,)`; a fold is scored, the next chooses the penalty."""
    fold = probes.folds_of(y_W, patients, "classes", FOLDS)
    kinds = np.arange(y_W.max() + 1)
    out = np.zeros(len(y_W), np.int64)
    for k in range(FOLDS):
        part = np.where(fold == k, "test", np.where(fold == (k + 1) % FOLDS, "valid", "train"))
        x = without_means(x_WD, y_W, fold != k) if centred else x_WD
        said = probes.on_split(x, y_W[:, None] == kinds, list(part), "multilabel").scores
        out[fold == k] = said[fold == k].argmax(1)
    return out


def without_means(x_WD: Floats, y_W: NDArray[np.int64], learned_W: NDArray[np.bool_]) -> Floats:
    """Each window less the mean of its dataset over the windows that were learned from."""
    means = np.stack([x_WD[learned_W & (y_W == k)].mean(0) for k in range(y_W.max() + 1)])
    return x_WD - means[y_W]


def nearest(x_WD: Floats, y_W: NDArray[np.int64], centred: bool) -> NDArray[np.int64]:
    """The dataset of the nearest other window, `(W,)`."""
    x = without_means(x_WD, y_W, np.ones(len(y_W), bool)) if centred else x_WD
    z = (x - x.mean(0)) / np.maximum(x.std(0), 1e-9)
    z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-9)
    like = z @ z.T
    np.fill_diagonal(like, -np.inf)
    return y_W[like.argmax(1)]


def balanced(y: NDArray[Any], found: NDArray[Any], weight_RW: Floats) -> Floats:
    """Mean over datasets of the share of their windows that are told right, `(R,)`."""
    each = [scores.accuracy(y[y == k], found[y == k], weight_RW[:, y == k]) for k in np.unique(y)]
    return np.nanmean(np.stack(each), axis=0)


def chances(names: Sequence[str]) -> dict[str, float]:
    """What a guess reaches: a dataset in so many, and the largest dataset always."""
    counts = [list(names).count(name) for name in dict.fromkeys(names)]
    return {"balanced accuracy": round(1 / len(counts), 4), "accuracy": round(max(counts) / len(names), 4)}


def plane(x_WD: Floats) -> tuple[Floats, list[float]]:
    """The windows on the first two principal axes of standardised numbers `(W, 2)`, and each axis's share of variance.

    >>> place, share = plane(np.array([[0.0, 0, 1], [1, 2, 0], [2, 4, 1]]))
    >>> place.shape, round(sum(share), 6)
    ((3, 2), 1.0)
    """
    z = (x_WD - x_WD.mean(0)) / np.maximum(x_WD.std(0), 1e-9)
    u, size, _ = np.linalg.svd(z, full_matrices=False)
    return u[:, :2] * size[:2], (size[:2] ** 2 / (size**2).sum()).tolist()


def rhythms(used: Sequence[Piece], data_root: Path) -> list[str]:
    """Sinus, AF (or flutter), other or not known, of every window, by the labels of its recording."""
    labels = {
        (name, e.record): e.labels for name in {p.dataset for p in used} for e in catalog.entries(name, data_root)
    }
    return [_rhythm(piece.dataset, labels[piece.dataset, piece.record]) for piece in used]


def _rhythm(dataset: str, labels: dict[str, Any]) -> str:
    if dataset == "challenge-2017":
        return {"N": "sinus", "A": "AF", "O": "other"}.get(labels["rhythm"], "not known")
    if dataset == "ludb":
        words = (labels["rhythm"] or "").lower()
        return "AF" if "atrial f" in words else "sinus" if words.startswith("sinus") else "other"
    if dataset == "ptb-xl":
        codes = set(labels["scp_codes"])
        return "AF" if codes & _AF else "sinus" if codes & _SINUS else "other"
    return "not known"
