"""A record to its hand-crafted numbers, window by window as an embedding has them; no network."""

from __future__ import annotations

import numpy as np

from cardiofm.data.usable import usable
from cardiofm.measure.features import NAMES
from cardiofm.measure.features import features as of_window
from cardiofm.signals import Features, InputSpec, Record


def features(record: Record, hop_s: float | None = None) -> Features:
    """The numbers that docs/features.md describes, one row per 10-second window, the windows of `Model.embed`.

    Windows start every `hop_s` seconds (by default 10), a channel with less than 1 s of known signal in a window
    counts as absent there, and its numbers are NaN. Raises SignalError for a record with no usable window.

    >>> import cardiofm
    >>> found = cardiofm.features(cardiofm.simulate(20, fs_ecg_hz=250, fs_ppg_hz=125, seed=1).record)
    >>> found.values.shape == (2, len(found.names)), found.names[0]
    (True, 'ecg_known')
    """
    spec = InputSpec()
    windows = [window for window, _ in usable(record, spec, hop_s)]
    return Features(
        record.name,
        np.stack([of_window(w.values, w.valid, w.in_mv, spec.fs_hz) for w in windows]),
        np.array([w.start_s for w in windows]),
        np.stack([w.quality for w in windows]),
        np.stack([w.valid.any(-1) for w in windows]),
        NAMES,
    )
