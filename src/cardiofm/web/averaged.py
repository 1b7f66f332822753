"""The middle beat of a record with where its fiducials lie and how far they spread.

Shapes: B beats, A beats that are averaged, n places in time.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardiofm.signals import MODALITIES, Measurement, Record, Signal
from cardiofm.web import marks, plot

MOST = 400  # beats that are averaged, evenly over the record
_STEP_HZ = 500.0
_BEFORE_S, _AFTER_S = {"ecg": 0.3, "ppg": 0.25}, {"ecg": 0.65, "ppg": 0.8}  # of the anchor, at most
_OF_RR = {"ecg": (0.4, 0.75), "ppg": (0.3, 0.95)}  # and at most these shares of the usual interval
_KNOWN = 0.8  # share of samples that a beat must have to be averaged
_ANCHOR = {"ecg": "r_peak", "ppg": "ppg_foot"}
_LEVELS = {
    "p_onset": (0, "center"), "p_offset": (1, "right"), "qrs_onset": (2, "right"), "r_peak": (0, "center"),
    "qrs_offset": (1, "left"), "t_peak": (0, "center"), "t_end": (2, "left"),
    "ppg_foot": (0, "center"), "ppg_peak": (1, "left"),
}  # fmt: skip
_LEVEL_PX = 19


@dataclass(frozen=True)
class MiddleBeat:
    """Quartiles of a channel about its anchor, each beat's own median level taken off; times in s from the anchor."""

    time_s: NDArray[np.float64]  # (n,)
    low: NDArray[np.float32]  # (n,)
    middle: NDArray[np.float32]
    high: NDArray[np.float32]
    beats: int
    events: dict[str, tuple[float, float, float]]  # median and quartiles of each event's time


def middle_beat(signal: Signal, beats: Measurement, modality: str) -> MiddleBeat | None:
    """The middle beat of a channel, aligned at the R peak or at the foot of the pulse; None with fewer than two."""
    anchor_s = beats.values[f"{_ANCHOR[modality]}_s"]
    here = np.flatnonzero(np.isfinite(anchor_s))
    if len(here) < 2:
        return None
    usual_s = float(np.median(np.diff(anchor_s[here])))
    before_s, after_s = (
        min(most[modality], share * usual_s)
        for most, share in zip((_BEFORE_S, _AFTER_S), _OF_RR[modality], strict=True)
    )
    time_s = np.arange(-before_s, after_s, 1 / min(_STEP_HZ, signal.fs_hz))
    some = here[np.unique(np.linspace(0, len(here) - 1, MOST).astype(np.int64))]
    cuts = [cut for b in some if (cut := _cut(signal, float(anchor_s[b]), time_s)) is not None]
    if len(cuts) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a place where no beat has a sample
        low, middle, high = np.nanquantile(np.stack(cuts), [0.25, 0.5, 0.75], axis=0).astype(np.float32)
    return MiddleBeat(time_s, low, middle, high, len(cuts), _events(beats, modality, anchor_s))


