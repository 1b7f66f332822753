"""Windows without a heart: noise alone, a flat line, white noise, mains hum. Whoever finds a beat invents it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cardiofm.data import catalog
from cardiofm.data.prepare import NOISE_S
from cardiofm.evaluate.beats import pooled
from cardiofm.evaluate.beats.floors import whole
from cardiofm.evaluate.beats.table import Floats, Method
from cardiofm.signals import Record, Signal

FS_HZ = 250.0
WINDOW_S = 10.0
KINDS = ("nstdb", "flat", "white", "mains")


def windows(data_root: Path, number: int) -> Iterator[tuple[str, Record]]:
    """`number` recordings of ten seconds with an ECG and a PPG channel, as many of each kind; the same every time.

    nstdb: two places of one recording of its last ten minutes (which training never heard), in turn of baseline
    wander, electrode motion and muscle noise. Mains hum: 50 or 60 Hz with its third harmonic in a little noise.
    """
    recordings = _recordings(data_root)
    rng = np.random.default_rng(0)
    samples = round(WINDOW_S * FS_HZ)
    t = np.arange(samples) / FS_HZ
    for k in range(number):
        kind = KINDS[k % len(KINDS)]
        if kind == "nstdb":
            recording = recordings[k // len(KINDS) % len(recordings)]
            pair = [recording[s : s + samples] for s in rng.integers(0, len(recording) - samples, 2)]
        elif kind == "flat":
            pair = [np.full(samples, v) for v in rng.normal(0, 0.5, 2)]
        elif kind == "white":
            pair = [rng.normal(0, s, samples) for s in rng.uniform(0.02, 0.5, 2)]
        else:
            hz = rng.choice([50.0, 60.0])
            pair = [
                a * np.sin(2 * np.pi * (hz * t + p))
                + 0.2 * a * np.sin(6 * np.pi * hz * t)
                + rng.normal(0, 0.005, samples)
                for a, p in zip(rng.uniform(0.05, 0.5, 2), rng.uniform(0, 1, 2), strict=True)
            ]
        yield kind, _record(f"{kind}-{k}", pair)


def given(found: dict[str, Floats]) -> int:
    """How many R peaks and feet a table gives.

    >>> given({"r_peak_s": np.array([1.0, np.nan]), "ppg_foot_s": np.array([np.nan, 1.4])})
    2
    """
    return sum(int(np.isfinite(found[c]).sum()) for c in ("r_peak_s", "ppg_foot_s") if c in found)


def rows(data_root: Path, number: int, methods: dict[str, Method]) -> list[dict[str, Any]]:
    """Share of the windows in which nothing was found, and beats invented a window, by method and kind."""
    counts: dict[str, dict[str, list[int]]] = {m: {k: [] for k in KINDS} for m in methods}
    for kind, record in windows(data_root, number):
        for name, method in methods.items():
            counts[name][kind].append(given(method(record)))
    out = []
    for method, kinds in counts.items():
        every = [c for values in kinds.values() for c in values]
        for kind, values in (*kinds.items(), ("all", every)):
            if not values:
                continue
            named = {"task": "silence", "set": kind, "method": method}
            single = [f"{i}" for i in range(len(values))]  # windows stand for themselves: nobody is behind them
            silent = np.array(values) == 0
            out.append(pooled.line(pooled.mean(silent.astype(float), single), 4, **named, metric="refused"))
            out.append(pooled.line(pooled.mean(values, single), 3, **named, metric="invented"))
    return out


def _recordings(data_root: Path) -> list[np.ndarray]:
    found = []
    for entry in catalog.entries("nstdb", data_root):
        record = catalog.load(entry, data_root)
        values, valid, _ = whole(record.crop(NOISE_S, record.end_s), FS_HZ)
        found.append(values[0][valid[0]])
    return found


def _record(name: str, pair: list[np.ndarray]) -> Record:
    ecg, ppg = (np.asarray(x, np.float32) for x in pair)
    return Record(name, Signal(ecg, FS_HZ, "mV", "II"), Signal(ppg, FS_HZ, "NU", "PLETH"), patient=name)
