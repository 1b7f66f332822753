"""Heart rate of short windows: bidmc against the bedside monitor, ieee-spc-2015's wrist PPG against its labels.

A rate is 60 / the mean interval of a window's beats, without those that span a missed beat or a false one, for every
method alike; fewer than three beats give none. bidmc's monitor shows what its last seconds were like: its values are
read `MONITOR_LAG_S` later, where two classical detectors agree with it best: HR 0.91 per minute off at 0 s, 0.46 at 6,
0.89 at 12; PULSE, of the oximeter, 1.27 off at 6 s, 0.92 at 13, 1.20 at 18.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cardiofm.data import catalog
from cardiofm.data.catalog import bidmc, ieee_spc_2015
from cardiofm.evaluate.beats import pooled
from cardiofm.evaluate.beats.table import Floats
from cardiofm.signals import Record

WINDOW_S = 10.0  # of bidmc; ieee-spc-2015's labels are of 8 s, every 2 s
MONITOR_LAG_S = {"ecg": 6.0, "ppg": 13.0}
POSSIBLE_S = (0.27, 2.5)  # intervals that can be a beat's
USUAL = (0.6, 1.6)  # of the median interval
Events = Callable[[Record], Floats]  # R peaks or feet of a record, record time in seconds


@dataclass
class Rates:
    """Windows of several patients: the true rate and that of each method, per minute, NaN: none given."""

    patient: list[str] = field(default_factory=list)
    true: list[float] = field(default_factory=list)
    found: dict[str, list[float]] = field(default_factory=dict)


def rate(events_s: Floats, start_s: float, end_s: float) -> float:
    """Beats per minute of the events within start … end; NaN for fewer than three.

    >>> rate(np.array([0.0, 1.0, 2.0, 3.0]), 0.0, 10.0)
    60.0
    """
    own = np.sort(events_s[(events_s >= start_s) & (events_s < end_s)])
    steps = np.diff(own)
    steps = steps[(steps >= POSSIBLE_S[0]) & (steps <= POSSIBLE_S[1])]
    if len(steps) < 2:
        return float("nan")
    usual = float(np.median(steps))
    return float(60 / steps[(steps >= USUAL[0] * usual) & (steps <= USUAL[1] * usual)].mean())


def of_bidmc(data_root: Path, limit: int, methods: dict[str, Events], modality: str) -> Rates:
    """Ten-second windows against the mean of the monitor's HR (ECG) or PULSE (PPG), once a second, read a little later.

    A PPG is given alone, so that its rate is its own.
    """
    rates = Rates(found={m: [] for m in methods})
    for entry in catalog.entries("bidmc", data_root)[:limit]:
        record = catalog.load(entry, data_root)
        seen = record if modality == "ecg" else replace(record, ecg=None)
        monitor = bidmc.numerics(data_root / entry.labels["numerics"])
        values = monitor["HR" if modality == "ecg" else "PULSE"]
        events = {name: method(seen) for name, method in methods.items()}
        lag_s = MONITOR_LAG_S[modality]
        read_s = monitor["Time [s]"] - lag_s
        for start_s in np.arange(0.0, record.duration_s - WINDOW_S - lag_s + 0.01, WINDOW_S):
            own = values[(read_s >= start_s) & (read_s < start_s + WINDOW_S)]
            if np.isfinite(own).sum() < WINDOW_S / 2:
                continue
            _add(rates, entry.patient, float(np.nanmean(own)), events, start_s, start_s + WINDOW_S)
    return rates


def of_wrist(data_root: Path, limit: int, methods: dict[str, Events]) -> Rates:
    """Eight-second windows of ieee-spc-2015, every two seconds, from the wrist PPG alone against the labels."""
    rates = Rates(found={m: [] for m in methods})
    for entry in catalog.entries("ieee-spc-2015", data_root)[:limit]:
        if entry.labels["heart_rate"] is None:
            continue
        record = replace(catalog.load(entry, data_root), ecg=None)
        starts, bpm = ieee_spc_2015.heart_rate(data_root / entry.labels["heart_rate"])
        events = {name: method(record) for name, method in methods.items()}
        for start_s, true in zip(starts, bpm, strict=True):
            _add(rates, entry.patient, float(true), events, start_s, start_s + ieee_spc_2015.WINDOW_S)
    return rates


def _add(rates: Rates, patient: str, true: float, events: dict[str, Floats], start_s: float, end_s: float) -> None:
    rates.patient.append(patient)
    rates.true.append(true)
    for name, found in events.items():
        rates.found[name].append(rate(found[np.isfinite(found)], start_s, end_s))


def rows(rates: Rates, **keys: Any) -> list[dict[str, Any]]:
    """Mean and median absolute error per minute, and the share of windows with an answer, of each method."""
    true, who = np.asarray(rates.true), np.asarray(rates.patient)
    out = []
    for method, values in rates.found.items():
        error = np.abs(np.asarray(values) - true)
        known = np.isfinite(error)
        named = {"task": "rate", **keys, "method": method}
        lost = int((~known).sum())
        if known.any():
            own = who[known].tolist()
            out.append(pooled.line(pooled.mean(error[known], own), 3, **named, metric="mae_bpm", refused=lost))
            out.append(pooled.line(pooled.median(error[known], own), 3, **named, metric="median_bpm", refused=lost))
        out.append(
            pooled.line(pooled.mean(known.astype(float), who.tolist()), 4, **named, metric="answered", refused=0)
        )
    return out
