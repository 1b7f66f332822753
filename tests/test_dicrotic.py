"""A high dicrotic wave is no second pulse, and a fast heart has no dicrotic waves that look like feet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiofm.measure.confidence import Calibration
from cardiofm.measure.dicrotic import dicrotic
from cardiofm.measure.gather import Gathered, Known
from cardiofm.measure.locate import ECG_EVENTS, Points
from cardiofm.measure.rows import rows


def feet(at_s: np.ndarray, sure: np.ndarray) -> Points:
    """Feet, each with its peak, of which the head is that sure."""
    at, B = np.stack([at_s, at_s + 0.11], axis=1), len(at_s)
    chance = np.stack([sure, sure], axis=1).astype(np.float32)
    error = np.full((B, 2), 0.002, np.float32)
    return Points(at, error, error, chance, chance, np.zeros((B, 2), bool))


def with_seconds(seconds: int = 40, beat_s: float = 0.72, seed: int = 0) -> tuple[Points, np.ndarray]:
    """Pulses of a steady heart, each followed by a second foot; and which feet are pulses."""
    rng = np.random.default_rng(seed)
    first = np.cumsum(beat_s + 0.01 * rng.normal(size=seconds))
    at_s = np.stack([first, first + 0.33 + 0.01 * rng.normal(size=seconds)], axis=1).ravel()
    sure = np.stack([rng.uniform(0.94, 0.97, seconds), rng.uniform(0.5, 0.9, seconds)], axis=1).ravel()
    return feet(at_s, sure), np.arange(2 * seconds) % 2 == 0


def test_every_other_foot_is_no_pulse() -> None:
    points, pulse = with_seconds()
    np.testing.assert_array_equal(dicrotic(points), ~pulse)
    none = Points.join([], len(ECG_EVENTS))
    known = Known(np.array([0.0]), np.array([40.0]))
    found = Gathered(none, points, (Known(np.empty(0), np.empty(0)), known), np.zeros(1), np.ones((1, 2), np.float32))
    given = rows(found, (False, True), Calibration())
    assert np.array_equal(np.sort(given.ppg), np.flatnonzero(pulse))


@pytest.mark.parametrize("beat_s", [0.33, 0.4, 0.8])
def test_a_steady_heart_keeps_all_its_pulses(beat_s: float) -> None:
    rng = np.random.default_rng(3)
    at_s = np.cumsum(beat_s + 0.004 * rng.normal(size=200))
    assert not dicrotic(feet(at_s, rng.uniform(0.9, 0.97, 200))).any()


def test_an_early_pulse_now_and_then_stays() -> None:
    points, pulse = with_seconds()
    few = points.rows(np.flatnonzero(pulse | (np.arange(len(pulse)) % 10 == 1)))
    assert not dicrotic(few).any()
    assert not dicrotic(replace(points, at_s=points.at_s[:3], chance=points.chance[:3])).any()
