"""A table of beats as it is scored: column → `(B,)` float64, times in record time (s), intervals in ms, NaN: refused.

The columns are those of `cardiofm measure`. A point that a tool gives without saying of which beat is attached to the
R peak by time, so that every tool is read in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.measure.bridge import matched
from cardiofm.signals import Record

Floats = NDArray[np.float64]
Table = dict[str, Floats]
Method = Callable[[Record], Table]  # a tool, or a model through the users' door; `record.patient` names the fold

POINTS = ("p_onset", "p_offset", "qrs_onset", "r_peak", "qrs_offset", "t_peak", "t_end", "ppg_foot", "ppg_peak")
SAME_BEAT_S = 0.15  # between a true R peak and the found one
_P_BEFORE_S = 0.5  # of its R peak, at most
_QRS_S = 0.25  # from R to either end of the QRS, at most
_T_AFTER_S = (0.08, 0.8)  # of its R peak


def table(r_peak_s: ArrayLike, points: Mapping[str, ArrayLike] | None = None) -> Table:
    """A table from R peaks and other points, one a beat, in seconds; the intervals follow.

    >>> table([1.0], {"qrs_onset": [0.95], "t_end": [1.35]})["qt_ms"].round(6).tolist()
    [400.0]
    """
    r_s = np.asarray(r_peak_s, np.float64)
    given = {"r_peak": r_s, **(points or {})}
    out = {f"{p}_s": np.asarray(given.get(p, np.full(len(r_s), np.nan)), np.float64) for p in POINTS}
    out["qt_ms"] = 1000 * (out["t_end_s"] - out["qrs_onset_s"])
    out["pat_ms"] = 1000 * (out["ppg_foot_s"] - r_s)
    return out


def attached(r_peak_s: ArrayLike, events_s: Mapping[str, ArrayLike]) -> Table:
    """The table of beats whose points come from plain lists of times, each given to the beat that it can belong to.

    The QRS ends nearest to R on each side, the last P before it, the first T end after it and before the next R.

    >>> found = attached([1.0, 2.0], {"qrs_onset": [0.96, 1.95], "t_end": [1.3, 2.35]})
    >>> found["qt_ms"].round(6).tolist()
    [340.0, 400.0]
    """
    r_s = np.sort(np.asarray(r_peak_s, np.float64))
    before_s = np.concatenate(([-np.inf], r_s[:-1])) if len(r_s) else r_s
    after_s = np.concatenate((r_s[1:], [np.inf])) if len(r_s) else r_s
    spans = {
        "qrs_onset": (r_s - _QRS_S, r_s, True),
        "qrs_offset": (r_s, r_s + _QRS_S, False),
        "p_onset": (np.maximum(before_s, r_s - _P_BEFORE_S), r_s, True),
        "p_offset": (np.maximum(before_s, r_s - _P_BEFORE_S), r_s, True),
        "t_peak": (r_s + _T_AFTER_S[0], np.minimum(after_s, r_s + _T_AFTER_S[1]), False),
        "t_end": (r_s + _T_AFTER_S[0], np.minimum(after_s, r_s + _T_AFTER_S[1]), False),
    }
    points = {name: _within(events_s[name], *spans[name]) for name in spans if name in events_s}
    if {"p_onset", "p_offset"} <= set(points):  # an offset that lies before the onset is of another wave
        points["p_offset"] = np.where(points["p_offset"] > points["p_onset"], points["p_offset"], np.nan)
    return table(r_s, points)


def _within(events_s: ArrayLike, low_s: Floats, high_s: Floats, last: bool) -> Floats:
    """For each span the last or the first event in it, NaN where it holds none."""
    events = np.asarray(events_s, np.float64)
    events = np.sort(events[np.isfinite(events)])
    if not len(events):
        return np.full(len(low_s), np.nan)
    at = np.searchsorted(events, high_s, "right") - 1 if last else np.searchsorted(events, low_s, "left")
    found = events[np.clip(at, 0, len(events) - 1)]
    return np.where((at >= 0) & (at < len(events)) & (found >= low_s) & (found <= high_s), found, np.nan)


def partner(true_r_s: ArrayLike, found: Table, tolerance_s: float = SAME_BEAT_S) -> NDArray[np.int64]:
    """For each true beat the row of the table that is the same beat, -1 where there is none, `(B,)`."""
    rows = np.flatnonzero(np.isfinite(found["r_peak_s"]))
    rows = rows[np.argsort(found["r_peak_s"][rows], kind="stable")]
    out = np.full(np.size(true_r_s), -1)
    for i, j in matched(true_r_s, found["r_peak_s"][rows], tolerance_s):
        out[i] = rows[j]
    return out


def at(found: Table, column: str, rows: NDArray[np.int64]) -> Floats:
    """A column in the order of `rows`, NaN where the row is -1 or the column is absent."""
    values = found.get(column)
    if values is None or not len(values):
        return np.full(len(rows), np.nan)
    return np.where(rows >= 0, values[rows], np.nan)
