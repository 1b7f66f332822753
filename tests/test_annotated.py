"""Takes for the fiducial head: marks on the take's clock, where a reader looked, folds that share no patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cardiofm.data import catalog
from cardiofm.data.catalog import mitdb, qtdb
from cardiofm.data.simulate import simulate
from cardiofm.measure.beats import pulses, r_peaks
from cardiofm.signals import EVENTS, InputSpec
from cardiofm.train import annotated
from cardiofm.train.annotated import ECG, FOLDS, FOOT, R

SPEC = InputSpec()


def test_the_folds_share_no_patient_and_twins_stay_together() -> None:
    assert {annotated.fold_of(f"ludb-{i}") for i in range(40)} == set(range(FOLDS))
    assert annotated.fold_of(mitdb.patient_of("202")) == annotated.fold_of(mitdb.patient_of("201"))
    assert annotated.fold_of(qtdb.patient_of("sel102")) == annotated.fold_of(mitdb.patient_of("102"))


@pytest.mark.shared
def test_manual_takes_have_their_marks_where_the_waves_are(data_root: Path) -> None:
    entries = {f"{e.dataset}": 0 for d in ("ludb", "qtdb", "mitdb") for e in catalog.entries(d, data_root)}
    for take in annotated.manual(data_root, SPEC, only=1):
        entries[take.kind] += 1
        assert take.fold == 1
        r_s = take.beats_s[:, R]
        found_s = r_peaks(take.values[0], SPEC.fs_hz, take.valid[0])
        nearest_s = np.abs(found_s[None] - r_s[:, None]).min(1)
        assert np.median(nearest_s) < (0.08 if take.kind == "ludb" else 0.005)  # a reader may call an S wave the peak
        at = np.clip(np.rint(r_s * SPEC.fs_hz).astype(int), 0, take.looked.shape[1] - 1)
        assert take.looked[R, at].mean() > 0.95
        if take.kind == "qtdb":  # marked for a minute or so; before and behind nobody looked
            assert not take.looked[:, 0].any()
            assert not take.looked[:, -1].any()
        assert not take.looked[FOOT].any()
    assert entries == {
        d: sum(annotated.fold_of(e.patient) == 1 for e in catalog.entries(d, data_root)) for d in entries
    }


def test_r_peaks_and_feet_that_keep_step_are_paired_and_others_are_not() -> None:
    made = simulate(60, fs_ecg_hz=250, fs_ppg_hz=250, seed=3, heart_rate_bpm=75, pat_ms=300, pat_drift_ms=5)
    assert made.record.ecg is not None
    assert made.record.ppg is not None
    peaks_s = r_peaks(made.record.ecg.values, 250.0)
    found = pulses(made.record.ppg.values, 250.0)
    pairs = annotated.paired(peaks_s, found)
    assert pairs is not None
    foot, lag_s = pairs
    assert lag_s == pytest.approx(0.3, abs=0.02)
    assert (foot >= 0).mean() > 0.95
    other = simulate(60, fs_ecg_hz=250, fs_ppg_hz=250, seed=4, heart_rate_bpm=52)
    assert other.record.ecg is not None
    assert annotated.paired(r_peaks(other.record.ecg.values, 250.0), found) is None


def test_simulated_takes_are_exact_and_nothing_has_no_beat() -> None:
    rng = np.random.default_rng(5)
    take = annotated.simulated(SPEC, rng)
    r_s = take.beats_s[:, R]
    high = np.abs(take.values[0] - np.median(take.values[0]))
    at = np.rint(r_s[(r_s > 0.1) & (r_s < 9.9)] * SPEC.fs_hz).astype(int)
    assert (high[at] > np.quantile(high, 0.8)).mean() > 0.9
    assert take.looked[[R, FOOT], 1000].all()
    assert not take.looked[EVENTS.index("t_end")].any()
    for _ in range(8):
        empty = annotated.nothing(SPEC, rng, {"em": rng.normal(size=(2, 5000)).astype(np.float32)})
        assert len(empty.beats_s) == 0
        assert empty.looked.all()
        assert empty.values[ECG.start].std() > 0
