"""The released model measures a simulated pair, and what is done to the signals changes the results as it should."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import numpy as np
import pytest
from scipy.signal import resample_poly

from cardiofm.data.simulate import Simulated, simulate
from cardiofm.pipeline import Model, load
from cardiofm.signals import Measurement, Record, Signal


@pytest.fixture(scope="module")
def model() -> Model:
    return load("base")


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    return simulate(30, fs_ecg_hz=500, fs_ppg_hz=125, seed=3, heart_rate_bpm=66, ecg_noise_mv=0.01, ppg_noise=0.01)


@pytest.fixture(scope="module")
def plain(model: Model, simulated: Simulated) -> Measurement:
    return model.measure(simulated.record)


def changed(signal: Signal | None, **how) -> Signal:
    assert signal is not None
    return replace(signal, **how)


def moved(a: Measurement, b: Measurement, column: str) -> np.ndarray:
    """b − a of the beats that both have, in ms."""
    r = b.values["r_peak_s"]
    at = np.array([int(np.nanargmin(np.abs(r - x))) for x in a.values["r_peak_s"] if np.isfinite(x)])
    own = a.values[column][np.isfinite(a.values["r_peak_s"])]
    both = np.isfinite(own) & np.isfinite(b.values[column][at])
    assert both.mean() > 0.9
    return (b.values[column][at] - own)[both]


def test_the_truth_is_near(plain: Measurement, simulated: Simulated) -> None:
    r = plain.values["r_peak_s"]
    near = np.array([np.nanmin(np.abs(r - x)) for x in simulated.beats.r_peak_s])
    assert (near < 0.01).mean() > 0.96
    pat = plain.summary["intervals"]["pat_ms"]["median"]
    assert abs(pat - np.nanmedian(simulated.beats.pat_ms)) < 12
    assert plain.summary["rhythm"]["label"] == "sinus"


@pytest.mark.parametrize("gain", [0.3, 3.0])
def test_amplitude_changes_nothing(model: Model, simulated: Simulated, plain: Measurement, gain: float) -> None:
    record = simulated.record
    ecg, ppg = (changed(s, samples=gain * s.values) for s in (record.ecg, record.ppg) if s is not None)
    scaled = model.measure(replace(record, ecg=ecg, ppg=ppg))
    assert np.abs(np.median(moved(plain, scaled, "qt_ms"))) < 4
    assert np.abs(moved(plain, scaled, "pat_ms")).mean() < 2


@pytest.mark.parametrize("delay_s", [0.2, 0.7])
def test_a_later_pulse_is_a_longer_pat(model: Model, simulated: Simulated, plain: Measurement, delay_s: float) -> None:
    record = simulated.record
    later = model.measure(replace(record, ppg=changed(record.ppg, start_s=delay_s)))
    change = moved(plain, later, "pat_ms")
    assert np.abs(np.median(change) - 1000 * delay_s) < 3
    assert np.abs(moved(plain, later, "qt_ms")).mean() < 4


@pytest.mark.parametrize("fs_hz", [250, 360, 1000])
def test_the_rate_changes_little(model: Model, simulated: Simulated, plain: Measurement, fs_hz: int) -> None:
    ecg, common = changed(simulated.record.ecg), gcd(fs_hz, 500)
    values = resample_poly(ecg.values.astype(np.float64), fs_hz // common, 500 // common)
    other = changed(ecg, samples=values.astype(np.float32), fs_hz=float(fs_hz))
    measured = model.measure(replace(simulated.record, ecg=other))
    assert np.abs(moved(plain, measured, "qt_ms")).mean() < 4
    assert np.abs(moved(plain, measured, "pat_ms")).mean() < 2


def test_the_batch_changes_nothing(model: Model, simulated: Simulated, plain: Measurement) -> None:
    one = model.measure(simulated.record, batch=1)
    for column, values in plain.values.items():
        np.testing.assert_allclose(one.values[column], values, atol=0.05, err_msg=column)


def test_a_channel_alone_and_nothing_at_all(model: Model, simulated: Simulated) -> None:
    record = simulated.record
    pulse = model.measure(Record("p", ppg=record.ppg))
    assert abs(pulse.summary["heart_rate_bpm"]["ppg"] - 66) < 1.5
    assert set(pulse.reasons("qt_ms")) == {"no ECG"}
    rng = np.random.default_rng(0)
    noise = Record.from_arrays(ecg=(rng.normal(size=5000), 250), ppg=(rng.normal(size=5000), 250), name="noise")
    assert len(model.measure(noise)) == 0
    hum = Record.from_arrays(ecg=(0.1 * np.sin(2 * np.pi * 50 * np.arange(5000) / 250 + 0.3), 250), name="hum")
    assert len(model.measure(hum)) == 0
    flat = model.measure(Record.from_arrays(ecg=(np.zeros(5000), 250), name="flat"))
    assert (len(flat), flat.summary["reason"][:9]) == (0, "no signal")
