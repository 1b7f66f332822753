"""Beats and the ECG around them to a rhythm: sinus, AF, other or unreadable, with a probability or a reason.

About two hundred named numbers → boosted trees. From an ECG it looks at the intervals and at the atria; from
the pulse alone at the intervals. The labels are those of PhysioNet/CinC 2017 (N, A, O, ~), so `sinus` is a normal
rhythm, `other` any arrhythmia but AF (ectopic beats included), `unreadable` too noisy to tell.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from safetensors.numpy import load_file

from cardiofm.measure import atria, irregular
from cardiofm.measure.band import Bools, Floats, clean
from cardiofm.measure.intervals import Table
from cardiofm.measure.rhythm import intervals
from cardiofm.measure.summary import RhythmOf, beat_times
from cardiofm.measure.trees import Trees
from cardiofm.signals import CheckpointError, Record, Rhythm

LABELS: tuple[str, ...] = ("sinus", "af", "other", "unreadable")
LEAST_S = 9.0  # of known signal
LONGEST_S = 60.0  # what is longer is looked at in stretches of half of it
WAYS = {"ecg": ("trusted", *irregular.NAMES, *(f"trusted_{n}" for n in irregular.NAMES), *atria.NAMES),
        "beats": irregular.NAMES}  # fmt: skip
_GAP = 2.5  # times the usual interval: where a pulse is this late, the signal was lost
NONE = np.empty(0)  # no times
_AF, _UNREADABLE = LABELS.index("af"), LABELS.index("unreadable")


@dataclass(frozen=True)
class Told(Rhythm):
    """A rhythm with the probability of every label, and why it is unreadable where it is; "" otherwise."""

    chances: dict[str, float] = field(default_factory=dict)
    reason: str = ""


def numbers(
    r_s: Floats, ecg_N: ArrayLike, fs_hz: float, valid_N: ArrayLike | None = None, unsure_s: Floats = NONE
) -> Floats:
    """What is asked of an ECG with R peaks at `r_s` seconds from its first sample: `WAYS["ecg"]`, `(F,)`.

    NaN where something cannot be measured. `trusted_` numbers leave out the intervals at beats that artefacts drew;
    an interval with one of `unsure_s` inside, where a beat was but not its R peak, is not known.
    """
    x, good = clean(ecg_N, fs_hz, valid_N)
    rr_s = _without(intervals(r_s, good, fs_hz), r_s, unsure_s)
    trusted = atria.trusted(x, good, r_s, fs_hz)
    sure_s = np.where(trusted[1:] & trusted[:-1], rr_s, np.nan) if len(rr_s) else rr_s
    share = float(trusted.mean()) if len(r_s) else 0.0
    return np.concatenate(
        ([share], irregular.irregular(rr_s), irregular.irregular(sure_s), atria.atria(x, good, r_s, fs_hz))
    )


@dataclass(frozen=True)
class Rhythms:
    """Tells rhythms: trees for an ECG and for beats alone, and above which probability either says AF."""

    trees: dict[str, Trees]  # by way: "ecg", "beats"
    af_from: dict[str, float]

    @classmethod
    def load(cls, path: Path) -> Rhythms:
        """From `rhythm.json` and `rhythm.safetensors` in a folder; what was made for other numbers is an error."""
        try:
            about = json.loads((path / "rhythm.json").read_text(encoding="utf-8"))
            arrays = load_file(path / "rhythm.safetensors")
        except OSError as error:
            raise CheckpointError(f"{path} must hold rhythm.json and rhythm.safetensors, found {error}") from error
        for way, names in WAYS.items():
            if tuple(about["numbers"][way]) != names or tuple(about["labels"]) != LABELS:
                raise CheckpointError(
                    f"{path / 'rhythm.json'} must ask for the numbers that this version measures, found others for "
                    f"{way!r}; take the file of this version"
                )
        return cls({way: Trees.of(arrays, way) for way in WAYS}, {way: float(about["af_from"][way]) for way in WAYS})

    def classify(
        self,
        r_s: Floats,
        ecg_N: ArrayLike,
        fs_hz: float,
        valid_N: ArrayLike | None = None,
        unsure_s: Floats = NONE,
    ) -> Told:
        """The rhythm of an ECG of 9 s and more whose R peaks are at `r_s` seconds from its first sample; see `numbers`.

        A signal too short, or with fewer than five known intervals, is unreadable, and its reason says so.
        """
        x, good = clean(ecg_N, fs_hz, valid_N)
        if good.sum() < LEAST_S * fs_hz:
            return _unreadable(f"less than {LEAST_S:g} s of ECG")
        if np.isfinite(_without(intervals(r_s, good, fs_hz), r_s, unsure_s)).sum() < irregular.LEAST:
            return _unreadable("too few beats")
        return self.told(self.trees["ecg"].probabilities(numbers(r_s, x, fs_hz, good, unsure_s)[None])[0], "ecg")

    def of_beats(self, interval_s: Floats) -> Told:
        """The rhythm of successive intervals in seconds alone (NaN: not known): of a PPG's feet, or of R peaks."""
        known = interval_s[np.isfinite(interval_s)]
        if len(known) < irregular.LEAST:
            return _unreadable("too few beats")
        if known.sum() < 0.8 * LEAST_S:
            return _unreadable(f"less than {LEAST_S:g} s of pulses")
        return self.told(self.trees["beats"].probabilities(irregular.irregular(interval_s)[None])[0], "beats")

    def told(self, chance_L: Floats, way: str) -> Told:
        """Probabilities to one label: AF from its own threshold on, else the likeliest of the others."""
        chances = dict(zip(LABELS, chance_L.tolist(), strict=True))
        rest = np.where(np.arange(len(LABELS)) == _AF, -1.0, chance_L)
        best = _AF if chance_L[_AF] >= self.af_from[way] else int(np.argmax(rest))
        reason = "noise" if best == _UNREADABLE else ""
        return Told(LABELS[best], float(chance_L[best]), chances, reason)

    def joined(self, parts: Sequence[Told], way: str) -> Told:
        """One answer of several stretches: the mean of the readable ones' probabilities."""
        readable = [p for p in parts if p.label != "unreadable"] or list(parts)
        if not readable:
            return _unreadable("no signal")
        if readable[0].label == "unreadable":
            return readable[0]
        return self.told(np.mean([[p.chances[name] for name in LABELS] for p in readable], axis=0), way)


