"""The figures of an analysis as a plain dict: what the table, the JSON and the page show."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cardiofm.pipeline import Analysis
from cardiofm.signals import INTERVALS, MODALITIES, Measurement

_ANCHORS = ("r_peak_s", "ppg_foot_s")  # what a beat and a pulse are counted by


def summary(analysis: Analysis, beats: Measurement | None = None) -> dict[str, Any]:
    """record, duration_s, windows, notes, for "ecg" and "ppg" the channel's figures or None, and "measured"; for JSON.

    quality is the mean over the windows that have the channel (0 bad … 1 good), prd_percent the reconstruction's root
    mean square error in percent of the signal's standard deviation, r their correlation, bits_per_s what the tokens
    cost. A figure that does not exist is None; so is "measured" without a measurement.
    """
    record = analysis.record
    rows: dict[str, Any] = {"record": record.name, "duration_s": round(record.duration_s, 3)}
    rows |= {"windows": len(analysis.embedding), "notes": list(analysis.notes)}
    rows |= {modality: _channel(analysis, c) for c, modality in enumerate(MODALITIES)}
    return rows | {"measured": None if beats is None else measured(beats)}


def measured(beats: Measurement) -> dict[str, Any]:
    """beats, heart_rate_bpm, hrv, rhythm, reason; for R peak, PPG foot and every interval the number and share of beats
    that have it and how many do not, by reason; for intervals also median, quartiles, 5 and 95 % in ms."""
    said = beats.summary
    rows: dict[str, Any] = {key: said[key] for key in ("beats", "heart_rate_bpm", "hrv", "rhythm", "reason")}
    for name in _ANCHORS:
        given = int(np.isfinite(beats.values[name]).sum())
        rows[name] = {"beats": given, "coverage": _finite(given / max(1, len(beats)), 4)}
        rows[name] |= {"refused": said["refused"].get(name, {})}
    for name in INTERVALS:
        values = beats.values[name][np.isfinite(beats.values[name])]
        low, high = np.quantile(values, [0.25, 0.75]) if len(values) else (None, None)
        one = {key: value for key, value in said["intervals"][name].items() if key != "iqr"}
        rows[name] = one | {"q25": _finite(low, 2), "q75": _finite(high, 2), "refused": said["refused"].get(name, {})}
    return rows


def _channel(analysis: Analysis, c: int) -> dict[str, Any] | None:
    signal = analysis.record.signal(MODALITIES[c])
    if signal is None:
        return None
    present = analysis.embedding.present[:, c]
    quality = analysis.embedding.quality[present, c].mean() if present.any() else None
    figures: dict[str, Any] = {"channel": signal.name, "unit": signal.unit, "fs_hz": signal.fs_hz}
    figures |= {"start_s": signal.start_s, "duration_s": round(signal.duration_s, 3)}
    figures |= {"quality": _finite(quality, 3), "prd_percent": _finite(analysis.prd.get(MODALITIES[c]), 2)}
    return figures | {"r": _finite(analysis.r.get(MODALITIES[c]), 4), "bits_per_s": _bits_per_s(analysis, c)}


def _bits_per_s(analysis: Analysis, c: int) -> float | None:
    bits, start_s = analysis.bits[c], analysis.token_start_s
    if len(start_s) < 2 or not np.isfinite(bits).any():
        return None
    return _finite(np.nanmean(bits) / (start_s[1] - start_s[0]), 1)


def _finite(value: Any, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), digits)
