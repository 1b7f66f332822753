"""Recorded noise: the ratio that was asked for, in band, from the part that training never heard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiofm.data import catalog
from cardiofm.data.prepare import NOISE_S
from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.evaluate import noise
from cardiofm.measure.band import in_band, power_in_band
from cardiofm.signals import InputSpec, SignalError, Window

SPEC = InputSpec()
RECORDED = {
    f"{kind}-{c}": np.cumsum(np.random.default_rng(i).normal(size=20_000)).astype(np.float32)
    for i, (kind, c) in enumerate([("em", 1), ("em", 2), ("ma", 1), ("ma", 2)])
}


@pytest.fixture
def window() -> Window:
    return window_at(simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=3).record, SPEC, 0.0)


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("snr_db", [24.0, 0.0, -6.0])
def test_the_ratio_in_band_is_what_was_asked_for(window, channel, snr_db):
    loud = noise.noisy(window, channel, snr_db, SPEC.fs_hz, RECORDED, "a")
    added = loud.values[channel] - window.values[channel]
    modality = SPEC.channels[channel]
    power = [power_in_band(x, window.valid[channel], SPEC.fs_hz, modality) for x in (window.values[channel], added)]
    assert 10 * np.log10(power[0] / power[1]) == pytest.approx(snr_db, abs=0.01)
    np.testing.assert_array_equal(loud.values[1 - channel], window.values[1 - channel])


def test_the_name_alone_chooses_the_piece(window):
    made = {
        (name, snr): noise.noisy(window, 0, snr, SPEC.fs_hz, RECORDED, name).values[0] - window.values[0]
        for name in ("a", "b")
        for snr in (6.0, 0.0)
    }
    np.testing.assert_allclose(made["a", 0.0], made["a", 6.0] * 10 ** (6 / 20), rtol=1e-3, atol=1e-4)
    assert abs(np.corrcoef(made["a", 0.0], made["b", 0.0])[0, 1]) < 0.999


def test_gaps_stay_empty_and_a_flat_channel_is_refused(window):
    valid = window.valid.copy()
    valid[0, 500:900] = False
    gapped = replace(window, values=np.where(valid, window.values, np.float32(0)), valid=valid)
    assert not noise.noisy(gapped, 0, 0.0, SPEC.fs_hz, RECORDED, "a").values[0, 500:900].any()
    flat = replace(window, values=np.ones_like(window.values))
    with pytest.raises(SignalError, match="power in band"):
        noise.noisy(flat, 0, 0.0, SPEC.fs_hz, RECORDED, "a")


def test_a_tone_in_band_stays_and_one_out_of_band_goes():
    t = np.arange(2500) / 250
    tone, drift = np.sin(2 * np.pi * 5 * t), 10 * np.sin(2 * np.pi * 0.1 * t)
    everywhere = np.ones(2500, bool)
    kept = in_band(tone + drift, everywhere, 250.0, "ecg")
    assert np.corrcoef(kept[250:-250], tone[250:-250])[0, 1] > 0.95
    assert power_in_band(drift, everywhere, 250.0, "ecg") < 0.1 * np.mean(drift**2)


@pytest.mark.shared
def test_only_the_last_ten_minutes_are_heard(data_root):
    held = noise.held_out(data_root, SPEC.fs_hz)
    assert sorted(held) == ["em-1", "em-2", "ma-1", "ma-2"]
    entry = next(e for e in catalog.entries("nstdb", data_root) if e.record == "em-1")
    behind = window_at(catalog.load(entry, data_root), InputSpec(window_s=10.0), NOISE_S + 60.0)
    np.testing.assert_allclose(held["em-1"][15_000:17_500], behind.values[0], atol=1e-3)
    assert all(len(x) == 600 * SPEC.fs_hz for x in held.values())
