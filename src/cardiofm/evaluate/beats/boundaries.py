"""F1 of wave boundaries: P onset and offset, QRS onset and offset, T end, of the beats that readers marked.

A boundary is right within a tolerance of the marked one of the same beat. One that is given where none is marked, or
too far from it, counts as false; one that is marked and not given, or given too far, as missed. Beats that no reader
marked count as false between the first and the last marked one where readers marked every beat (LUDB). What lies before
a reader's first mark or after the last one, such as the T wave of LUDB's last beats, was not looked at and counts for
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.evaluate.beats import pooled
from cardiofm.evaluate.beats.table import SAME_BEAT_S, Floats, Method, Table, at, partner
from cardiofm.evaluate.beats.truth import Case
from cardiofm.evaluate.bootstrap import Interval

POINTS = ("p_onset", "p_offset", "qrs_onset", "qrs_offset", "t_end")
TOLERANCES_MS = {
    "150": dict.fromkeys(POINTS, 150.0),  # of the LUDB papers (AAMI)
    "tight": {"p_onset": 50.0, "p_offset": 50.0, "qrs_onset": 40.0, "qrs_offset": 40.0, "t_end": 100.0},
}


@dataclass
class Counts:
    """Of each record: its patient, and by method (tolerance, point) → (2 · right, marked + given) of that record."""

    patient: list[str] = field(default_factory=list)
    of: dict[str, list[dict[tuple[str, str], tuple[int, int]]]] = field(default_factory=dict)


def counted(cases: Iterable[Case], methods: dict[str, Method]) -> Counts:
    """The counts of every record and method."""
    counts = Counts(of={m: [] for m in methods})
    for case in cases:
        counts.patient.append(case.patient)
        for name, method in methods.items():
            counts.of[name].append(counts_of(case, method(case.record)))
    return counts


def counts_of(case: Case, found: Table) -> dict[tuple[str, str], tuple[int, int]]:
    """(2 · right, marked + given) of one record by tolerance and point."""
    rows = partner(case.r_s, found)
    extra = np.zeros(len(found["r_peak_s"]), bool)
    if case.complete:
        r_s = found["r_peak_s"]
        extra = (r_s > case.r_s.min() - SAME_BEAT_S) & (r_s < case.r_s.max() + SAME_BEAT_S)
        extra[rows[rows >= 0]] = False
    out = {}
    for point in POINTS:
        true_s, given_s = case.marks.of(point), at(found, f"{point}_s", rows)
        seen = _looked_at(case, given_s) | np.isfinite(true_s)
        given_s = np.where(seen, given_s, np.nan)
        invented = int(_looked_at(case, found[f"{point}_s"][extra]).sum())
        whole = int(np.isfinite(true_s).sum() + np.isfinite(given_s).sum()) + invented
        for name, limits in TOLERANCES_MS.items():
            out[name, point] = (2 * _right(true_s, given_s, limits[point]), whole)
    return out


def _looked_at(case: Case, times_s: Floats) -> NDArray[np.bool_]:
    """Which times lie between the reader's first and last mark."""
    return (times_s >= case.marks.start_s) & (times_s <= case.marks.end_s)


def _right(true_s: Floats, given_s: Floats, tolerance_ms: float) -> int:
    with np.errstate(invalid="ignore"):
        return int((np.abs(given_s - true_s) <= tolerance_ms / 1000 + 1e-9).sum())


def rows(counts: Counts, place: str) -> list[dict[str, Any]]:
    """F1 of each point and their mean (macro), for each method and tolerance."""
    out = []
    for method, records in counts.of.items():
        for name in TOLERANCES_MS:
            keys = {"task": "boundaries", "set": place, "method": method, "tolerance": name}
            parts = {p: np.array([r[name, p] for r in records], float) for p in POINTS}
            out += [
                pooled.line(macro({p: parts[p]}, counts.patient), 4, **keys, metric=f"f1_{p}")
                for p in POINTS
                if parts[p][:, 1].sum()
            ]
            out.append(pooled.line(macro(parts, counts.patient), 4, **keys, metric="macro_f1"))
    return out


def macro(parts: dict[str, np.ndarray], patients: list[str], seed: int = 0) -> Interval:
    """The mean over points of each point's F1 of pooled counts `(records, 2)`; patients are resampled.

    >>> macro({"t_end": np.array([[2.0, 2.0], [0.0, 2.0]])}, ["a", "b"]).value
    0.5
    """
    names, index = np.unique(np.asarray(patients, str), return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), pooled.REPEATS)
    weight = np.concatenate([np.ones((1, len(names))), draws])  # the first row: everyone once
    each = []
    for counts in parts.values():
        sums = np.stack([np.bincount(index, counts[:, c], len(names)) for c in (0, 1)])
        right, whole = weight @ sums[0], weight @ sums[1]
        each.append(np.divide(right, whole, out=np.full(len(right), np.nan), where=whole > 0))
    found = np.nanmean(each, axis=0)
    low, high = np.nanpercentile(found[1:], [2.5, 97.5]) if len(names) > 1 else (np.nan, np.nan)
    return Interval(float(found[0]), float(low), float(high), len(names), len(index))
