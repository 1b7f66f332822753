"""F1 of R peaks on MIT-BIH, all records and all beats, as recorded and under recorded noise at 0 dB.

What is found in the 143 s of ventricular flutter of record 207, where no beats can be marked, counts for nothing
(ANSI/AAMI EC57).

Ratio of 0 dB: electrode motion and muscle noise have the ECG's power within 0.5-40 Hz; baseline wander, which has 2 %
of its power there, has as recorded (without its mean) the power that the ECG has in that band. The noise is of the ten
minutes that training never heard, the same piece for every method.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.data import catalog
from cardiofm.data.marks import Marks
from cardiofm.data.prepare import NOISE_S
from cardiofm.evaluate.beats import pooled
from cardiofm.evaluate.beats.floors import whole
from cardiofm.evaluate.beats.table import Method
from cardiofm.evaluate.beats.truth import Case
from cardiofm.evaluate.bootstrap import difference, ratio
from cardiofm.evaluate.noise import power_in_band
from cardiofm.measure.bridge import matched
from cardiofm.signals import Record, Signal

KINDS = ("bw", "em", "ma")
TOLERANCES_MS = (150, 50)
NOISY_S = (300.0, 420.0)  # the two minutes of each record to which noise is added

Noise = Mapping[str, NDArray[np.float32]]  # "em" → samples at the ECG's rate


@dataclass
class Counts:
    """Of each record its patient, and by (method, tolerance) (2 · pairs, true + found) of each record."""

    patient: list[str] = field(default_factory=list)
    of: dict[tuple[str, int], list[tuple[int, int]]] = field(default_factory=dict)


def counted(cases: Iterable[Case], methods: dict[str, Method]) -> Counts:
    """Pairs within each tolerance, of every record and method."""
    counts = Counts(of={(m, t): [] for m in methods for t in TOLERANCES_MS})
    for case in cases:
        counts.patient.append(case.patient)
        span_s = (case.record.start_s, case.record.end_s)
        true_s = case.scored(case.r_s[(case.r_s >= span_s[0]) & (case.r_s < span_s[1])])
        for name, method in methods.items():
            found_s = method(case.record)["r_peak_s"]
            found_s = np.sort(case.scored(found_s[np.isfinite(found_s)]))
            for t in TOLERANCES_MS:
                pairs = len(matched(true_s, found_s, t / 1000))
                counts.of[name, t].append((2 * pairs, len(true_s) + len(found_s)))
    return counts


def rows(counts: Counts, condition: str, own: str) -> list[dict[str, Any]]:
    """F1 of pooled counts for each method and tolerance; and `own` minus the others, mean over patients, paired."""
    out = []
    for (method, t), found in counts.of.items():
        parts, wholes = zip(*found, strict=True)
        keys = {"task": "r_peaks", "set": "mitdb", "condition": condition, "method": method, "metric": f"f1_{t}"}
        out.append(pooled.line(ratio(parts, wholes, counts.patient, pooled.REPEATS), 4, **keys))
        if method != own and (own, t) in counts.of:
            f1 = {m: [p / w if w else 0.0 for p, w in counts.of[m, t]] for m in (own, method)}
            gain = difference(f1[own], f1[method], counts.patient)
            named = {k: v for k, v in keys.items() if k != "method"} | {"difference": f"{own} - {method}"}
            out.append(pooled.line(gain, 4, **named))
    return out


def held_noise(data_root: Path, fs_hz: float) -> dict[str, NDArray[np.float32]]:
    """The last ten minutes of the first channel of each recording of nstdb, in mV at `fs_hz`."""
    found = {}
    for entry in catalog.entries("nstdb", data_root):
        kind, _, channel = entry.record.partition("-")
        if kind in KINDS and channel == "1":
            record = catalog.load(entry, data_root)
            values, valid, _ = whole(record.crop(NOISE_S, record.end_s), fs_hz)
            found[kind] = values[0][valid[0]]
    return found


def noisy(cases: Iterable[Case], kind: str, noise: Noise) -> Iterator[Case]:
    """Two minutes of each record with that noise at 0 dB; the marks stay."""
    for number, case in enumerate(cases):
        part = case.record.crop(*NOISY_S)
        assert part.ecg is not None
        x = part.ecg.values.astype(np.float64)
        good = np.isfinite(x)
        recording = noise[kind]
        start = 7919 * (number + 1) % (len(recording) - len(x) + 1)  # a prime step spreads the places
        piece = recording[start : start + len(x)].astype(np.float64)
        piece -= piece.mean()
        signal = power_in_band(np.where(good, x, 0), good, part.ecg.fs_hz, "ecg")
        unwanted = float(np.mean(piece**2)) if kind == "bw" else power_in_band(piece, good, part.ecg.fs_hz, "ecg")
        samples = (x + np.sqrt(signal / unwanted) * piece).astype(np.float32)
        ecg = Signal(samples, part.ecg.fs_hz, part.ecg.unit, part.ecg.name, part.ecg.start_s)
        record = Record(f"{case.record.name} {kind}", ecg, patient=case.patient)
        yield replace(case, record=record, marks=Marks(case.marks.s, *NOISY_S))
