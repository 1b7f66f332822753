"""Windows joined: no beat twice, none lost, wherever the cut falls."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm.data.simulate import simulate
from cardiofm.measure import gather
from cardiofm.measure.gather import HOP_S, Gathered, Gatherer, Known
from cardiofm.measure.locate import R
from cardiofm.signals import SignalError
from oracle import FS_HZ, WINDOW_S, said, truth


def gathered(events: np.ndarray, starts: np.ndarray, **how) -> Gathered:
    gatherer = Gatherer()
    for start_s in starts:
        gatherer.add(said(events, float(start_s), **how), np.array([0.9, 0.8], np.float32))
    return gatherer.finish()


@pytest.mark.parametrize("bpm", [45, 75, 170])
@pytest.mark.parametrize("first_s", [0.0, 1.3])
def test_every_beat_once(bpm: int, first_s: float) -> None:
    simulated = simulate(100, fs_ecg_hz=250, fs_ppg_hz=125, seed=bpm, heart_rate_bpm=bpm)
    starts = first_s + HOP_S * np.arange(10)
    found = gathered(truth(simulated), starts, error_s=0.004)
    true = simulated.beats.r_peak_s
    true = true[(true > first_s + 0.05) & (true < starts[-1] + WINDOW_S - 0.05)]
    got = found.ecg.at_s[:, R]
    got = got[(got > first_s + 0.05) & (got < starts[-1] + WINDOW_S - 0.05)]
    assert len(got) == len(true)
    assert np.abs(got - true).max() < 0.05
    assert (np.diff(found.ecg.at_s[:, R]) > 0.2).all()


def test_windows_joined_before_the_end_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    events = truth(simulate(70, fs_ecg_hz=250, fs_ppg_hz=125, seed=4))
    starts = np.arange(0, 60.1, 8.0)
    whole = gathered(events, starts)
    monkeypatch.setattr(gather, "_MANY", 2)
    joined = gathered(events, starts)
    assert len(whole.ecg) > 60
    for a, b in ((whole.ecg, joined.ecg), (whole.ppg, joined.ppg)):
        np.testing.assert_array_equal(a.at_s, b.at_s)
        np.testing.assert_array_equal(a.chance, b.chance)


def test_a_window_without_neighbour_owns_its_edges() -> None:
    simulated = simulate(60, fs_ecg_hz=250, fs_ppg_hz=125, seed=1, heart_rate_bpm=80)
    found = gathered(truth(simulated), np.array([0.0, 8.0, 40.0]))  # nothing known from 18 to 40 s
    true = simulated.beats.r_peak_s
    seen = (true < 17.98) | ((true > 40.02) & (true < 49.98))
    assert len(found.ecg) == pytest.approx(seen.sum(), abs=1)
    assert found.known[0].start_s.tolist() == [0.0, 40.0]
    assert found.known[0].end_s.tolist() == [18.0, 50.0]
    assert found.known[0].between_s(np.array([17.0]), np.array([41.0]))[0] == pytest.approx(2.0)


def test_gaps_of_one_channel_are_known() -> None:
    valid = np.ones((2, round(WINDOW_S * FS_HZ)), bool)
    valid[1, 500:1000] = False
    gatherer = Gatherer()
    events = truth(simulate(10, fs_ecg_hz=250, fs_ppg_hz=125, seed=1))
    gatherer.add(said(events, 0.0, valid=valid), np.zeros(2, np.float32))
    known = gatherer.finish().known
    assert known[0].total_s == pytest.approx(10.0)
    assert list(zip(known[1].start_s, known[1].end_s, strict=True)) == [(0.0, 2.0), (4.0, 10.0)]


def test_an_empty_record_has_no_beats_and_windows_come_in_order() -> None:
    empty = Gatherer().finish()
    assert (len(empty.ecg), len(empty.ppg), len(empty.window_s)) == (0, 0, 0)
    assert Known(np.empty(0), np.empty(0)).between_s(np.zeros(2), np.ones(2)).tolist() == [0, 0]
    events = truth(simulate(20, fs_ecg_hz=250, fs_ppg_hz=125, seed=1))
    with pytest.raises(SignalError, match="time order"):
        gathered(events, np.array([8.0, 0.0]))
