"""Waves that readers marked by hand, beat by beat: LUDB (each of twelve leads), QTDB (two readers), MIT-BIH (R peaks).

Times are record time in seconds, NaN where a reader marked nothing. A beat is a QRS; it owns the last P wave that ends
before it and the first T wave that follows it before the next QRS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.catalog import Entry
from cardiofm.signals import SignalError

POINTS = ("p_onset", "p_peak", "p_offset", "qrs_onset", "r_peak", "qrs_offset", "t_onset", "t_peak", "t_end")
BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")  # annotations of MIT-BIH that are beats; ! is a wave of ventricular flutter
_P_BEFORE_S = 0.5  # of its QRS, at most
_T_AFTER_S = 0.8
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Marks:
    """One row per beat in time order: `s (B, 9)` in the order of `POINTS`, and the span that the reader looked at."""

    s: Floats
    start_s: float
    end_s: float

    def __len__(self) -> int:
        return len(self.s)

    def of(self, point: str) -> Floats:
        """One point of every beat, `(B,)` seconds, NaN where it is not marked."""
        return self.s[:, POINTS.index(point)]


def marks(entry: Entry, data_root: str | Path, annotator: str | None = None) -> Marks:
    """The marks of an entry of ludb (a lead, by default ii), qtdb (q1c or q2c, by default q1c) or mitdb (atr).

    MIT-BIH's are R peaks alone. Raises SignalError where the entry has no such annotator.
    """
    import wfdb

    named: Any = entry.labels.get("annotations")
    if entry.dataset == "mitdb" and annotator in (None, "atr"):
        path = Path(data_root) / named
    else:
        annotator = annotator or {"ludb": "ii", "qtdb": "q1c"}.get(entry.dataset, "")
        if not isinstance(named, dict) or annotator not in named:
            known = ", ".join(named) if isinstance(named, dict) else "none"
            raise SignalError(
                f"{entry.dataset}/{entry.record} must have marks {annotator or 'by hand'!r}, found {known}"
            )
        path = Path(data_root) / named[annotator]
    found = wfdb.rdann(str(path.with_suffix("")), path.suffix[1:])
    header: Any = found if found.fs else wfdb.rdheader(str((Path(data_root) / entry.path).with_suffix("")))
    fs_hz = float(header.fs)
    at_s = np.asarray(found.sample, np.float64) / fs_hz
    symbols = list(found.symbol or ())
    if entry.dataset == "mitdb":
        beat_s = at_s[[s in BEATS for s in symbols]]
        rows = np.full((len(beat_s), len(POINTS)), np.nan)
        rows[:, POINTS.index("r_peak")] = beat_s
        return Marks(rows, 0.0, float(at_s[-1]) if len(at_s) else 0.0)
    rows = beats_of(symbols, at_s)
    return Marks(rows, float(at_s[0]) if len(at_s) else 0.0, float(at_s[-1]) if len(at_s) else 0.0)


def beats_of(symbols: Sequence[str], at_s: Floats) -> Floats:
    """Beats `(B, 9)` from marks in time order: `(` and `)` around a peak p, N or t (any beat's letter), some missing.

    >>> beats_of(list("(p)(N)t)"), np.arange(8.0) / 10)[0].round(1).tolist()
    [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, nan, 0.6, 0.7]
    """
    waves: dict[str, list[tuple[float, float, float]]] = {"p": [], "N": [], "t": []}
    for i, symbol in enumerate(symbols):
        kind = "N" if symbol in BEATS else symbol
        if kind not in waves:
            continue
        onset = at_s[i - 1] if i and symbols[i - 1] == "(" else np.nan
        offset = at_s[i + 1] if i + 1 < len(symbols) and symbols[i + 1] == ")" else np.nan
        waves[kind].append((onset, at_s[i], offset))
    p, qrs, t = (np.array(waves[k], np.float64).reshape(-1, 3) for k in ("p", "N", "t"))
    rows = np.full((len(qrs), len(POINTS)), np.nan)
    rows[:, 3:6] = qrs
    between_s = np.concatenate(([-np.inf], qrs[:, 1], [np.inf]))
    for k, (before_s, r_s, after_s) in enumerate(zip(between_s, between_s[1:-1], between_s[2:], strict=False)):
        own = np.flatnonzero((p[:, 1] > max(before_s, r_s - _P_BEFORE_S)) & (p[:, 1] < r_s))
        if len(own):
            rows[k, 0:3] = p[own[-1]]
        own = np.flatnonzero((t[:, 1] > r_s) & (t[:, 1] < min(after_s, r_s + _T_AFTER_S)))
        if len(own):
            rows[k, 6:9] = t[own[0]]
    return rows
