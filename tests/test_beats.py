"""Beats lie where they are: exact on simulated signals, as good as the published floor on real ones."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cardiofm.data import catalog
from cardiofm.data.simulate import Simulated, simulate
from cardiofm.data.windows import window_at
from cardiofm.measure.beats import ppg_feet, ppg_peaks, pulses, r_peaks
from cardiofm.signals import InputSpec, SignalError

BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")  # the annotations of mitdb that are beats
Floats = NDArray[np.float64]


def simulated(seed: int, fs_hz: float = 250.0, **kind: object) -> Simulated:
    return simulate(10, fs_ecg_hz=fs_hz, fs_ppg_hz=fs_hz, seed=seed, **kind)  # pyright: ignore[reportArgumentType]


def inner(times_s: Floats) -> Floats:
    """Those of a 10-s window that no edge cuts."""
    return times_s[(times_s > 0.4) & (times_s < 9.4)]


def nearest(found_s: Floats, true_s: Floats) -> Floats:
    """Seconds from each true time to the found one that is nearest."""
    assert len(found_s)
    gaps = found_s[None, :] - true_s[:, None]
    return gaps[np.arange(len(true_s)), np.abs(gaps).argmin(1)]


def matched(true_s: Floats, found_s: Floats, within_s: float) -> int:
    """How many pair up one to one, in order."""
    i = j = pairs = 0
    while i < len(true_s) and j < len(found_s):
        gap = found_s[j] - true_s[i]
        if abs(gap) <= within_s:
            pairs, i, j = pairs + 1, i + 1, j + 1
        elif gap < 0:
            j += 1
        else:
            i += 1
    return pairs


@pytest.mark.parametrize("rhythm", ["sinus", "af", "bigeminy", "ectopy"])
@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 1000.0])
def test_r_peaks_and_feet_are_where_the_simulator_put_them(rhythm: str, fs_hz: float) -> None:
    for seed in range(4):
        one = simulated(seed, fs_hz, rhythm=rhythm)
        assert one.record.ecg is not None
        r_s = r_peaks(one.record.ecg.values, fs_hz)
        true_s = inner(one.beats.r_peak_s)
        wide_s = 0.06  # an ectopic beat's largest swing in the band is not its R peak exactly
        tolerance_s = np.where(one.beats.ectopic[np.isin(one.beats.r_peak_s, true_s)], wide_s, 0.008)
        assert (np.abs(nearest(r_s, true_s)) < tolerance_s).all()
        assert len(inner(r_s)) == len(true_s)


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 1000.0])
def test_feet_are_where_the_simulator_put_them_between_samples(fs_hz: float) -> None:
    for seed in range(6):
        one = simulated(seed, fs_hz)
        assert one.record.ppg is not None
        feet_s, true_s = ppg_feet(one.record.ppg.values, fs_hz), inner(one.beats.ppg_foot_s)
        assert np.abs(nearest(feet_s, true_s)).max() < 0.008
        assert len(inner(feet_s)) == len(true_s)


def test_noise_and_wander_move_beats_by_milliseconds_and_lose_none() -> None:
    for seed in range(6):
        one = simulated(seed, ecg_noise_mv=0.05, ppg_noise=0.05, ecg_wander_mv=0.5, ppg_wander=0.3)
        assert one.record.ecg is not None
        assert one.record.ppg is not None
        r_s, feet_s = r_peaks(one.record.ecg.values, 250.0), ppg_feet(one.record.ppg.values, 250.0)
        assert np.abs(nearest(r_s, inner(one.beats.r_peak_s))).max() < 0.012
        assert np.abs(nearest(feet_s, inner(one.beats.ppg_foot_s))).max() < 0.03


def test_scale_offset_and_polarity_do_not_matter() -> None:
    one = simulated(3, ecg_noise_mv=0.02)
    assert one.record.ecg is not None
    assert one.record.ppg is not None
    ecg, ppg = one.record.ecg.values.astype(np.float64), one.record.ppg.values.astype(np.float64)
    assert np.allclose(r_peaks(ecg, 250.0), r_peaks(1e-4 * ecg + 7, 250.0), atol=1e-4)
    assert np.allclose(r_peaks(ecg, 250.0), r_peaks(-ecg, 250.0), atol=1e-9)
    assert np.allclose(ppg_feet(ppg, 250.0), ppg_feet(300 * ppg - 5, 250.0), atol=1e-4)
    up, down = pulses(ppg, 250.0), pulses(-ppg, 250.0)
    assert (up.sign, down.sign) == (1, -1)
    assert np.allclose(up.foot_s, down.foot_s, atol=1e-9)


def test_each_pulse_rises_from_foot_over_steepest_point_to_peak() -> None:
    one = simulated(5)
    assert one.record.ppg is not None
    found = pulses(one.record.ppg.values, 250.0)
    assert len(found) > 5
    assert (found.foot_s < found.slope_s).all()
    assert (found.slope_s < found.peak_s).all()
    assert (found.peak_s[:-1] < found.foot_s[1:]).all()
    assert np.array_equal(found.peak_s, ppg_peaks(one.record.ppg.values, 250.0))


@pytest.mark.parametrize("values", [np.zeros(2500), np.full(2500, 0.1), np.full(2500, np.nan), np.arange(100) % 7])
def test_a_flat_absent_or_short_signal_has_no_beat(values: Floats) -> None:
    assert len(r_peaks(values, 250.0)) == 0
    assert len(ppg_feet(values, 250.0)) == 0


def test_no_beat_is_found_in_a_gap_and_those_around_it_stay() -> None:
    one = simulated(2)
    assert one.record.ecg is not None
    assert one.record.ppg is not None
    whole_r, whole_foot = r_peaks(one.record.ecg.values, 250.0), ppg_feet(one.record.ppg.values, 250.0)
    valid = np.ones(2500, bool)
    valid[1000:1500] = False
    for find, signal, whole_s in ((r_peaks, one.record.ecg, whole_r), (ppg_feet, one.record.ppg, whole_foot)):
        masked, nan = find(signal.values, 250.0, valid), signal.values.copy()
        nan[~valid] = np.nan
        assert np.array_equal(masked, find(nan, 250.0))
        assert not ((masked > 4.0) & (masked < 5.99)).any()
        far = whole_s[(whole_s < 3.3) | (whole_s > 6.9)]
        assert np.abs(nearest(masked, far)).max() < 0.004


def test_a_long_signal_gives_the_same_beats_as_its_windows() -> None:
    one = simulate(120, fs_ecg_hz=250, fs_ppg_hz=250, seed=7)
    assert one.record.ecg is not None
    whole_s = r_peaks(one.record.ecg.values, 250.0)
    for start_s in (0, 50, 110):
        part_s = inner(r_peaks(one.record.ecg.values[start_s * 250 : (start_s + 10) * 250], 250.0))
        assert np.abs(nearest(whole_s - start_s, part_s)).max() < 0.004


def test_a_table_of_channels_is_refused() -> None:
    with pytest.raises(SignalError, match=r"one-dimensional .* found shape \(2, 100\)"):
        r_peaks(np.zeros((2, 100)), 250.0)
    with pytest.raises(SignalError, match="rate must be above 0 Hz"):
        ppg_feet(np.zeros(100), 0.0)


def test_both_channels_take_milliseconds() -> None:
    one = simulated(1)
    assert one.record.ecg is not None
    assert one.record.ppg is not None
    took_s = []  # of the processor, whatever else runs
    for _ in range(20):
        begin = time.process_time()
        r_peaks(one.record.ecg.values, 250.0)
        pulses(one.record.ppg.values, 250.0)
        took_s.append(time.process_time() - begin)
    assert min(took_s) < 0.003


@pytest.mark.shared
def test_arrhythmias_are_counted_as_well_as_by_the_published_tools(data_root: Path) -> None:
    """Every fourth 10-s window of all 48 records: F1 at 150 and 50 ms (NeuroKit2 on whole records .986 and .966)."""
    import wfdb

    spec, totals = InputSpec(), np.zeros(4)
    for entry in catalog.entries("mitdb", data_root):
        record = catalog.load(entry, data_root)
        notes = wfdb.rdann(str((data_root / entry.path).with_suffix("")), "atr")
        assert notes.symbol is not None
        true_s = np.array([at / 360 for at, kind in zip(notes.sample, notes.symbol, strict=True) if kind in BEATS])
        for start_s in range(0, 1800, 40):
            window = window_at(record, spec, float(start_s))
            here_s = true_s[(true_s >= start_s) & (true_s < start_s + 10)] - start_s
            found_s = r_peaks(window.values[0], spec.fs_hz, window.valid[0])
            totals += matched(here_s, found_s, 0.15), matched(here_s, found_s, 0.05), len(here_s), len(found_s)
    f1_150, f1_50 = 2 * totals[:2] / (totals[2] + totals[3])
    assert f1_150 > 0.99
    assert f1_50 > 0.985


@pytest.mark.shared
def test_heart_and_pulse_rate_agree_with_the_monitor(data_root: Path) -> None:
    """Four windows of each bidmc record against the HR and PULSE that the monitor wrote each second."""
    spec, errors = InputSpec(), []
    for entry in catalog.entries("bidmc", data_root):
        record = catalog.load(entry, data_root)
        monitor = numerics(data_root / "bidmc/1.0.0", entry.record)
        for start_s in (20, 130, 240, 350):
            window = window_at(record, spec, record.start_s + start_s)
            r_s = r_peaks(window.values[0], spec.fs_hz, window.valid[0])
            foot_s = ppg_feet(window.values[1], spec.fs_hz, window.valid[1])
            shown = [np.nanmean(monitor[name][start_s : start_s + 12]) for name in ("HR", "PULSE")]
            errors.append([60 / np.median(np.diff(t)) - bpm for t, bpm in zip((r_s, foot_s), shown, strict=True)])
    worst = np.abs(np.array(errors))
    assert np.isfinite(worst).mean() > 0.98
    assert np.nanmedian(worst[:, 0]) < 1.0
    assert np.nanmedian(worst[:, 1]) < 1.5
    assert (np.nan_to_num(worst[:, 0], nan=99) < 5).mean() > 0.94
    assert (np.nan_to_num(worst[:, 1], nan=99) < 5).mean() > 0.91


def numerics(folder: Path, record: str) -> dict[str, Floats]:
    """The monitor's numbers of a record, one a second, NaN where it had none."""
    (path,) = folder.rglob(f"{record.replace('bidmc', 'bidmc_')}_Numerics.csv")
    header, *rows = (line.split(",") for line in path.read_text().splitlines())
    return {
        name.strip(): np.array([float(row[k]) if row[k].strip() else np.nan for row in rows])
        for k, name in enumerate(header)
    }
