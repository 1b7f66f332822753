"""The table of beats: right values, true reasons, and changes exactly as they should be (an oracle plays the head)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiofm.data.simulate import Simulated, simulate
from cardiofm.signals import EVENTS, MEASURES, Measurement, Record
from oracle import measured, truth


def pair(seed: int = 2, seconds: float = 60.0, **how) -> Simulated:
    return simulate(seconds, fs_ecg_hz=250, fs_ppg_hz=125, seed=seed, **how)


def matched(m: Measurement, s: Simulated, column: str) -> np.ndarray:
    """The column at each true beat, NaN where it is refused."""
    r = np.nan_to_num(m.values["r_peak_s"], nan=-1e9)
    at = np.array([int(np.argmin(np.abs(r - x))) for x in s.beats.r_peak_s])
    near = np.abs(r[at] - s.beats.r_peak_s) < 0.1
    return np.where(near, m.values[column][at], np.nan)


@pytest.mark.parametrize(("rhythm", "bpm"), [("sinus", 60), ("sinus", 170), ("af", 95), ("bigeminy", 70)])
def test_known_intervals_come_back(rhythm: str, bpm: float) -> None:
    s = pair(rhythm=rhythm, heart_rate_bpm=bpm)
    m = measured(s.record, truth(s), error_s=0.0)
    for column, true in (("qt_ms", s.beats.qt_ms), ("pat_ms", s.beats.pat_ms)):
        off = matched(m, s, column) - true
        assert np.isfinite(off).sum() >= np.isfinite(true).sum() - 1
        assert np.nanmean(np.abs(off)) < 2.0, column
    rr = matched(m, s, "rr_ms")[1:]
    np.testing.assert_allclose(rr, 1000 * np.diff(s.beats.r_peak_s), atol=1.0)
    assert len(m) - len(s.beats) in (0, 1)  # a pulse may be seen whose R peak came before the record


def test_corrected_qt_follows_its_formulas() -> None:
    m = measured((s := pair()).record, truth(s))
    qt, rr = m.values["qt_ms"], m.values["rr_ms"] / 1000
    np.testing.assert_allclose(m.values["qtc_bazett_ms"], qt / np.sqrt(rr))
    np.testing.assert_allclose(m.values["qtc_fridericia_ms"], qt / rr ** (1 / 3))
    np.testing.assert_allclose(m.values["qtc_framingham_ms"], qt + 154 * (1 - rr))


def test_a_value_or_a_reason_never_both_never_none() -> None:
    s = pair(rhythm="ectopy")
    m = measured(s.record, truth(s), error_s=0.02, gaps={0: [(20.0, 26.0)], 1: [(40.0, 43.0)]})
    for column in MEASURES:
        given = np.isfinite(m.values[column])
        assert np.array_equal(given, m.reason[column] == 0)
        assert ((m.confidence[column] > 0) == given).all()
    for column, first, last in (
        ("pr", "p_onset", "qrs_onset"),
        ("qrs", "qrs_onset", "qrs_offset"),
        ("qt", "qrs_onset", "t_end"),
    ):
        both = np.isfinite(m.values[f"{first}_s"]) & np.isfinite(m.values[f"{last}_s"])
        assert not (np.isfinite(m.values[f"{column}_ms"]) & ~both).any()  # no point by the back door


@pytest.mark.parametrize("delay_s", [0.05, 0.4, 0.9])
def test_a_later_pulse_is_a_longer_pat(delay_s: float) -> None:
    s = pair(heart_rate_bpm=75, pat_ms=220)
    events = truth(s)
    later = events.copy()
    later[:, [EVENTS.index("ppg_foot"), EVENTS.index("ppg_peak")]] += delay_s
    before, after = measured(s.record, events), measured(s.record, later)
    change = matched(after, s, "pat_ms") - matched(before, s, "pat_ms")
    assert np.isfinite(change).mean() > 0.95
    np.testing.assert_allclose(change[np.isfinite(change)], 1000 * delay_s, atol=2.0)
    np.testing.assert_allclose(matched(after, s, "qt_ms"), matched(before, s, "qt_ms"))


def test_another_cut_gives_the_same_beats() -> None:
    s = pair(seconds=80)
    events = truth(s)
    whole, part = measured(s.record, events), measured(s.record.crop(13.7, 80.0), events)
    for column in ("qt_ms", "pat_ms", "rr_ms"):
        a, b = matched(whole, s, column), matched(part, s, column)
        both = np.isfinite(a) & np.isfinite(b) & (s.beats.r_peak_s > 16)
        assert both.sum() > 60
        assert np.abs(a - b)[both].max() < 2.0  # the smoothing of PAT has other neighbours at the cut


def test_one_signal_alone() -> None:
    s = pair()
    events = truth(s)
    ecg_only = measured(Record("e", ecg=s.record.ecg), events)
    assert set(ecg_only.reasons("pat_ms")) == {"no PPG"}
    assert np.isfinite(ecg_only.values["qt_ms"]).mean() > 0.95
    ppg_only = measured(Record("p", ppg=s.record.ppg), events)
    assert set(ppg_only.reasons("qt_ms")) == {"no ECG"}
    assert np.isfinite(ppg_only.values["ppg_foot_s"]).all()
    assert len(ppg_only) == pytest.approx(len(s.beats), abs=1)
    assert ppg_only.summary["heart_rate_bpm"]["ecg"] is None
    rate = 60 / np.diff(s.beats.r_peak_s).mean()
    assert ppg_only.summary["heart_rate_bpm"]["ppg"] == pytest.approx(rate, abs=0.5)


def test_reasons_are_true() -> None:
    s = pair(heart_rate_bpm=60)
    events = truth(s)
    events[:, [0, 1]] = np.nan  # no P waves at all
    events[10:14, [5, 6]] = np.nan  # and four beats without a T wave
    events[20:23, [7, 8]] = np.nan  # and three without a pulse
    m = measured(s.record, events, gaps={1: [(40.0, 44.0)]})
    assert set(m.reasons("pr_ms")[1:-1]) == {"no P wave seen"}  # the ends may cut one
    row = {name: m.reasons(name) for name in ("qt_ms", "pat_ms", "qtc_bazett_ms", "rr_ms")}
    r = m.values["r_peak_s"]

    def at(beat: int) -> int:
        return int(np.nanargmin(np.abs(r - s.beats.r_peak_s[beat])))

    assert {row["qt_ms"][at(b)] for b in range(10, 14)} == {"no T wave seen"}
    assert {row["qtc_bazett_ms"][at(b)] for b in range(10, 14)} == {"no T wave seen"}
    assert {row["pat_ms"][at(b)] for b in range(20, 23)} == {"no pulse follows"}
    assert row["rr_ms"][at(0)] == "no beat before"
    in_gap = [b for b, x in enumerate(s.beats.r_peak_s) if 40.2 < x < 43.0]
    assert {row["pat_ms"][at(b)] for b in in_gap} == {"no signal"}
    assert np.isfinite(m.values["qt_ms"][[at(b) for b in in_gap]]).all()  # the ECG is not in that gap


def test_a_gap_in_the_ecg_leaves_the_pulse() -> None:
    s = pair(heart_rate_bpm=70)
    m = measured(s.record, truth(s), gaps={0: [(20.0, 30.0)]})
    foot = m.values["ppg_foot_s"]
    alone = np.isnan(m.values["r_peak_s"]) & (foot > 20.5) & (foot < 30.5)
    assert alone.sum() == pytest.approx(10 * 70 / 60, abs=2)
    assert {m.reasons("r_peak_s")[i] for i in np.flatnonzero(alone)} == {"no signal"}
    after = int(np.flatnonzero(m.values["r_peak_s"] > 30)[0])
    assert m.reasons("rr_ms")[after] == "no signal"  # not an interval of ten seconds
    assert np.nanmax(m.values["rr_ms"]) < 1500


def test_noise_lowers_confidence_then_refuses() -> None:
    s = pair(seconds=120)
    events = truth(s)
    sure = [measured(s.record, events, error_s=e, smoothed=False) for e in (0.002, 0.015, 0.06)]
    shares = [np.isfinite(m.values["qt_ms"]).mean() for m in sure]
    means = [m.confidence["qt_ms"][m.confidence["qt_ms"] > 0].mean() for m in sure[:2]]
    assert shares[0] > 0.97 > shares[2]
    assert shares[2] < 0.5
    assert means[0] > means[1] + 0.05
    said = set(sure[2].reasons("qt_ms")) - {"", "waves out of order", "runs into the next beat"}
    assert said <= {"noise", "estimates disagree", "no T wave seen", "cut by an edge"}


def test_a_qt_is_as_sure_as_those_around_it() -> None:
    s = pair(seconds=120)
    early, late = (measured(s.record, truth(s), error_s=e, smoothed=False) for e in (0.004, 0.012))
    assert np.unique(early.confidence["t_end_s"]).size > 100  # each T end has its own …
    spread = [np.nanstd(np.where(m.values["qt_ms"] > 0, m.confidence["qt_ms"], np.nan)) for m in (early, late)]
    own = [np.nanstd(np.where(m.values["t_end_s"] > 0, m.confidence["t_end_s"], np.nan)) for m in (early, late)]
    assert all(a < 0.8 * b for a, b in zip(spread, own, strict=True))  # … and its QT what they have in common


def test_smoothing_helps_where_beats_are_unsure() -> None:
    s = pair(seconds=180, heart_rate_bpm=75)
    events = truth(s)
    off = [
        np.nanmean(np.abs(matched(measured(s.record, events, error_s=0.012, smoothed=x), s, "pat_ms") - s.beats.pat_ms))
        for x in (True, False)
    ]
    assert off[0] < 0.7 * off[1]


def test_points_stand_in_order() -> None:
    s = pair(seconds=120, heart_rate_bpm=150)
    m = measured(s.record, truth(s), error_s=0.02)
    names = ("p_onset", "p_offset", "qrs_onset", "r_peak", "qrs_offset", "t_peak", "t_end")
    points = np.stack([m.values[f"{n}_s"] for n in names], axis=1)
    for row in points:
        assert (np.diff(row[np.isfinite(row)]) > -0.0041).all()
    following = m.values["qrs_onset_s"][1:] - m.values["t_end_s"][:-1]
    assert np.nanmin(following) > -0.1


def test_nothing_gives_no_rows_and_says_why() -> None:
    s = pair()
    noise = measured(s.record, np.empty((0, len(EVENTS))))
    assert len(noise) == 0
    assert noise.summary["reason"].startswith("noise")
    assert all(len(noise.values[c]) == 0 for c in MEASURES)
    flat = measured(replace(s.record, ppg=None), np.empty((0, len(EVENTS))), gaps={0: [(0.0, 61.0)]})
    assert flat.summary["reason"].startswith("no signal")
    assert flat.summary["heart_rate_bpm"] == {"ecg": None, "ppg": None}


def test_a_record_of_three_seconds() -> None:
    s = pair(seconds=3.0, heart_rate_bpm=80)
    m = measured(s.record, truth(s))
    assert np.isfinite(m.values["qt_ms"]).sum() >= 2
    assert m.summary["duration_s"] == 3.0
