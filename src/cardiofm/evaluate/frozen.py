"""The frozen features that are compared: of the model, of the same network untrained, and two that need no network.

All are numbers of one window, kept in a cache; `Cohort.mean` makes them numbers of a record. W windows, D numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.evaluate import cached, floors, minirocket
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.measure import features as crafted
from cardiofm.pipeline import Model
from cardiofm.signals import Window

METHODS = {
    "model": "CardioFM embedding",
    "untrained": "the same network before training (seed 0)",
    "hand-crafted": f"{len(crafted.NAMES)} hand-crafted numbers: rhythm, shape of the beats, spectrum",
    "minirocket": "MiniRocket, thresholds fitted without labels",
}
FIT_WINDOWS = 256  # that MiniRocket's thresholds come from
_Make = Callable[[list[Window]], NDArray[np.floating]]


def numbers(cohort: Cohort, model: Model, sha256: str, cache: Path) -> dict[str, NDArray[np.floating]]:
    """Numbers of every window `(W, D)` by each method of `METHODS`; `sha256` is that of the model's weights."""
    fs_hz, windows = model.spec.fs_hz, cohort.windows
    untrained = floors.untrained(model, windows[:16])
    channels = (0, 1) if any(w.valid[1].any() for w in windows) else (0,)
    rocket = minirocket.fit(minirocket.prepared(_for_fit(cohort), fs_hz, channels))
    made: dict[str, tuple[str, _Make]] = {
        "model": (f"model {sha256} {type(model.backend).__name__}", lambda some: cached.embeddings(model, some)),
        "untrained": (f"untrained {_hash(model.config)}", lambda some: cached.embeddings(untrained, some)),
        "hand-crafted": (f"hand-crafted {_source(crafted.__file__)}", lambda some: _crafted(some, fs_hz)),
        "minirocket": (
            f"minirocket {_source(minirocket.__file__, alone=True)} {_hash(_thresholds(rocket))}",
            lambda some: rocket.transform(minirocket.prepared(some, fs_hz, channels)),
        ),
    }
    return {name: cached.numbers(cache, by, windows, make) for name, (by, make) in made.items()}


def unchanged(sha256: str, now: str) -> None:
    """Stops where the weights were replaced while they were being scored: the results would name the wrong ones."""
    if sha256 != now:
        raise ValueError(
            f"the weights must stay the same during a benchmark, found {sha256[:12]} before and {now[:12]} after; "
            "empty the --cache folder and run it again"
        )


def _for_fit(cohort: Cohort) -> list[Window]:
    """Where there is an official split, only windows of its training folds."""
    may = [cohort.entries[k].labels.get("strat_fold", 1) <= 7 for k in cohort.of_window]
    return [w for w, fit in zip(cohort.windows, may, strict=True) if fit][:FIT_WINDOWS]


def _crafted(windows: list[Window], fs_hz: float) -> NDArray[np.floating]:
    return np.stack([crafted.features(w.values, w.valid, w.in_mv, fs_hz) for w in windows])


def _thresholds(rocket: minirocket.MiniRocket) -> list[list[float]]:
    return [[d, float(np.sum(bias, dtype=np.float64))] for channel in rocket.biases for d, bias in channel]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _source(path: str | None, alone: bool = False) -> str:
    """Hash of a module's file, or of all beside it: what it computes may change with them."""
    assert path is not None
    files = [Path(path)] if alone else sorted(Path(path).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
