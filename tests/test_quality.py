"""Quality: 0 for nothing, low for noise, high for beats, and falling as noise, gaps and clipping grow."""

from __future__ import annotations

import time

import numpy as np
import pytest

from cardiofm.data import catalog
from cardiofm.data.quality import quality
from cardiofm.data.windows import cut
from cardiofm.signals import InputSpec

FS_HZ = 250.0
KNOWN = np.ones(2500, bool)
T_S = np.arange(2500) / FS_HZ
BREATH = 0.02 * np.sin(2 * np.pi * 0.25 * T_S)  # no real baseline is exactly constant


def beats(width_s: float, rate_hz: float = 1.2) -> np.ndarray:
    phase_s = (T_S * rate_hz % 1 - 0.5) / rate_hz
    return (np.exp(-((phase_s / width_s) ** 2)) + BREATH).astype(np.float32)


SIGNALS = {"ecg": beats(0.015), "ppg": beats(0.15)}


@pytest.mark.parametrize("modality", ["ecg", "ppg"])
def test_beats_score_high_noise_low_and_nothing_zero(modality):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=2500).astype(np.float32)
    assert quality(SIGNALS[modality], KNOWN, FS_HZ, modality) > 0.8
    assert quality(noise, KNOWN, FS_HZ, modality) < 0.35
    assert quality(np.cumsum(noise), KNOWN, FS_HZ, modality) < 0.35
    assert quality(np.zeros(2500, np.float32), KNOWN, FS_HZ, modality) == 0
    assert quality(SIGNALS[modality], ~KNOWN, FS_HZ, modality) == 0


@pytest.mark.parametrize("modality", ["ecg", "ppg"])
def test_unit_and_offset_do_not_matter(modality):
    plain = quality(SIGNALS[modality], KNOWN, FS_HZ, modality)
    assert quality(SIGNALS[modality] * 1000 + 300, KNOWN, FS_HZ, modality) == pytest.approx(plain, abs=1e-3)
    assert quality(-SIGNALS[modality], KNOWN, FS_HZ, modality) == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize("modality", ["ecg", "ppg"])
def test_more_noise_gaps_or_clipping_never_help(modality):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=2500).astype(np.float32)
    noisy = [quality(SIGNALS[modality] + level * noise, KNOWN, FS_HZ, modality) for level in (0, 0.1, 0.3, 1.0, 3.0)]
    assert noisy == sorted(noisy, reverse=True)
    known = [end > T_S for end in (10, 8, 5, 2, 1)]
    gaps = [quality(np.where(k, SIGNALS[modality], 0), k, FS_HZ, modality) for k in known]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] == 0
    wave = SIGNALS[modality] + 0.01 * noise
    assert quality(wave.clip(0.02, 0.5), KNOWN, FS_HZ, modality) < 0.8 * quality(wave, KNOWN, FS_HZ, modality)


def test_an_irregular_ecg_is_not_a_bad_one():
    rng = np.random.default_rng(2)
    peaks_s = np.cumsum(rng.uniform(0.35, 1.3, size=12))
    ecg = sum(np.exp(-(((T_S - p) / 0.015) ** 2)) for p in peaks_s)
    assert quality(np.asarray(ecg + BREATH, np.float32), KNOWN, FS_HZ, "ecg") > 0.7


def test_a_window_takes_about_a_millisecond():
    quality(SIGNALS["ecg"], KNOWN, FS_HZ, "ecg")
    best = np.inf
    for _ in range(20):
        begin = time.process_time()
        quality(SIGNALS["ecg"], KNOWN, FS_HZ, "ecg")
        best = min(best, time.process_time() - begin)
    assert best < 2e-3


@pytest.mark.shared
def test_records_that_people_called_noisy_score_lower(data_root):
    def scores(rhythm):
        chosen = [e for e in catalog.entries("challenge-2017", data_root) if e.labels["rhythm"] == rhythm][:25]
        return np.array([next(cut(catalog.load(e, data_root), InputSpec())).quality[0] for e in chosen])

    clean, fibrillating, noisy = scores("N"), scores("A"), scores("~")
    assert (clean[:, None] > noisy).mean() > 0.8
    assert (fibrillating[:, None] > noisy).mean() > 0.75
