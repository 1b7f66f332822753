"""A head that looks at the rhythm: numbers of all of a recording, or of each half minute of a long one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiofm import simulate
from cardiofm.heads.look import NAMES, View, look, rhythm_numbers
from cardiofm.pipeline import Model, load
from cardiofm.signals import Record, Signal

RHYTHM = View(numbers="rhythm")


@pytest.fixture(scope="module")
def tiny() -> Model:
    return load("tiny", threads=1)


def alone(modality: str, duration_s: float) -> Signal:
    """One signal of a simulated pair, from 5 s on."""
    signal = simulate(duration_s, fs_ecg_hz=250, fs_ppg_hz=125, seed=3).record.signal(modality)
    assert signal is not None
    return replace(signal, start_s=5.0)


def test_a_short_recording_has_one_rhythm(tiny: Model) -> None:
    ecg = alone("ecg", 40)
    seen = look(Record("one", ecg=ecg), tiny, RHYTHM)
    assert seen.crafted.shape == (4, len(NAMES["rhythm"]))
    np.testing.assert_array_equal(seen.crafted, np.tile(rhythm_numbers(ecg).astype(np.float32), (4, 1)))
    assert np.isfinite(seen.crafted[0]).mean() > 0.9


def test_a_long_one_has_one_for_each_half_minute(tiny: Model) -> None:
    ecg = alone("ecg", 61)  # and one second, in which nothing can be told
    seen = look(Record("one", ecg=ecg), tiny, RHYTHM)
    for k, row in enumerate(seen.crafted[:6]):
        half_minute = ecg.crop(5.0 + 30 * (k // 3), 35.0 + 30 * (k // 3))
        assert half_minute is not None
        np.testing.assert_array_equal(row, rhythm_numbers(half_minute).astype(np.float32))
    assert np.abs(np.nan_to_num(seen.crafted[0] - seen.crafted[5])).max() > 0
    assert np.isfinite(seen.mean_crafted()).mean() > 0.9


def test_a_pulse_alone_has_none(tiny: Model) -> None:
    seen = look(Record("pulse", ppg=alone("ppg", 20)), tiny, RHYTHM)
    assert np.isnan(seen.crafted).all()
