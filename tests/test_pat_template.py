"""The constant-delay template: the delay of simulated patients is found, and beats stand where they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.evaluate import metrics
from cardiofm.evaluate.pat_template import delay_s, mean_beat, placed
from cardiofm.measure.beats import ppg_feet, r_peaks
from cardiofm.signals import InputSpec

SPEC = InputSpec()


def beats(seed: int, pat_ms: float):
    record = simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=seed, pat_ms=pat_ms, heart_rate_bpm=70).record
    window = window_at(record, SPEC, 0.0)
    return window, r_peaks(window.values[0], 250.0), ppg_feet(window.values[1], 250.0)


@given(st.floats(0.06, 1.2), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_a_constant_delay_of_an_irregular_rhythm_is_found(delay, seed):
    r_s = np.cumsum(np.random.default_rng(seed).uniform(0.5, 1.2, 14))
    assert delay_s(r_s, r_s + delay) == pytest.approx(delay, abs=1e-6)


def test_a_later_pulse_has_a_longer_delay():
    found = [delay_s(*beats(5, pat_ms)[1:]) for pat_ms in (220.0, 320.0)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[1] - found[0] == pytest.approx(0.1, abs=0.01)
    assert delay_s([], [1.0]) is None
    assert delay_s([1.0], [1.2]) is None


@pytest.mark.parametrize("channel", [0, 1])
def test_the_template_puts_the_beats_where_they_are(channel):
    training = [beats(seed, 250.0) for seed in range(6)]
    beat = mean_beat(((w.values[channel], w.valid[channel], (r, f)[channel]) for w, r, f in training), 250.0)
    assert beat is not None
    window, r_s, feet_s = beats(11, 250.0)
    delay = delay_s(r_s, feet_s)
    assert delay is not None
    given_s, true_s = (r_s, feet_s) if channel else (feet_s, r_s)
    drawn = placed(beat, given_s, delay if channel else -delay, SPEC.samples, 250.0)
    found_s = (ppg_feet if channel else r_peaks)(drawn, 250.0)
    assert metrics.event_f1(true_s, found_s, 0.05) > 0.9
    assert metrics.r(window.values[channel], drawn) > 0.5
    wrong = placed(beat, given_s, (delay if channel else -delay) + 0.3, SPEC.samples, 250.0)
    assert metrics.r(window.values[channel], wrong) < metrics.r(window.values[channel], drawn) - 0.3


def test_without_beats_nothing_is_drawn():
    assert mean_beat([(np.zeros(2500), np.ones(2500, bool), [])], 250.0) is None
    window, r_s, _ = beats(2, 250.0)
    beat = mean_beat([(window.values[0], window.valid[0], r_s)], 250.0)
    assert beat is not None
    assert not placed(beat, [], 0.3, SPEC.samples, 250.0).any()
