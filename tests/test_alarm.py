"""Numbers of the seconds before an alarm: what they say of real alarms, and what must not change them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import cardiofm
from cardiofm.data import catalog
from cardiofm.measure.alarm import LAST_S, LOOK_S, MEANING, NAMES, numbers
from cardiofm.measure.unusual import FS_HZ, wave
from cardiofm.signals import Record

ALARM_S = 300.0


@cache
def model() -> cardiofm.Model:
    return cardiofm.load()


def told(record: Record, alarm_s: float = ALARM_S) -> dict[str, float]:
    return dict(zip(NAMES, numbers(record, model().gather(record), alarm_s), strict=True))


@cache
def read(kind: str, data_root: Path, until_s: float = ALARM_S) -> Record:
    """The first true alarm of a kind that has a PPG."""
    for entry in catalog.entries("challenge-2015", data_root):
        if entry.labels["alarm"] == kind and entry.labels["true_alarm"]:
            record = catalog.load(entry, data_root)
            if record.ecg is not None and record.ppg is not None:
                return record.crop(ALARM_S - LOOK_S, until_s)
    raise AssertionError(kind)


def test_every_number_has_a_meaning() -> None:
    assert tuple(MEANING) == NAMES
    assert all(MEANING.values())


def test_a_sine_keeps_its_height_and_its_place() -> None:
    at_s = np.arange(10_000) / 250
    record = Record.from_arrays(ecg=(np.sin(2 * np.pi * 5 * at_s), 250))
    x = wave(record.ecg, (1.0, 30.0), 0, 40)
    assert x is not None
    middle = slice(round(5 * FS_HZ), round(35 * FS_HZ))
    clock_s = np.arange(round(40 * FS_HZ)) / FS_HZ
    assert np.abs(x - np.sin(2 * np.pi * 5 * clock_s))[middle].max() < 0.05
    assert wave(None, (1.0, 30.0), 0, 40) is None


@pytest.mark.shared
def test_a_pause_and_a_fast_rhythm_are_seen(data_root: Path) -> None:
    pause, fast = told(read("Asystole", data_root)), told(read("Tachycardia", data_root))
    assert pause["ecg_sure_gap_s"] > 2.5
    assert fast["ecg_sure_gap_s"] < 1.5
    assert fast["ecg_sure_fastest_17_bpm"] > 130
    assert not pause["ecg_sure_slowest_5_bpm"] > 100


@pytest.mark.shared
def test_nothing_after_the_alarm_is_looked_at(data_root: Path) -> None:
    record = read("Tachycardia", data_root, ALARM_S + 20)
    ecg, ppg = record.ecg, record.ppg
    assert ecg is not None
    assert ppg is not None
    found = model().gather(record)
    changed = [s.read(s.start_s, s.end_s).copy() for s in (ecg, ppg)]
    for one, signal in zip(changed, (ecg, ppg), strict=True):
        one[round((ALARM_S - signal.start_s) * signal.fs_hz) :] = 7.0
    other = Record.from_arrays(
        ecg=(changed[0], ecg.fs_hz), ppg=(changed[1], ppg.fs_hz), ecg_start_s=ecg.start_s, ppg_start_s=ppg.start_s
    )
    np.testing.assert_array_equal(numbers(record, found, ALARM_S), numbers(other, found, ALARM_S))


@pytest.mark.shared
def test_a_gain_changes_only_the_height_in_its_unit(data_root: Path) -> None:
    record = read("Tachycardia", data_root)
    ecg, ppg = record.ecg, record.ppg
    assert ecg is not None
    assert ppg is not None
    found = model().gather(record)
    louder = replace(
        record, ecg=Record.from_arrays(ecg=(3 * ecg.values, ecg.fs_hz), ecg_start_s=ecg.start_s).ecg, ppg=ppg
    )
    before, after = (dict(zip(NAMES, numbers(r, found, ALARM_S), strict=True)) for r in (record, louder))
    assert after.pop("ecg_unit_height") == pytest.approx(before.pop("ecg_unit_height") + np.log(3), abs=1e-6)
    np.testing.assert_allclose(list(after.values()), list(before.values()), rtol=1e-4, atol=1e-5)


@pytest.mark.shared
def test_an_absent_signal_says_nothing(data_root: Path) -> None:
    alone = told(replace(read("Asystole", data_root), ppg=None))
    assert alone["ppg_likely_beats"] == 0
    assert alone["ppg_known"] == 0
    assert np.isnan(alone["ppg_unit_height"])
    assert np.isfinite(alone["ecg_unit_height"])
    assert alone["ppg_likely_gap_s"] == LAST_S
