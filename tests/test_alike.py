"""What looks alike in a drawing is averaged where it helps, and nowhere else."""

from __future__ import annotations

import numpy as np

from cardiofm.codec import alike
from cardiofm.data.simulate import simulate


def ecg(seed: int) -> np.ndarray:
    made = simulate(20, fs_ecg_hz=250, fs_ppg_hz=125, seed=seed).record.ecg
    assert made is not None
    return made.values.astype(np.float64)


def test_errors_that_do_not_repeat_go_away() -> None:
    true = ecg(1)
    known = np.ones(len(true), bool)
    drawn = true + 0.05 * np.random.default_rng(0).standard_normal(len(true))
    choice, calm = alike.best(drawn, true, known)
    assert choice > 0
    assert ((calm - true) ** 2).sum() < 0.6 * ((drawn - true) ** 2).sum()
    np.testing.assert_array_equal(alike.blended(drawn, choice), calm)
    np.testing.assert_allclose(alike.blended(5 * drawn + 3, choice), 5 * calm + 3, atol=1e-5)


def test_what_is_right_already_is_left_alone() -> None:
    true = ecg(2) + 0.02 * np.random.default_rng(1).standard_normal(5000)
    assert alike.best(true, true, np.ones(5000, bool))[0] == 0
    assert alike.blended(true, 0) is true


def test_what_repeats_nothing_comes_back() -> None:
    for drawn in (np.zeros(3000), np.ones(100), np.random.default_rng(2).standard_normal(3000)):
        for choice in range(len(alike.CHOICES)):
            np.testing.assert_allclose(alike.blended(drawn, choice), drawn, rtol=0, atol=0.01 * np.ptp(drawn))
