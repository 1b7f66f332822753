"""MiniRocket with thresholds from some of the windows that it is asked about, chosen without their labels."""

from __future__ import annotations

import numpy as np

from cardiofm.evaluate import minirocket as transform
from cardiofm.evaluate.extractors.extractor import Extractor, hashed, source
from cardiofm.signals import InputSpec, Window


def minirocket(windows: list[Window], channels: tuple[int, ...], spec: InputSpec) -> Extractor:
    """Of these channels (0 ECG, 1 PPG), fitted on `windows`."""
    fitted = transform.fit(transform.prepared(windows, spec.fs_hz, channels))
    thresholds = [[d, float(np.sum(bias, dtype=np.float64))] for channel in fitted.biases for d, bias in channel]
    return Extractor(
        "minirocket",
        "MiniRocket, thresholds fitted without labels",
        sum(bias.size for channel in fitted.biases for _, bias in channel),
        channels,
        f"minirocket {source(transform.__file__, alone=True)} {hashed(thresholds)}",
        lambda some: fitted.transform(transform.prepared(some, spec.fs_hz, channels)),
    )
