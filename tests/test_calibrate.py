"""Confidence is fitted on beats that the heads never saw: the right beat, and nothing where nobody looked."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

import oracle
from cardiofm.data.simulate import simulate
from cardiofm.measure.confidence import Calibration, fit_calibration
from cardiofm.signals import EVENTS, InputSpec
from cardiofm.train import calibrate
from cardiofm.train.annotated import FOOT, R, Take
from cardiofm.train.calibrate import Found

SPEC = InputSpec()


def test_each_row_gets_the_marks_of_its_own_beat() -> None:
    beats_s = np.full((3, len(EVENTS)), np.nan)
    beats_s[:, R] = [1.0, 2.0, 3.0]
    beats_s[:, EVENTS.index("t_end")] = [1.3, np.nan, 3.3]
    truth, same = calibrate._matched(np.array([1.02, 2.5, 2.99, np.nan]), beats_s, R)
    assert same.tolist() == [True, False, True, False]
    assert truth[[0, 2], EVENTS.index("t_end")].tolist() == [1.3, 3.3]
    assert np.isnan(truth[1]).all()


@pytest.mark.parametrize(("error_s", "low", "high"), [(0.002, 0.97, 1.0), (0.03, 0.2, 0.8)])
def test_what_a_head_says_is_compared_with_the_truth(
    monkeypatch: pytest.MonkeyPatch, error_s: float, low: float, high: float
) -> None:
    made = simulate(60, fs_ecg_hz=250, fs_ppg_hz=250, seed=8, heart_rate_bpm=70, pat_ms=250)
    events = oracle.truth(made)
    assert made.record.ecg is not None
    assert made.record.ppg is not None
    values = np.stack([made.record.ecg.values, made.record.ppg.values])
    looked = np.ones((len(EVENTS), values.shape[1]), bool)
    looked[:, :250] = looked[:, -250:] = False
    take = Take("both", values, np.ones(values.shape, bool), np.ones(2, bool), events, looked)

    class Knows:
        def measure(self, x, valid, in_mv, present):
            del valid, in_mv, present
            out = [oracle.said(events, s, error_s=error_s, seed=1) for s in starts[: len(x)]]
            del starts[: len(x)]
            return tuple(np.stack([getattr(o, n) for o in out]) for n in ("waves", "chance", "reach_s", "spread_s"))

    starts = [8.0 * k for k in range(8)]
    found = Found(defaultdict(list), defaultdict(list))
    calibrate._add(found, Knows(), take, values, SPEC)  # pyright: ignore[reportArgumentType]
    for name in ("t_end", "ppg_foot"):
        within = np.concatenate(found.within[name])
        assert 55 <= len(within) <= 70
        assert low <= within.mean() <= high
    pairs = {n: (np.concatenate(found.features[n]), np.concatenate(found.within[n])) for n in found.features}
    fitted = fit_calibration(pairs)
    assert isinstance(fitted, Calibration)


def test_pat_is_calibrated_on_beats_that_are_paired_right() -> None:
    pairs = []
    for seed in range(4):
        made = simulate(60, fs_ecg_hz=250, fs_ppg_hz=250, seed=seed, heart_rate_bpm=70, pat_ms=250)
        events = oracle.truth(made)
        gathered = oracle.gathered(made.record, events, error_s=0.015, seed=seed)
        marks = events.copy()
        if seed == 3:  # its marks lie a beat later: nothing to learn from
            marks[:-1, FOOT] = events[1:, FOOT]
        take = Take("both", np.zeros((2, 1), np.float32), np.ones((2, 1), bool), np.ones(2, bool), marks, marks[:0] > 0)
        pairs.append((gathered, take))
    usual = Calibration(least={"r_peak": 0.1, "ppg_foot": 0.1})
    right = calibrate.with_pat(usual, pairs[:3]).coefficients["pat"]
    assert calibrate.with_pat(usual, pairs).coefficients["pat"] == right
    assert right[1] > 0.5  # a smaller expected error makes it surer
    assert "pat" not in calibrate.with_pat(usual, pairs[3:]).coefficients
