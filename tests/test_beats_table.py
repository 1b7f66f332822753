"""Tables of beats as they are scored: whose point is whose, which beat is which, and what a cache may give back."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm.data import catalog
from cardiofm.data.simulate import simulate
from cardiofm.evaluate.beats import floors, pooled
from cardiofm.evaluate.beats.kept import kept, remembered
from cardiofm.evaluate.beats.table import at, attached, partner, table
from cardiofm.evaluate.beats.truth import cases, fold, rr_s, second_reader
from cardiofm.signals import Record


def test_points_go_to_the_beat_that_they_can_belong_to():
    found = attached(
        [1.0, 2.0, 3.0],
        {
            "p_onset": [0.82, 1.83],
            "p_offset": [0.9, 1.92, 1.7],
            "qrs_onset": [0.95, 2.95],
            "qrs_offset": [1.05, 2.06],
            "t_end": [1.35, 2.36, 2.5],
        },
    )
    assert found["p_offset_s"].tolist()[:2] == [0.9, 1.92]
    np.testing.assert_array_equal(np.isnan(found["qrs_onset_s"]), [False, True, False])
    assert found["t_end_s"].tolist()[:2] == [1.35, 2.36]  # the first end after R, not a later one
    assert np.isnan(found["t_end_s"][2])
    np.testing.assert_allclose(found["qt_ms"], [400.0, np.nan, np.nan])


def test_a_t_wave_is_never_taken_from_the_next_beat():
    assert np.isnan(attached([1.0, 2.0], {"t_end": [2.35]})["t_end_s"][0])


def test_partners_are_one_to_one_and_near():
    found = table([1.04, 2.4, 3.0])
    rows = partner([1.0, 2.0, 3.0, 3.05], found)
    assert rows.tolist() == [0, -1, 2, -1]
    assert at(found, "r_peak_s", rows)[0] == 1.04
    assert np.isnan(at(found, "r_peak_s", rows)[1])
    assert np.isnan(at(found, "no such column", rows)).all()


def test_rows_without_an_r_peak_are_nobodys_partner():
    found = table([np.nan, 1.0], {"ppg_foot": [0.9, 1.3]})
    assert partner([1.0], found).tolist() == [1]


def test_an_interval_over_a_beat_that_nobody_marked_is_not_believed():
    np.testing.assert_allclose(rr_s(np.array([0.0, 1.0, 2.0, 5.0, 6.0])), [1, 1, 1, 1, 1])


def test_twins_of_mitdb_are_in_one_fold():
    names = ["mitdb-102", "ludb-1", "mitdb-102"]
    assert fold(names)[0] == fold(names)[2]
    assert len(set(fold([f"p{i}" for i in range(50)]).tolist())) == 5


def test_pooled_statistics_count_beats_and_draw_patients():
    values, who = np.array([1.0, 2.0, 3.0, 100.0]), ["a", "a", "a", "b"]
    assert pooled.mean(values, who).value == 26.5
    assert pooled.median(values, who).value == 2.5
    wide = pooled.median(np.arange(200.0), [f"p{i // 2}" for i in range(200)])
    assert 70 < wide.low < wide.value < wide.high < 130
    alone = pooled.line(pooled.mean([1.0], ["a"]), 2, task="qt", metric="mae_ms", refused=0)
    assert alone["low"] is None
    assert alone["beats"] == 1


def test_what_was_kept_belongs_to_these_samples_and_this_tool(tmp_path):
    calls = []

    def tool(record: Record):
        calls.append(record.name)
        return table([1.0])

    record = simulate(10, fs_ecg_hz=250, fs_ppg_hz=125, seed=1).record
    other = simulate(10, fs_ecg_hz=250, fs_ppg_hz=125, seed=2).record
    for _ in range(2):
        assert kept(tool, "tool 1", tmp_path)(record)["r_peak_s"].tolist() == [1.0]
    assert len(calls) == 1
    kept(tool, "tool 1", tmp_path)(other)
    kept(tool, "tool 2", tmp_path)(record)
    assert len(calls) == 3
    once = remembered(tool)
    for one in (record, record, other, record):
        once(one)
    assert len(calls) == 5


@pytest.mark.parametrize("of", [floors.neurokit_r, floors.classical_r])
def test_floors_find_simulated_beats(of):
    made = simulate(20, fs_ecg_hz=250, fs_ppg_hz=125, seed=4)
    found = of(made.record)
    near = np.abs(found[:, None] - made.beats.r_peak_s).min(0)
    assert (near < 0.02).mean() > 0.9


@pytest.mark.parametrize("of", [floors.neurokit_feet, floors.classical_feet])
def test_floors_find_simulated_feet_and_follow_a_delay(of):
    made = simulate(20, fs_ecg_hz=250, fs_ppg_hz=250, seed=4)
    found, true = of(made.record), made.beats.ppg_foot_s[np.isfinite(made.beats.ppg_foot_s)]
    near = np.abs(found[:, None] - true).min(0)
    assert np.median(near) < 0.012
    later = simulate(20, fs_ecg_hz=250, fs_ppg_hz=250, seed=4, pat_ms=float(np.nanmean(made.beats.pat_ms)) + 60)
    shift = later.beats.ppg_foot_s[2:-2] - made.beats.ppg_foot_s[2:-2]
    moved = of(later.record)
    again = np.array([moved[np.argmin(np.abs(moved - (f + shift[0])))] - f for f in found[2:-2]])
    assert np.median(again) == pytest.approx(float(np.median(shift)), abs=0.004)


def test_tools_give_nothing_for_a_flat_line_and_know_gaps():
    flat = Record.from_arrays(ecg=(np.zeros(2500), 250.0), ppg=(np.zeros(1250), 125.0))
    for of in (floors.neurokit_r, floors.classical_r, floors.classical_feet):
        assert len(of(flat)) == 0
    made = simulate(20, fs_ecg_hz=250, fs_ppg_hz=125, seed=4).record
    assert made.ecg is not None
    holed = made.ecg.values.copy()
    holed[1250:2500] = np.nan
    found = floors.neurokit_r(Record.from_arrays(ecg=(holed, 250.0)))
    assert len(found)
    assert not ((found > 5) & (found < 10)).any()


@pytest.mark.shared
def test_marked_recordings_and_their_marks_lie_on_one_clock(data_root):
    for dataset in ("ludb", "qtdb"):
        for case in cases(dataset, data_root, 3):
            found = floors.classical_r(case.record)
            assert (np.abs(found[:, None] - case.r_s).min(0) < 0.1).mean() > 0.8, case.record.name
            assert np.isfinite(case.qt_ms).any()
            assert case.complete == (dataset == "ludb")


@pytest.mark.shared
def test_two_readers_differ_as_the_archive_says(data_root):
    gaps = []
    for case, second in second_reader(data_root):
        found = table(second.of("r_peak"), {p: second.of(p) for p in ("qrs_onset", "t_end")})
        gaps.append(np.abs(at(found, "qt_ms", partner(case.r_s, found)) - case.qt_ms))
    every = np.concatenate(gaps)
    assert np.isfinite(every).sum() == 402
    assert np.nanmean(every) == pytest.approx(27, abs=1)


@pytest.mark.shared
def test_openecg_delineates_a_real_record(data_root):
    assert catalog.datasets()
    case = next(cases("ludb", data_root, 1))
    found = floors.delineators()["openecg v1"](case.record)
    error = at(found, "qt_ms", partner(case.r_s, found)) - case.qt_ms
    assert np.nanmedian(np.abs(error)) < 30
