"""Which foot belongs to which R peak: monitors delay the pulse by more than a beat, beats and pulses go missing."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm.data import catalog
from cardiofm.data.simulate import simulate
from cardiofm.measure.beats import pulses, r_peaks
from cardiofm.measure.pair import delay_course, paired


def beats(seed: int, bpm: float, seconds: float = 120.0, rhythm: str = "sinus") -> tuple[np.ndarray, np.ndarray]:
    b = simulate(seconds, fs_ecg_hz=250, fs_ppg_hz=125, seed=seed, heart_rate_bpm=bpm, rhythm=rhythm).beats
    good = np.isfinite(b.ppg_foot_s)
    return b.r_peak_s[good], b.ppg_foot_s[good]


def wrong(found: np.ndarray, right: np.ndarray) -> float:
    """Share of beats with another beat's foot."""
    return float(((found >= 0) & (found != right)).mean())


@pytest.mark.parametrize("extra_s", [0.0, 0.3, 0.85])
@pytest.mark.parametrize(("bpm", "rhythm"), [(55, "sinus"), (80, "sinus"), (110, "af"), (75, "ectopy")])
def test_the_monitors_delay_is_found(extra_s: float, bpm: float, rhythm: str) -> None:
    r, foot = beats(3, bpm, rhythm=rhythm)
    found = paired(r, foot + extra_s).foot
    assert (found >= 0).mean() > 0.97
    assert wrong(found, np.arange(len(r))) < 0.01


def test_missing_and_extra_events_harm_only_their_own_beat() -> None:
    r, foot = beats(5, 70)
    rng = np.random.default_rng(0)
    lost_r, lost_foot = rng.random(len(r)) < 0.1, rng.random(len(r)) < 0.1
    extra = rng.uniform(0, 120, 12)
    feet = np.concatenate([foot[~lost_foot] + 0.5, extra])
    index = np.concatenate([np.flatnonzero(~lost_foot), np.full(12, -2)])
    order = np.argsort(feet)
    found = paired(r[~lost_r], feet[order]).foot
    got = np.where(found >= 0, index[order][found], -1)
    right = np.flatnonzero(~lost_r)
    there = ~lost_foot[~lost_r]
    assert (got == right)[there].mean() > 0.95
    assert (got[~there] == -1).mean() > 0.6


def test_a_drift_from_150_to_400_ms_is_followed() -> None:
    r, _ = beats(6, 75, seconds=200)
    pat = np.linspace(0.15, 0.4, len(r)) + 0.01 * np.random.default_rng(1).normal(size=len(r))
    assert (paired(r, r + pat).foot == np.arange(len(r))).all()
    assert np.abs(delay_course(r, r + pat) - np.linspace(0.15, 0.4, len(r))).max() < 0.03


def test_noise_on_the_feet_does_not_move_a_beat() -> None:
    r, foot = beats(7, 72)
    noisy = np.sort(foot + 0.6 + np.random.default_rng(0).laplace(0, 0.02, len(foot)))
    found = paired(r, noisy).foot
    assert wrong(found, np.arange(len(r))) < 0.02
    assert (found >= 0).mean() > 0.9


def test_few_and_none() -> None:
    assert paired([], [1.0]).foot.tolist() == []
    assert paired([1.0], []).foot.tolist() == [-1]
    assert paired([1.0, 2.0], [2.3]).foot.tolist() == [-1, 0]
    assert paired([1.0], [5.0]).foot.tolist() == [-1]


@pytest.mark.shared
@pytest.mark.parametrize(("name", "delay_s", "other_s"), [("v454s", 1.06, 0.16), ("v640s", 0.518, 1.085)])
def test_what_an_rr_has_of_its_own_tells_a_delay_from_that_delay_and_a_beat(data_root, name, delay_s, other_s) -> None:
    entry = next(e for e in catalog.entries("challenge-2015", data_root) if e.record.endswith(name))
    record = catalog.load(entry, data_root).crop(90, 210)
    assert record.ecg is not None
    assert record.ppg is not None
    r = r_peaks(record.ecg.values, record.ecg.fs_hz)
    foot = pulses(record.ppg.values, record.ppg.fs_hz).foot_s
    found, sure = paired(r, foot)
    assert np.median(foot[found[found >= 0]] - r[found >= 0]) == pytest.approx(delay_s, abs=0.03)
    assert sure > 0.95
    shift = 1 if other_s > delay_s else -1  # the other pairing is as complete, and was the shorter delay once
    moved = np.roll(found, -shift)
    assert np.median((foot[moved] - r)[2:-2][(moved >= 0)[2:-2]]) == pytest.approx(other_s, abs=0.05)


def test_a_rhythm_as_even_as_clockwork_leaves_it_open() -> None:
    r = np.arange(0.0, 90.0, 0.58)
    foot = r + 0.51 + 0.003 * np.random.default_rng(0).normal(size=len(r))
    found, sure = paired(r, foot)
    assert np.median(foot[found[found >= 0]] - r[found >= 0]) == pytest.approx(0.51, abs=0.01)
    assert sure < 0.98
    shaken = r + 0.02 * np.random.default_rng(1).normal(size=len(r))
    assert paired(shaken, shaken + 0.51 + (foot - r - 0.51)).sure > 0.99


def test_a_delay_does_not_follow_the_heart_rate() -> None:
    rng = np.random.default_rng(1)
    rr = np.interp(np.arange(480), [0, 60, 160, 480], [0.85, 0.85, 0.4, 0.45]) * (1 + 0.02 * rng.normal(size=480))
    r = np.cumsum(rr)
    foot = np.sort(r + 0.22 + rng.laplace(0, 0.03, 480))[rng.random(480) < 0.8]
    found, sure = paired(r, foot)
    assert np.median(foot[found[found >= 0]] - r[found >= 0]) == pytest.approx(0.22, abs=0.02)
    assert sure > 0.9
