"""One channel from the beats of the other: an average beat of training patients, moved by a constant delay.

The delay leads from R peak to PPG foot. What a beat detector and two numbers achieve without any network.
Shapes: N samples of a window, L of a beat.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.measure.bridge import Beat, matched

DELAY_S = (0.05, 1.3)  # from R peak to PPG foot; monitors delay the pulse by up to about a second
BEFORE_S, AFTER_S = 0.3, 1.2  # of the average beat, about its event
_NEARLY = 0.9  # a shorter delay that pairs nearly as many beats is preferred


def delay_s(r_peaks_s: ArrayLike, feet_s: ArrayLike, tolerance_s: float = 0.05) -> float | None:
    """Seconds from R peak to PPG foot that pair the most beats, the shortest where several do; None where none do.

    >>> round(delay_s([1.0, 2.0, 2.8, 4.0], [1.3, 2.3, 3.1, 4.3]), 3)
    0.3
    """
    origin, goal = np.asarray(r_peaks_s, np.float64), np.asarray(feet_s, np.float64)
    apart = (goal[None, :] - origin[:, None]).ravel()
    tried = np.sort(apart[(apart >= DELAY_S[0]) & (apart <= DELAY_S[1])])
    pairs = [matched(origin + delay, goal, tolerance_s) for delay in tried]
    most = max((len(p) for p in pairs), default=0)
    if most < 2:
        return None
    first = next(i for i, p in enumerate(pairs) if len(p) >= _NEARLY * most)
    better = [i for i in range(first, len(pairs)) if tried[i] - tried[first] < 2 * tolerance_s]
    best = max(better, key=lambda i: len(pairs[i]))
    return float(np.median([goal[j] - origin[i] for i, j in pairs[best]]))


def mean_beat(
    channels: Iterable[tuple[NDArray[np.floating], NDArray[np.bool_], ArrayLike]], fs_hz: float
) -> Beat | None:
    """The mean over windows of each window's mean beat, in standard deviations; None where no window has a beat.

    `channels`: samples `(N,)` in any unit, which are valid, and the events in seconds. A beat ends where the next one's
    stretch begins.
    """
    anchor = round(BEFORE_S * fs_hz)
    offset_L = np.arange(-anchor, round(AFTER_S * fs_hz))
    total_L, count_L = np.zeros(len(offset_L)), np.zeros(len(offset_L))
    for x_N, valid_N, events_s in channels:
        known = x_N[valid_N].astype(np.float64)
        events = np.sort(np.rint(np.asarray(events_s, np.float64) * fs_hz)).astype(np.int64)
        if len(events) < 2 or known.std() == 0:
            continue
        at_EL = events[:, None] + offset_L
        until_E1 = np.append(events[1:], events[-1] + int(np.median(np.diff(events))))[:, None] - anchor
        use_EL = (at_EL >= 0) & (at_EL < len(x_N)) & (at_EL < until_E1)
        at_EL = np.clip(at_EL, 0, len(x_N) - 1)
        use_EL &= valid_N[at_EL]
        z_EL = np.where(use_EL, (x_N[at_EL] - known.mean()) / known.std(), 0.0)
        some_L = use_EL.any(0)
        total_L += np.where(some_L, z_EL.sum(0) / np.maximum(use_EL.sum(0), 1), 0.0)
        count_L += some_L
    if not count_L.any():
        return None
    known_L = count_L >= 0.1 * count_L.max()  # the tail belongs to the few slow hearts
    values_L = np.interp(offset_L, offset_L[known_L], total_L[known_L] / count_L[known_L])
    return Beat(values_L.astype(np.float32), anchor)


def placed(beat: Beat, partner_s: ArrayLike, shift_s: float, samples: int, fs_hz: float) -> NDArray[np.float32]:
    """The beat at each of the partner's events moved by `shift_s`, `(N,)` about 0; nothing but zeros without events.

    Where the shift leaves an end of the window empty, the partner's rhythm goes on there at its median distance.
    """
    events = np.sort(np.asarray(partner_s, np.float64)) + shift_s
    if len(events) < 2:
        return beat.laid(events, samples, fs_hz)
    rr_s = float(np.median(np.diff(events)))
    more = np.arange(1, 2 + int((abs(shift_s) + BEFORE_S + rr_s) / rr_s)) * rr_s
    return beat.laid(np.concatenate([events[0] - more[::-1], events, events[-1] + more]), samples, fs_hz)
