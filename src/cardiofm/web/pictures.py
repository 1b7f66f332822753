"""Analyses to plotly figures as plain dicts: traces with reconstruction, bits, quality, similarity.

Shapes: C channels (ecg, ppg), T tokens, W windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.pipeline import Analysis
from cardiofm.signals import MODALITIES, Signal
from cardiofm.web import plot

QUALITY_SCALE = [[0, "#d9584f"], [0.5, "#f2cf7a"], [1, "#7fbf8e"]]
LIKE_SCALE = [[0, "#f7f4ee"], [0.5, "#8fb7c9"], [1, "#1f3f5c"]]
CLOSE_S = 120.0  # at most this much is drawn sample by sample
FIRST_S = 15.0  # and this much of it is in view at first
_BUCKETS = 2000
_PIECE_S = 600.0
_LABELLED = 25  # windows whose quality is written into their cells
_CELLS = 200  # a side of the similarity map


def of(analysis: Analysis, points: int) -> list[tuple[str, plot.Figure]]:
    """(title, figure) of each picture of one analysis, drawn with about `points` samples in all."""
    record = analysis.record
    signals = [s for s in (record.ecg, record.ppg) if s is not None]
    close_s = min(CLOSE_S, points / (2 * len(signals)) / max(s.fs_hz for s in signals))
    start_s = record.start_s + max(0.0, record.duration_s - close_s) / 2
    end_s = min(record.end_s, start_s + close_s)
    figures = []
    if record.duration_s > 2 * FIRST_S:
        figures.append((f"The whole recording, {plot.clock(record.duration_s)}", _whole(analysis)))
    part = "" if record.duration_s <= close_s else f", {plot.clock(start_s)} to {plot.clock(end_s)}"
    more = "; pan to see more" if end_s - start_s > FIRST_S else ""
    figures.append((f"Signal (dark) and reconstruction (colour){part}{more}", _close(analysis, start_s, end_s)))
    if len(analysis.embedding) > 2:
        figures.append(("Similarity of the windows' embeddings (cosine)", _similarity(analysis)))
    return figures


def similarity_of_records(analyses: Sequence[Analysis]) -> plot.Figure:
    """How alike the mean embeddings of the recordings are, one row and column each."""
    mean = np.array([a.embedding.values.mean(0) for a in analyses])
    names = [f"{i + 1} {a.record.name}" for i, a in enumerate(analyses)]
    return _matrix(_cosine(mean), names, names, height=max(340, 140 + 26 * len(names)))


def _whole(analysis: Analysis) -> plot.Figure:
    """The envelope of each channel, bits per second and quality over the whole record."""
    record = analysis.record
    unit, scale_s = plot.time_unit(record.duration_s)
    data, rows = [], []
    for c, modality in enumerate(MODALITIES):
        signal = record.signal(modality)
        if signal is None:
            continue
        rows.append((f"{modality.upper()}, {signal.unit}", 3.0, True))
        time_s, low_high = _envelope(signal)
        data.append(plot.line(time_s / scale_s, low_high, len(rows), plot.COLOURS[c], modality.upper(), width=1))
        time_s, rate = _bits_over_time(analysis, c)
        if len(time_s):
            rows.append(("bits/s", 1.0, False))
            data.append(
                plot.line(
                    time_s / scale_s, rate, len(rows), plot.COLOURS[c], "bits per second", fill=plot.PALE[c], width=1
                )
            )
    rows.append(("quality", 0.2 + 0.25 * len(record.present), False))
    data.append(_quality(analysis, len(rows), scale_s))
    view = (record.start_s / scale_s, record.end_s / scale_s)
    return {"data": data, "layout": plot.layout(rows, unit, view)}


def _close(analysis: Analysis, start_s: float, end_s: float) -> plot.Figure:
    """Each sample between two times with the reconstruction over it and the bits of each token below it."""
    data, rows = [], []
    record, rebuilt = analysis.record, analysis.reconstruction
    for c, modality in enumerate(MODALITIES):
        for source, colour, name, width in (
            (record, plot.INK, "signal", 1.2),
            (rebuilt, plot.COLOURS[c], "reconstruction", 1.4),
        ):
            signal = source.signal(modality)
            part = signal.crop(start_s, end_s) if signal else None
            if signal is None or part is None:
                continue
            if name == "signal" or record.signal(modality) is None:
                rows.append((f"{modality.upper()}, {signal.unit}", 3.0, True))
            time_s = (part.start_s, 1 / part.fs_hz)
            data.append(plot.line(time_s, part.values, len(rows), colour, f"{modality.upper()} {name}", width=width))
        inside = (analysis.token_start_s >= start_s) & (analysis.token_start_s < end_s)
        if record.signal(modality) is not None and inside.sum() > 1:
            rows.append(("bits/token", 1.0, False))
            data.append(_steps(analysis.token_start_s[inside], analysis.bits[c][inside], len(rows), c))
    rows.append(("quality", 0.2 + 0.25 * len(record.present), False))
    data.append(_quality(analysis, len(rows), 1.0))
    view_s = (start_s, min(end_s, start_s + FIRST_S))
    layout = plot.layout(rows, "seconds", view_s)
    layout["dragmode"] = "pan" if end_s - start_s > FIRST_S else "zoom"
    return {"data": data, "layout": layout}


def _similarity(analysis: Analysis) -> plot.Figure:
    unit, scale_s = plot.time_unit(analysis.record.duration_s)
    edges_s, mean = _over_windows(analysis, analysis.embedding.values, _CELLS)
    edges = plot.packed(edges_s / scale_s)
    figure = _matrix(_cosine(mean), edges, edges, height=440)
    figure["layout"]["xaxis"]["title"] = figure["layout"]["yaxis"]["title"] = {"text": unit}
    return figure


def _matrix(z: NDArray[np.float64], x: Any, y: Any, height: int) -> plot.Figure:
    low = float(np.floor(10 * max(-1.0, np.nanmin(z, initial=1.0))) / 10)
    rows = [[None if not math.isfinite(v) else round(float(v), 3) for v in row] for row in z]
    heat = {"type": "heatmap", "z": rows, "x": x, "y": y, "zmin": min(low, 0.9), "zmax": 1, "colorscale": LIKE_SCALE}
    heat |= {"colorbar": {"thickness": 12, "outlinewidth": 0}, "hovertemplate": "%{x} · %{y}: %{z}<extra></extra>"}
    axis = {"automargin": True, "showgrid": False, "zeroline": False, "ticks": "outside", "tickcolor": "#c9d2db"}
    layout = plot.plain(height) | {
        "width": height + 260,
        "xaxis": axis | {"constrain": "domain"},
        "yaxis": axis | {"autorange": "reversed", "scaleanchor": "x", "constrain": "domain"},
    }
    return {"data": [heat], "layout": layout}


def _quality(analysis: Analysis, row: int, scale_s: float) -> plot.Figure:
    """A band per present channel: one coloured cell per window, at most `_BUCKETS` of them."""
    known_WC = np.where(analysis.embedding.present, analysis.embedding.quality, np.nan)
    edges_s, mean_WC = _over_windows(analysis, known_WC, _BUCKETS)
    shown = [c for c, m in enumerate(MODALITIES) if m in analysis.record.present]
    z = [[None if not math.isfinite(v) else round(float(v), 2) for v in mean_WC[:, c]] for c in shown]
    heat = {
        "type": "heatmap",
        "z": z,
        "x": plot.packed(edges_s / scale_s),
        "y": [f"{MODALITIES[c].upper()} quality" for c in shown],
    }
    heat |= {"zmin": 0, "zmax": 1, "colorscale": QUALITY_SCALE, "showscale": False, "ygap": 2}
    if len(edges_s) <= _LABELLED:
        heat["texttemplate"] = "%{z:.2f}"
    return heat | {"yaxis": plot.axis(row), "hovertemplate": "%{y} %{z}<extra></extra>"}


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


def _steps(start_s: NDArray[np.float64], bits: NDArray[np.float32], row: int, c: int) -> plot.Figure:
    """One filled step per token, as wide as the token."""
    x = (float(start_s[0]), float(start_s[1] - start_s[0]))
    line = plot.line(x, np.append(bits, bits[-1]), row, plot.COLOURS[c], "bits", fill=plot.PALE[c], width=0.8)
    line["line"]["shape"] = "hv"
    return line
