"""Events in time: matching them one to one, pooling their counts, and the beat template that they place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.evaluate import floors, metrics
from cardiofm.evaluate.bootstrap import ratio
from cardiofm.measure import bridge
from cardiofm.measure.bridge import matched
from cardiofm.signals import InputSpec

SPEC = InputSpec()
events = st.lists(st.integers(0, 300), max_size=12).map(lambda ms: sorted(np.unique(ms) / 100))


@given(events, events, st.sampled_from([0.0, 0.01, 0.05, 0.3]))
@settings(max_examples=200, deadline=None)
def test_as_many_events_are_paired_as_any_pairing_can(true, found, tolerance_s):
    pairs = matched(true, found, tolerance_s)
    assert all(abs(true[i] - found[j]) <= tolerance_s + 1e-6 for i, j in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    if true and found:
        near = np.abs(np.subtract.outer(true, found)) <= tolerance_s + 1e-9
        rows, columns = linear_sum_assignment(near, maximize=True)
        assert len(pairs) == near[rows, columns].sum()
        assert metrics.event_f1(true, found, tolerance_s) == pytest.approx(metrics.event_f1(found, true, tolerance_s))


def test_f1_of_events_counts_missed_and_invented_ones():
    true = np.arange(10.0)
    assert metrics.event_f1(true, true + 0.05, 0.05) == 1
    assert metrics.event_f1(true, true + 0.06, 0.05) == 0
    assert metrics.event_f1(true, true[:5], 0.05) == pytest.approx(2 / 3)
    assert metrics.event_f1(true, np.concatenate([true, true + 0.5]), 0.05) == pytest.approx(2 / 3)
    assert metrics.event_f1(true, np.concatenate([true, true + 0.01]), 0.05) == pytest.approx(2 / 3)
    assert metrics.event_f1([], [1.0], 0.05) == 0
    assert np.isnan(metrics.event_f1([], [], 0.05))


def test_a_ratio_pools_counts_and_its_interval_is_the_patients():
    rng = np.random.default_rng(0)
    whole = rng.integers(5, 15, 60).astype(float)
    part = rng.binomial(whole.astype(int), 0.9).astype(float)
    who = [f"p{i}" for i in range(60)]
    found = ratio(part, whole, who)
    assert found.value == pytest.approx(part.sum() / whole.sum())
    assert found.low < found.value < found.high
    twice = ratio(np.tile(part, 2), np.tile(whole, 2), who * 2)
    assert (twice.value, twice.low, twice.high) == pytest.approx((found.value, found.low, found.high))
    assert (twice.patients, twice.windows) == (60, 120)
    with pytest.raises(ValueError, match="wholes"):
        ratio([0.0], [0.0], ["a"])


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("other", [False, True])
def test_the_template_fills_a_gap_of_a_regular_rhythm(channel, other):
    window, beats = _regular()
    times_s = (beats.r_peak_s, beats.ppg_foot_s[np.isfinite(beats.ppg_foot_s)])
    own, partner = times_s[channel], times_s[1 - channel] if other else None
    gap, visible = slice(1000, 1400), np.ones(SPEC.samples, bool)
    visible[gap] = False
    made = floors.beat_template(_hidden(window, channel, visible), visible, gap, SPEC.fs_hz, own, partner)
    assert made is not None
    assert metrics.r(window.values[channel][gap], made[gap]) > 0.9
    np.testing.assert_array_equal(made[visible], window.values[channel][visible])


def test_the_template_sees_nothing_of_the_gap():
    window, beats = _regular()
    gap, visible = slice(1000, 1400), np.ones(SPEC.samples, bool)
    visible[gap] = False
    events_s = beats.r_peak_s
    outside_s = events_s[(events_s < gap.start / SPEC.fs_hz) | (events_s >= gap.stop / SPEC.fs_hz)]
    one = floors.beat_template(window.values[0], visible, gap, SPEC.fs_hz, events_s)
    two = floors.beat_template(_hidden(window, 0, visible), visible, gap, SPEC.fs_hz, outside_s)
    assert one is not None
    assert two is not None
    np.testing.assert_array_equal(one[gap], two[gap])


def test_the_template_stands_where_the_other_channel_says():
    """An early beat inside the gap: the own rhythm cannot know it, the other channel does."""
    window, beats = _regular()
    own = np.sort(np.append(beats.r_peak_s, 4.9))
    gap, visible = slice(1150, 1350), np.ones(SPEC.samples, bool)
    visible[gap] = False
    x_N = _hidden(window, 0, visible)
    made = floors.beat_template(x_N, visible, gap, SPEC.fs_hz, own, own + 0.3)
    plain = floors.beat_template(x_N, visible, gap, SPEC.fs_hz, own)
    assert made is not None
    assert plain is not None
    early = slice(round(4.87 * SPEC.fs_hz), round(4.93 * SPEC.fs_hz))
    assert made[early].max() > 0.7 * window.values[0].max()
    assert np.abs(made[early] - plain[early]).max() > 0.3 * np.ptp(window.values[0])


def test_the_rhythm_goes_on_through_a_gap_at_either_end():
    events_s = np.arange(10) * 0.8
    for start_s, end_s in ((0.0, 2.0), (3.0, 5.0), (6.0, 8.0)):
        kept = events_s[(events_s < start_s) | (events_s >= end_s)]
        want = events_s[(events_s >= start_s) & (events_s < end_s)]
        made = bridge.continued(kept, start_s, end_s)
        assert made[(made >= start_s) & (made < end_s)] == pytest.approx(want)
        assert (made >= start_s - 0.8 - 1e-9).all()
    unseen = np.delete(events_s, 4)  # at 3.2 s, lost for a gap from 3.3 to 3.9 s
    assert bridge.continued(unseen, 3.3, 3.9) == pytest.approx([3.2])
    assert len(bridge.continued([1.0], 2.0, 3.0)) == 0


@given(st.integers(0, 1000), st.floats(-1.2, 1.2))
@settings(max_examples=50, deadline=None)
def test_the_usual_delay_is_found_in_an_irregular_rhythm(seed, delay_s):
    rng = np.random.default_rng(seed)
    from_s = np.cumsum(rng.uniform(0.5, 1.3, 10))
    to_s = from_s + delay_s + rng.normal(0, 0.004, 10)
    found = bridge.usual_delay(from_s, np.delete(to_s, rng.integers(10)))
    assert found is not None
    assert len(matched(from_s + found, to_s, 0.05)) >= 9
    assert bridge.usual_delay([0.0], [9.0]) is None


def test_there_is_no_template_of_two_beats():
    x_N, visible = np.zeros(SPEC.samples, np.float32), np.ones(SPEC.samples, bool)
    visible[500:750] = False
    assert floors.beat_template(x_N, visible, slice(500, 750), SPEC.fs_hz, [1.0, 1.8]) is None
    assert bridge.median_beat(x_N, np.zeros_like(visible), [1.0, 2.0, 3.0], SPEC.fs_hz) is None


def _regular():
    pair = simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=3, pat_drift_ms=0.0)
    return window_at(pair.record, SPEC, 0.0), pair.beats


def _hidden(window, channel, visible_N):
    """The channel with something absurd where it is not visible."""
    broken = replace(window, values=np.where(visible_N, window.values, np.float32(99)))
    return broken.values[channel]
