"""What all pictures are made of: plotly's curves, axes and numbers as plain dicts.

Rows of a picture lie one below another over one horizontal axis.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

INK, COLOURS, PALE = "#1d2733", ("#c2403d", "#1f6fb2"), ("#e9b6b4", "#a9cbe6")
Figure = dict[str, Any]
Rows = list[tuple[str, float, bool]]  # title of a vertical axis, height, may it be zoomed?
GRID = "#eef1f4"


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


def time_unit(duration_s: float) -> tuple[str, float]:
    """The unit of a time axis and how many seconds it has."""
    return ("hours", 3600.0) if duration_s > 7200 else ("minutes", 60.0) if duration_s > 300 else ("seconds", 1.0)


def line(x: Any, y: Any, row: int, colour: str, name: str, fill: str = "", width: float = 1.2) -> Figure:
    """A curve; `x` holds the times, or (first time, step)."""
    curve = {"x0": x[0], "dx": x[1]} if isinstance(x, tuple) else {"x": packed(x)}
    curve |= {"type": "scatter", "mode": "lines", "y": packed(y), "yaxis": axis(row), "name": name}
    curve |= {
        "line": {"color": colour, "width": width},
        "hovertemplate": "%{x:.3f}: %{y:.3f}<extra>" + name + "</extra>",
    }
    return curve | ({"fill": "tozeroy", "fillcolor": fill} if fill else {})


def axis(row: int) -> str:
    """What plotly calls the vertical axis of a row, the first of which is 1."""
    return "y" if row == 1 else f"y{row}"


def layout(rows: Rows, unit: str, view: tuple[float, float]) -> Figure:
    """Rows from top to bottom over one time axis."""
    gap = 0.035
    room = 1 - gap * (len(rows) - 1)
    total = sum(height for _, height, _ in rows)
    made = plain(round(90 + 62 * total + 14 * len(rows)))
    top = 1.0
    for k, (title, height, free) in enumerate(rows, start=1):
        bottom = max(0.0, top - room * height / total)
        one = {"domain": [bottom, top], "title": {"text": title, "standoff": 6}, "zeroline": False, "anchor": "x"}
        one |= {"gridcolor": GRID, "fixedrange": not free, "nticks": 5 if height > 1 else 3}
        made["yaxis" if k == 1 else f"yaxis{k}"] = one | (
            {"title": {"text": ""}, "showgrid": False, "autorange": "reversed"} if title == "quality" else {}
        )
        top = bottom - gap
    made["xaxis"] = {"title": {"text": unit}, "range": list(view), "anchor": axis(len(rows)), "gridcolor": GRID}
    made["xaxis"] |= {"zeroline": False}
    return made


def plain(height: int) -> Figure:
    """The layout that every picture starts from; height in pixels."""
    made: Figure = {"height": height, "margin": {"l": 86, "r": 18, "t": 28, "b": 44}, "showlegend": False}
    made |= {"paper_bgcolor": "#fff", "plot_bgcolor": "#fff", "hovermode": "closest"}
    return made | {"font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 12, "color": INK}}


def packed(values: ArrayLike) -> dict[str, str]:
    """Numbers as plotly's base64 typed array: a third of their size as text, NaN stays a gap."""
    x = np.asarray(values)
    kind = "f4" if x.dtype == np.float32 else "f8"
    return {"dtype": kind, "bdata": base64.b64encode(np.ascontiguousarray(x, dtype="<" + kind).tobytes()).decode()}
