"""Which foot belongs to which R peak: monitors delay the pulse by more than a beat, beats and pulses go missing."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm.data.simulate import simulate
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
    found = paired(r, foot + extra_s)
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
    found = paired(r[~lost_r], feet[order])
    got = np.where(found >= 0, index[order][found], -1)
    right = np.flatnonzero(~lost_r)
    there = ~lost_foot[~lost_r]
    assert (got == right)[there].mean() > 0.95
    assert (got[~there] == -1).mean() > 0.6


def test_a_drift_from_150_to_400_ms_is_followed() -> None:
    r, _ = beats(6, 75, seconds=200)
    pat = np.linspace(0.15, 0.4, len(r)) + 0.01 * np.random.default_rng(1).normal(size=len(r))
    assert (paired(r, r + pat) == np.arange(len(r))).all()
    assert np.abs(delay_course(r, r + pat) - np.linspace(0.15, 0.4, len(r))).max() < 0.03


def test_noise_on_the_feet_does_not_move_a_beat() -> None:
    r, foot = beats(7, 72)
    noisy = np.sort(foot + 0.6 + np.random.default_rng(0).laplace(0, 0.02, len(foot)))
    found = paired(r, noisy)
    assert wrong(found, np.arange(len(r))) < 0.02
    assert (found >= 0).mean() > 0.9


def test_few_and_none() -> None:
    assert paired([], [1.0]).tolist() == []
    assert paired([1.0], []).tolist() == [-1]
    assert paired([1.0, 2.0], [2.3]).tolist() == [-1, 0]
    assert paired([1.0], [5.0]).tolist() == [-1]
