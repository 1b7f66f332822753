"""Whether a heart drew the tops of a stretch: what those within five seconds of each look like, as named numbers.

A loose electrode draws bumps that look like beats one by one, but no waves follow them, and none comes when it is due.
What is needed is in the points alone. Shapes: B tops, F numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure.band import Bools, Floats
from cardiofm.measure.locate import ECG_EVENTS, PPG_EVENTS, Points
from cardiofm.signals import MODALITIES

COMPANY_S = 5.0  # on both sides
HEART_S = 120.0  # from a beat that is beyond doubt: a heart that beat there beats here
ANCHORS = {"ecg": "r_peak", "ppg": "ppg_foot"}
EVENTS_OF = {"ecg": ECG_EVENTS, "ppg": PPG_EVENTS}
_CHANCES = {"ecg": ("p_offset", "qrs_onset", "r_peak", "t_end"), "ppg": PPG_EVENTS}
_ERRORS = {"ecg": ("p_offset", "r_peak", "t_end"), "ppg": PPG_EVENTS}
_PRESENT = {"ecg": ("t_peak",), "ppg": ()}
_NEAR = 0.15  # share by which an interval differs from the usual one and is still like it
_LEAST = 3  # intervals below which nothing is said
_EDGE = 0.3  # change of the interval, where one of the two is not known
_MOST = 2.0
NUMBERS = {
    m: (
        "1",
        *(f"chance of {e}" for e in _CHANCES[m]),
        *(f"log expected error of {e}" for e in _ERRORS[m]),
        *(f"presence of {e}" for e in _PRESENT[m]),
        "change of the interval",
    )
    for m in MODALITIES
}


def company(points: Points, modality: str) -> Floats:
    """The numbers named in `NUMBERS` of the tops around each, medians, `(B, F)`; anchors ascend.

    The change is that from one interval to the next, as |log ratio|: a rhythm may be irregular, noise is more so.
    """
    events = EVENTS_OF[modality]
    chances, errors, present = ([events.index(e) for e in part[modality]] for part in (_CHANCES, _ERRORS, _PRESENT))
    at_s = points.at_s[:, events.index(ANCHORS[modality])]
    own = np.concatenate(
        [
            np.ones((len(at_s), 1)),
            points.chance[:, chances],
            np.log(np.maximum(points.sd_s[:, errors], 1e-4)),
            points.presence[:, present],
            _change(at_s)[:, None],
        ],
        axis=1,
    )
    return around(at_s, own)


def around(at_s: Floats, value: NDArray[np.floating]) -> Floats:
    """The median of what belongs to the times within `COMPANY_S` of each, `(n, …)`; times ascend.

    >>> around(np.array([0.0, 1.0, 2.0, 30.0]), np.array([0.9, 0.2, 0.8, 0.1])).tolist()
    [0.8, 0.8, 0.8, 0.1]
    """
    first, last = np.searchsorted(at_s, at_s - COMPANY_S), np.searchsorted(at_s, at_s + COMPANY_S, "right")
    out = np.empty(value.shape)
    for k, (a, b) in enumerate(zip(first, last, strict=True)):
        out[k] = np.median(value[a:b], axis=0)
    return out


def evenness(at_s: Floats) -> Floats:
    """The share of the intervals around each time that are near their median, `(n,)`; times ascend.

    >>> evenness(np.array([0.0, 1.0, 2.0, 3.0, 4.6])).round(2).tolist()
    [0.75, 0.75, 0.75, 0.75, 0.75]
    """
    if len(at_s) < 2:
        return np.zeros(len(at_s))
    interval_s, middle_s = np.diff(at_s), (at_s[1:] + at_s[:-1]) / 2
    first = np.searchsorted(middle_s, at_s - COMPANY_S)
    last = np.searchsorted(middle_s, at_s + COMPANY_S, "right")
    parts = (interval_s[a:b] for a, b in zip(first, last, strict=True))
    even = (np.mean(np.abs(i / np.median(i) - 1) <= _NEAR) if len(i) >= _LEAST else 0.0 for i in parts)
    return np.fromiter(even, np.float64, len(at_s))


def within(at_s: Floats, of_s: Floats, far_s: float = HEART_S) -> Bools:
    """Which times have one of the ascending `of_s` within `far_s`, `(n,)`.

    >>> within(np.array([1.0, 90.0]), np.array([40.0])).tolist()
    [True, True]
    """
    return np.searchsorted(of_s, at_s - far_s) < np.searchsorted(of_s, at_s + far_s, "right")


def _change(at_s: Floats) -> Floats:
    interval_s = np.diff(at_s)
    change = np.full(len(at_s), _EDGE)
    if len(at_s) > 2:
        step = np.log(np.maximum(interval_s, 1e-3))
        change[1:-1] = np.minimum(np.abs(np.diff(step)), _MOST)
    return change