def rhythm_of(rhythms: Rhythms, record: Record) -> RhythmOf:
    """Tells the rhythm of a record's stretches from its table of beats: by the ECG where that can be read.

    Only half a minute of ECG is in memory at a time, and what was told once is not worked out again.
    """
    known: dict[tuple[float, float], Told] = {}

    def short(table: Table, span_s: tuple[float, float]) -> Told:
        if span_s not in known:
            known[span_s] = _short(rhythms, record, table, span_s)
        return known[span_s]

    def tell(table: Table, rows: Bools, span_s: tuple[float, float]) -> Told:
        start_s, end_s = span_s
        if end_s - start_s <= LONGEST_S:
            return short(table, span_s)
        count = int(np.ceil((end_s - start_s) / (LONGEST_S / 2) - 1e-6))
        edge = [min(end_s, start_s + k * LONGEST_S / 2) for k in range(count + 1)]
        parts = [short(table, pair) for pair in pairwise(edge)]
        return rhythms.joined(parts, "ecg" if record.ecg is not None else "beats")

    return tell


def _short(rhythms: Rhythms, record: Record, table: Table, span_s: tuple[float, float]) -> Told:
    """Of one stretch: the ECG's answer, or the pulse's where the ECG has none."""
    told = _unreadable("no ECG")
    r_s = table.values["r_peak_s"]
    part = None if record.ecg is None else record.ecg.crop(*span_s)
    if part is not None:
        unsure_s = beat_times(table)[np.isnan(r_s)]
        at_s, lost_s = (_inside(t, span_s) - part.start_s for t in (r_s, unsure_s))
        told = rhythms.classify(at_s, part.values, part.fs_hz, unsure_s=lost_s)
    if told.label == "unreadable" and record.ppg is not None:
        pulse_s = np.diff(_inside(table.values["ppg_foot_s"], span_s))
        usual_s = float(np.median(pulse_s)) if len(pulse_s) else 0.0
        by_pulse = rhythms.of_beats(np.where(pulse_s < _GAP * usual_s, pulse_s, np.nan))
        return by_pulse if record.ecg is None or by_pulse.label != "unreadable" else told
    return told


def _inside(at_s: Floats, span_s: tuple[float, float]) -> Floats:
    """The times within a span, ascending; a NaN is none."""
    return np.sort(at_s[(at_s >= span_s[0]) & (at_s < span_s[1])])


def _without(interval_s: Floats, beat_s: Floats, unsure_s: Floats) -> Floats:
    """Intervals, NaN where a beat of unknown time lies inside."""
    if len(interval_s) == 0 or len(unsure_s) == 0:
        return interval_s
    before = np.searchsorted(np.sort(unsure_s), beat_s)
    return np.where(np.diff(before) > 0, np.nan, interval_s)


def _unreadable(reason: str) -> Told:
    chances = {name: float(name == "unreadable") for name in LABELS}
    return Told("unreadable", 1.0, chances, reason)
