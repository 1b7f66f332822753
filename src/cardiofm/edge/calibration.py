"""Real windows for what rounds to ranges: from recordings that weights may be trained on, never from a test fold."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.config import from_dict
from cardiofm.data import catalog
from cardiofm.data.usable import stacked, usable
from cardiofm.model.checkpoint import read_config
from cardiofm.signals import InputSpec, Record, SignalError

DATASET = "challenge-2015"  # ECG and PPG together, as they come from a bedside
RECORDS = 24
EACH = 2  # windows of a record, from its beginning

Windows = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]


def real_windows(folder: Path, data_root: Path) -> Windows:
    """Windows of the first training records below a data root, for the model in `folder`: values `(B, C, N)`,
    visibility, units `(B, C)`. Raises SignalError where there are none."""
    entries = [e for e in catalog.entries(DATASET, data_root) if e.split == "train" and e.pretrain]
    return windows_of(folder, (catalog.load(e, data_root) for e in entries[:RECORDS]))


def windows_of(folder: Path, records: Iterable[Record]) -> Windows:
    """The same of given records; one that holds no signal is passed over."""
    spec = from_dict(InputSpec, read_config(folder)["spec"])
    found = []
    for record in records:
        try:
            found += [window for window, _ in islice(usable(record, spec, None), EACH)]
        except SignalError:
            continue
    if not found:
        raise SignalError("static ranges need real windows, found none in these recordings; give others")
    return stacked(found)
