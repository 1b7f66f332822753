"""The gains of cleaning are fitted: the least error share, with noise and without."""

from __future__ import annotations

import numpy as np

from cardiofm.measure.cleaning import said
from cardiofm.train.cleaning import LEAST_SHARE, error_share, examples, fit
from small_run import SPEC, SmallStore


def test_the_fit_beats_keeping_all_and_keeping_nothing() -> None:
    shares_WK, product_WKK, true_WK = examples(SmallStore(), SPEC, "train", 0, 1)
    assert len(shares_WK) > 100
    gain_KW = said(shares_WK, fit(shares_WK, product_WKK, true_WK))
    assert ((gain_KW >= 0) & (gain_KW <= 1)).all()
    error = {
        name: np.log(error_share(gain, product_WKK, true_WK) + LEAST_SHARE).mean()
        for name, gain in (("fit", gain_KW), ("all", np.ones_like(gain_KW)), ("nothing", np.zeros_like(gain_KW)))
    }
    assert error["fit"] < min(error["all"], error["nothing"]) - 0.1


def test_the_error_share_is_that_of_the_waves() -> None:
    rng = np.random.default_rng(0)
    parts_KN, true_N = rng.normal(size=(3, 400)), rng.normal(size=400)
    true_N /= np.sqrt((true_N**2).mean())
    gain_K1 = np.array([[0.2], [0.9], [0.5]])
    said_W = error_share(gain_K1, (parts_KN @ parts_KN.T / 400)[None], (parts_KN @ true_N / 400)[None])
    np.testing.assert_allclose(said_W, [(((gain_K1 * parts_KN).sum(0) - true_N) ** 2).mean()], rtol=1e-9)
