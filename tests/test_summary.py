"""Figures of a record and of every 30 s of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cardiofm.data.simulate import simulate
from cardiofm.measure.confidence import Calibration
from cardiofm.measure.gather import Gatherer
from cardiofm.measure.intervals import beat_table
from cardiofm.measure.rows import rows
from cardiofm.measure.summary import summaries
from cardiofm.signals import INTERVALS, Rhythm
from oracle import measured, truth


@pytest.fixture(scope="module")
def simulated():
    return simulate(100, fs_ecg_hz=250, fs_ppg_hz=125, seed=8, heart_rate_bpm=66, qt_ms=390, pat_ms=260)


def test_figures_are_those_of_the_beats(simulated) -> None:
    m = measured(simulated.record, truth(simulated))
    whole, beats = m.summary, simulated.beats
    rate = 60 / np.diff(beats.r_peak_s).mean()
    assert whole["heart_rate_bpm"]["ecg"] == pytest.approx(rate, abs=0.3)
    assert whole["heart_rate_bpm"]["ppg"] == pytest.approx(rate, abs=0.3)
    assert whole["intervals"]["qt_ms"]["median"] == pytest.approx(np.nanmedian(beats.qt_ms), abs=1)
    assert whole["intervals"]["pat_ms"]["median"] == pytest.approx(np.nanmedian(beats.pat_ms), abs=1.5)
    assert whole["intervals"]["qt_ms"]["coverage"] > 0.97
    assert whole["hrv"]["sdnn_ms"] == pytest.approx(1000 * np.diff(beats.r_peak_s).std(ddof=1), rel=0.05)
    assert whole["reason"] is None
    json.dumps(whole, allow_nan=False)


def test_every_half_minute_has_its_row(simulated) -> None:
    m = measured(simulated.record, truth(simulated), gaps={0: [(30.0, 60.0)], 1: [(30.0, 60.0)]})
    assert [(s["start_s"], s["end_s"]) for s in m.stretches] == [(0, 30), (30, 60), (60, 90), (90, 100)]
    silent = m.stretches[1]
    assert silent["beats"] <= 1  # one may have its foot in the first known second
    assert (silent["ecg_known"], silent["qt_ms"], silent["heart_rate_ecg_bpm"]) == (0.0, None, None)
    first = m.stretches[0]
    r = simulated.beats.r_peak_s
    own = simulated.beats.pat_ms[(r >= 0) & (r < 30)]
    assert first["pat_ms"] == pytest.approx(np.nanmedian(own), abs=2)
    assert first["pat_change_ms"] == pytest.approx(
        first["pat_ms"] - m.summary["intervals"]["pat_ms"]["median"], abs=0.02
    )
    assert sum(s["beats"] for s in m.stretches) == len(m)
    assert len({tuple(s) for s in m.stretches}) == 1
    assert set(INTERVALS[1:]) < set(first)


def test_rhythm_is_asked_of_every_stretch(simulated) -> None:
    asked = []

    def rhythm_of(table, mask, span_s):
        asked.append((int(mask.sum()), span_s))
        return Rhythm("sinus", 0.9) if mask.sum() > 20 else None

    record = replace(simulated.record)
    nothing = Gatherer().finish()
    found = rows(nothing, (True, True), Calibration())
    whole, stretches = summaries(beat_table(nothing, found, Calibration()), nothing, (0.0, 60.0), 10.0, rhythm_of)
    assert [span for _, span in asked] == [(0.0, 60.0), (0.0, 30.0), (30.0, 60.0)]
    assert whole["rhythm"] is None
    assert stretches[0]["rhythm"] is None
    assert record.duration_s == 100
