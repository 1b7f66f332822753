"""PAT of single beats against a consensus of detectors, clean and under recorded noise, and against simulated truth.

The consensus: two detectors of R peaks (`cardiofm.measure` and NeuroKit2) and two of feet (`cardiofm.measure`, and
tangents before NeuroKit2's peaks on the PPG below 16 Hz) that agree within 20 ms; its beat is their mean. Where two
delays, a beat apart, pair the beats, the true one is that whose changes do not carry the changes of RR; in a rhythm
too even to tell it is the more usual one, `Stretch.known` is False, and no pairing is judged by it. Shapes: B beats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.data import catalog
from cardiofm.data.simulate import simulate
from cardiofm.evaluate.beats import floors
from cardiofm.evaluate.beats.kept import kept
from cardiofm.evaluate.beats.table import Floats, Method, Table, at, partner, table
from cardiofm.evaluate.noise import noisy
from cardiofm.evaluate.pat_template import delay_s
from cardiofm.measure.bridge import matched
from cardiofm.measure.pair import likeliest
from cardiofm.signals import InputSpec, Record, SignalError, Window

AGREE_S = 0.02
NEAR_S = 0.1  # of the record's delay: a foot farther away is not of this beat of the consensus
REACH_S = 0.15  # the same for a floor, which is to follow drifts and to give many beats
STRETCH_S = 120.0  # of a record to which noise is added
BLOCK_S = 30.0  # of the medians
FEWEST = 20  # beats of a stretch with a consensus; with fewer it is left out
SNR_DB = (12.0, 6.0, 0.0, -6.0)
WHOLE = 1.6  # times the shortest RR; a consensus whose beats are farther apart cannot say what a beat more would be
CERTAIN = 0.95  # probability from which on it is certain which of two beats sent a pulse
SETS = ("bidmc", "challenge-2015", "ieee-spc-2015")


@dataclass(frozen=True)
class Stretch:
    """A recording and the beats of which the arrival time is known."""

    dataset: str
    patient: str
    record: Record
    r_s: Floats  # (B,) record time
    pat_ms: Floats  # (B,)
    delay_s: float  # from R peak to foot, of the whole stretch
    known: bool = True  # whether that is certain, or could be a beat more or less


def stretches(dataset: str, data_root: Path, limit: int, length_s: float | None = STRETCH_S) -> Iterator[Stretch]:
    """Stretches of at most `limit` patients of a dataset, with the beats on which the detectors agree.

    One a patient, from the middle of the recording; the whole recording for None. challenge-2015: test patients.
    """
    seen: set[str] = set()
    for entry in catalog.entries(dataset, data_root):
        split = dataset != "challenge-2015" or entry.split == "test"
        if not split or entry.patient in seen:
            continue
        record = catalog.load(entry, data_root)
        if record.ecg is None or record.ppg is None:
            continue
        part = record if length_s is None else _middle(record, length_s)
        try:
            found = consensus(part)
        except SignalError:
            continue
        if found is None or len(found[0]) < FEWEST:
            continue
        seen.add(entry.patient)
        yield Stretch(dataset, entry.patient, part, *found)
        if len(seen) >= limit:
            return


def consensus(record: Record) -> tuple[Floats, Floats, float, bool] | None:
    """R peaks (s) and PAT (ms) of the beats on which all four detectors agree, the delay (s), and if it is certain."""
    fine = at_rate(record, floors.FINE_HZ)
    four = _detected(fine)
    r_s = _agreed(four["classical_r_s"], four["neurokit_r_s"])
    feet_s = _agreed(four["classical_foot_s"], four["neurokit_foot_s"])
    delay = delay_s(r_s, feet_s)
    if delay is None:
        return None
    foot = np.full(len(r_s), -1)
    for i, j in matched(r_s + delay, feet_s, NEAR_S):
        foot[i] = j
    shown, sure = likeliest(foot, r_s, feet_s, prior=lambda _: 0.0)  # by the recording alone
    foot = shown if sure >= CERTAIN else likeliest(foot, r_s, feet_s)[0]
    pat_s = feet_s[foot] - r_s
    known = foot >= 0
    whole = np.median(np.diff(r_s)) < WHOLE * np.quantile(np.diff(r_s), 0.1)
    return r_s[known], 1000 * pat_s[known], float(np.median(pat_s[known])), bool(whole and sure >= CERTAIN)


def _four(record: Record) -> Table:
    return {
        "classical_r_s": floors.classical_r(record),
        "neurokit_r_s": floors.neurokit_r(record),
        "classical_foot_s": floors.classical_feet(record),
        "neurokit_foot_s": floors.neurokit_feet(record, as_cleaned=False),
    }


_detected = kept(_four, f"consensus {floors.version('neurokit2')} 1")


def _agreed(a_s: Floats, b_s: Floats) -> Floats:
    """The mean of the two lists where they agree, sorted."""
    a_s, b_s = np.sort(a_s[np.isfinite(a_s)]), np.sort(b_s[np.isfinite(b_s)])
    return np.array([(a_s[i] + b_s[j]) / 2 for i, j in matched(a_s, b_s, AGREE_S)])


def joined(r_s: Floats, feet_s: Floats, delay: float, near_s: float = NEAR_S) -> Table:
    """Beats with the foot that lies within `near_s` of R + delay; each foot belongs to one beat at most.

    >>> joined(np.array([1.0, 2.0]), np.array([1.31, 2.5]), 0.3)["pat_ms"].round(6).tolist()
    [310.0, nan]
    """
    foot = np.full(len(r_s), np.nan)
    feet_s = np.sort(feet_s[np.isfinite(feet_s)])
    for i, j in matched(r_s + delay, feet_s, near_s):
        foot[i] = feet_s[j]
    return table(r_s, {"ppg_foot": foot})


def at_rate(record: Record, fs_hz: float) -> Record:
    """The record on one clock at `fs_hz`, gaps as NaN."""
    values, valid, start_s = floors.whole(record, fs_hz)
    return _record(record, np.where(valid, values, np.nan).astype(np.float32), fs_hz, start_s)


def with_noise(
    stretch: Stretch, snr_db: float, noise: dict[str, NDArray[np.float32]], spec: InputSpec | None = None
) -> Stretch:
    """The stretch with recorded noise on both channels, that far below each signal in its band; the truth stays."""
    fs_hz = (spec or InputSpec()).fs_hz
    values, valid, start_s = floors.whole(stretch.record, fs_hz)
    window = Window(start_s, values, valid, np.array([stretch.record.ecg is not None, False]))
    for channel in (0, 1):
        window = noisy(window, channel, snr_db, fs_hz, noise, f"{stretch.dataset} {stretch.record.name}")
    loud = np.where(window.valid, window.values, np.nan).astype(np.float32)
    return replace(stretch, record=_record(stretch.record, loud, fs_hz, start_s))


def simulated(seeds: Sequence[int], length_s: float = 240.0) -> Iterator[Stretch]:
    """Simulated pairs whose PAT drifts within 150–400 ms: a sinusoid over the record beside beat-to-beat changes."""
    for seed in seeds:
        made = simulate(
            length_s, fs_ecg_hz=250, fs_ppg_hz=125, seed=seed, pat_ms=275, pat_drift_ms=50.0, ecg_noise_mv=0.02,
            ppg_noise=0.02,
        )  # fmt: skip
        known = np.isfinite(made.beats.pat_ms)
        r_s, pat_ms = made.beats.r_peak_s[known], made.beats.pat_ms[known]
        yield Stretch("simulated", f"simulated-{seed}", made.record, r_s, pat_ms, float(np.median(pat_ms)) / 1000)


def classical(r_of: Callable[[Record], Floats], feet_of: Callable[[Record], Floats]) -> Callable[[Stretch], Table]:
    """Beats and feet of two detectors, joined by the stretch's true delay (which nobody knows), at 500 Hz or more."""

    def measure(stretch: Stretch) -> Table:
        record = at_rate(stretch.record, floors.FINE_HZ)
        return joined(r_of(record), feet_of(record), stretch.delay_s, REACH_S)

    return measure


