"""A part of a record with every fiducial on it, to be checked by eye.

Shapes: B beats, n samples, W places for the part.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardiofm.signals import EVENTS, MODALITIES, Measurement, Record, Signal
from cardiofm.web import marks, plot

LONGEST_S = 60.0  # of a strip
FIRST_S = 8.0  # in view at first
_CLOSER_S = 2.5
_BRACKET = 0.08  # of the spread of the PPG: how far a bracket hangs below it
_MOST_STARTS = 2000  # places tried for the part that is shown
_LIKE = ("qt_ms", "pat_ms", "r_peak_s")  # what a typical part gives as often as the record does


def typical(record: Record, beats: Measurement, length_s: float) -> tuple[float, float]:
    """Start and end (s) of the part most like the whole record: in beats per minute and in the shares of beats that
    have a QT, a PAT and an R peak."""
    if record.duration_s <= length_s:
        return record.start_s, record.end_s
    count = min(_MOST_STARTS, 1 + int((record.duration_s - length_s) / (length_s / 4)))
    start_W = np.linspace(record.start_s, record.end_s - length_s, count)
    edges = [np.searchsorted(marks.times(beats), t) for t in (start_W, start_W + length_s)]
    beats_W = (edges[1] - edges[0]).astype(np.float64)
    off_W = np.abs(beats_W - np.median(beats_W)) / max(1.0, float(np.median(beats_W)))
    for name in _LIKE:
        given = np.concatenate(([0], np.cumsum(np.isfinite(beats.values[name]))))
        share_W = (given[edges[1]] - given[edges[0]]) / np.maximum(beats_W, 1)
        off_W += np.abs(share_W - np.isfinite(beats.values[name]).mean()) if len(beats) else 0
    middle = (count - 1) / 2
    best = min(range(count), key=lambda w: (round(float(off_W[w]), 3), abs(w - middle)))
    return float(start_W[best]), float(start_W[best]) + length_s


def strip(record: Record, beats: Measurement, start_s: float, end_s: float) -> plot.Figure:
    """Each sample between two times, a mark on every fiducial, a cross for every wave with a point not given."""
    data, rows = [], []
    for c, modality in enumerate(MODALITIES):
        signal = record.signal(modality)
        part = signal.crop(start_s, end_s) if signal else None
        if signal is None or part is None:
            continue
        rows.append((f"{modality.upper()}, {signal.unit}", 3.6 - 0.8 * c, True))
        curve = plot.line((part.start_s, 1 / part.fs_hz), part.values, len(rows), plot.INK, modality.upper(), width=1.1)
        data.append(curve | {"showlegend": False})
        if modality == "ppg" and record.ecg is not None:
            data += _delays(part, beats, len(rows))
        data += [m for e in marks.OF[modality] if (m := _marks(part, beats, e, len(rows)))]
    waves = [w for w, events in marks.WAVES.items() if record.signal(marks.modality_of(events[0])) is not None]
    rows.append(("not given", 0.3 * len(waves), False))
    data.append(_refused(beats, waves, start_s, end_s, len(rows)))
    return {"data": data, "layout": _layout(rows, waves, start_s, end_s)}


def _layout(rows: plot.Rows, waves: list[str], start_s: float, end_s: float) -> plot.Figure:
    layout = plot.layout(rows, "seconds", (start_s, min(end_s, start_s + FIRST_S)))
    last = f"yaxis{len(rows)}" if len(rows) > 1 else "yaxis"
    order = {"type": "category", "categoryorder": "array", "categoryarray": [_crossed(w) for w in waves[::-1]]}
    layout[last] |= order | {"range": [-0.5, len(waves) - 0.5], "nticks": len(waves), "title": {"text": ""}}
    layout["dragmode"] = "pan"
    layout["height"] += 40
    layout["margin"] |= {"t": 68, "b": 58}
    layout |= {"showlegend": True, "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"}}
    views = {f"{_CLOSER_S:g} s": _CLOSER_S, f"{FIRST_S:g} s": FIRST_S, "all": end_s - start_s}
    buttons = [
        {"label": label, "method": "relayout", "args": [{"xaxis.range": [start_s, start_s + length_s]}]}
        for label, length_s in views.items()
        if length_s <= end_s - start_s
    ]
    menu = {"type": "buttons", "direction": "right", "x": 1, "xanchor": "right", "y": 0, "yanchor": "top"}
    menu |= {"buttons": buttons, "active": min(1, len(buttons) - 1), "pad": {"t": 24}, "font": {"size": 11}}
    layout["updatemenus"] = [menu]
    return layout


def _marks(part: Signal, beats: Measurement, event: str, row: int) -> plot.Figure | None:
    """One event of every beat in the part, on the curve."""
    at_s = beats.values[f"{event}_s"]
    inside = np.flatnonzero((at_s >= part.start_s) & (at_s < part.end_s))
    if len(inside) == 0:
        return None
    x = at_s[inside]
    sure = beats.confidence[f"{event}_s"][inside]
    said = np.stack([inside + 1, np.round(sure.astype(np.float64), 2)], 1).tolist()
    name = marks.NAMES[event]
    trace = {"type": "scatter", "mode": "markers", "x": plot.packed(x), "y": plot.packed(_height(part, x))}
    trace |= {"yaxis": plot.axis(row), "name": name, "marker": marks.marker(event), "customdata": said}
    hover = "beat %{customdata[0]}: %{x:.3f} s<br>confidence %{customdata[1]:.2f}"
    return trace | {"hovertemplate": f"{hover}<extra>{name}</extra>"}


def _height(part: Signal, at_s: NDArray[np.float64]) -> NDArray[np.float32]:
    """The curve's values at some times, `(n,)`; the nearest known sample's beside a gap."""
    values = part.values
    known = np.flatnonzero(np.isfinite(values))
    time_s = part.start_s + known / part.fs_hz
    return np.interp(at_s, time_s, values[known]).astype(np.float32) if len(known) else np.full(len(at_s), np.nan, "f4")


def _delays(part: Signal, beats: Measurement, row: int) -> list[plot.Figure]:
    """A bracket below the curve from the time of every R peak to its foot: which pulse was taken for which beat.

    Every other bracket hangs lower, as a delay of more than a beat makes them overlap.
    """
    r_s, foot_s = beats.values["r_peak_s"], beats.values["ppg_foot_s"]
    own = np.isfinite(r_s) & np.isfinite(foot_s) & (foot_s >= part.start_s) & (foot_s < part.end_s)
    if not own.any():
        return []
    from_s, to_s, level = r_s[own], foot_s[own], _height(part, foot_s[own])
    step = np.float32(_BRACKET * np.subtract(*np.nanquantile(part.values, [0.95, 0.05])))
    base = level - step * (1 + np.arange(len(level)) % 2)
    gap = np.full(len(level), np.nan)
    x = np.stack([from_s, from_s, to_s, to_s, gap], 1).ravel()
    y = np.stack([base + step / 2, base, base, level, gap], 1).ravel().astype(np.float32)
    line = plot.line(x, y, row, "#667585", "from R peak to foot (PAT)", width=1)
    line["line"]["dash"] = "dot"
    return [line | {"hoverinfo": "skip", "hovertemplate": None}]


def _refused(beats: Measurement, waves: list[str], start_s: float, end_s: float, row: int) -> plot.Figure:
    """A cross per beat and wave of which a point is not given; what and why on hover."""
    at_s = marks.times(beats)
    said = [(at_s[b], w, f"beat {b + 1}<br>{text}") for w in waves for b, text in marks.refusals(beats, w).items()]
    said = [one for one in said if start_s <= one[0] < end_s]
    trace: plot.Figure = {"type": "scatter", "mode": "markers", "yaxis": plot.axis(row), "name": marks.REFUSED_NAME}
    trace |= {"x": [round(float(t), 3) for t, _, _ in said], "y": [_crossed(w) for _, w, _ in said]}
    trace |= {"text": [text for _, _, text in said], "marker": marks.refusal_marker()}
    return trace | {"hovertemplate": "%{text}<extra>not given</extra>", "cliponaxis": False}


def _crossed(wave: str) -> str:
    """How the line of crosses of a wave is called."""
    return f"× {wave}"


def counted(beats: Measurement, start_s: float, end_s: float) -> tuple[int, int]:
    """How many fiducials of a part are given and how many are not."""
    given, refused = 0, 0
    inside = (marks.times(beats) >= start_s) & (marks.times(beats) < end_s)
    for event in EVENTS:
        given += int(np.isfinite(beats.values[f"{event}_s"][inside]).sum())
    refused += sum(inside[b] * text.count(":") for w in marks.WAVES for b, text in marks.refusals(beats, w).items())
    return given, int(refused)
