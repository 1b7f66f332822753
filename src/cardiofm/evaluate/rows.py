"""Scores of single windows, brought together: rows with intervals over patients, and paired differences of methods.

A score is a dict: where it belongs ("set", "channel", "method", …), "patient" and "window", and its metrics. A metric
is a number, a list of numbers (one a beat), or a pair (part, whole) of counts that are pooled; None or NaN: not
measured there, which the row counts as refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cardiofm.evaluate import run
from cardiofm.evaluate.bootstrap import Interval, difference, interval, ratio, ratio_difference

Score = dict[str, Any]


@dataclass(frozen=True)
class Metric:
    """How a metric is brought together over windows, and what it is called."""

    meaning: str  # with its unit
    over: Literal["median", "mean", "pooled"]
    digits: int


def summarised(
    scores: Sequence[Score], keys: Sequence[str], metrics: dict[str, Metric], lost: dict[tuple[Any, ...], int]
) -> list[dict[str, Any]]:
    """A row for each value of `keys` and each metric; `lost`: windows refused before they were scored, by `keys`."""
    cells: dict[tuple[Any, ...], list[Score]] = {}
    for score in scores:
        cells.setdefault(tuple(score[k] for k in keys), []).append(score)
    rows = []
    for cell, own in cells.items():
        for name, metric in metrics.items():
            asked = [s for s in own if name in s]
            found = [s for s in asked if _measured(s[name])]
            value = brought_together(found, name, metric) if found else None
            if value is not None:
                refused = len(asked) - len(found) + lost.get(cell, 0)
                named = dict(zip(keys, cell, strict=True))
                rows.append(run.row(value, metric.digits, **named, metric=name, refused=refused))
    return rows


def brought_together(scores: Sequence[Score], name: str, metric: Metric) -> Interval | None:
    """One interval over the patients of these scores; a list of values counts each; None where nothing was counted."""
    patients = [str(s["patient"]) for s in scores]
    if metric.over == "pooled":
        parts, wholes = zip(*(s[name] for s in scores), strict=True)
        return ratio(parts, wholes, patients) if sum(wholes) else None
    values = [np.atleast_1d(s[name]) for s in scores]
    who = [p for p, v in zip(patients, values, strict=True) for _ in v]
    return interval(np.concatenate(values), who, metric.over)


def paired(
    scores: Sequence[Score],
    keys: Sequence[str],
    metrics: dict[str, Metric],
    pairs: Sequence[tuple[str, str]],
    which: str = "method",
) -> list[dict[str, Any]]:
    """The first of each pair of `which` minus the second on the same windows, a row for each value of `keys`.

    Lists of values (one a beat) are not paired: two methods may have measured other beats.
    """
    by: dict[tuple[Any, ...], dict[str, Score]] = {}
    for score in scores:
        by.setdefault((*(score[k] for k in keys), score["window"]), {})[score[which]] = score
    cells: dict[tuple[Any, ...], list[dict[str, Score]]] = {}
    for (*cell, _), found in by.items():
        cells.setdefault(tuple(cell), []).append(found)
    rows = []
    for cell, own in cells.items():
        for (a, b), (name, metric) in ((p, m) for p in pairs for m in metrics.items()):
            both = [(f[a], f[b]) for f in own if a in f and b in f and _measured(f[a].get(name), f[b].get(name))]
            value = _difference(both, name, metric)
            if value is None:
                continue
            named = dict(zip(keys, cell, strict=True))
            rows.append(run.row(value, metric.digits, **named, difference=f"{a} - {b}", metric=name))
    return rows


def _difference(both: Sequence[tuple[Score, Score]], name: str, metric: Metric) -> Interval | None:
    if not both or isinstance(both[0][0][name], list):
        return None
    x, y, who = zip(*((s[name], t[name], str(s["patient"])) for s, t in both), strict=True)
    if metric.over != "pooled":
        return difference(x, y, who, metric.over)
    (part_a, whole_a), (part_b, whole_b) = (np.transpose(counts) for counts in (x, y))
    if not whole_a.sum() or not whole_b.sum():
        return None
    return ratio_difference((part_a, whole_a), (part_b, whole_b), who)


def _measured(*values: Any) -> bool:
    return all(
        v is not None and np.size(v) > 0 and not (isinstance(v, float | int) and not math.isfinite(v)) for v in values
    )