def _cut(signal: Signal, anchor_s: float, time_s: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """One beat on the common times `(n,)`, or None where too little of it is known."""
    part = signal.crop(anchor_s + time_s[0] - 0.05, anchor_s + time_s[-1] + 0.05)
    if part is None:
        return None
    own_s = part.start_s - anchor_s + np.arange(len(part.samples)) / part.fs_hz
    cut = np.interp(time_s, own_s, part.values.astype(np.float64), left=np.nan, right=np.nan)
    return cut - np.nanmedian(cut) if np.isfinite(cut).mean() >= _KNOWN else None


def _events(beats: Measurement, modality: str, anchor_s: NDArray[np.float64]) -> dict[str, tuple[float, float, float]]:
    out = {}
    for event in marks.OF[modality]:
        away_s = beats.values[f"{event}_s"] - anchor_s
        away_s = away_s[np.isfinite(away_s)]
        if len(away_s):
            low, middle, high = np.quantile(away_s, [0.25, 0.5, 0.75])
            out[event] = (float(middle), float(low), float(high))
    return out


def picture(record: Record, beats: Measurement) -> plot.Figure | None:
    """The middle beat of each channel side by side, marked; None where no channel has one."""
    found = {}
    for modality in MODALITIES:
        signal = record.signal(modality)
        one = None if signal is None else middle_beat(signal, beats, modality)
        if signal is not None and one is not None:
            found[modality] = (signal.unit, one)
    if not found:
        return None
    layout = plot.plain(400)
    layout["margin"] |= {"t": 84}
    data: list[plot.Figure] = []
    labels: list[plot.Figure] = []
    for k, (modality, (unit, one)) in enumerate(found.items(), start=1):
        side = "" if k == 1 else str(k)
        c = MODALITIES.index(modality)
        layout |= _axes(one, modality, unit, side, (k - 1, len(found)))
        data += _panel(one, plot.COLOURS[c], plot.PALE[c], side)
        labels += [_label(one, event, side) for event in one.events]
    layout["annotations"] = labels
    layout["shapes"] = [_drop(label) for label in labels]
    return {"data": data, "layout": layout}


def _axes(one: MiddleBeat, modality: str, unit: str, side: str, place: tuple[int, int]) -> plot.Figure:
    """Both axes of a panel; `place`: the how manieth of how many."""
    k, of = place
    domain = [k / of + (0.05 if k else 0), (k + 1) / of - (0.02 if k + 1 < of else 0)]
    where = "the R peak" if modality == "ecg" else "the foot of the pulse"
    view = [1000 * float(one.time_s[0]), 1000 * float(one.time_s[-1])]
    both = {"gridcolor": plot.GRID, "zeroline": False}
    x = {"domain": domain, "range": view, "anchor": f"y{side}"}
    x |= {"title": {"text": f"ms from {where}; {modality.upper()} of {one.beats} beats"}}
    y = {"title": {"text": f"{modality.upper()}, {unit}"}, "anchor": f"x{side}"}
    return {f"xaxis{side}": both | x, f"yaxis{side}": both | y}


def _panel(one: MiddleBeat, colour: str, pale: str, side: str) -> list[plot.Figure]:
    """The band between the quartiles, the middle, and a mark per event with a bar as long as its spread."""
    axes = {"xaxis": f"x{side}", "yaxis": f"y{side}"}
    ms = (1000 * float(one.time_s[0]), 1000 * float(one.time_s[1] - one.time_s[0]))
    low = plot.line(ms, one.low, 1, pale, "lower quartile", width=0.5)
    high = plot.line(ms, one.high, 1, pale, "upper quartile", width=0.5) | {"fill": "tonexty", "fillcolor": pale}
    middle = plot.line(ms, one.middle, 1, colour, "median", width=2)
    out = [curve | axes for curve in (low, high, middle)]
    for event, (at_s, first_s, last_s) in one.events.items():
        y = float(np.interp(at_s, one.time_s, one.middle))
        bar = {"type": "data", "symmetric": False, "thickness": 1.6, "width": 4, "color": marks.LOOK[event][1]}
        bar |= {"array": [round(1000 * (last_s - at_s), 2)], "arrayminus": [round(1000 * (at_s - first_s), 2)]}
        mark: plot.Figure = {"type": "scatter", "mode": "markers", "x": [round(1000 * at_s, 2)], "y": [_plain(y)]}
        mark |= {"marker": marks.marker(event, 10), "error_x": bar, "name": marks.NAMES[event]}
        spread = f"{1000 * first_s:.0f} to {1000 * last_s:.0f} ms"
        hover = f"{1000 * at_s:.1f} ms<br>middle half: {spread}<extra>{marks.NAMES[event]}</extra>"
        out.append(mark | axes | {"hovertemplate": hover})
    return out


def _label(one: MiddleBeat, event: str, side: str) -> plot.Figure:
    """Name, place and spread of an event above the panel."""
    at_s, first_s, last_s = one.events[event]
    level, anchor = _LEVELS[event]
    text = f"{marks.NAMES[event]} {1000 * at_s:.0f} ± {500 * (last_s - first_s):.0f}".replace("-", "−")
    if event in _ANCHOR.values():
        text = f"{marks.NAMES[event]} 0"
    label = {"x": 1000 * at_s, "xref": f"x{side}", "y": 1, "yref": f"y{side} domain", "yanchor": "bottom", "text": text}
    label |= {"showarrow": False, "yshift": 4 + _LEVEL_PX * level, "xanchor": anchor}
    return label | {"font": {"size": 11, "color": marks.LOOK[event][1]}}


def _drop(label: plot.Figure) -> plot.Figure:
    """A dotted line through the panel below a label."""
    line = {"color": label["font"]["color"], "width": 0.8, "dash": "dot"}
    ends = {"x0": label["x"], "x1": label["x"], "y0": 0, "y1": 1}
    return {"type": "line", "xref": label["xref"], "yref": label["yref"], "line": line} | ends


def _plain(value: float) -> float | None:
    return round(value, 5) if np.isfinite(value) else None
