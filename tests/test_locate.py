"""Points of a window: both estimates, their agreement, and what is said where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiofm.data.simulate import simulate
from cardiofm.measure.locate import ECG, ECG_EVENTS, PPG, R, located, tops
from cardiofm.signals import EVENTS, HeadOutputs
from oracle import FS_HZ, said, truth


@pytest.fixture(scope="module")
def events() -> np.ndarray:
    return truth(simulate(10, fs_ecg_hz=250, fs_ppg_hz=125, seed=4, heart_rate_bpm=72))


def own(points, events_BK: np.ndarray, part: slice) -> np.ndarray:
    """The true events in the order of the located anchors."""
    anchor = R if part == ECG else PPG.start
    true = events_BK[np.isfinite(events_BK[:, anchor])]
    assert len(points) == len(true)
    return true[:, part]


def test_a_sure_head_gives_every_point_within_half_a_millisecond(events: np.ndarray) -> None:
    ecg, ppg = located(said(events, 0.0))
    for points, part in ((ecg, ECG), (ppg, PPG)):
        off = np.abs(points.at_s - own(points, events, part))
        inside = ~points.cut & np.isfinite(off)
        assert inside.mean() > 0.9
        assert off[inside].max() < 0.0005
        assert points.sd_s[inside].max() < 0.005
        assert points.presence[inside].min() > 0.6


def test_stated_errors_grow_with_the_errors(events: np.ndarray) -> None:
    for error_s in (0.004, 0.015):
        off, stated = [], []
        for seed in range(12):
            ecg, _ = located(said(events, 0.0, error_s=error_s, seed=seed))
            true = own(ecg, events, ECG)
            good = np.isfinite(true) & ~ecg.cut
            off.append((ecg.at_s - true)[good])
            stated.append(ecg.sd_s[good])
        rms, said_s = np.sqrt(np.mean(np.concatenate(off) ** 2)), float(np.concatenate(stated).mean())
        assert 0.4 < said_s / rms < 2.0  # in the order of what is true


def test_two_estimates_at_odds_are_seen(events: np.ndarray) -> None:
    out = said(events, 0.0, error_s=0.003)
    k = EVENTS.index("t_end")
    reach = out.reach_s.copy()
    reach[k] += 0.06
    at_odds, _ = located(replace(out, reach_s=reach))
    same, _ = located(out)
    column = ECG_EVENTS.index("t_end")
    assert np.nanmedian(at_odds.apart_s[:, column]) > 0.04 > np.nanmedian(same.apart_s[:, column])
    assert np.nanmedian(at_odds.sd_s[:, column]) > 2 * np.nanmedian(same.sd_s[:, column])


def test_nothing_is_found_where_nothing_is(events: np.ndarray) -> None:
    N = round(10 * FS_HZ)
    none = np.zeros((9, N), np.float32)
    silent = HeadOutputs(0.0, FS_HZ, np.zeros((4, N), np.float32), none, none, none + 0.5, np.ones((2, N), bool))
    ecg, ppg = located(silent)
    assert (len(ecg), len(ppg), ecg.at_s.shape[1], ppg.at_s.shape[1]) == (0, 0, 7, 2)
    low, _ = located(said(events, 0.0, height=0.2))
    assert len(low) == 0
    valid = np.ones((2, N), bool)
    valid[0] = False
    blind, pulses = located(said(events, 0.0, valid=valid))
    assert len(blind) == 0
    assert len(pulses) > 5


def test_a_point_in_a_gap_is_cut(events: np.ndarray) -> None:
    beat = events[3]
    t = np.arange(round(10 * FS_HZ)) / FS_HZ
    valid = np.ones((2, len(t)), bool)
    t_end = beat[EVENTS.index("t_end")]
    valid[0] = (t < t_end - 0.03) | (t > t_end + 0.2)
    ecg, _ = located(said(events, 0.0, valid=valid))
    row = int(np.argmin(np.abs(ecg.at_s[:, R] - beat[R])))
    assert ecg.cut[row].tolist() == [name == "t_end" for name in ECG_EVENTS]


def test_tops_are_apart_and_the_highest_wins() -> None:
    x = np.zeros(100)
    x[[10, 14, 40, 44]] = 0.5, 0.9, 0.8, 0.6
    assert tops(x, 0.3, 6).tolist() == [14, 40]
    assert tops(x, 0.85, 6).tolist() == [14]


def test_a_wave_at_the_very_end_of_the_signal_is_cut(events: np.ndarray) -> None:
    end_s = events[4, ECG_EVENTS.index("t_end")]
    for beyond_s, cut in ((0.03, True), (0.08, False)):
        valid = np.ones((2, round(10 * FS_HZ)), bool)
        valid[:, round((end_s + beyond_s) * FS_HZ) :] = False
        ecg, _ = located(said(events, 0.0, valid=valid))
        last = int(np.abs(ecg.at_s[:, R] - events[4, R]).argmin())
        assert bool(ecg.cut[last, ECG_EVENTS.index("t_end")]) is cut
        assert not ecg.cut[last, ECG_EVENTS.index("qrs_offset")]
