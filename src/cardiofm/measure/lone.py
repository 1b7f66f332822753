"""Whether a heart drew the feet of a PPG that no R peak vouches for, or steps did: named numbers of those around each.

Motion is as periodic as a pulse, and its feet look like feet; but it rises as slowly as it falls, now faster and now
slower, and where it mixes with a pulse the intervals are uneven. Shapes: B feet, F numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure import company
from cardiofm.measure.band import Floats
from cardiofm.measure.company import COMPANY_S, around, evenness
from cardiofm.measure.locate import PPG_EVENTS, Points

NUMBERS = (
    *company.NUMBERS["ppg"],
    "evenness",
    "rise in s",
    "rise in intervals",
    "change of the rise in s",
    "change of the rise in intervals",
    "log of tops a foot",
)
_FOOT, _PEAK = PPG_EVENTS.index("ppg_foot"), PPG_EVENTS.index("ppg_peak")
_MOST_S = (0.6, 0.1)  # a slower rise, and one that changes more, say no more
_ALONE = 0.5  # of an interval: what stands for a rise, and its change, where there is no interval


def lone(ppg: Points, company_BF: Floats, feet: NDArray[np.int64]) -> Floats:
    """The numbers named in `NUMBERS` of some of the tops, `feet`, ascending, `(len(feet), F)`.

    `company_BF`: of all tops (`company.company`). Each number is the mean over the feet within `COMPANY_S`, so that a
    stretch is given or refused as one.
    """
    at_s = ppg.at_s[feet, _FOOT]
    rise_s = ppg.at_s[feet, _PEAK] - at_s
    usual_s = around(at_s, rise_s)
    change_s = around(at_s, np.abs(rise_s - usual_s))
    interval_s = _interval(at_s)
    (first, stop), (low, high) = _within(at_s, at_s), _within(ppg.at_s[:, _FOOT], at_s)
    own = np.column_stack(
        [
            company_BF[feet],
            evenness(at_s),
            np.minimum(usual_s, _MOST_S[0]),
            np.nan_to_num(usual_s / interval_s, nan=_ALONE),
            np.minimum(change_s, _MOST_S[1]),
            np.nan_to_num(change_s / interval_s, nan=_ALONE),
            np.log((high - low) / (stop - first)),
        ]
    )
    total = np.concatenate([np.zeros((1, len(NUMBERS))), np.cumsum(own, axis=0)])
    return (total[stop] - total[first]) / (stop - first)[:, None]


def _interval(at_s: Floats) -> Floats:
    """The median of the intervals within `COMPANY_S` of each foot, `(B,)`; NaN where there is none."""
    parts = zip(*_within(at_s, at_s), strict=True)
    return np.array([np.median(np.diff(at_s[a:b])) if b - a > 1 else np.nan for a, b in parts], np.float64)


def _within(of_s: Floats, at_s: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of the ascending `of_s` those within `COMPANY_S` of each time: from the first to before the last of them."""
    return np.searchsorted(of_s, at_s - COMPANY_S), np.searchsorted(of_s, at_s + COMPANY_S, "right")
