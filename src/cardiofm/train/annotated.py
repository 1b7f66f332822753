"""Annotated signal for the fiducial head: who marked what, where a missing mark means that there is nothing, and folds.

Manual marks: LUDB (each of twelve leads) and QTDB. R peaks alone: MIT-BIH. Both signals, marked by the classical
detectors where they agree throughout on a clean recording: challenge-2015 from the training store. Exact ones: the
simulator. And nothing at all: recorded noise, hum, white noise and flat lines, in which no event may be found.

Shapes: C channels (ecg, ppg), M samples of a take, E beats, K events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.data import catalog
from cardiofm.data.catalog import ludb, qtdb
from cardiofm.data.marks import Marks, marks
from cardiofm.data.simulate import RHYTHMS, simulate
from cardiofm.data.store import Store
from cardiofm.data.windows import window_at
from cardiofm.measure.beats import Pulses, pulses, r_peaks
from cardiofm.measure.pair import DELAY_S
from cardiofm.signals import EVENTS, InputSpec, Record

FOLDS = 3
AROUND_S = 0.15  # of a beat's first and last mark: there its reader looked
_MISSED = 1.6  # an interval so much longer than the usual one may hide a beat that was not marked
_MITDB_S = 300.0  # of each record
_SAME_S = 0.1  # a detector's R peak so close to an annotation is that beat's
_STEADY_S = 0.06  # of a record's usual delay: a foot belongs to its R peak
_QUALITY = 0.6  # least quality of both channels that classical detectors are believed on
ECG = slice(0, sum(not n.startswith("ppg") for n in EVENTS))
R, FOOT, PEAK = (EVENTS.index(n) for n in ("r_peak", "ppg_foot", "ppg_peak"))
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Take:
    """A stretch of signal at the network's rate with what is known of its beats."""

    kind: str  # "ludb", "qtdb", "mitdb", "both" or "simulated"
    values: NDArray[np.float32]  # (C, M)
    valid: NDArray[np.bool_]  # (C, M)
    in_mv: NDArray[np.bool_]  # (C,)
    beats_s: Floats  # (E, K) from the first sample, NaN where an event is not marked
    looked: NDArray[np.bool_]  # (K, M): an event that is not marked here is not there
    fold: int = -1  # of its patient, see `fold_of`; -1: in none


def fold_of(patient: str) -> int:
    """The fold, 0 to 2, whose head never saw this patient; a hash, so that the sets agree on whom they share.

    >>> fold_of("mitdb-102") == fold_of("mitdb-102"), 0 <= fold_of("ludb-1") < 3
    (True, True)
    """
    return int.from_bytes(hashlib.sha256(f"fold {patient}".encode()).digest()[:8], "big") % FOLDS


def manual(data_root: Path, spec: InputSpec, without: int | None = None, only: int | None = None) -> Iterator[Take]:
    """LUDB, QTDB where it was marked, and five minutes of each MIT-BIH record, `without` one fold or `only` it.

    Of one fold alone come the leads that users have: II of LUDB, the first of QTDB. Otherwise all leads.
    """
    for dataset in ("ludb", "qtdb", "mitdb"):
        for entry in catalog.entries(dataset, data_root):
            fold = fold_of(entry.patient)
            if only is not None and fold != only:
                continue
            if dataset == "ludb":
                for lead in entry.labels["annotations"] if only is None else ("ii",):
                    found = marks(entry, data_root, lead)
                    if len(found):
                        yield replace(_marked(ludb.read_lead(entry, data_root, lead), found, spec, "ludb"), fold=fold)
            elif dataset == "qtdb":
                for record in qtdb.read_leads(entry, data_root) if only is None else [catalog.load(entry, data_root)]:
                    yield replace(_marked(record, marks(entry, data_root), spec, "qtdb"), fold=fold)
            else:
                yield replace(_ambulatory(catalog.load(entry, data_root), marks(entry, data_root), spec), fold=fold)


def _window(record: Record, spec: InputSpec, start_s: float, end_s: float) -> tuple[NDArray, NDArray, NDArray]:
    tokens = max(1, int(np.ceil((end_s - start_s) / spec.token_s)))
    long = InputSpec(spec.fs_hz, tokens * spec.token_s, spec.patch)
    window = window_at(record, long, start_s)
    return window.values, window.valid, window.in_mv