def window_median(measure: Callable[[Stretch], Table], window_s: float = 10.0) -> Callable[[Stretch], Table]:
    """The median of each ten seconds given to all of its beats: what a trend needs, without beat-to-beat changes."""

    def smooth(stretch: Stretch) -> Table:
        found = measure(stretch)
        block = np.floor((found["r_peak_s"] - stretch.record.start_s) / window_s)
        pat = found["pat_ms"].copy()
        for b in np.unique(block):
            own = block == b
            if np.isfinite(pat[own]).any():
                pat[own] = np.nanmedian(pat[own])
        return found | {"pat_ms": pat}

    return smooth


def of_model(method: Method) -> Callable[[Stretch], Table]:
    """A method that finds the delay itself, as a method of stretches."""
    return lambda stretch: method(stretch.record)


def found_ms(stretch: Stretch, found: Table) -> Floats:
    """What the table says of each beat of known arrival time, ms `(B,)`, NaN: refused."""
    return at(found, "pat_ms", partner(stretch.r_s, found))


def settled_ms(stretch: Stretch, found: Table) -> Floats:
    """The same where the table gave the whole stretch's R peaks the pulses of another beat: each foot to the true one.

    In a very even rhythm nothing tells which of two beats a pulse belongs to, as the monitor delays it by an unknown
    time. Unchanged where the table took the same beat.
    """
    given = found_ms(stretch, found)
    if not np.isfinite(given).any() or len(stretch.r_s) < 2:
        return given
    every_r_s = np.sort(found["r_peak_s"][np.isfinite(found["r_peak_s"])])
    rr_ms = 1000 * float(min(np.median(np.diff(stretch.r_s)), np.median(np.diff(every_r_s))))
    if abs(float(np.nanmedian(given - stretch.pat_ms))) < rr_ms / 2:
        return given
    own_r_s = at(found, "r_peak_s", partner(stretch.r_s, found))
    feet_s = np.sort(found["r_peak_s"] + found["pat_ms"] / 1000)
    feet_s = feet_s[np.isfinite(feet_s)]
    out = np.full(len(given), np.nan)
    for i, j in matched(stretch.r_s + stretch.pat_ms / 1000, feet_s, REACH_S):
        out[i] = 1000 * (feet_s[j] - own_r_s[i])
    return out


def _middle(record: Record, length_s: float) -> Record:
    start_s = record.start_s + max(0.0, (record.duration_s - length_s) / 2)
    return record.crop(start_s, start_s + length_s)


def _record(like: Record, values: NDArray[np.float32], fs_hz: float, start_s: float) -> Record:
    assert like.ecg is not None
    assert like.ppg is not None
    ecg = replace(like.ecg, samples=values[0], fs_hz=fs_hz, start_s=start_s, inverted=False)
    ppg = replace(like.ppg, samples=values[1], fs_hz=fs_hz, start_s=start_s, inverted=False)
    return replace(like, ecg=ecg, ppg=ppg)
