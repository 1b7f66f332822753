"""Stated confidence against what comes true."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm.config import from_dict, to_dict
from cardiofm.measure.confidence import FEATURES, TOLERANCE_S, Calibration, features, fit_calibration
from cardiofm.signals import SignalError


def drawn(seed: int, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Features of QT values and whether their errors are within tolerance, disagreement making the error larger."""
    rng = np.random.default_rng(seed)
    sd, apart = np.exp(rng.uniform(-6, -3, n)), rng.exponential(0.01, n)
    chance, presence = rng.uniform(0.3, 1, n), rng.uniform(0.5, 1, n)
    error = rng.laplace(0, 0.8 * sd + 0.5 * apart)
    return features("qt", sd, apart, chance, presence), np.abs(error) < TOLERANCE_S["qt"]


def test_a_fitted_confidence_comes_true_on_others() -> None:
    fitted = fit_calibration({"qt": drawn(0)})
    x, within = drawn(1)
    stated = fitted.confidence("qt", x)
    bins = np.clip((stated * 10).astype(int), 0, 9)
    gap = sum(abs(stated[bins == b].mean() - within[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins))
    assert gap < 0.04
    assert within[stated > np.quantile(stated, 0.5)].mean() > within.mean() + 0.1


def test_before_any_fit_confidence_falls_with_the_expected_error() -> None:
    sure = Calibration()
    for name, tolerance_s in TOLERANCE_S.items():
        stated = sure.confidence(name, features(name, tolerance_s * np.array([0.2, 1.0, 3.0]), 0, 0.9, 1.0))
        assert stated[0] > 0.9
        assert (np.diff(stated) < 0).all()
    assert sure.confidence("qt", np.full((1, len(FEATURES)), np.nan)).tolist() == [0.0]


def test_a_measure_without_evidence_keeps_the_default() -> None:
    x, within = drawn(0, 30)
    assert fit_calibration({"qt": (x[:10], within[:10])}).coefficients == {}
    assert fit_calibration({"qt": (x, np.ones(30, bool))}).coefficients == {}
    with pytest.raises(SignalError, match="must be one of"):
        fit_calibration({"height": (x, within)})


def test_it_travels_with_a_checkpoint() -> None:
    fitted = fit_calibration({"qt": drawn(0)}, {"qt": 0.45})
    again = from_dict(Calibration, to_dict(fitted))
    assert again == fitted
    assert again.given_from("qt") == 0.45
    with pytest.raises(SignalError, match="coefficients"):
        Calibration({"qt": (1.0, 2.0)})
