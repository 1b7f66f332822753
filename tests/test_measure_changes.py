"""What is done to real recordings changes their measures exactly as it should."""

from __future__ import annotations

from dataclasses import replace
from math import gcd
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from cardiofm.data import catalog
from cardiofm.pipeline import Model, load
from cardiofm.signals import Measurement, Record, Signal

pytestmark = pytest.mark.shared
LENGTH_S = 40.0


@pytest.fixture(scope="module")
def model() -> Model:
    return load("base")


@pytest.fixture(scope="module", params=["bidmc13", "bidmc15"])
def record(request: pytest.FixtureRequest, data_root: Path) -> Record:
    (entry,) = (e for e in catalog.entries("bidmc", data_root) if e.record == request.param)
    return catalog.load(entry, data_root).crop(60, 60 + LENGTH_S)


@pytest.fixture(scope="module")
def plain(model: Model, record: Record) -> Measurement:
    return model.measure(record)


def both(record: Record, change) -> Record:
    assert record.ecg is not None
    assert record.ppg is not None
    return replace(record, ecg=change(record.ecg), ppg=change(record.ppg))


def resampled(signal: Signal, fs_hz: int) -> Signal:
    own = round(signal.fs_hz)
    common = gcd(fs_hz, own)
    x = resample_poly(signal.values.astype(np.float64), fs_hz // common, own // common, padtype="line")
    return replace(signal, samples=x.astype(np.float32), fs_hz=float(fs_hz))


def moved(a: Measurement, b: Measurement, column: str, faster: float = 1.0) -> np.ndarray:
    """b − a / faster of the beats that both have, in the column's unit; nearly all beats must be in both."""
    r, own = b.values["r_peak_s"], a.values["r_peak_s"]
    seen = np.flatnonzero(np.isfinite(own))
    at = np.array([int(np.nanargmin(np.abs(r - own[i] / faster))) for i in seen])
    assert (np.abs(r[at] - own[seen] / faster) < 0.05).mean() > 0.97
    change = b.values[column][at] - a.values[column][seen] / faster
    assert np.isfinite(change).mean() > 0.85
    return change[np.isfinite(change)]


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_amplitude(model: Model, record: Record, plain: Measurement, gain: float) -> None:
    scaled = model.measure(both(record, lambda s: replace(s, samples=gain * s.values)))
    assert np.median(np.abs(moved(plain, scaled, "qt_ms"))) < 4
    assert np.median(np.abs(moved(plain, scaled, "pat_ms"))) < 2
    assert np.median(np.abs(moved(plain, scaled, "rr_ms"))) < 1


def test_a_level_added_changes_nothing(model: Model, record: Record, plain: Measurement) -> None:
    lifted = model.measure(both(record, lambda s: replace(s, samples=s.values + np.float32(0.5))))
    for column in ("qt_ms", "pat_ms", "qrs_ms"):
        assert np.abs(moved(plain, lifted, column)).max() < 1.0, column


def test_an_ecg_upside_down(model: Model, record: Record, plain: Measurement) -> None:
    assert record.ecg is not None
    turned = model.measure(replace(record, ecg=replace(record.ecg, samples=-record.ecg.values)))
    told = model.measure(replace(record, ecg=replace(record.ecg, samples=-record.ecg.values, inverted=True)))
    assert np.median(np.abs(moved(plain, turned, "rr_ms"))) < 4
    assert np.median(np.abs(moved(plain, turned, "qt_ms"))) < 25
    for column in ("qt_ms", "pat_ms"):  # a file that says it is upside down is turned back
        np.testing.assert_array_equal(told.values[column], plain.values[column])


@pytest.mark.parametrize("fs_hz", [100, 250, 360, 1000])
def test_the_rate(model: Model, record: Record, plain: Measurement, fs_hz: int) -> None:
    other = model.measure(both(record, lambda s: resampled(s, fs_hz)))
    worse = 2.0 if fs_hz == 100 else 1.0  # what lies above 50 Hz is lost
    assert np.median(np.abs(moved(plain, other, "qt_ms"))) < 3 * worse
    assert np.median(np.abs(moved(plain, other, "pat_ms"))) < 2 * worse
    assert np.median(np.abs(moved(plain, other, "rr_ms"))) < 2 * worse


@pytest.mark.parametrize("faster", [0.8, 1.25])
def test_a_clock_that_runs_fast(model: Model, record: Record, plain: Measurement, faster: float) -> None:
    quick = model.measure(both(record, lambda s: replace(s, fs_hz=s.fs_hz * faster, start_s=s.start_s / faster)))
    assert np.median(np.abs(moved(plain, quick, "rr_ms", faster))) < 2
    assert np.median(np.abs(moved(plain, quick, "qt_ms", faster))) < 12
    assert np.median(np.abs(moved(plain, quick, "pat_ms", faster))) < 12


@pytest.mark.parametrize("delay_s", [0.05, 0.25])
def test_a_later_pulse(model: Model, record: Record, plain: Measurement, delay_s: float) -> None:
    assert record.ppg is not None
    later = model.measure(replace(record, ppg=replace(record.ppg, start_s=record.ppg.start_s + delay_s)))
    assert np.median(np.abs(moved(plain, later, "pat_ms") - 1000 * delay_s)) < 2
    assert np.median(np.abs(moved(plain, later, "qt_ms"))) < 4


@pytest.mark.parametrize("name", ["bidmc06", "bidmc15", "bidmc24", "bidmc34"])
def test_a_pulse_one_beat_late_is_told_or_said_to_be_open(model: Model, data_root: Path, name: str) -> None:
    (entry,) = (e for e in catalog.entries("bidmc", data_root) if e.record == name)
    record = catalog.load(entry, data_root).crop(60, 150)
    plain = model.measure(record)
    beat_s = float(np.nanmedian(plain.values["rr_ms"])) / 1000
    assert record.ppg is not None
    late = model.measure(replace(record, ppg=replace(record.ppg, start_s=record.ppg.start_s + beat_s)))
    change_ms = float(np.median(moved(plain, late, "pat_ms")))
    if late.summary["pat_own_beat"] > 0.75:
        assert abs(change_ms - 1000 * beat_s) < 3
    else:  # a very even rhythm: a delay and that delay and a beat look alike
        assert min(abs(change_ms), abs(change_ms - 1000 * beat_s)) < 15


def test_the_cut_and_the_batch(model: Model, record: Record, plain: Measurement) -> None:
    one = model.measure(record, batch=1)
    for column, values in plain.values.items():
        np.testing.assert_allclose(one.values[column], values, atol=0.1, err_msg=column)
    later = model.measure(record.crop(record.start_s + 11.3, record.end_s))
    r_s = later.values["r_peak_s"]
    inner = np.isfinite(r_s) & (r_s > record.start_s + 13)
    at = np.array([int(np.nanargmin(np.abs(plain.values["r_peak_s"] - x))) for x in r_s[inner]])
    for column, tolerance_ms in (("qt_ms", 3.0), ("pat_ms", 3.0), ("rr_ms", 2.0)):
        off = later.values[column][inner] - plain.values[column][at]
        assert np.nanmedian(np.abs(off)) < tolerance_ms, column


def test_three_times_as_fast_finds_the_beats_and_no_p_wave(model: Model, data_root: Path) -> None:
    """An ECG of 73 a minute played at 180: T meets P, and its end is said up to 45 ms late."""
    (entry,) = (e for e in catalog.entries("bidmc", data_root) if e.record == "bidmc19")
    record = catalog.load(entry, data_root).crop(60, 120)
    slow = model.measure(record)
    faster = 180 / slow.summary["heart_rate_bpm"]["ecg"]
    fast = model.measure(both(record, lambda s: replace(s, fs_hz=s.fs_hz * faster, start_s=s.start_s / faster)))
    assert np.median(np.abs(moved(slow, fast, "rr_ms", faster))) < 2
    assert fast.summary["heart_rate_bpm"]["ppg"] == pytest.approx(180, abs=2)
    assert np.isfinite(fast.values["p_onset_s"]).mean() < 0.1
    assert np.nanmedian(moved(slow, fast, "qt_ms", faster)) < 45
    assert np.nanmin(fast.values["qrs_onset_s"][1:] - fast.values["t_end_s"][:-1]) > -0.03
