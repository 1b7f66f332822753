"""Analyses to plotly figures as plain dicts: traces with reconstruction, bits, quality, similarity.

Shapes: C channels (ecg, ppg), T tokens, W windows.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.pipeline import Analysis
from cardiofm.signals import MODALITIES, Signal

INK, COLOURS, PALE = "#1d2733", ("#c2403d", "#1f6fb2"), ("#e9b6b4", "#a9cbe6")
QUALITY_SCALE = [[0, "#d9584f"], [0.5, "#f2cf7a"], [1, "#7fbf8e"]]
LIKE_SCALE = [[0, "#f7f4ee"], [0.5, "#8fb7c9"], [1, "#1f3f5c"]]
CLOSE_S = 120.0  # at most this much is drawn sample by sample
FIRST_S = 15.0  # and this much of it is in view at first
_BUCKETS = 2000
_PIECE_S = 600.0
_CELLS = 200  # a side of the similarity map
Figure = dict[str, Any]
Rows = list[tuple[str, float, bool]]  # title of a vertical axis, height, may it be zoomed?


def of(analysis: Analysis, points: int) -> list[tuple[str, Figure]]:
    """(title, figure) of each picture of one analysis, drawn with about `points` samples in all."""
    record = analysis.record
    signals = [s for s in (record.ecg, record.ppg) if s is not None]
    close_s = min(CLOSE_S, points / (2 * len(signals)) / max(s.fs_hz for s in signals))
    start_s = record.start_s + max(0.0, record.duration_s - close_s) / 2
    end_s = min(record.end_s, start_s + close_s)
    figures = []
    if record.duration_s > 2 * FIRST_S:
        figures.append((f"The whole recording, {clock(record.duration_s)}", _whole(analysis)))
    part = "" if record.duration_s <= close_s else f", {clock(start_s)} to {clock(end_s)}"
    more = "; pan to see more" if end_s - start_s > FIRST_S else ""
    figures.append((f"Signal (dark) and reconstruction (colour){part}{more}", _close(analysis, start_s, end_s)))
    if len(analysis.embedding) > 2:
        figures.append(("Similarity of the windows' embeddings (cosine)", _similarity(analysis)))
    return figures


def clock(seconds: float) -> str:
    """A duration or a time as people say it.

    >>> clock(9.5), clock(200), clock(86400)
    ('9.5 s', '3 min 20 s', '24 h 00 min')
    """
    if seconds < 60:
        return f"{seconds:.4g} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def similarity_of_records(analyses: Sequence[Analysis]) -> Figure:
    """How alike the mean embeddings of the recordings are, one row and column each."""
    mean = np.array([a.embedding.values.mean(0) for a in analyses])
    names = [f"{i + 1} {a.record.name}" for i, a in enumerate(analyses)]
    return _matrix(_cosine(mean), names, names, height=max(340, 140 + 26 * len(names)))


def _whole(analysis: Analysis) -> Figure:
    """The envelope of each channel, bits per second and quality over the whole record."""
    record = analysis.record
    unit, scale_s = _time_unit(record.duration_s)
    data, rows = [], []
    for c, modality in enumerate(MODALITIES):
        signal = record.signal(modality)
        if signal is None:
            continue
        rows.append((f"{modality.upper()}, {signal.unit}", 3.0, True))
        time_s, low_high = _envelope(signal)
        data.append(_line(time_s / scale_s, low_high, len(rows), COLOURS[c], modality.upper(), width=1))
        time_s, rate = _bits_over_time(analysis, c)
        if len(time_s):
            rows.append(("bits/s", 1.0, False))
            data.append(_line(time_s / scale_s, rate, len(rows), COLOURS[c], "bits per second", fill=PALE[c], width=1))
    rows.append(("quality", 0.2 + 0.25 * len(record.present), False))
    data.append(_quality(analysis, len(rows), scale_s))
    view = (record.start_s / scale_s, record.end_s / scale_s)
    return {"data": data, "layout": _layout(rows, unit, view)}


def _close(analysis: Analysis, start_s: float, end_s: float) -> Figure:
    """Each sample between two times with the reconstruction over it and the bits of each token below it."""
    data, rows = [], []
    record, rebuilt = analysis.record, analysis.reconstruction
    for c, modality in enumerate(MODALITIES):
        for source, colour, name, width in ((record, INK, "signal", 1.2), (rebuilt, COLOURS[c], "reconstruction", 1.4)):
            signal = source.signal(modality)
            part = signal.crop(start_s, end_s) if signal else None
            if signal is None or part is None:
                continue
            if name == "signal" or record.signal(modality) is None:
                rows.append((f"{modality.upper()}, {signal.unit}", 3.0, True))
            time_s = (part.start_s, 1 / part.fs_hz)
            data.append(_line(time_s, part.values, len(rows), colour, f"{modality.upper()} {name}", width=width))
        inside = (analysis.token_start_s >= start_s) & (analysis.token_start_s < end_s)
        if record.signal(modality) is not None and inside.sum() > 1:
            rows.append(("bits/token", 1.0, False))
            data.append(_steps(analysis.token_start_s[inside], analysis.bits[c][inside], len(rows), c))
    rows.append(("quality", 0.2 + 0.25 * len(record.present), False))
    data.append(_quality(analysis, len(rows), 1.0))
    view_s = (start_s, min(end_s, start_s + FIRST_S))
    layout = _layout(rows, "seconds", view_s)
    layout["dragmode"] = "pan" if end_s - start_s > FIRST_S else "zoom"
    return {"data": data, "layout": layout}


def _similarity(analysis: Analysis) -> Figure:
    unit, scale_s = _time_unit(analysis.record.duration_s)
    edges_s, mean = _over_windows(analysis, analysis.embedding.values, _CELLS)
    edges = _packed(edges_s / scale_s)
    figure = _matrix(_cosine(mean), edges, edges, height=440)
    figure["layout"]["xaxis"]["title"] = figure["layout"]["yaxis"]["title"] = {"text": unit}
    return figure


def _matrix(z: NDArray[np.float64], x: Any, y: Any, height: int) -> Figure:
    low = float(np.floor(10 * max(-1.0, np.nanmin(z, initial=1.0))) / 10)
    rows = [[None if not math.isfinite(v) else round(float(v), 3) for v in row] for row in z]
    heat = {"type": "heatmap", "z": rows, "x": x, "y": y, "zmin": min(low, 0.9), "zmax": 1, "colorscale": LIKE_SCALE}
    heat |= {"colorbar": {"thickness": 12, "outlinewidth": 0}, "hovertemplate": "%{x} · %{y}: %{z}<extra></extra>"}
    axis = {"automargin": True, "showgrid": False, "zeroline": False, "ticks": "outside", "tickcolor": "#c9d2db"}
    layout = _plain(height) | {
        "width": height + 260,
        "xaxis": axis | {"constrain": "domain"},
        "yaxis": axis | {"autorange": "reversed", "scaleanchor": "x", "constrain": "domain"},
    }
    return {"data": [heat], "layout": layout}


def _quality(analysis: Analysis, row: int, scale_s: float) -> Figure:
    """A band per present channel: one coloured cell per window, at most `_BUCKETS` of them."""
    known_WC = np.where(analysis.embedding.present, analysis.embedding.quality, np.nan)
    edges_s, mean_WC = _over_windows(analysis, known_WC, _BUCKETS)
    shown = [c for c, m in enumerate(MODALITIES) if m in analysis.record.present]
    z = [[None if not math.isfinite(v) else round(float(v), 2) for v in mean_WC[:, c]] for c in shown]
    heat = {
        "type": "heatmap",
        "z": z,
        "x": _packed(edges_s / scale_s),
        "y": [f"{MODALITIES[c].upper()} quality" for c in shown],
    }
    heat |= {"zmin": 0, "zmax": 1, "colorscale": QUALITY_SCALE, "showscale": False, "ygap": 2}
    return heat | {"yaxis": _axis(row), "hovertemplate": "%{y} %{z}<extra></extra>"}


def _over_windows(
    analysis: Analysis, rows: NDArray[np.floating], most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(edges in s `(n + 1,)`, means `(n, …)`) of the windows' rows in at most `most` equal steps; NaN where none is.

    A step ends where the next one starts, the last one no later than the record.
    """
    start_s = analysis.embedding.start_s
    hop_s = float(np.diff(start_s).min()) if len(start_s) > 1 else analysis.record.duration_s
    at = np.rint((start_s - start_s[0]) / hop_s).astype(int)  # windows without signal have no row
    group = math.ceil((at[-1] + 1) / most)
    n = math.ceil((at[-1] + 1) / group)
    sums, count = np.zeros((n, rows.shape[1])), np.zeros((n, rows.shape[1]))
    np.add.at(sums, at // group, np.nan_to_num(rows))
    np.add.at(count, at // group, np.isfinite(rows))
    mean = np.divide(sums, count, out=np.full_like(sums, np.nan), where=count > 0)
    edges_s = start_s[0] + np.arange(n + 1) * group * hop_s
    edges_s[-1] = min(edges_s[-1], analysis.record.end_s)  # the last window may reach beyond it
    return edges_s, mean


def _bits_over_time(analysis: Analysis, channel: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(time in s, bits per second) of a channel in at most `_BUCKETS` means of whole tokens, never finer than 1 s."""
    start_s, bits = analysis.token_start_s, np.asarray(analysis.bits[channel], float)
    if len(start_s) < 2:
        return np.zeros(0), np.zeros(0)
    token_s = float(start_s[1] - start_s[0])
    group = max(round(1 / token_s), math.ceil(len(bits) / _BUCKETS))
    whole = len(bits) // group * group
    parts = bits[:whole].reshape(-1, group)
    count = np.isfinite(parts).sum(1)
    rate = np.divide(np.nansum(parts, 1), count * token_s, out=np.full(len(parts), np.nan), where=count > 0)
    return start_s[:whole:group] + 0.5 * group * token_s, rate


def _envelope(signal: Signal) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """(time in s, value): the lowest and the highest sample of each of `_BUCKETS` stretches, read piece by piece."""
    n = len(signal.samples)
    size = max(1, math.ceil(n / _BUCKETS))
    piece = size * max(1, round(_PIECE_S * signal.fs_hz / size))
    low, high = [], []
    for first in range(0, n, piece):
        last = min(n, first + piece)
        part = signal.read(signal.start_s + first / signal.fs_hz, signal.start_s + last / signal.fs_hz)
        at = np.arange(0, len(part), size)
        low.append(np.fmin.reduceat(part, at))
        high.append(np.fmax.reduceat(part, at))
    pairs = np.stack([np.concatenate(low), np.concatenate(high)], 1)
    time_s = signal.start_s + (np.arange(len(pairs), dtype=np.float64) + 0.5) * size / signal.fs_hz
    return np.repeat(time_s, 2), pairs.ravel()


def _cosine(rows: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(rows, float)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, length, out=np.full_like(x, np.nan), where=length > 0)
    return x @ x.T


def _time_unit(duration_s: float) -> tuple[str, float]:
    return ("hours", 3600.0) if duration_s > 7200 else ("minutes", 60.0) if duration_s > 300 else ("seconds", 1.0)


def _line(x: Any, y: Any, row: int, colour: str, name: str, fill: str = "", width: float = 1.2) -> Figure:
    """A curve; `x` holds the times, or (first time, step)."""
    line = {"x0": x[0], "dx": x[1]} if isinstance(x, tuple) else {"x": _packed(x)}
    line |= {"type": "scatter", "mode": "lines", "y": _packed(y), "yaxis": _axis(row), "name": name}
    line |= {
        "line": {"color": colour, "width": width},
        "hovertemplate": "%{x:.3f}: %{y:.3f}<extra>" + name + "</extra>",
    }
    return line | ({"fill": "tozeroy", "fillcolor": fill} if fill else {})


def _steps(start_s: NDArray[np.float64], bits: NDArray[np.float32], row: int, c: int) -> Figure:
    """One filled step per token, as wide as the token."""
    x = (float(start_s[0]), float(start_s[1] - start_s[0]))
    line = _line(x, np.append(bits, bits[-1]), row, COLOURS[c], "bits", fill=PALE[c], width=0.8)
    line["line"]["shape"] = "hv"
    return line


def _axis(row: int) -> str:
    return "y" if row == 1 else f"y{row}"


def _layout(rows: Rows, unit: str, view: tuple[float, float]) -> Figure:
    """Rows from top to bottom over one time axis."""
    gap = 0.035
    room = 1 - gap * (len(rows) - 1)
    total = sum(height for _, height, _ in rows)
    layout = _plain(round(90 + 62 * total + 14 * len(rows)))
    top = 1.0
    for k, (title, height, free) in enumerate(rows, start=1):
        bottom = max(0.0, top - room * height / total)
        axis = {"domain": [bottom, top], "title": {"text": title, "standoff": 6}, "zeroline": False, "anchor": "x"}
        axis |= {"gridcolor": "#eef1f4", "fixedrange": not free, "nticks": 5 if height > 1 else 3}
        layout["yaxis" if k == 1 else f"yaxis{k}"] = axis | (
            {"title": {"text": ""}, "showgrid": False, "autorange": "reversed"} if title == "quality" else {}
        )
        top = bottom - gap
    layout["xaxis"] = {"title": {"text": unit}, "range": list(view), "anchor": _axis(len(rows)), "gridcolor": "#eef1f4"}
    layout["xaxis"] |= {"zeroline": False}
    return layout


def _plain(height: int) -> Figure:
    layout: Figure = {"height": height, "margin": {"l": 86, "r": 18, "t": 28, "b": 44}, "showlegend": False}
    layout |= {"paper_bgcolor": "#fff", "plot_bgcolor": "#fff", "hovermode": "closest"}
    return layout | {"font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 12, "color": INK}}


def _packed(values: ArrayLike) -> dict[str, str]:
    """Numbers as plotly's base64 typed array: a third of their size as text, NaN stays a gap."""
    x = np.asarray(values)
    kind = "f4" if x.dtype == np.float32 else "f8"
    return {"dtype": kind, "bdata": base64.b64encode(np.ascontiguousarray(x, dtype="<" + kind).tobytes()).decode()}
