"""Windows put together again are the channel they were cut from."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm.data.join import Joiner, restore_gaps
from cardiofm.data.windows import cut
from cardiofm.signals import InputSpec, Record, Signal

SPEC = InputSpec()


def rejoin(record: Record, signal: Signal, hop_s: float, skip: tuple[int, ...] = ()) -> np.ndarray:
    join = Joiner(
        SPEC, start_s=signal.start_s, fs_hz=signal.fs_hz, n=len(signal.samples), origin_s=record.start_s,
        fade_s=SPEC.window_s - hop_s,
    )  # fmt: skip
    c = 0 if record.ecg is signal else 1
    for k, window in enumerate(cut(record, SPEC, hop_s)):
        if k not in skip:
            join.add(round((window.start_s - record.start_s) * SPEC.fs_hz), window.values[c])
    return join.finish()


@pytest.mark.parametrize("fs_hz", [62.4725, 125.0, 250.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize("hop_s", [8.96, 10.0])
def test_cut_and_join_is_the_identity(fs_hz: float, hop_s: float) -> None:
    t = np.arange(round(47.3 * fs_hz)) / fs_hz + 5.0
    x = (np.sin(2 * np.pi * 1.3 * t) + 0.3 * np.sin(2 * np.pi * 11 * t)).astype(np.float32)
    record = Record.from_arrays(ecg=(x, fs_hz), ecg_start_s=5.0)
    assert record.ecg is not None
    again = rejoin(record, record.ecg, hop_s)
    assert np.isfinite(again).all()
    middle = slice(round(2 * fs_hz), -round(2 * fs_hz))
    assert np.abs(again - x)[middle].max() < 2e-3
    assert np.abs(again - x).max() < 0.5


def test_a_window_that_is_left_out_is_nan_and_the_rest_is_not() -> None:
    x = np.sin(np.arange(500 * 45) / 60).astype(np.float32)
    record = Record.from_arrays(ecg=(x, 500.0))
    assert record.ecg is not None
    again = rejoin(record, record.ecg, 8.96, skip=(1, 2))
    nan_s = np.flatnonzero(np.isnan(again)) / 500
    assert nan_s[0] == pytest.approx(10.0, abs=0.005)
    assert nan_s[-1] == pytest.approx(3 * 8.96, abs=0.005)
    assert len(nan_s) == pytest.approx((3 * 8.96 - 10) * 500, abs=4)


def test_disagreeing_windows_fade_without_a_step() -> None:
    join = Joiner(SPEC, start_s=0.0, fs_hz=250.0, n=4740, origin_s=0.0, fade_s=1.04)
    join.add(0, np.zeros(2500, np.float32))
    join.add(2240, np.ones(2500, np.float32))
    y = join.finish()
    assert np.diff(y).max() < 1.01 / 260
    assert (y[:2240] == 0).all()
    assert (y[2500:] == 1).all()


def test_gaps_and_flat_stretches_come_back_except_where_drawn() -> None:
    x = np.sin(np.arange(250 * 300) / 30).astype(np.float32)
    x[1000:1100] = np.nan
    x[29500:30600] = x[29500]  # across the border between two pieces
    out = np.zeros(len(x), np.float32)
    restore_gaps(out, Signal(x, 250.0, "mV", "II"), [(4.0, 4.2)])
    expected = np.isnan(x)
    expected[29500:30600] = True
    expected[1000:1050] = False
    assert np.array_equal(np.isnan(out), expected)