def _marked(record: Record, found: Marks, spec: InputSpec, kind: str) -> Take:
    """The marked stretch with as much around it as a window holds."""
    assert record.ecg is not None
    start_s = max(record.ecg.start_s, found.start_s - spec.window_s)
    values, valid, in_mv = _window(record, spec, start_s, min(record.ecg.end_s, found.end_s + spec.window_s))
    beats_s = np.full((len(found), len(EVENTS)), np.nan)
    for k, name in enumerate(EVENTS[ECG]):
        beats_s[:, k] = found.of(name) - start_s
    if kind == "qtdb":  # whose peaks of the QRS lie beside it by up to 20 ms
        beats_s[:, R] = _on_peaks(beats_s[:, R], values[0], valid[0], spec.fs_hz)
    looked = np.zeros((len(EVENTS), values.shape[1]), bool)
    first_s, last_s = np.nanmin(found.s, axis=1) - start_s, np.nanmax(found.s, axis=1) - start_s
    usual_s = np.median(np.diff(beats_s[:, R])) if len(found) > 1 else 1.0
    for e in range(len(found)):
        until_s = last_s[e] + AROUND_S
        if e + 1 < len(found) and beats_s[e + 1, R] - beats_s[e, R] < _MISSED * usual_s:
            until_s = first_s[e + 1]
        low, high = (round(t * spec.fs_hz) for t in (first_s[e] - AROUND_S, until_s))
        looked[ECG, max(0, low) : max(0, high)] = True
    edge = {"ludb": ("p_onset", "p_offset", "t_peak", "t_end")}.get(kind, ())  # not marked in every first or last beat
    for name in edge:
        k = EVENTS.index(name)
        for e in np.flatnonzero(np.isnan(beats_s[:, k])):
            if e in (0, len(found) - 1):
                side = (
                    slice(0, round(beats_s[e, R] * spec.fs_hz))
                    if name[0] == "p"
                    else slice(max(0, round(beats_s[e, R] * spec.fs_hz)), None)
                )
                looked[k, side] = False
    return Take(kind, values, valid, in_mv, beats_s, looked)


def _ambulatory(record: Record, found: Marks, spec: InputSpec) -> Take:
    """R peaks where the annotation is, moved to the extremum that a detector finds beside it."""
    assert record.ecg is not None
    values, valid, in_mv = _window(record, spec, record.ecg.start_s, record.ecg.start_s + _MITDB_S)
    at_s = found.of("r_peak") - record.ecg.start_s
    at_s = at_s[(at_s > 0) & (at_s < _MITDB_S)]
    beats_s = np.full((len(at_s), len(EVENTS)), np.nan)
    beats_s[:, R] = _on_peaks(at_s, values[0], valid[0], spec.fs_hz)
    looked = np.zeros((len(EVENTS), values.shape[1]), bool)
    looked[R] = True
    return Take("mitdb", values, valid, in_mv, beats_s, looked)


def _on_peaks(at_s: Floats, x_N: NDArray, valid_N: NDArray, fs_hz: float) -> Floats:
    """Annotated beats moved to the R peaks that a detector finds within `_SAME_S` of them."""
    exact_s = r_peaks(x_N, fs_hz, valid_N)
    if len(exact_s) < 2:
        return at_s
    near = np.clip(np.searchsorted(exact_s, at_s), 1, len(exact_s) - 1)
    near = near - (at_s - exact_s[near - 1] < exact_s[near] - at_s)
    return np.where(np.abs(exact_s[near] - at_s) < _SAME_S, exact_s[near], at_s)


def both(store: Store, spec: InputSpec, row: int) -> Take | None:
    """A paired segment of the store where R peaks and feet keep step throughout; None where they do not."""
    segment = store.read(row)
    if segment.quality.min() < _QUALITY:
        return None
    peaks_s = r_peaks(segment.values[0], spec.fs_hz, segment.valid[0])
    found = pulses(segment.values[1], spec.fs_hz, segment.valid[1])
    pairs = paired(peaks_s, found)
    if pairs is None:
        return None
    foot, lag_s = pairs
    beats_s = np.full((len(peaks_s), len(EVENTS)), np.nan)
    beats_s[:, R] = peaks_s
    has = foot >= 0
    beats_s[has, FOOT], beats_s[has, PEAK] = found.foot_s[foot[has]], found.peak_s[foot[has]]
    looked = np.zeros((len(EVENTS), segment.values.shape[1]), bool)
    looked[[R, FOOT, PEAK]] = True
    for at_s in peaks_s[~has].tolist():
        _unsure(looked, at_s, spec.fs_hz, (R,))
        _unsure(looked, at_s + lag_s, spec.fs_hz, (FOOT, PEAK))
    for at_s in np.delete(found.foot_s, foot[has]).tolist():
        _unsure(looked, at_s, spec.fs_hz, (FOOT, PEAK))
        _unsure(looked, at_s - lag_s, spec.fs_hz, (R,))
    return Take("both", segment.values, segment.valid, segment.in_mv, beats_s, looked)


