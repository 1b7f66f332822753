"""Feet of the second, dicrotic wave of the pulse before them, where that wave is so high that it looks like a pulse."""

from __future__ import annotations

import numpy as np

from cardiofm.measure.band import Bools
from cardiofm.measure.company import COMPANY_S
from cardiofm.measure.locate import PPG_EVENTS, Points

LATEST_S = 0.42  # after the foot of its pulse
_ALONE = 1.5  # times as long until the next pulse: that need not be surer
_SHARE = 0.38  # of the feet around: at a heart rate twice as high every other foot would not be the less sure one
_LESS = 0.08  # how much less sure they are, mean


def dicrotic(ppg: Points) -> Bools:
    """Which feet are no pulses of their own, `(B,)`; feet ascend.

    Such a foot comes soon after that of its pulse and sooner than the next one, and the head is less sure of it than
    of both; and this is so with about every other foot within five seconds, which a fast heart does not do.
    """
    at_s = ppg.at_s[:, PPG_EVENTS.index("ppg_foot")]
    if len(at_s) < 4:
        return np.zeros(len(at_s), bool)
    sure = ppg.chance.astype(np.float64).prod(1)
    before_s, after_s = np.append(np.inf, np.diff(at_s)), np.append(np.diff(at_s), np.inf)
    less, next_sure = np.append(np.inf, sure[:-1]) - sure, np.append(sure[1:], np.inf)
    second = (before_s <= LATEST_S) & (before_s < after_s) & (less > 0)
    second &= (sure < next_sure) | (after_s > _ALONE * before_s)
    first, last = np.searchsorted(at_s, at_s - COMPANY_S), np.searchsorted(at_s, at_s + COMPANY_S, "right")
    count, missing = (np.append(0.0, np.cumsum(np.where(second, v, 0.0))) for v in (1.0, less))
    seconds = count[last] - count[first]
    often = seconds >= _SHARE * (last - first)
    return second & often & (missing[last] - missing[first] >= _LESS * seconds)
