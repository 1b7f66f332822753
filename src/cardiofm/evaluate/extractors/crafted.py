"""The hand-crafted numbers of `cardiofm.measure.features`: no network."""

from __future__ import annotations

import numpy as np

from cardiofm.evaluate.extractors.extractor import Extractor, source
from cardiofm.measure import features
from cardiofm.signals import InputSpec


def hand_crafted(spec: InputSpec) -> Extractor:
    """Rhythm, shape of the beats, spectrum, and how the two channels agree."""
    return Extractor(
        "hand-crafted",
        f"{len(features.NAMES)} hand-crafted numbers: rhythm, shape of the beats, spectrum",
        len(features.NAMES),
        (0, 1),
        f"hand-crafted {source(features.__file__)}",
        lambda windows: np.stack([features.features(w.values, w.valid, w.in_mv, spec.fs_hz) for w in windows]),
    )
