"""A table of beats in a few figures: of the whole record, and of every 30 seconds of it.

Nothing is filled in: a figure without beats is None. PAT is given relative to the record's own median too, as a
monitor's fixed delay is part of it and not known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from cardiofm.measure.band import Bools, Floats
from cardiofm.measure.gather import Gathered, Known
from cardiofm.measure.intervals import Table
from cardiofm.measure.variability import variability
from cardiofm.signals import INTERVALS, MODALITIES, REASONS, Rhythm

STRETCH_S = 30.0
RhythmOf = Callable[[Table, Bools, tuple[float, float]], Rhythm | None]  # table, rows of a stretch, its span in s
_MISSED = 1.6  # an interval this many times the median hides a pulse
_LEAST_S = 2.0  # of known signal, for a stretch to be called readable or not


def summaries(
    table: Table,
    found: Gathered,
    span_s: tuple[float, float],
    window_s: float,
    rhythm_of: RhythmOf | None = None,
    paired: float = math.nan,
) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    """The figures of a record (nested, ready for JSON) and those of its stretches of 30 s (flat rows of one shape).

    `span_s`: where the record starts and ends; `window_s`: how long a window is; `paired`: probability that each pulse
    is of its own R peak (`Rows.paired`), as `pat_own_beat`: where it is low, PAT may be a beat off, and only its
    changes are sure.
    """
    at_s = beat_times(table)
    pulse_s = _pulse_intervals(table)
    pat_ms = float(np.median(given)) if len(given := _given(table, "pat_ms", slice(None))) else math.nan
    everything = np.ones(len(at_s), bool)
    whole: dict[str, Any] = {
        "start_s": round(span_s[0], 3), "duration_s": round(span_s[1] - span_s[0], 3), "beats": int(len(at_s)),
        "heart_rate_bpm": {"ecg": _rate(table.values["rr_ms"]), "ppg": _rate(pulse_s)},
        "intervals": {name: _spread(table, name) for name in INTERVALS},
        "pat_own_beat": _rounded(paired, 3),
        "hrv": {k: _rounded(v, 3) for k, v in variability(at_s, table.values["rr_ms"]).items()},
        "rhythm": _rhythm(rhythm_of, table, everything, span_s),
        "signal": {m: _channel(found, c, span_s, window_s) for c, m in enumerate(MODALITIES)},
        "refused": _refused(table),
        "reason": None if len(at_s) else _nothing(found),
    }  # fmt: skip
    count = max(1, math.ceil((span_s[1] - span_s[0]) / STRETCH_S - 1e-6))
    bounds = [(span_s[0] + k * STRETCH_S, min(span_s[1], span_s[0] + (k + 1) * STRETCH_S)) for k in range(count)]
    edge = np.searchsorted(at_s, [b[0] for b in bounds] + [math.inf])
    edge[0] = 0
    rows = tuple(
        _stretch(table, found, slice(a, b), bound, pulse_s, pat_ms, window_s, rhythm_of)
        for a, b, bound in zip(edge[:-1], edge[1:], bounds, strict=True)
    )
    return whole, rows


def beat_times(table: Table) -> Floats:
    """When each row's beat is, `(B,)` s ascending: its R peak, or where that should have been."""
    r_s, foot_s = table.values["r_peak_s"], table.values["ppg_foot_s"]
    pat = _given(table, "pat_ms", slice(None))
    guess_s = foot_s - (float(np.median(pat)) / 1000 if len(pat) else 0.0)
    return np.maximum.accumulate(np.where(np.isfinite(r_s), r_s, np.nan_to_num(guess_s, nan=-math.inf)))


