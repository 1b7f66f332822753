"""Recordings that are hard to measure: the answer is right, or it is refused for the true reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cardiofm.data import catalog
from cardiofm.data.marks import Marks, marks
from cardiofm.evaluate.beats.floors import classical_r
from cardiofm.measure import intervals
from cardiofm.measure.intervals import beat_table
from cardiofm.measure.rows import rows
from cardiofm.pipeline import Model, load
from cardiofm.signals import Measurement, Record, Signal

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def model() -> Model:
    return load("base")


def recording(data_root: Path, dataset: str, name: str, start_s: float, end_s: float) -> Record:
    (entry,) = (e for e in catalog.entries(dataset, data_root) if e.record == name)
    return catalog.load(entry, data_root).crop(start_s, end_s)


def marked(data_root: Path, dataset: str, name: str) -> Marks:
    (entry,) = (e for e in catalog.entries(dataset, data_root) if e.record == name)
    return marks(entry, data_root)


def beats_within(data_root: Path, name: str, start_s: float, end_s: float) -> np.ndarray:
    """R peaks of MIT-BIH that lie well inside."""
    r_s = marked(data_root, "mitdb", name).of("r_peak")
    return r_s[(r_s > start_s + 0.2) & (r_s < end_s - 0.2)]


def rows_at(m: Measurement, r_s: np.ndarray, near_s: float = 0.15) -> np.ndarray:
    """The row of each true beat; every one must have one."""
    found = np.nan_to_num(m.values["r_peak_s"], nan=-1e9)
    at = np.array([int(np.abs(found - x).argmin()) for x in r_s])
    assert (np.abs(found[at] - r_s) < near_s).mean() >= 0.98
    return at


def invented(m: Measurement, r_s: np.ndarray, near_s: float = 0.15) -> int:
    """Beats where there is none; the annotated ones end 0.2 s before the recording does."""
    found = m.values["r_peak_s"]
    found = found[(found > r_s[0] - 0.1) & (found < r_s[-1] + 0.1)]
    return sum(bool(np.abs(r_s - x).min() > near_s) for x in found)


def test_paced_beats_are_found_and_their_waves_are_given_only_where_seen(model: Model, data_root: Path) -> None:
    for name in ("102", "104", "107", "217"):
        m = model.measure(recording(data_root, "mitdb", name, 60, 90))
        r_s = beats_within(data_root, name, 60, 90)
        at = rows_at(m, r_s)
        assert invented(m, r_s) == 0
        np.testing.assert_allclose(np.nanmedian(m.values["rr_ms"][at]), 1000 * np.median(np.diff(r_s)), rtol=0.02)
        given = np.isfinite(m.values["pr_ms"])
        assert given.mean() < 0.25  # a spike is no P wave
        said = {reason for reason, one in zip(m.reasons("pr_ms"), given, strict=True) if not one}
        assert said <= {"noise", "estimates disagree", "no P wave seen", "waves out of order", "cut by an edge"}
        assert np.nanmedian(m.values["qt_ms"]) > 360  # a paced QRS is broad, and its QT with it
        assert m.summary["rhythm"]["label"] != "af"


def test_a_strange_beat_is_one_where_a_beat_is_missing(model: Model, data_root: Path) -> None:
    m = model.measure(recording(data_root, "mitdb", "208", 530, 570))  # ventricular and fusion beats among others
    r_s = beats_within(data_root, "208", 530, 570)
    at = rows_at(m, r_s)
    assert (m.confidence["r_peak_s"][at] < 0.5).any()  # by itself it would be doubtful
    assert invented(m, r_s) == 0


def test_qt_of_paced_beats_that_were_marked_by_hand(model: Model, data_root: Path) -> None:
    by_hand = marked(data_root, "qtdb", "sel102")
    near = slice(0, 12)
    r_s, qt_ms = by_hand.of("r_peak")[near], 1000 * (by_hand.of("t_end") - by_hand.of("qrs_onset"))[near]
    m = model.measure(recording(data_root, "qtdb", "sel102", r_s[0] - 5, r_s[-1] + 5))
    off = m.values["qt_ms"][rows_at(m, r_s)] - qt_ms
    assert np.isfinite(off).mean() > 0.9
    assert np.nanmedian(np.abs(off)) < 30


@pytest.mark.parametrize(("name", "start_s", "end_s"), [("106", 1441, 1499), ("119", 60, 120), ("228", 345, 405)])
def test_every_beat_of_a_bigeminy_keeps_its_own_interval(
    model: Model, data_root: Path, name: str, start_s: float, end_s: float
) -> None:
    m = model.measure(recording(data_root, "mitdb", name, start_s, end_s))
    r_s = beats_within(data_root, name, start_s, end_s)
    at = rows_at(m, r_s, near_s=0.05)
    assert invented(m, r_s) <= 1
    off = m.values["rr_ms"][at[1:]] - 1000 * np.diff(r_s)
    assert np.isfinite(off).mean() > 0.95
    assert np.nanmedian(np.abs(off)) < 5
    assert np.nanquantile(m.values["rr_ms"], 0.9) - np.nanquantile(m.values["rr_ms"], 0.1) > 400  # not evened out
    assert np.isfinite(m.values["qt_ms"][at]).mean() > 0.9
    assert m.summary["rhythm"]["label"] in ("other", "unreadable")  # irregular, and no fibrillation


@pytest.mark.parametrize("name", ["t112s", "t406s"])
def test_where_p_and_t_are_one_neither_is_made_up(model: Model, data_root: Path, name: str) -> None:
    record = recording(data_root, "challenge-2015", name, 270, 300)  # tachycardia, about 170 a minute
    m = model.measure(record)
    assert 160 < m.summary["heart_rate_bpm"]["ecg"] < 180
    r_s = classical_r(record)
    rows_at(m, r_s[(r_s > 270.2) & (r_s < 299.8)])
    p, t = np.isfinite(m.values["p_onset_s"]), np.isfinite(m.values["t_end_s"])
    assert p.mean() < 0.15
    assert not (np.isfinite(m.values["pr_ms"]) & ~p).any()
    said = set(m.reasons("p_onset_s")) - {""}
    assert said <= {"no P wave seen", "noise", "estimates disagree", "waves out of order", "cut by an edge"}
    after = (m.values["qrs_onset_s"][1:] - m.values["t_end_s"][:-1])[t[:-1]]
    assert np.nanmin(after) > -0.03  # a T wave ends before the next QRS, or is refused


def qt_error_ms(model: Model, data_root: Path, name: str) -> np.ndarray:
    """Per marked beat of a LUDB record, NaN where refused."""
    by_hand = marked(data_root, "ludb", name)
    m = model.measure(recording(data_root, "ludb", name, 0, 10))
    qt_ms = 1000 * (by_hand.of("t_end") - by_hand.of("qrs_onset"))
    known = np.isfinite(qt_ms)
    return m.values["qt_ms"][rows_at(m, by_hand.of("r_peak")[known], near_s=0.1)] - qt_ms[known]


def test_inverted_t_waves_have_their_end_too(model: Model, data_root: Path) -> None:
    for name in ("11", "82", "38", "84"):  # lead II, −0.12 to −0.25 mV
        off = qt_error_ms(model, data_root, name)
        assert np.isfinite(off).mean() > 0.9
        assert np.nanmean(np.abs(off)) < 25, name


def test_low_t_waves_are_found_or_refused(model: Model, data_root: Path) -> None:
    for name in ("196", "81", "21", "180", "126"):  # lead II, T of 0.03 to 0.05 mV
        off = qt_error_ms(model, data_root, name)
        assert np.nanmean(np.abs(off)) < 25, name


def test_a_flatter_t_wave_is_less_sure(model: Model, data_root: Path) -> None:
    record = recording(data_root, "bidmc", "bidmc13", 30, 60)
    plain = model.measure(record)
    assert record.ecg is not None
    x, fs_hz = record.ecg.values.copy(), record.ecg.fs_hz
    start_s = record.ecg.start_s
    for q, t in zip(plain.values["qrs_offset_s"], plain.values["t_end_s"], strict=True):
        if np.isfinite(q + t):
            first, last = (round((at - start_s) * fs_hz) for at in (q + 0.02, t + 0.04))
            x[first:last] = np.linspace(x[first], x[min(last, len(x) - 1)], last - first)
    m = model.measure(replace(record, ecg=replace(record.ecg, samples=x)))
    given = np.isfinite(m.values["qt_ms"])
    before = plain.confidence["qt_ms"][np.isfinite(plain.values["qt_ms"])]
    assert given.mean() < 0.5 or m.confidence["qt_ms"][given].mean() < before.mean() - 0.15
    assert np.isfinite(m.values["r_peak_s"]).sum() == np.isfinite(plain.values["r_peak_s"]).sum()


def test_a_table_made_in_parts_is_the_same(model: Model, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = model.gather(recording(data_root, "bidmc", "bidmc13", 0, 480))
    chosen = rows(found, (True, True), model.calibration)
    whole = beat_table(found, chosen, model.calibration)
    monkeypatch.setattr(intervals, "_PART", 20)
    monkeypatch.setattr(intervals, "_MARGIN", 64)  # beats of half a minute and more: only PAT looks further
    parts = beat_table(found, chosen, model.calibration)
    assert len(chosen) > 10 * 20 + 2 * 64
    assert np.isfinite(whole.values["pat_ms"]).mean() > 0.9
    for a, b in ((whole.values, parts.values), (whole.confidence, parts.confidence), (whole.reason, parts.reason)):
        for column in a:
            np.testing.assert_array_equal(a[column], b[column], err_msg=column)


@pytest.mark.parametrize("name", ["bidmc01", "bidmc13", "bidmc32"])
def test_three_seconds_are_measured_as_within_thirty(model: Model, data_root: Path, name: str) -> None:
    whole = model.measure(recording(data_root, "bidmc", name, 30, 60))
    m = model.measure(recording(data_root, "bidmc", name, 41, 44))
    r_s = m.values["r_peak_s"]
    inner = np.flatnonzero((r_s > 41.3) & (r_s < 43.3))
    assert len(inner) >= 2
    at = [int(np.nanargmin(np.abs(whole.values["r_peak_s"] - x))) for x in r_s[inner]]
    for column, tolerance_ms in (("qt_ms", 8.0), ("qrs_ms", 8.0)):
        off = m.values[column][inner] - whole.values[column][at]
        assert np.isfinite(off).any()
        assert np.nanmax(np.abs(off)) < tolerance_ms, column
    assert (m.summary["hrv"]["lf_ms2"], m.summary["hrv"]["sdnn_ms"]) == (None, None)
    assert m.summary["rhythm"]["label"] == "unreadable"
    assert m.summary["rhythm"]["reason"].startswith("less than")


def off_for(signal: Signal | None, at_s: float, length_s: float, value: float | None) -> Signal:
    """The signal with a pause put in: absent samples, or one value over and over again."""
    assert signal is not None
    x = signal.values
    cut = round(at_s * signal.fs_hz)
    pause = np.full(round(length_s * signal.fs_hz), np.nan if value is None else value, np.float32)
    return replace(signal, samples=np.concatenate([x[:cut], pause, x[cut:]]))


@pytest.mark.parametrize("value", [None, 0.0])
def test_half_an_hour_without_leads_is_not_bridged(model: Model, data_root: Path, value: float | None) -> None:
    record = recording(data_root, "bidmc", "bidmc04", 0, 80)
    whole = model.measure(record)
    ecg, ppg = (off_for(s, 40, 1800, value) for s in (record.ecg, record.ppg))
    m = model.measure(Record("off", ecg, ppg))
    r_s = m.values["r_peak_s"]
    assert not ((r_s > 40.1) & (r_s < 1839.9)).any()
    before, after = r_s < 38, r_s > 1843
    for mine, moved_s in ((before, 0.0), (after, 1800.0)):
        at = np.array([int(np.nanargmin(np.abs(whole.values["r_peak_s"] + moved_s - x))) for x in r_s[mine]])
        for column, tolerance_ms in (("qt_ms", 8.0), ("pat_ms", 10.0), ("rr_ms", 8.0)):
            off = m.values[column][mine] - whole.values[column][at]
            assert np.isfinite(off).mean() > 0.9
            assert np.nanmean(np.abs(off)) < tolerance_ms / 4
            assert np.nanmax(np.abs(off)) < tolerance_ms, column
    first = int(np.flatnonzero(r_s > 1840)[0])
    assert m.reasons("rr_ms")[first] in ("no signal", "cut by an edge")
    assert np.nanmax(m.values["rr_ms"]) < 1500
    assert np.nanmax(m.values["pat_ms"]) < 1300
    assert m.summary["hrv"]["sdnn_ms"] == pytest.approx(whole.summary["hrv"]["sdnn_ms"], rel=0.1)
    inside = [s for s in m.stretches if s["start_s"] >= 60 and s["end_s"] <= 1830]
    assert len(inside) == 59
    assert {(s["beats"], s["ecg_known"], s["ppg_known"], s["pat_ms"]) for s in inside} == {(0, 0.0, 0.0, None)}
    assert {s["rhythm"] for s in inside} == {"unreadable"}


def test_only_half_an_hour_without_leads_says_why(model: Model) -> None:
    flat = model.measure(Record.from_arrays(ecg=(np.full(450_000, 0.1), 250), name="off"))
    assert len(flat) == 0
    assert flat.summary["reason"].startswith("no signal")


def test_fibrillation_has_no_p_waves(model: Model, data_root: Path) -> None:
    """What looks like one now and then is not given; PhysioNet/CinC 2017, validation patients, and as many in sinus."""
    share = {}
    for rhythm in ("A", "N"):
        entries = [e for e in catalog.entries("challenge-2017", data_root) if e.split == "valid"]
        some = [e for e in entries if e.labels["rhythm"] == rhythm][:12]
        found = [model.measure(catalog.load(e, data_root)) for e in some]
        given = np.concatenate([np.isfinite(m.values["p_onset_s"]) for m in found])
        share[rhythm] = given.mean()
        refused = [why for m in found for why in m.reasons("p_onset_s")]
        assert "no P wave seen" in refused
    assert share["A"] < 0.12
    assert share["N"] > 0.5
