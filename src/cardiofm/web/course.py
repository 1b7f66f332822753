"""Beat by beat: intervals between beats, heart rate, rhythm, QT and PAT over time, with a cross where one is not given.

A record of more beats than a picture can hold is drawn in medians of equal spans of time.
Shapes: B beats, S spans.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cardiofm.signals import REASONS, Measurement, Record
from cardiofm.web import marks, plot

RHYTHMS = {"sinus": "sinus", "af": "AF", "other": "other", "unreadable": "unreadable"}
_ROWS = {"rr_ms": "RR, ms", "qt_ms": "QT, ms", "pat_ms": "PAT, ms"}
_COLOUR = {"rr_ms": plot.COLOURS[0], "qt_ms": "#0b7a63", "qtc_fridericia_ms": "#7a3fa0", "pat_ms": plot.COLOURS[1]}
_LABEL = {"rr_ms": "RR", "qt_ms": "QT", "qtc_fridericia_ms": "QTc (Fridericia)", "pat_ms": "PAT"}
_SYMBOL = {"rr_ms": "circle", "qt_ms": "circle", "qtc_fridericia_ms": "diamond-open", "pat_ms": "circle"}
_WHOLE = {"no ECG", "no PPG"}
_STRETCHES = 1500  # of 30 s that are drawn one by one


@dataclass(frozen=True)
class Course:
    """One interval over the record: per beat, or per span where there are too many."""

    at_s: NDArray[np.float64]  # (B,) or (S,)
    middle: NDArray[np.float64]  # ms
    low: NDArray[np.float64] | None  # quartiles, where each place is a span
    high: NDArray[np.float64] | None
    refused: list[tuple[float, str]]  # when, and why


def course(beats: Measurement, name: str, most: int) -> Course:
    """An interval over time with its refusals: per beat for at most `most` beats, in half as many spans for more."""
    at_s, value, codes = marks.times(beats), beats.values[name], beats.reason[name]
    if len(at_s) <= most:
        refused = [(float(at_s[b]), f"beat {b + 1}: {REASONS[codes[b]]}") for b in np.flatnonzero(codes)]
        return Course(at_s, value, None, None, refused)
    edges_s = np.linspace(at_s[0], at_s[-1] + 1e-6, most // 2 + 1)
    bounds = np.searchsorted(at_s, edges_s)
    quartiles = np.full((3, len(edges_s) - 1), np.nan)
    refused = []
    for s, (first, last) in enumerate(pairwise(bounds.tolist())):
        given = value[first:last][np.isfinite(value[first:last])]
        if len(given):
            quartiles[:, s] = np.quantile(given, [0.25, 0.5, 0.75])
        if last - first > 2 * len(given):
            chief = Counter(codes[first:last][codes[first:last] > 0].tolist()).most_common(1)[0][0]
            share = 1 - len(given) / (last - first)
            refused.append(
                (float(edges_s[s : s + 2].mean()), f"{share:.0%} of {last - first}: chiefly {REASONS[chief]}")
            )
    low, middle, high = quartiles
    return Course((edges_s[:-1] + edges_s[1:]) / 2, middle, low, high, refused)


def picture(record: Record, beats: Measurement, most: int) -> plot.Figure:
    """Tachogram, heart rate, rhythm, QT and PAT of a record, one below another over one axis of time."""
    unit, scale_s = plot.time_unit(record.duration_s)
    data, rows = [], []
    for name, title in _ROWS.items():
        if name not in _shown(beats):
            continue
        rows.append((title, 2.0, True))
        also = ("qtc_fridericia_ms",) if name == "qt_ms" else ()
        courses = {n: course(beats, n, most) for n in (name, *also)}
        data += [t for n, one in courses.items() for t in _drawn(one, n, scale_s, len(rows))]
        first = not any(trace["name"] == marks.REFUSED_NAME for trace in data)
        data += _crosses(courses[name], name, scale_s, len(rows), _floor(list(courses.values())), first)
        if name == "rr_ms":
            data += _rate(beats, rows, scale_s)
    if "rr_ms" not in _shown(beats):
        data += _rate(beats, rows, scale_s)
    data += _rhythm(beats, rows, scale_s)
    layout = plot.layout(rows, unit, (record.start_s / scale_s, record.end_s / scale_s))
    layout["height"] += 30
    layout["margin"] |= {"t": 58}
    layout |= {"showlegend": True, "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"}}
    for k, (title, _, _) in enumerate(rows, start=1):
        if title == "rhythm":
            labels = list(RHYTHMS.values())[::-1]
            order = {"type": "category", "categoryorder": "array", "categoryarray": labels, "nticks": len(labels)}
            layout[f"yaxis{k}"] |= order | {"range": [-0.5, len(labels) - 0.5], "title": {"text": ""}}
    return {"data": data, "layout": layout}


def in_spans(beats: Measurement, most: int) -> bool:
    """Whether a picture of at most `most` beats shows medians of spans."""
    return len(beats) > most


def _shown(beats: Measurement) -> list[str]:
    """The intervals that the record's channels can give."""
    return [n for n in _ROWS if not all(REASONS[code] in _WHOLE for code in np.unique(beats.reason[n]))]


