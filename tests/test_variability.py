"""Heart rate variability of rhythms whose figures are known by formula."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm.measure.variability import normal, variability


def beats(seconds: float, lf_s: float, hf_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Beats whose intervals swing with these amplitudes at 0.1 and 0.25 Hz about 0.8 s."""
    t, at, rr = 0.0, [], []
    while t < seconds:
        x = 0.8 + lf_s * np.sin(2 * np.pi * 0.1 * t) + hf_s * np.sin(2 * np.pi * 0.25 * t)
        t += x
        at.append(t)
        rr.append(1000 * x)
    return np.array(at), np.array(rr)


def test_powers_are_those_of_the_swings() -> None:
    said = variability(*beats(290, 0.03, 0.02))
    assert said["lf_ms2"] == pytest.approx(450, rel=0.1)  # 30² / 2
    assert said["hf_ms2"] == pytest.approx(200, rel=0.1)
    assert said["lf_hf"] == pytest.approx(2.25, rel=0.1)
    assert said["sdnn_ms"] == pytest.approx(np.sqrt(650), rel=0.05)


def test_a_gap_changes_little_and_is_not_filled() -> None:
    at, rr = beats(290, 0.03, 0.02)
    holes = rr.copy()
    holes[100:140] = np.nan
    said = variability(at, holes)
    assert said["lf_hf"] == pytest.approx(2.25, rel=0.25)
    assert said["sdnn_ms"] == pytest.approx(variability(at, rr)["sdnn_ms"], rel=0.1)


def test_an_early_beat_is_no_variability() -> None:
    at, rr = beats(120, 0.01, 0.01)
    early = rr.copy()
    early[40], early[41] = 500.0, 1100.0
    assert normal(early).sum() == len(rr) - 2
    assert variability(at, early)["sdnn_ms"] == pytest.approx(variability(at, rr)["sdnn_ms"], rel=0.05)


def test_too_little_is_none() -> None:
    at, rr = beats(60, 0.02, 0.02)
    short = variability(at, rr)
    assert short["lf_hf"] is None
    assert short["rmssd_ms"] is not None
    few = variability(at[:5], rr[:5])
    assert few["sdnn_ms"] is None
    none = variability(np.empty(0), np.empty(0))
    assert set(none.values()) == {None}
