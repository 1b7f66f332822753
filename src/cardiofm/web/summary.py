"""The figures of an analysis as a plain dict: what the table, the JSON and the page show."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cardiofm.pipeline import Analysis
from cardiofm.signals import MODALITIES, Measurement


def summary(analysis: Analysis, beats: Measurement | None = None) -> dict[str, Any]:
    """record, duration_s, windows, notes, for "ecg" and "ppg" the channel's figures or None, and "measured"; for JSON.

    quality is the mean over the windows that have the channel (0 bad … 1 good), prd_percent the reconstruction's root
    mean square error in percent of the signal's standard deviation, r their correlation, bits_per_s what the tokens
    cost. A figure that does not exist is None. "measured" is the summary of a measurement, None without one.
    """
    record = analysis.record
    rows: dict[str, Any] = {"record": record.name, "duration_s": round(record.duration_s, 3)}
    rows |= {"windows": len(analysis.embedding), "notes": list(analysis.notes)}
    rows |= {modality: _channel(analysis, c) for c, modality in enumerate(MODALITIES)}
    return rows | {"measured": None if beats is None else beats.summary}


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