def _stretch(
    table: Table,
    found: Gathered,
    rows: slice,
    bound_s: tuple[float, float],
    pulse_ms: Floats,
    pat_ms: float,
    window_s: float,
    rhythm_of: RhythmOf | None,
) -> dict[str, Any]:
    """One flat row: what 30 s of the record hold."""
    mask = np.zeros(len(pulse_ms), bool)
    mask[rows] = True
    rr = table.values["rr_ms"][rows]
    out: dict[str, Any] = {"start_s": round(bound_s[0], 3), "end_s": round(bound_s[1], 3), "beats": int(mask.sum())}
    out |= {"heart_rate_ecg_bpm": _rate(rr), "heart_rate_ppg_bpm": _rate(pulse_ms[rows])}
    for name in INTERVALS[1:]:
        values = _given(table, name, rows)
        out[name] = _rounded(np.median(values), 2) if len(values) else None
        out[name.replace("_ms", "_iqr_ms")] = _iqr(values)
        out[name.replace("_ms", "_coverage")] = _rounded(len(values) / mask.sum(), 3) if mask.any() else None
    out["pat_change_ms"] = None if out["pat_ms"] is None else _rounded(out["pat_ms"] - pat_ms, 2)
    heart = variability(np.cumsum(np.nan_to_num(rr)) / 1000, rr)
    out |= {name: _rounded(heart[name], 3) for name in ("sdnn_ms", "rmssd_ms", "pnn50", "nn_share")}
    for c, modality in enumerate(MODALITIES):
        one = _channel(found, c, bound_s, window_s)
        out |= {f"{modality}_quality": one["quality"], f"{modality}_known": one["known"]}
    rhythm = _rhythm(rhythm_of, table, mask, bound_s)
    out["rhythm"] = rhythm and rhythm["label"]
    out["rhythm_probability"] = rhythm and rhythm["probability"]
    return out


def _rhythm(
    rhythm_of: RhythmOf | None, table: Table, mask: Bools, span_s: tuple[float, float]
) -> dict[str, Any] | None:
    said = rhythm_of(table, mask, span_s) if rhythm_of is not None else None
    if said is None:
        return None
    chances = {name: _rounded(chance, 4) for name, chance in said.chances.items()}
    out = {"label": said.label, "probability": _rounded(said.probability, 4), "chances": chances}
    return out | {"reason": said.reason or None}


def _given(table: Table, name: str, rows: slice) -> Floats:
    values = table.values[name][rows]
    return values[np.isfinite(values)]


def _rate(interval_ms: Floats) -> float | None:
    """Beats per minute of the mean interval; None without any."""
    known = interval_ms[np.isfinite(interval_ms)]
    return _rounded(60_000 / known.mean(), 2) if len(known) else None


def _pulse_intervals(table: Table) -> Floats:
    """From foot to foot in ms, `(B,)`, NaN where there is none or one seems to be missing between."""
    foot_ms = 1000 * table.values["ppg_foot_s"]
    apart = np.concatenate(([np.nan], np.diff(foot_ms)))[: len(foot_ms)]
    known = np.isfinite(apart)
    if known.any():
        with np.errstate(invalid="ignore"):
            apart = np.where((apart > 0) & (apart < _MISSED * np.median(apart[known])), apart, np.nan)
    return apart


def _spread(table: Table, name: str) -> dict[str, Any]:
    """Median, interquartile range, range in which the middle 90 % lie, number of beats and share of rows."""
    values = _given(table, name, slice(None))
    if len(values) == 0:
        return {"median": None, "iqr": None, "p5": None, "p95": None, "beats": 0, "coverage": 0.0}
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95])
    out = {"median": _rounded(median, 2), "iqr": _iqr(values), "p5": _rounded(low, 2), "p95": _rounded(high, 2)}
    return out | {"beats": len(values), "coverage": _rounded(len(values) / len(table.values[name]), 4)}


def _iqr(values: Floats) -> float | None:
    return _rounded(np.subtract(*np.quantile(values, [0.75, 0.25])), 2) if len(values) > 1 else None


def _channel(found: Gathered, c: int, span_s: tuple[float, float], window_s: float) -> dict[str, Any]:
    """Share of the span that is known, and the mean quality of the windows in it."""
    first, last = np.array([span_s[0]]), np.array([span_s[1]])
    known = float(found.known[c].between_s(first, last)[0]) / max(span_s[1] - span_s[0], 1e-9)
    low = np.searchsorted(found.window_s, span_s[0] - window_s / 2)
    high = max(np.searchsorted(found.window_s, span_s[1] - window_s / 2), low + 1)
    quality = found.quality[low:high, c]
    return {"quality": _rounded(quality.mean(), 3) if len(quality) else None, "known": _rounded(min(known, 1.0), 4)}


def _refused(table: Table) -> dict[str, dict[str, int]]:
    """How many beats have no value, per column and reason."""
    counts = {name: Counter(codes[codes > 0].tolist()) for name, codes in table.reason.items()}
    return {name: {REASONS[code]: n for code, n in sorted(count.items())} for name, count in counts.items() if count}


def _nothing(found: Gathered) -> str:
    """Why a record has no beats at all."""
    seen = any(_long(known) for known in found.known)
    return "noise: no beats are seen in the signal" if seen else "no signal: absent, flat, or shorter than 2 s"


def _long(known: Known) -> bool:
    return known.total_s >= _LEAST_S


def _rounded(value: Any, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), digits)
