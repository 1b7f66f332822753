"""How each fiducial looks and is called in a picture: a symbol and a name of its own, a colour per wave.

Shapes: B beats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure.intervals import Table
from cardiofm.measure.summary import beat_times
from cardiofm.signals import EVENTS, MODALITIES, REASONS, Measurement
from cardiofm.web import plot

NAMES = {
    "p_onset": "P onset", "p_offset": "P offset", "qrs_onset": "QRS onset", "r_peak": "R peak",
    "qrs_offset": "QRS offset", "t_peak": "T peak", "t_end": "T end", "ppg_foot": "PPG foot", "ppg_peak": "PPG peak",
}  # fmt: skip
OF = {"ecg": EVENTS[:7], "ppg": EVENTS[7:]}
WAVES = {"P": EVENTS[:2], "QRS": EVENTS[2:5], "T": EVENTS[5:7], "pulse": EVENTS[7:]}
_P, _QRS, _T, _PPG = "#7a3fa0", plot.COLOURS[0], "#0b7a63", plot.COLOURS[1]
LOOK = {
    "p_onset": ("triangle-right-open", _P), "p_offset": ("triangle-left-open", _P),
    "qrs_onset": ("triangle-right", _QRS), "r_peak": ("circle", _QRS), "qrs_offset": ("triangle-left", _QRS),
    "t_peak": ("diamond", _T), "t_end": ("square", _T),
    "ppg_foot": ("triangle-up", _PPG), "ppg_peak": ("circle-open", _PPG),
}  # fmt: skip
REFUSED_NAME = "not given"
_WHOLE = {"no ECG", "no PPG"}  # true of every beat: said once, in the table


def marker(event: str, size: int = 9) -> plot.Figure:
    """The symbol of an event, in its wave's colour."""
    symbol, colour = LOOK[event]
    return {"symbol": symbol, "color": colour, "size": size, "line": {"width": 1.6, "color": colour}}


def refusal_marker() -> plot.Figure:
    """The symbol of what is not given: a cross."""
    return {"symbol": "x-thin", "size": 7, "line": {"width": 1.4, "color": "#8a5300"}}


def times(beats: Measurement) -> NDArray[np.float64]:
    """When each beat is, `(B,)` s: its R peak, or where that should have been."""
    return beat_times(Table(beats.values, beats.confidence, beats.reason))


def refusals(beats: Measurement, wave: str) -> dict[int, str]:
    """For each beat some of whose points in a wave are not given: "T peak: noise; T end: noise"."""
    out: dict[int, list[str]] = {}
    for event in WAVES[wave]:
        codes = beats.reason[f"{event}_s"]
        for beat in np.flatnonzero(codes):
            if REASONS[codes[beat]] not in _WHOLE:
                out.setdefault(int(beat), []).append(f"{NAMES[event]}: {REASONS[codes[beat]]}")
    return {beat: "; ".join(said) for beat, said in sorted(out.items())}


def modality_of(event: str) -> str:
    """ "ecg" or "ppg".

    >>> modality_of("t_end")
    'ecg'
    """
    return next(m for m in MODALITIES if event in OF[m])
