"""What is usual around each beat."""

from __future__ import annotations

import numpy as np

from cardiofm.measure.band import Floats

_PART = 4096  # beats at once: a day of them takes no more memory than an hour


def running_median(x_B: Floats, around: int, least: int = 1) -> Floats:
    """The median of the known values at most `around` places away, `(B,)`; NaN where fewer than `least` are known.

    >>> running_median(np.array([1.0, 5.0, np.nan, 2.0]), 1, least=2).tolist()
    [3.0, 3.0, 3.5, nan]
    """
    out = np.full(len(x_B), np.nan)
    edge = np.full(around, np.nan)
    wide = np.concatenate((edge, x_B, edge))
    for first in range(0, len(x_B), _PART):
        part = wide[first : first + _PART + 2 * around]
        rows = np.lib.stride_tricks.sliding_window_view(part, 2 * around + 1)
        some = np.isfinite(rows).sum(1) >= least
        if some.any():
            out[first : first + len(rows)][some] = np.nanmedian(rows[some], axis=1)
    return out
