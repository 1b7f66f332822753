"""Smoothing over beats: sure beats keep their own value, unsure ones lean on their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm.data.simulate import simulate
from cardiofm.measure.smooth import PAT, smoothed


@pytest.fixture(scope="module")
def course() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    b = simulate(240, fs_ecg_hz=250, fs_ppg_hz=125, seed=2, heart_rate_bpm=72).beats
    good = np.isfinite(b.pat_ms)
    at = b.r_peak_s[good]
    return at, b.pat_ms[good] / 1000, np.diff(at, prepend=at[0] - 0.8)


def test_the_noise_decides_how_much_is_smoothed(course) -> None:
    at, true, rr = course
    rng = np.random.default_rng(0)
    for noise_s, share in ((0.002, 1.1), (0.01, 0.9), (0.04, 0.4)):
        seen = true + noise_s * rng.normal(size=len(true))
        got, sd = smoothed(at, seen, np.full(len(at), noise_s), rr, PAT)
        assert np.abs(got - true).mean() < share * np.abs(seen - true).mean()
        assert 0.4 < np.sqrt(np.mean((got - true) ** 2)) / np.sqrt(np.mean(sd**2)) < 2.5  # the stated error is true
    changes, found = np.diff(true), np.diff(smoothed(at, true, np.full(len(at), 0.001), rr, PAT)[0])
    assert np.corrcoef(changes, found)[0, 1] > 0.99


def test_an_outlier_counts_little_and_an_early_beat_keeps_its_own(course) -> None:
    at, true, rr = course
    sd = np.full(len(at), 0.004)
    off = true.copy()
    off[50] += 0.15
    got, _ = smoothed(at, off, sd, rr, PAT)
    assert np.abs(np.delete(got - true, 50)).max() < 0.025
    assert abs(got[50] - true[50]) < 0.05
    early, late = rr.copy(), true.copy()
    early[50], early[51] = 0.5, 1.1
    late[50] += 0.04
    kept, _ = smoothed(at, late, sd, early, PAT)
    assert kept[50] - true[50] > 0.03


def test_nothing_crosses_a_gap_and_nothing_is_invented(course) -> None:
    at, true, rr = course
    after = at > 120
    moved = at + 20 * after
    stepped = true + 0.2 * after
    sd = np.full(len(at), 0.03)
    got, _ = smoothed(moved, stepped, sd, rr, PAT)
    assert np.abs(got - stepped).max() < 0.03
    holes = true.copy()
    holes[::3] = np.nan
    got, _ = smoothed(at, holes, sd, rr, PAT)
    assert np.array_equal(np.isnan(got), np.isnan(holes))
    two = smoothed(at[:2], true[:2], sd[:2], rr[:2], PAT)[0]
    assert two.tolist() == true[:2].tolist()


def test_changes_of_a_breath_are_followed_where_they_are_seen(course) -> None:
    at, _, rr = course
    true = 0.275 + 0.03 * np.sin(2 * np.pi * 0.2 * at)
    seen = true + 0.003 * np.random.default_rng(0).normal(size=len(at))
    got, _ = smoothed(at, seen, np.full(len(at), 0.004), rr, PAT)
    assert np.abs(got - true).mean() < 0.005  # 8 ms where the drift is held to twice its usual


def test_a_lost_beat_gets_the_level_between_its_neighbours_and_an_error_that_is_true(course) -> None:
    at, true, rr = course
    lost = np.random.default_rng(0).random(len(at)) < 0.3
    lost[at > 200] = True  # long after the last one
    seen = np.where(lost, np.nan, true + 0.01 * np.random.default_rng(1).normal(size=len(at)))
    got, sd = smoothed(at, seen, np.full(len(at), 0.01), rr, PAT, fill=lost)
    near = lost & (at < 200)
    assert np.isfinite(got[near]).all()
    assert 0.4 < np.sqrt(np.mean((got - true)[near] ** 2)) / np.sqrt(np.mean(sd[near] ** 2)) < 1.6
    assert sd[near].mean() > sd[~lost].mean()
    assert np.isnan(got[at > 215]).all()
    kept = np.isfinite(smoothed(at, seen, np.full(len(at), 0.01), rr, PAT)[0])
    assert np.array_equal(kept, ~lost)
