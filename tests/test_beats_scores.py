"""Scores of beats: a perfect tool gets a perfect score, a known error is the error reported, inventions count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cardiofm.data.marks import POINTS, Marks
from cardiofm.data.simulate import simulate
from cardiofm.evaluate.beats import boundaries, calibration, pat, pat_rows, qt, r_peaks, rate, silence
from cardiofm.evaluate.beats.table import Table, table
from cardiofm.evaluate.beats.truth import Case, cases
from cardiofm.signals import Record

OFFSETS_S = {"p_onset": -0.16, "p_offset": -0.08, "qrs_onset": -0.04, "qrs_offset": 0.05, "t_end": 0.32}


def case_of(patient: str, r_s: np.ndarray, complete: bool = True) -> Case:
    """A recording whose marks stand at fixed distances from R."""
    rows = np.full((len(r_s), len(POINTS)), np.nan)
    rows[:, POINTS.index("r_peak")] = r_s
    for name, offset in OFFSETS_S.items():
        rows[:, POINTS.index(name)] = r_s + offset
    record = Record.from_arrays(ecg=(np.zeros(2500), 250.0), name=patient, patient=patient)
    return Case("ludb", patient, record, Marks(rows, float(r_s[0]) - 0.16, float(r_s[-1]) + 0.32), complete)


def said(r_s: np.ndarray, late_s: dict[str, float] | None = None) -> Table:
    """The table of a tool that is off by that much."""
    late = late_s or {}
    return table(r_s, {n: r_s + o + late.get(n, 0.0) for n, o in OFFSETS_S.items()})


R_S = np.arange(1.0, 9.0)
CASES = [case_of("a", R_S), case_of("b", R_S[:4])]


def value(rows: list[dict], **keys) -> float:
    (found,) = (r for r in rows if all(r.get(k) == v for k, v in keys.items()))
    return found["value"]


def test_a_tool_that_is_7_ms_late_has_an_error_and_a_bias_of_7_ms():
    methods = {"late": lambda r: said(R_S, {"t_end": 0.007}), "right": lambda r: said(R_S)}
    beats = qt.measured(CASES, methods)
    rows = qt.rows(beats, "ludb")
    for metric in ("mae_ms", "bias_ms", "median_ms", "record_median_ms"):
        assert value(rows, method="late", metric=metric) == pytest.approx(7, abs=0.01)
        assert value(rows, method="right", metric=metric) == pytest.approx(0, abs=0.01)
    gain = qt.differences(beats, "ludb", own="right")
    assert value(gain, difference="right - late") == pytest.approx(-7, abs=0.01)


def test_refused_beats_cost_coverage_and_not_error():
    def half(record: Record) -> Table:
        found = said(R_S)
        return found | {"qt_ms": np.where(np.arange(len(R_S)) % 2, np.nan, found["qt_ms"])}

    rows = qt.rows(qt.measured(CASES[:1], {"half": half}), "ludb")
    assert value(rows, metric="coverage") == 0.5
    assert value(rows, metric="mae_ms") == pytest.approx(0, abs=0.01)


def test_qt_from_rr_is_fitted_on_other_patients():
    cases = [case_of(f"p{i}", np.cumsum(np.full(9, 0.6 + 0.05 * i))) for i in range(12)]
    beats = qt.measured(cases, {})
    qt.add_from_rr(beats)
    rows = qt.rows(beats, "ludb")
    assert value(rows, method="mean QT", metric="mae_ms") == pytest.approx(0, abs=0.01)  # every QT is 360 ms here
    assert value(rows, method="RR^1/2 (Bazett)", metric="mae_ms") > 10  # and does not follow RR


def test_boundaries_count_what_is_right_missed_and_invented():
    right = boundaries.rows(boundaries.counted(CASES, {"m": lambda r: said(r_of(r))}), "ludb")
    assert value(right, tolerance="tight", metric="macro_f1") == 1.0
    off = boundaries.counted(CASES, {"m": lambda r: said(r_of(r), {"qrs_onset": 0.06})})
    assert value(boundaries.rows(off, "ludb"), tolerance="tight", metric="f1_qrs_onset") == 0.0
    assert value(boundaries.rows(off, "ludb"), tolerance="150", metric="f1_qrs_onset") == 1.0


def r_of(record: Record) -> np.ndarray:
    return R_S if record.name == "a" else R_S[:4]


def test_an_invented_beat_and_an_invented_p_wave_cost_f1():
    extra = np.sort(np.append(R_S, 4.5))
    rows = boundaries.rows(boundaries.counted(CASES[:1], {"m": lambda r: said(extra)}), "ludb")
    assert value(rows, tolerance="150", metric="f1_t_end") == pytest.approx(16 / 17, abs=1e-3)
    loose = [replace(CASES[0], complete=False)]  # where readers left beats out, an extra one is nobody's fault
    rows = boundaries.rows(boundaries.counted(loose, {"m": lambda r: said(extra)}), "qtdb")
    assert value(rows, tolerance="150", metric="f1_t_end") == 1.0
    without_p = CASES[0].marks.s.copy()
    without_p[:4, : POINTS.index("qrs_onset")] = np.nan
    case = replace(CASES[0], marks=Marks(without_p, 0.84, 8.32))
    rows = boundaries.rows(boundaries.counted([case], {"m": lambda r: said(R_S)}), "ludb")
    assert value(rows, tolerance="150", metric="f1_p_onset") == pytest.approx(8 / 12, abs=1e-3)
    case = replace(CASES[0], marks=Marks(without_p, 0.96, 8.32))  # a reader who began with the first QRS
    rows = boundaries.rows(boundaries.counted([case], {"m": lambda r: said(R_S)}), "ludb")
    assert value(rows, tolerance="150", metric="f1_p_onset") == pytest.approx(8 / 11, abs=1e-3)


def test_r_peaks_within_150_and_50_ms():
    counts = r_peaks.counted(CASES, {"m": lambda r: table(r_of(r) + 0.08)})
    rows = r_peaks.rows(counts, "as recorded", "none")
    assert value(rows, metric="f1_150") == 1.0
    assert value(rows, metric="f1_50") == 0.0


def test_noise_at_0_db_has_the_power_of_the_signal():
    made = simulate(500, fs_ecg_hz=250, fs_ppg_hz=125, seed=1)
    case = Case("mitdb", "p", made.record, Marks(np.full((1, len(POINTS)), np.nan), 0.0, 1.0), True)
    hiss = {"ma": np.random.default_rng(0).normal(size=250 * 600).astype(np.float32)}
    (loud,) = r_peaks.noisy([case], "ma", hiss)
    assert loud.record.ecg is not None
    assert made.record.ecg is not None
    quiet = made.record.ecg.read(*r_peaks.NOISY_S)
    power = [
        r_peaks.power_in_band(x, np.ones(len(x), bool), 250.0, "ecg") for x in (quiet, loud.record.ecg.values - quiet)
    ]
    assert power[0] == pytest.approx(power[1], rel=0.01)


def stretch(seed: int = 5) -> pat.Stretch:
    return next(pat.simulated([seed], 60.0))


def test_simulated_pat_drifts_over_the_promised_range_and_is_followed():
    own = stretch()
    assert np.ptp(own.pat_ms) > 120
    assert own.pat_ms.min() > 100
    assert own.pat_ms.max() < 450
    follow = pat.classical(pat.floors.classical_r, pat.floors.classical_feet)
    results = pat_rows.scored([own], {"classical": follow, "median": pat.window_median(follow)})
    rows = pat_rows.rows(results, set="simulated", snr_db=None)
    assert value(rows, method="classical", metric="mae_ms") < 8
    assert value(rows, method="classical", metric="changes_r") > 0.95
    assert value(rows, method="median", metric="changes_r") < 0.8


def test_a_constant_offset_of_pat_is_an_error_but_tracks_changes():
    own = stretch()
    late = pat_rows.scored([own], {"late": lambda s: table(s.r_s, {"ppg_foot": s.r_s + s.pat_ms / 1000 + 0.009})})
    rows = pat_rows.rows(late)
    assert value(rows, metric="mae_ms") == pytest.approx(9, abs=0.01)
    assert value(rows, metric="block_median_ms") == pytest.approx(9, abs=0.01)
    assert value(rows, metric="changes_r") == 1.0


def test_pulses_of_another_beat_are_given_back_and_counted():
    own = stretch()
    late = np.append(own.r_s[1:] + own.pat_ms[1:] / 1000, np.nan)  # each R peak has the foot of the beat after it
    results = pat_rows.scored([own], {"late": lambda s: table(s.r_s, {"ppg_foot": late})})
    rows = pat_rows.rows(results)
    assert value(rows, metric="strict_mae_ms") > 500
    assert value(rows, metric="other_beat") == 1.0
    assert value(rows, metric="mae_ms") == pytest.approx(0, abs=0.01)
    assert value(rows, metric="coverage") == pytest.approx(1 - 1 / len(own.r_s), abs=1e-3)


def test_the_consensus_is_near_the_truth_and_refuses_noise():
    made = simulate(60, fs_ecg_hz=250, fs_ppg_hz=250, seed=5)
    found = pat.consensus(made.record)
    assert found is not None
    r_s, pat_ms, delay, _ = found
    near = np.abs(r_s[:, None] - made.beats.r_peak_s).argmin(1)
    assert np.nanmedian(np.abs(pat_ms - made.beats.pat_ms[near])) < 6
    assert delay == pytest.approx(float(np.nanmedian(made.beats.pat_ms)) / 1000, abs=0.01)
    rng = np.random.default_rng(0)
    noise = Record.from_arrays(ecg=(rng.normal(size=15000), 250.0), ppg=(rng.normal(size=15000), 250.0))
    nothing = pat.consensus(noise)
    assert nothing is None or len(nothing[0]) < pat.FEWEST


def test_a_missed_or_a_false_beat_does_not_bend_the_rate():
    beats = np.arange(0.0, 10.0, 0.75)
    assert rate.rate(np.delete(beats, 5), 0, 10) == pytest.approx(80)
    assert rate.rate(np.sort(np.append(beats, 3.1)), 0, 10) == pytest.approx(80, abs=1)  # most of it is left out
    assert np.isnan(rate.rate(beats[:2], 0, 10))


@pytest.mark.shared
def test_windows_without_a_heart_are_what_they_say(data_root):
    made = list(silence.windows(data_root, 8))
    assert [kind for kind, _ in made[:4]] == list(silence.KINDS)
    again = list(silence.windows(data_root, 8))
    for (_, a), (_, b) in zip(made, again, strict=True):
        assert a.ecg is not None
        assert b.ecg is not None
        np.testing.assert_array_equal(a.ecg.values, b.ecg.values)
        assert a.duration_s == silence.WINDOW_S
    rows = silence.rows(data_root, 8, {"mute": lambda r: table([]), "eager": lambda r: table([1.0, 2.0])})
    assert value(rows, set="all", method="mute", metric="refused") == 1.0
    assert value(rows, set="all", method="eager", metric="refused") == 0.0
    assert value(rows, set="all", method="eager", metric="invented") == 2.0


def test_honest_confidence_has_no_calibration_error_and_boasting_has():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0, 1, 4000)
    right = rng.uniform(0, 1, 4000) < sure
    assert calibration.expected_error(sure, right) < 0.04
    assert calibration.expected_error(np.ones(4000), right) == pytest.approx(0.5, abs=0.03)
    error = np.where(right, 5.0, 60.0)
    who = [f"p{i % 20}" for i in range(4000)]
    rows = calibration.rows(error, sure, who, 30.0, measure="qt")
    assert value(rows, metric="ece") < 0.04
    assert value(rows, metric="gain_worst_tenth_refused_pct") > 5
    assert calibration.rows(error, np.full(4000, np.nan), who, 30.0) == []


@pytest.mark.shared
def test_flutter_of_the_ventricles_is_not_scored(data_root: Path) -> None:
    (case,) = (c for c in cases("mitdb", data_root) if c.record.name.endswith("207"))
    assert float(np.diff(case.flutter_s).sum()) == pytest.approx(143, abs=1)
    assert len(case.scored(case.r_s)) == len(case.r_s)  # no beats are marked there
    amid = np.append(case.r_s, case.flutter_s.mean(1))
    found = {"r_peak_s": np.sort(amid)}
    (counts,) = r_peaks.counted([case], {"all": lambda _: found}).of["all", 150]
    assert counts == (2 * len(case.r_s), 2 * len(case.r_s))
