"""Windows: exact times at every rate and offset, the same values whatever the cut, and nothing invented in gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiofm.data import catalog
from cardiofm.data.windows import cut, flat, resample, window_at
from cardiofm.signals import InputSpec, Record, Signal, SignalError

SPEC = InputSpec()


def tone(t_s, hz=7.0):
    return np.sin(2 * np.pi * hz * t_s) + 0.5 * np.cos(2 * np.pi * 1.3 * t_s)


@pytest.mark.parametrize("fs_hz", [29.97, 64.0, 100.0, 125.0, 128.0, 250.0, 256.0, 300.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize("offset_s", [0.0, 0.1, 0.0137])
def test_sample_n_lies_at_start_plus_n_over_fs(fs_hz, offset_s):
    source = tone(np.arange(round(40 * fs_hz)) / fs_hz - offset_s)
    values, valid = resample(source, fs_hz, -offset_s, 250.0, 10.0, 2500)
    assert valid.all()
    assert np.abs(values - tone(10.0 + np.arange(2500) / 250)).max() < 1e-3


def test_a_sine_survives_to_250_hz_and_back():
    source = tone(np.arange(5000) / 125).astype(np.float32)
    source[2000:2100] = np.nan
    up, up_valid = resample(source, 125.0, 0.0, 250.0, 0.0, 10000)
    up[~up_valid] = np.nan
    back, valid = resample(up, 250.0, 0.0, 125.0, 0.0, 5000)
    away = np.ones(5000, bool)
    away[:150] = away[-150:] = away[1850:2250] = False
    assert valid[away].all()
    assert not valid[2000:2100].any()
    assert np.abs(back - source)[away].max() < 1e-3


@settings(max_examples=25, deadline=None)
@given(delay_s=st.floats(-2.0, 2.0), fs_hz=st.sampled_from([125.0, 250.0, 300.0, 500.0]))
def test_a_later_start_shifts_the_values_by_exactly_that(delay_s, fs_hz):
    t = np.arange(round(30 * fs_hz)) / fs_hz
    values, valid = resample(tone(t), fs_hz, delay_s, 250.0, 10.0, 1000)
    assert valid.all()
    assert np.abs(values - tone(10.0 - delay_s + np.arange(1000) / 250)).max() < 1e-3


def test_equal_rate_and_grid_is_a_copy():
    source = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    values, valid = resample(source, 250.0, 3.0, 250.0, 2.0, 500)
    assert not valid[:250].any()
    assert np.array_equal(values[250:], source[:250])


def test_what_the_new_rate_cannot_hold_is_gone():
    values, _ = resample(np.sin(2 * np.pi * 200 * np.arange(20000) / 1000), 1000.0, 0.0, 250.0, 5.0, 2000)
    assert np.abs(values).max() < 1e-3


@pytest.mark.parametrize("fs_hz", [125.0, 250.0, 360.0, 1000.0])
def test_the_same_values_whatever_the_cut(fs_hz):
    rng = np.random.default_rng(1)
    n = round(70 * fs_hz)
    source = (np.cumsum(rng.normal(size=n)) * 0.05 + rng.normal(size=n)).astype(np.float32)
    source[round(31.5 * fs_hz) : round(32.1 * fs_hz)] = np.nan
    source[round(44.0 * fs_hz) : round(52.0 * fs_hz)] = 1.5  # flat, across two windows' borders
    record = Record.from_arrays(ppg=(source, fs_hz), ppg_start_s=0.0031)
    for k, whole in enumerate(cut(record, SPEC, hop_s=5.0)):
        if not 1 <= k <= 10:
            continue
        alone = window_at(record.crop(whole.start_s - 5, whole.start_s + 15), SPEC, whole.start_s)
        assert np.array_equal(alone.valid, whole.valid)
        assert np.abs(alone.values - whole.values).max() < 2e-3 * np.nanstd(source)


def test_gaps_and_flat_lines_are_not_valid_and_zero():
    ecg = np.sin(np.arange(5000) / 9).astype(np.float32)
    ecg[1000:1010] = np.nan
    ecg[2000:2600] = 0.7
    ecg[3000:3400] = 0.7  # 1.6 s: shorter than what counts as flat
    window = next(cut(Record.from_arrays(ecg=(ecg, 250.0)), InputSpec(window_s=20)))
    expected = np.ones(5000, bool)
    expected[1000:1010] = expected[2000:2600] = False
    assert np.array_equal(window.valid[0], expected)
    assert (window.values[~window.valid] == 0).all()
    assert not window.valid[1].any()


@given(st.integers(0, 60), st.integers(1, 30), st.integers(0, 60))
def test_flat_finds_the_run_if_it_is_long_enough(before, run, after):
    values = np.concatenate((np.arange(before), np.full(run, -9.0), np.arange(after) + 100)).astype(np.float32)
    assert flat(values, fs_hz=10.0).sum() == (run if run >= 20 else 0)


def test_windows_cover_the_record_to_its_end_and_a_short_one_gives_one():
    record = Record.from_arrays(ecg=(tone(np.arange(2600) / 100), 100.0), ecg_start_s=5.0)
    windows = list(cut(record, SPEC, hop_s=4.0))
    assert [w.start_s for w in windows] == [5.0, 9.0, 13.0, 17.0, 21.0]
    assert windows[3].valid[0].mean() > 0.99
    assert windows[4].valid[0].sum() == pytest.approx(2500, abs=3)
    short = list(cut(Record.from_arrays(ppg=(tone(np.arange(300) / 100), 100.0)), SPEC))
    assert len(short) == 1
    assert short[0].valid[1].sum() == pytest.approx(750, abs=3)


@pytest.mark.parametrize("hop_s", [0.0, -1.0, 10.5])
def test_a_hop_that_leaves_gaps_or_stands_still_is_refused(hop_s):
    with pytest.raises(SignalError, match="hop must be above 0 and at most the window"):
        next(cut(Record.from_arrays(ecg=(np.arange(9.0), 100.0)), SPEC, hop_s=hop_s))


def test_channels_with_their_own_rate_and_start_share_one_clock():
    def bump(t):
        return np.exp(-(((t - 6.0) / 0.05) ** 2)) + 0.01 * t

    ecg, ppg = bump(np.arange(5000) / 500 + 0.5), bump(np.arange(1000) / 100 + 2.013)
    record = Record.from_arrays(ecg=(ecg, 500.0), ppg=(ppg, 100.0), ecg_start_s=0.5, ppg_start_s=2.013)
    window = next(cut(record, SPEC))
    assert window.start_s == 0.5
    assert window.values.argmax(1).tolist() == [1375, 1375]
    assert window.valid[1].argmax() == np.ceil((2.013 - 0.5) * 250)
    assert window.in_mv.tolist() == [True, False]


def test_a_day_is_read_in_pieces():
    class Day:
        longest = 0

        def __len__(self):
            return 24 * 3600 * 500

        def __getitem__(self, index):
            Day.longest = max(Day.longest, index.stop - index.start)
            return tone(np.arange(index.start, index.stop) / 500)

    windows = cut(Record("day", ecg=Signal(Day(), 500.0, "mV", "II")), SPEC)
    assert next(windows).valid[0].all()
    last = window_at(Record("day", ecg=Signal(Day(), 500.0, "mV", "II")), SPEC, 24 * 3600 - 20.0)
    assert np.abs(last.values[0] - tone(24 * 3600 - 20 + np.arange(2500) / 250)).max() < 1e-3
    assert Day.longest < 20 * 500


@pytest.mark.shared
def test_real_gaps_and_flat_lines_are_masked(data_root):
    entry = next(e for e in catalog.entries("challenge-2015", data_root) if e.record == "a103l")
    record = catalog.load(entry, data_root)
    assert record.ppg is not None
    windows = list(cut(record, SPEC))
    assert len(windows) == 33
    for window in windows:
        part = record.ppg.read(window.start_s, window.start_s + 10)
        assert np.array_equal(window.values[1][window.valid[1]], part[window.valid[1]])
        assert not window.valid[1][np.isnan(part)].any()
