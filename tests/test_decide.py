"""From scores to yes or no: nearer to the best threshold than what a few patients like best."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")
from cardiofm.heads import scores
from cardiofm.heads.learn import decide
from cardiofm.heads.learn.probes import HeldOut


@pytest.mark.parametrize("rule", [decide.F1, decide.F1_FALSE, decide.CHALLENGE])
def test_the_rule_finds_the_best_threshold_of_probabilities_that_are_too_sure(rule: decide.Rule):
    """Many rows show where a metric is best; from 200 the rule comes nearer to it than the best threshold of these."""
    rng = np.random.default_rng(0)
    true = 1 / (1 + np.exp(-rng.normal(-1.5, 2, 20_000)))
    y, said = rng.random(len(true)) < true, 1 / (1 + (true / (1 - true)) ** -1.7)

    def reached(t: float) -> float:
        return scores.once(rule.metric, y, said >= t)

    best = max(reached(t) for t in np.quantile(said, np.linspace(0, 1, 200)))
    lost = {"rule": [], "best of few": []}
    for few in np.array_split(rng.permutation(len(y))[:4000], 20):
        at = said[few]
        by_eye = max(np.unique(at), key=lambda t, at=at, few=few: scores.once(rule.metric, y[few], at >= t))
        lost["rule"].append(best - reached(decide.threshold(y[few], at, rule)))
        lost["best of few"].append(best - reached(by_eye))
    assert np.mean(lost["rule"]) < 0.01
    assert np.mean(lost["rule"]) < np.mean(lost["best of few"])


def test_each_fold_has_the_threshold_of_its_own_patients_and_each_label_its_own():
    rng = np.random.default_rng(1)
    y = rng.random((300, 2)) < (0.5, 0.1)
    score = 1 / (1 + np.exp(3 - 4 * y - rng.normal(size=y.shape)))
    fold = np.arange(300) % 3 - 1
    rows = np.flatnonzero(fold < 0)
    held = HeldOut(score, fold, tuple((rows, score[rows] ** power) for power in (1.0, 3.0)))
    found = decide.positive(held, y, decide.F1)
    assert not found[rows].any()  # scored in no fold
    assert scores.once(scores.f1, y[fold == 0, 1], found[fold == 0, 1]) > 0.6
    alone = HeldOut(score[:, 1], fold, tuple((at, s[:, 1]) for at, s in held.inner))
    np.testing.assert_array_equal(found[:, 1], decide.positive(alone, y[:, 1], decide.F1))
    assert found[fold == 1].sum() > found[fold == 0].sum()  # whose patients were said to be less likely


def test_with_labels_of_one_kind_nothing_is_known_and_nothing_breaks():
    assert 0 <= decide.threshold([False] * 5, [0.1, 0.2, 0.3, 0.4, 0.5], decide.F1) <= 1
