"""Trees as arrays say what scikit-learn says, for numbers that are known and not, and refuse what is no forest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiofm.measure.trees import Trees
from cardiofm.signals import CheckpointError

pytest.importorskip("sklearn")
from cardiofm.train.rhythm import Settings, exported, fitted


def drawn(rows: int = 700, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Numbers with gaps and ties, and four labels that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 9))
    x[:, 3] = np.round(x[:, 3])
    y = (x[:, 0] + 0.5 * rng.normal(size=rows) > 0) * 2 + (x[:, 3] > 0)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x, y.astype(np.int64)


def one_model(seed: int = 0):
    from sklearn.ensemble import HistGradientBoostingClassifier

    x, y = drawn()
    return HistGradientBoostingClassifier(max_iter=25, max_leaf_nodes=9, random_state=seed).fit(x, y)


def test_the_same_probabilities_as_scikit_learn() -> None:
    model = one_model()
    new, _ = drawn(900, seed=1)
    new[0], new[1] = np.nan, np.inf
    np.testing.assert_allclose(exported([model]).probabilities(new), model.predict_proba(new), rtol=0, atol=1e-9)


def test_a_bag_is_the_mean_of_the_log_odds() -> None:
    models = [one_model(0), one_model(7)]
    new, _ = drawn(50, seed=2)
    odds = np.mean([m.decision_function(new) for m in models], axis=0)
    expected = np.exp(odds) / np.exp(odds).sum(1, keepdims=True)
    np.testing.assert_allclose(exported(models).probabilities(new), expected, rtol=0, atol=1e-9)


def test_stored_and_read_again() -> None:
    x, y = drawn()
    trees = fitted(x, y, Settings(rounds=5, bags=1))
    again = Trees.of(trees.arrays("ecg"), "ecg")
    np.testing.assert_array_equal(again.probabilities(x), trees.probabilities(x))
    assert np.mean(again.probabilities(x).argmax(1) == y) > 0.6


def test_no_rows_give_no_probabilities() -> None:
    x, y = drawn()
    assert fitted(x, y, Settings(rounds=2, bags=1)).probabilities(x[:0]).shape == (0, 4)


def test_what_is_no_forest_is_refused() -> None:
    x, y = drawn()
    trees = fitted(x, y, Settings(rounds=2, bags=1))
    with pytest.raises(CheckpointError, match="arrays of one shape"):
        replace(trees, value=trees.value[:-1])
    arrays = trees.arrays("ecg")
    del arrays["ecg.left"]
    with pytest.raises(CheckpointError, match=r"ecg\.left"):
        Trees.of(arrays, "ecg")


def test_one_label_and_a_value_are_sums_of_leaves() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    x, y = drawn()
    two = HistGradientBoostingClassifier(max_iter=9, max_leaf_nodes=5).fit(x, y > 1)
    years = HistGradientBoostingRegressor(max_iter=9, max_leaf_nodes=5).fit(x, 60 + 5.0 * y)
    for model, expected in ((two, two.decision_function(x)), (years, years.predict(x))):
        trees = Trees.grown([t.nodes for row in model._predictors for t in row], np.ravel(model._baseline_prediction))
        np.testing.assert_allclose(trees.totals(x)[:, 0], expected, rtol=0, atol=1e-9)