def paired(peaks_s: Floats, found: Pulses) -> tuple[NDArray[np.int64], float] | None:
    """The foot of each R peak (−1: none) and the usual delay in s; None where fewer than nine of ten keep step."""
    if min(len(peaks_s), len(found)) < 10:
        return None
    lags_s = (found.foot_s[None] - peaks_s[:, None]).ravel()
    lags_s = np.sort(lags_s[(lags_s > DELAY_S[0]) & (lags_s < DELAY_S[1])])
    counts = np.searchsorted(lags_s, lags_s + 2 * _STEADY_S) - np.arange(len(lags_s))
    if not len(counts) or counts.max() < 0.9 * min(len(peaks_s), len(found)):
        return None
    first = int(np.flatnonzero(counts >= 0.97 * counts.max())[0])
    lag_s = float(np.median(lags_s[first : first + counts[first]]))
    near = np.abs(found.foot_s[None] - peaks_s[:, None] - lag_s)
    foot = np.where(near.min(1) < _STEADY_S, near.argmin(1), -1)
    return foot, lag_s


def _unsure(looked: NDArray[np.bool_], at_s: float, fs_hz: float, events: Sequence[int], reach_s: float = 0.4) -> None:
    low, high = (max(0, round((at_s + side) * fs_hz)) for side in (-reach_s, reach_s))
    for k in events:
        looked[k, low:high] = False


def simulated(spec: InputSpec, rng: np.random.Generator) -> Take:
    """A pair whose R peaks and feet are exact, with any rate, rhythm and delay."""
    made = simulate(
        spec.window_s,
        fs_ecg_hz=spec.fs_hz,
        fs_ppg_hz=spec.fs_hz,
        seed=int(rng.integers(2**31)),
        heart_rate_bpm=float(rng.uniform(38, 185)),
        rhythm=str(rng.choice(RHYTHMS, p=(0.55, 0.2, 0.1, 0.15))),
        pat_ms=float(rng.uniform(150, 450)),
        pat_drift_ms=float(rng.uniform(2, 40)),
    )
    values, valid, in_mv = _window(made.record, spec, 0.0, spec.window_s)
    beats_s = np.full((len(made.beats), len(EVENTS)), np.nan)
    beats_s[:, R], beats_s[:, FOOT] = made.beats.r_peak_s, made.beats.ppg_foot_s
    looked = np.zeros((len(EVENTS), values.shape[1]), bool)
    looked[[R, FOOT]] = True
    looked[FOOT, : round(0.6 * spec.fs_hz)] = False  # the foot of a beat before the window
    return Take("simulated", values, valid, in_mv, beats_s, looked)


def nothing(spec: InputSpec, rng: np.random.Generator, noise: dict[str, NDArray[np.float32]]) -> Take:
    """A window without a heart: recorded noise, white noise, hum, or a line, each channel its own."""
    values = np.zeros((2, spec.samples), np.float32)
    t = np.arange(spec.samples) / spec.fs_hz
    for c in range(2):
        kind = rng.integers(4)
        if kind == 0 and noise:
            recording = noise[sorted(noise)[rng.integers(len(noise))]]
            recording = recording[rng.integers(len(recording))]
            start = int(rng.integers(len(recording) - spec.samples + 1))
            values[c] = recording[start : start + spec.samples]
        elif kind == 1:
            keep = rng.uniform(0, 0.98)
            values[c] = _coloured(rng.normal(0, 1, spec.samples), keep)
        elif kind == 2:
            values[c] = np.sin(2 * np.pi * rng.choice([50.0, 60.0]) * t + rng.uniform(0, 6.3))
            values[c] += rng.uniform(0, 0.2) * rng.normal(0, 1, spec.samples)
        else:
            values[c] = rng.uniform(-1, 1) + 1e-4 * rng.normal(0, 1, spec.samples)
    valid = np.ones(values.shape, bool)
    looked = np.ones((len(EVENTS), spec.samples), bool)
    return Take("nothing", values, valid, rng.random(2) < 0.5, np.empty((0, len(EVENTS))), looked)


def _coloured(white: Floats, keep: float) -> Floats:
    from scipy.signal import lfilter

    return np.asarray(lfilter([np.sqrt(1 - keep**2)], [1, -keep], white))
