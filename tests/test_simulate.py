"""The simulated truth is what a ruler finds in the simulated waves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cardiofm.data.simulate import RHYTHMS, Simulated, simulate
from cardiofm.signals import Signal, SignalError

FINE_HZ = 2000.0
DEFAULTS: dict[str, Any] = {"duration_s": 10, "fs_ecg_hz": 500, "fs_ppg_hz": 125, "seed": 0}


def fine(duration_s: float = 20, **options) -> Simulated:
    return simulate(duration_s, **{"fs_ecg_hz": FINE_HZ, "fs_ppg_hz": FINE_HZ, "seed": 3} | options)


def ecg(simulated: Simulated) -> Signal:
    assert simulated.record.ecg is not None
    return simulated.record.ecg


def ppg(simulated: Simulated) -> Signal:
    assert simulated.record.ppg is not None
    return simulated.record.ppg


def intersecting_tangent_s(values: np.ndarray, near_s: float) -> float:
    """Foot by the tangent at the steepest point and the minimum before it, within 0.2 s of `near_s`."""
    first = max(0, round((near_s - 0.1) * FINE_HZ))
    part = values[first : round((near_s + 0.15) * FINE_HZ)].astype(float)
    slope = np.gradient(part) * FINE_HZ
    steep = int(np.argmax(slope))
    low = part[: steep + 1].min()
    return (first + steep) / FINE_HZ - (part[steep] - low) / slope[steep]


@pytest.mark.parametrize("rhythm", RHYTHMS)
@pytest.mark.parametrize("seed", range(4))
def test_feet_are_where_intersecting_tangents_meet(rhythm: str, seed: int) -> None:
    s = fine(rhythm=rhythm, seed=seed)
    feet = s.beats.ppg_foot_s[np.isfinite(s.beats.ppg_foot_s)]
    feet = feet[(feet > 0.2) & (feet < 19.8)]
    found = [intersecting_tangent_s(ppg(s).values, foot) for foot in feet]
    assert len(found) > 15
    np.testing.assert_allclose(found, feet, atol=0.001)


@pytest.mark.parametrize("rhythm", ["sinus", "bigeminy", "ectopy"])
@pytest.mark.parametrize("seed", range(4))
def test_waves_leave_and_reach_the_baseline_at_the_stated_points(rhythm: str, seed: int) -> None:
    s = fine(rhythm=rhythm, seed=seed, heart_rate_bpm=60)
    values, b = ecg(s).values, s.beats
    for end_s in b.t_end_s[np.isfinite(b.t_end_s)][:-1]:
        after = round(np.ceil(end_s * FINE_HZ))
        assert np.all(values[after : after + 4] == 0)
        assert np.all(values[after - 30 : after - 4] != 0)
    for onset_s in b.qrs_onset_s[np.isfinite(b.qrs_onset_s)][1:]:
        last = int(onset_s * FINE_HZ)
        assert abs(values[last]) < 1e-9
        assert np.all(values[last + 4 : last + 24] != 0)


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_r_peaks_are_the_extrema(rhythm: str) -> None:
    s = fine(rhythm=rhythm)
    for r_s in s.beats.r_peak_s:
        first = max(0, round((r_s - 0.03) * FINE_HZ))
        top = first + int(np.argmax(ecg(s).values[first : round((r_s + 0.03) * FINE_HZ)]))
        assert abs(top / FINE_HZ - r_s) < 0.0015


def test_delaying_the_ppg_grows_pat_by_the_delay_and_moves_the_pulse() -> None:
    early, late = fine(pat_ms=250), fine(pat_ms=290)
    both = np.isfinite(late.beats.pat_ms)
    np.testing.assert_allclose((late.beats.pat_ms - early.beats.pat_ms)[both], 40, atol=1e-6)
    np.testing.assert_array_equal(ecg(early).values, ecg(late).values)
    shift = round(0.040 * FINE_HZ)
    np.testing.assert_allclose(ppg(late).values[shift:], ppg(early).values[:-shift], atol=0.02)


def test_given_heart_rate_qt_and_pat_are_honoured() -> None:
    for bpm in (45, 75, 150):
        s = simulate(
            300, fs_ecg_hz=100, fs_ppg_hz=100, seed=bpm, heart_rate_bpm=bpm, qt_ms=380 if bpm < 100 else 260, pat_ms=240
        )
        assert abs(len(s.beats) / 5 - bpm) < 1
        assert abs(np.nanmean(s.beats.pat_ms) - 240) < 4
        assert 3 < np.nanstd(s.beats.pat_ms) < 20
        assert abs(np.nanmean(s.beats.qt_ms) - (380 if bpm < 100 else 260)) < 3
    still = simulate(30, fs_ecg_hz=100, fs_ppg_hz=100, seed=1, pat_ms=240, pat_drift_ms=0)
    np.testing.assert_allclose(still.beats.pat_ms[np.isfinite(still.beats.pat_ms)], 240)


def test_qt_follows_rr_across_rates_by_the_cube_root() -> None:
    slow, fast = (fine(60, heart_rate_bpm=bpm, seed=5) for bpm in (50, 90))
    ratio = np.nanmean(slow.beats.qt_ms) / np.nanmean(fast.beats.qt_ms)
    assert ratio == pytest.approx((90 / 50) ** (1 / 3), rel=0.01)


def test_rhythms_look_like_themselves() -> None:
    rr = {
        r: np.diff(fine(120, rhythm=r, heart_rate_bpm=75, fs_ecg_hz=100, fs_ppg_hz=100).beats.r_peak_s) for r in RHYTHMS
    }
    assert np.std(rr["af"]) / np.mean(rr["af"]) > 0.15 > 0.07 > np.std(rr["sinus"]) / np.mean(rr["sinus"])
    alternate = np.diff(rr["bigeminy"])
    assert np.all(alternate[1:] * alternate[:-1] < 0)
    s = fine(120, rhythm="ectopy", fs_ecg_hz=100, fs_ppg_hz=100)
    assert 0.04 < s.beats.ectopic.mean() < 0.25
    normal = s.beats.qt_ms[~s.beats.ectopic]
    assert np.nanmean(s.beats.qt_ms[s.beats.ectopic]) > np.nanmean(normal)


def test_the_seed_decides_everything_and_noise_is_separate() -> None:
    a, b, other, noisy = fine(), fine(), fine(seed=4), fine(ecg_noise_mv=0.05, ppg_noise=0.1)
    np.testing.assert_array_equal(ecg(a).values, ecg(b).values)
    np.testing.assert_array_equal(ppg(a).values, ppg(b).values)
    assert not np.array_equal(ecg(a).values, ecg(other).values)
    np.testing.assert_array_equal(a.beats.t_end_s, noisy.beats.t_end_s)
    assert np.std(ecg(noisy).values - ecg(a).values) == pytest.approx(0.05, rel=0.1)
    assert np.std(ppg(noisy).values - ppg(a).values) == pytest.approx(0.1, rel=0.1)
    assert np.std(ecg(fine(60, ecg_wander_mv=0.2)).values - ecg(fine(60)).values) == pytest.approx(0.2, rel=0.3)


def test_rates_lengths_units_and_the_label() -> None:
    s = simulate(12.5, fs_ecg_hz=360, fs_ppg_hz=64, seed=0)
    assert (len(ecg(s).values), ecg(s).fs_hz, ecg(s).unit) == (4500, 360.0, "mV")
    assert (len(ppg(s).values), ppg(s).fs_hz) == (800, 64.0)
    assert s.record.notes == ("simulated",)
    assert s.beats.r_peak_s.min() >= 0
    assert s.beats.r_peak_s.max() < 12.5


def test_people_differ() -> None:
    people = [simulate(10, fs_ecg_hz=100, fs_ppg_hz=50, seed=i) for i in range(60)]
    assert np.std([np.nanmean(s.beats.pat_ms) for s in people]) > 20
    assert np.std([np.nanmean(s.beats.qt_ms) for s in people]) > 15
    assert np.std([np.nanmax(ecg(s).values) for s in people]) > 0.2


@pytest.mark.parametrize(
    "options", [{"rhythm": "vf"}, {"heart_rate_bpm": 400}, {"duration_s": 0}, {"fs_ecg_hz": 5.0}], ids=str
)
def test_what_cannot_be_simulated_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SignalError, match="must"):
        simulate(**DEFAULTS | options)
