"""What of a channel follows another wave: delay and shape are found, noise is not, and what tells nothing says so."""

from __future__ import annotations

import numpy as np

from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.evaluate.metrics import r
from cardiofm.measure.follow import follow
from cardiofm.signals import InputSpec

FS = 250.0
ALL = np.ones(2500, bool)


def pair(seed: int, **how: float) -> np.ndarray:
    """ECG and PPG `(2, N)` of one simulated person."""
    record = simulate(12, fs_ecg_hz=FS, fs_ppg_hz=FS, seed=seed, rhythm="af", **how).record
    return window_at(record, InputSpec(), 1.0).values.astype(np.float64)


def test_a_delay_of_its_own_a_gain_and_a_level_are_found_where_the_channel_is_hidden() -> None:
    for pat_ms in (180.0, 420.0):
        ecg, ppg = pair(4, pat_ms=pat_ms)
        known = ALL.copy()
        known[1000:1250] = False
        made = follow(np.where(known, -40 * ppg + 900, 1e6), known, np.stack([ecg, ppg]), FS)
        assert made.share > 0.9
        assert r(made.values[1000:1250], -ppg[1000:1250]) > 0.9
        assert abs(made.values[known].mean() - (-40 * ppg + 900)[known].mean()) < 10


def test_noise_in_the_channel_is_not_learned_by_heart() -> None:
    ecg, ppg = pair(7)
    noise = np.convolve(np.random.default_rng(1).normal(size=2500), np.hanning(60), "same")
    noise *= 1.5 * ppg.std() / noise.std()
    made = follow(ppg + noise, ALL, ecg[None], FS)
    assert r(made.values, ppg) > 0.7
    assert abs(r(made.values, noise)) < 0.3


def test_what_tells_nothing_of_the_channel_says_so() -> None:
    ppg = pair(2)[1]
    strange = np.convolve(np.random.default_rng(0).normal(size=2500), np.hanning(40), "same")
    made = follow(ppg, ALL, strange[None], FS)
    assert made.share < 0.2
    for own, known, waves in (
        (np.full(2500, 3.0), ALL, strange[None]),
        (ppg, ~ALL, strange[None]),
        (ppg, ALL, np.zeros((1, 2500))),
    ):
        made = follow(own, known, waves, FS)
        assert made.share == 0
        assert np.isfinite(made.values).all()
        assert np.ptp(made.values) == 0
