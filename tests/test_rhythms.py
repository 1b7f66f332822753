"""Rhythms: what is simulated is named, what cannot be read is refused with its true reason; scale does not matter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cardiofm import weights
from cardiofm.data import catalog
from cardiofm.data.simulate import simulate
from cardiofm.measure import atria, irregular
from cardiofm.measure.beats import ppg_feet, r_peaks
from cardiofm.measure.intervals import Table
from cardiofm.measure.rhythms import LABELS, NONE, WAYS, Rhythms, Told, numbers, rhythm_of
from cardiofm.signals import CheckpointError, Record

FS_HZ = 250.0


@pytest.fixture(scope="module")
def rhythms() -> Rhythms:
    return Rhythms.load(weights.HERE)


def ecg(rhythm: str, seed: int, duration_s: float = 30.0) -> np.ndarray:
    record = simulate(duration_s, fs_ecg_hz=FS_HZ, fs_ppg_hz=125.0, seed=seed, rhythm=rhythm).record
    assert record.ecg is not None
    return record.ecg.values.astype(np.float64)


def say(rhythms: Rhythms, record: Record, r_s: np.ndarray, feet_s: np.ndarray, span_s: tuple[float, float]) -> Told:
    """Through the door of the summaries, from a table with these R peaks and feet."""
    count = max(len(r_s), len(feet_s))
    values = {"r_peak_s": r_s if len(r_s) else np.full(count, np.nan), "ppg_foot_s": feet_s, "pat_ms": NONE}
    told = rhythm_of(rhythms, record)(Table(values, {}, {}), np.ones(count, bool), span_s)
    assert isinstance(told, Told)
    return told


def test_irregular_numbers_do_not_know_the_rate() -> None:
    rr_s = 0.8 + 0.1 * np.sin(np.arange(40) ** 2)
    a, b = irregular.irregular(rr_s), irregular.irregular(1.5 * rr_s)
    free = [k for k, name in enumerate(irregular.NAMES) if not name.endswith("_s")]
    np.testing.assert_allclose(a[free], b[free], atol=1e-9)


def test_unknown_intervals_are_left_out_not_bridged() -> None:
    rr_s = 0.8 + 0.01 * np.sin(np.arange(40.0))
    rr_s[20] = np.nan
    found = dict(zip(irregular.NAMES, irregular.irregular(rr_s), strict=True))
    assert found["max_s"] < 0.82
    assert found["rmssd"] < 0.02
    assert not any(np.isnan(v) for v in found.values())


def test_early_beats_leave_what_is_robust() -> None:
    rr_s = 0.8 + 0.005 * np.sin(np.arange(40.0))
    rr_s[[10, 25]], rr_s[[11, 26]] = 0.5, 1.1
    found = dict(zip(irregular.NAMES, irregular.irregular(rr_s), strict=True))
    assert found["rmssd"] > 0.1 > 0.02 > found["without_early_rmssd"]
    assert found["early_late"] == pytest.approx(2 / 39)


def test_bigeminy_is_even_from_beat_to_next_but_one() -> None:
    found = dict(zip(irregular.NAMES, irregular.irregular(np.tile([0.6, 1.0], 15)), strict=True))
    assert found["rmssd2"] < 1e-9 < 0.4 < found["rmssd"]
    assert found["two_groups"] < 1e-9


def test_numbers_do_not_know_the_scale() -> None:
    x = ecg("sinus", 3)
    r_s = r_peaks(x, FS_HZ)
    a, b = numbers(r_s, x, FS_HZ), numbers(r_s, 7 * x, FS_HZ)
    assert len(a) == len(WAYS["ecg"])
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_beat_without_its_r_peak_makes_no_pause() -> None:
    x = ecg("sinus", 3)
    r_s = r_peaks(x, FS_HZ)
    at = WAYS["ecg"].index("max_s")
    lost = r_s[10]
    rest = np.delete(r_s, 10)
    assert numbers(rest, x, FS_HZ)[at] > 1.5 * numbers(r_s, x, FS_HZ)[at]
    assert numbers(rest, x, FS_HZ, unsure_s=np.array([lost]))[at] <= numbers(r_s, x, FS_HZ)[at]


def test_p_waves_are_seen_where_they_are() -> None:
    at = [atria.NAMES.index(name) for name in ("p_halves", "p_sure")]
    found = {}
    for rhythm in ("sinus", "af"):
        each = []
        for seed in range(6):
            x = ecg(rhythm, seed)
            each.append(atria.atria(x, np.isfinite(x), r_peaks(x, FS_HZ), FS_HZ)[at])
        found[rhythm] = np.median(each, axis=0)
    assert (found["sinus"] > found["af"]).all()


def test_simulated_rhythms_are_named(rhythms: Rhythms) -> None:
    for rhythm, label in (("af", "af"), ("sinus", "sinus")):
        told = []
        for seed in range(10):
            x = ecg(rhythm, seed)
            told.append(rhythms.classify(r_peaks(x, FS_HZ), x, FS_HZ))
        assert sum(t.label == label for t in told) >= 8, [(t.label, t.chances) for t in told]
        for t in told:
            assert sum(t.chances.values()) == pytest.approx(1)
            assert t.probability == t.chances[t.label]


def test_the_pulse_alone_names_af(rhythms: Rhythms) -> None:
    right = 0
    for rhythm in ("af", "sinus"):
        for seed in range(6):
            record = simulate(30.0, fs_ecg_hz=FS_HZ, fs_ppg_hz=125.0, seed=seed, rhythm=rhythm).record
            assert record.ppg is not None
            only = Record("pulse", ppg=record.ppg)
            feet_s = ppg_feet(record.ppg.values, record.ppg.fs_hz) + record.ppg.start_s
            told = say(rhythms, only, NONE, feet_s, (only.start_s, only.end_s))
            right += (told.label == "af") == (rhythm == "af")
    assert right >= 10


def test_a_long_record_is_told_by_its_stretches(rhythms: Rhythms) -> None:
    record = simulate(150.0, fs_ecg_hz=FS_HZ, fs_ppg_hz=125.0, seed=4, rhythm="af").record
    assert record.ecg is not None
    r_s = r_peaks(record.ecg.values, record.ecg.fs_hz) + record.ecg.start_s
    whole = say(rhythms, record, r_s, np.full(len(r_s), np.nan), (record.start_s, record.end_s))
    parts = [
        say(rhythms, record, r_s, np.full(len(r_s), np.nan), (s, s + 30.0))
        for s in np.arange(record.start_s, record.end_s - 29, 30.0)
    ]
    mean = np.mean([p.chances["af"] for p in parts if p.label != "unreadable"])
    assert whole.label == "af"
    assert whole.chances["af"] == pytest.approx(mean, abs=0.05)


@pytest.mark.parametrize(
    ("seconds", "reason"), [(5.0, "less than 9 s of ECG"), (30.0, "too few beats")], ids=["short", "no beats"]
)
def test_what_cannot_be_read_has_its_reason(rhythms: Rhythms, seconds: float, reason: str) -> None:
    t = np.arange(round(seconds * FS_HZ)) / FS_HZ
    told = rhythms.classify(np.array([1.0, 2.0]), np.sin(2 * np.pi * t), FS_HZ)
    assert (told.label, told.reason, told.chances["unreadable"]) == ("unreadable", reason, 1.0)


def test_no_signal_at_all(rhythms: Rhythms) -> None:
    record = Record.from_arrays(ppg=(np.zeros(6000), 125.0))
    told = say(rhythms, record, NONE, NONE, (0.0, 48.0))
    assert (told.label, told.reason) == ("unreadable", "too few beats")


def test_files_of_another_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"must hold rhythm\.json"):
        Rhythms.load(tmp_path)
    for name in ("rhythm.json", "rhythm.safetensors"):
        shutil.copy(weights.HERE / name, tmp_path)
    about = json.loads((tmp_path / "rhythm.json").read_text(encoding="utf-8"))
    about["numbers"]["ecg"][0] = "another"
    (tmp_path / "rhythm.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(CheckpointError, match="must ask for the numbers"):
        Rhythms.load(tmp_path)


@pytest.mark.shared
def test_real_records_at_another_rate_say_the_same(rhythms: Rhythms, data_root: Path) -> None:
    from scipy.signal import resample_poly

    change = []
    for entry in catalog.entries("challenge-2017", data_root)[:20]:
        found = catalog.load(entry, data_root).ecg
        assert found is not None
        x = found.values.astype(np.float64)
        y = resample_poly(x, 5, 3)
        a, b = (rhythms.classify(r_peaks(v, fs), v, fs) for v, fs in ((x, 300.0), (y, 500.0)))
        change.append(max(abs(a.chances[name] - b.chances[name]) for name in LABELS))
    assert np.median(change) < 0.05
    assert np.mean(np.array(change) < 0.2) >= 0.8
