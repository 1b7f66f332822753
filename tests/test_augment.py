from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiofm.train.augment import AugmentConfig, augment, disturb, draw_rate, gaps, play, recorded_noise
from cardiofm.train.settle import PLAIN

FS_HZ = 250.0
NOISE = {k: np.random.default_rng(9).standard_normal((2, 9000)).astype(np.float32) + 3 for k in ("em", "ma")}
MV = np.array([True, False])


def pulses(n: int = 2500) -> tuple[np.ndarray, np.ndarray]:
    beat = 2 * np.pi * 1.2 * np.arange(n) / FS_HZ
    return np.stack([np.cos(beat) ** 21, 100 + 20 * np.cos(beat - 1)]).astype(np.float32), np.ones((2, n), bool)


def run(config: AugmentConfig, seed: int = 0, values: np.ndarray | None = None, valid: np.ndarray | None = None):
    clean, every = pulses()
    values, valid = clean if values is None else values, every if valid is None else valid
    return augment(values, valid, MV, np.random.default_rng(seed), config, fs_hz=FS_HZ, noise=NOISE)


def test_nothing_changes_when_every_share_is_zero():
    views = run(PLAIN)
    np.testing.assert_array_equal(views.x, pulses()[0])
    np.testing.assert_array_equal(views.target, pulses()[0])
    assert views.valid.all()
    assert views.in_mv.tolist() == [True, False]


@pytest.mark.parametrize("share", ["noise_share", "sensor_share", "wander_share", "clip_share"])
def test_noise_changes_the_input_and_never_the_target(share):
    views = run(replace(PLAIN, **{share: 1.0}))
    np.testing.assert_array_equal(views.target, pulses()[0])
    changed = np.abs(views.x - views.target).max(axis=1)
    assert (changed > 0.01 * views.target.std(axis=1)).all()


def test_gain_and_polarity_change_input_and_target_alike():
    clean = pulses()[0]
    seen = []
    for seed in range(200):
        views = run(replace(PLAIN, gain_mv=1.25, gain_nu=4.0, flip_share=0.5), seed)
        np.testing.assert_array_equal(views.x, views.target)
        seen.append((views.target * clean).sum(axis=1) / (clean**2).sum(axis=1))
    gain = np.array(seen)
    assert 0.35 < (gain[:, 0] < 0).mean() < 0.65  # the ECG is turned over
    assert (gain[:, 1] > 0).all()  # the PPG never is
    size = np.abs(gain)
    assert 1 / 1.2501 < size[:, 0].min() < 0.85 < 1.2 < size[:, 0].max() < 1.2501
    assert 0.25 <= size[:, 1].min() < 0.4 < 2.5 < size[:, 1].max() <= 4.0001
    assert 0.35 < (size[:, 1] < 1).mean() < 0.65  # log-uniform: as often smaller as larger


def test_amplitude_in_mv_is_dropped_at_random_and_after_a_large_change_and_never_made_up():
    assert not any(run(replace(PLAIN, drop_mv_share=1.0), s).in_mv.any() for s in range(5))
    for seed in range(100):
        views = run(replace(PLAIN, gain_mv=2.0), seed)
        factor = float(np.abs(views.target[0]).max() / np.abs(pulses()[0][0]).max())
        assert views.in_mv[0] == (1 / 1.2 <= factor <= 1.2)
        assert not views.in_mv[1]


@pytest.mark.parametrize("snr_db", [-6.0, 0.0, 24.0])
def test_recorded_noise_has_the_asked_signal_to_noise_ratio_and_no_offset(snr_db):
    piece = recorded_noise(2500, 0.4, snr_db, np.random.default_rng(0), NOISE)
    assert 20 * np.log10(0.4 / piece.std()) == pytest.approx(snr_db, abs=1e-3)
    assert abs(piece.mean()) < 1e-5


def test_a_flat_or_absent_channel_gets_no_noise():
    noisy = replace(PLAIN, noise_share=1, sensor_share=1, wander_share=1, clip_share=1)
    flat = np.full(500, 2.0, np.float32)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(disturb(flat, np.ones(500, bool), rng, noisy, fs_hz=FS_HZ, noise=NOISE), flat)
    valid = pulses()[1]
    valid[1] = False
    views = run(noisy, valid=valid)
    assert not views.x[1].any()
    assert not views.target[1].any()


def test_a_gap_is_contiguous_bounded_and_zero_in_input_and_target():
    lengths = []
    for seed in range(50):
        views = run(replace(PLAIN, gap_share=1.0, sensor_share=1.0), seed)
        for c in range(2):
            hidden = np.flatnonzero(~views.valid[c])
            lengths.append(len(hidden))
            assert len(hidden) == 0 or hidden[-1] - hidden[0] + 1 == len(hidden)
        assert not views.x[~views.valid].any()
        assert not views.target[~views.valid].any()
    assert max(lengths) <= 1000
    assert max(lengths) > 800
    assert not gaps((2, 100), np.random.default_rng(0), PLAIN).any()


def test_a_value_that_is_not_a_number_becomes_a_gap():
    values = pulses()[0]
    values[0, 10:20], values[1, 5] = np.nan, np.inf
    views = run(PLAIN, values=values)
    assert (~views.valid).sum() == 11
    assert np.isfinite(views.x).all()


def test_saturation_stays_inside_the_signal():
    clean, valid = pulses()
    out = disturb(clean[0], valid[0], np.random.default_rng(1), replace(PLAIN, clip_share=1), fs_hz=FS_HZ)
    assert out.max() < 0.96 * clean[0].max()
    assert (out == out.max()).sum() > (clean[0] == clean[0].max()).sum()


@pytest.mark.parametrize("rate", [0.9, 1.0, 1.1])
def test_playing_faster_raises_the_frequency_by_that_factor(rate):
    t = np.arange(4000) / FS_HZ
    wave, valid = np.sin(2 * np.pi * 2 * t).astype(np.float32)[None], np.ones((1, 4000), bool)
    out, good = play(wave, valid, rate, 2500)
    assert good.all()
    np.testing.assert_allclose(out[0], np.sin(2 * np.pi * 2 * rate * t[:2500]), atol=1e-3)


@pytest.mark.parametrize("rate", [0.9, 1.0])
def test_playing_invents_nothing_in_gaps_or_past_the_end(rate):
    wave, valid = np.ones((1, 100), np.float32), np.ones((1, 100), bool)
    valid[0, 40:50], wave[0, 40:50] = False, 7.0
    out, good = play(wave, valid, rate, 130)
    at = np.arange(130) * rate
    assert set(np.unique(out)) == {0.0, 1.0}
    assert out.dtype == np.float32
    expected = (at <= 39) | ((at >= 50) & (at <= 99))
    np.testing.assert_array_equal(good[0], expected)
    np.testing.assert_array_equal(out[0] == 1, expected)


def test_the_same_generator_gives_the_same_window():
    a, b, c = run(AugmentConfig(), 5), run(AugmentConfig(), 5), run(AugmentConfig(), 6)
    assert all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))
    assert not np.array_equal(a.x, c.x)
    rates = [draw_rate(np.random.default_rng(s), AugmentConfig()) for s in range(300)]
    assert all(0.9 <= r <= 1.1 for r in rates)
    assert 0.6 < np.mean([r == 1.0 for r in rates]) < 0.8


@pytest.mark.parametrize("wrong", [{"gap_share": 1.5}, {"gain_mv": 0.5}, {"snr_low_db": 30.0}, {"stretch": 0.7}])
def test_settings_without_a_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match="augment"):
        AugmentConfig(**wrong)