def _floor(courses: list[Course]) -> float:
    """Where the crosses of a row stand: a little below all that is drawn in it."""
    values = np.concatenate([c.middle if c.low is None else c.low for c in courses])
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return 0.0
    return float(values.min() - max(0.1 * (values.max() - values.min()), 2.0))


def _drawn(one: Course, name: str, scale_s: float, row: int) -> list[plot.Figure]:
    """Dots for beats; the median with a band between the quartiles for spans."""
    x, colour = one.at_s / scale_s, _COLOUR[name]
    rate = np.round(60_000 / one.middle, 1) if name == "rr_ms" else None
    if one.low is None or one.high is None:
        trace = plot.line(x, one.middle.astype(np.float32), row, colour, _LABEL[name], width=0.7)
        trace |= {"mode": "lines+markers" if name == "rr_ms" else "markers"}
        trace |= {"marker": {"size": 4.5, "symbol": _SYMBOL[name], "color": colour}}
    else:
        edge = {"showlegend": False, "hoverinfo": "skip", "hovertemplate": None}
        low, high = (plot.line(x, v.astype(np.float32), row, colour, "", width=0) | edge for v in (one.low, one.high))
        trace = plot.line(x, one.middle.astype(np.float32), row, colour, f"{_LABEL[name]}, median", width=1.2)
        low |= {"connectgaps": False}
        high |= {"fill": "tonexty", "fillcolor": _pale(colour)}
        trace |= {"mode": "lines+markers", "marker": {"size": 3, "symbol": _SYMBOL[name], "color": colour}}
        hover = "%{x:.4g}: %{y:.0f} ms<extra>" + trace["name"] + "</extra>"
        return [low, high, trace | {"hovertemplate": hover}]
    hover = "%{x:.3f}: %{y:.0f} ms" + (", %{customdata} bpm" if rate is not None else "")
    trace |= {"hovertemplate": f"{hover}<extra>{_LABEL[name]}</extra>"}
    return [trace | ({} if rate is None else {"customdata": plot.packed(rate.astype(np.float32))})]


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def _crosses(one: Course, name: str, scale_s: float, row: int, y: float, first: bool) -> list[plot.Figure]:
    """A cross below the row's values for what is not given; why on hover."""
    if not one.refused:
        return []
    trace: plot.Figure = {"type": "scatter", "mode": "markers", "yaxis": plot.axis(row), "name": marks.REFUSED_NAME}
    trace |= {"x": plot.packed(np.array([t for t, _ in one.refused]) / scale_s), "y": [round(y, 1)] * len(one.refused)}
    trace |= {"text": [why for _, why in one.refused], "marker": marks.refusal_marker(), "legendgroup": "refused"}
    trace |= {"showlegend": first, "cliponaxis": False}
    return [trace | {"hovertemplate": "%{text}<extra>" + _LABEL[name] + " not given</extra>"}]


def _rate(beats: Measurement, rows: plot.Rows, scale_s: float) -> list[plot.Figure]:
    """Heart rate of every 30 s, from the ECG as a line and from the PPG as a dashed one."""
    every = beats.stretches[:: max(1, -(-len(beats.stretches) // _STRETCHES))]
    x = np.array([t for one in every for t in (one["start_s"], one["end_s"])]) / scale_s
    data = []
    for modality, colour, dash in zip(("ecg", "ppg"), plot.COLOURS, ("solid", "dash"), strict=True):
        said = [one[f"heart_rate_{modality}_bpm"] for one in every]
        if all(rate is None for rate in said):
            continue
        y = np.repeat(np.array([np.nan if rate is None else rate for rate in said], np.float32), 2)
        trace = plot.line(x, y, len(rows) + 1, colour, f"heart rate from {modality.upper()}", width=2)
        trace["line"]["dash"] = dash
        data.append(trace | {"hovertemplate": "%{y:.1f} bpm<extra>" + trace["name"] + ", 30 s</extra>"})
    if data:
        rows.append(("rate, bpm", 1.2, True))
    return data


def _rhythm(beats: Measurement, rows: plot.Rows, scale_s: float) -> list[plot.Figure]:
    """The rhythm of every 30 s as a step on a scale of names."""
    every = [one for one in beats.stretches if one["rhythm"] is not None]
    if not every:
        return []
    every = every[:: max(1, -(-len(every) // _STRETCHES))]
    rows.append(("rhythm", 1.1, False))
    x = np.array([t for one in every for t in (one["start_s"], one["end_s"], np.nan)]) / scale_s
    label = [text for one in every for text in (RHYTHMS[one["rhythm"]],) * 2 + (None,)]
    sure = [p for one in every for p in (one["rhythm_probability"],) * 3]
    trace: plot.Figure = {"type": "scatter", "mode": "lines", "x": plot.packed(x), "y": label, "customdata": sure}
    trace |= {"yaxis": plot.axis(len(rows)), "name": "rhythm", "line": {"color": plot.INK, "width": 5}}
    return [trace | {"showlegend": False, "hovertemplate": "%{y}, probability %{customdata:.2f}<extra>rhythm</extra>"}]
