"""The frozen features that are compared on a cohort: those that are always there, and the peers that a user adds.

All are numbers of one window, kept in a cache; `Cohort.mean` makes them numbers of a record. W windows, D numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.extractors.crafted import hand_crafted
from cardiofm.evaluate.extractors.extractor import Extractor
from cardiofm.evaluate.extractors.own import alone, embedding, untrained
from cardiofm.evaluate.extractors.rocket import minirocket
from cardiofm.pipeline import Model
from cardiofm.signals import MODALITIES, CheckpointError, Window

FIT_WINDOWS = 256  # that MiniRocket's thresholds come from


def always(cohort: Cohort, model: Model, sha256: str) -> list[Extractor]:
    """What every table holds; one channel alone only where windows of the cohort have both."""
    windows = cohort.windows
    channels = tuple(c for c in range(2) if any(w.valid[c].any() for w in windows))
    single = [alone(model, sha256, m) for m in MODALITIES] if len(channels) == 2 else []
    return [
        embedding(model, sha256),
        *single,
        untrained(model, windows[:16]),
        hand_crafted(model.spec),
        minirocket(_for_fit(cohort), channels, model.spec),
    ]


def numbers(
    cohort: Cohort, model: Model, sha256: str, cache: Path, more: Iterable[Extractor] = ()
) -> tuple[dict[str, NDArray[np.floating]], dict[str, str]]:
    """Numbers of every window `(W, D)` by the name of each extractor, and what each of them is.

    `sha256` is that of the model's weights; `more`: extractors beside those that are always there, as far as they read
    a channel that the cohort has.
    """
    here = {c for c in range(len(MODALITIES)) if any(w.valid[c].any() for w in cohort.windows)}
    every = [*always(cohort, model, sha256), *(one for one in more if here & set(one.channels))]
    return {e.name: e.kept(cohort.windows, cache) for e in every}, {e.name: e.meaning for e in every}


def unchanged(sha256: str, now: str) -> None:
    """Stops where the weights were replaced while they were being scored: the results would name the wrong ones."""
    if sha256 != now:
        raise CheckpointError(
            f"the weights must stay the same during a benchmark, found {sha256[:12]} before and {now[:12]} after; "
            "empty the --cache folder and run it again"
        )


def _for_fit(cohort: Cohort) -> list[Window]:
    """Where there is an official split, only windows of its training folds."""
    may = [cohort.entries[k].labels.get("strat_fold", 1) <= 7 for k in cohort.of_window]
    return [w for w, fit in zip(cohort.windows, may, strict=True) if fit][:FIT_WINDOWS]
