"""Cycles and the maps between them: what is cut, what is learned, and what a map may not depend on."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm.evaluate import dictionary, metrics

pytest.importorskip("sklearn")


def families(number: int, seed: int) -> dictionary.Cycles:
    """Given cycles are mixtures of a few bumps; the wanted ones are the same mixtures of other shapes."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, dictionary.LENGTH)
    bumps = np.stack([np.exp(-(((t - c) / 0.08) ** 2)) for c in (0.2, 0.4, 0.6, 0.8)])
    waves = np.stack([np.sin(2 * np.pi * k * t) for k in (1, 2, 3, 4)])
    code = rng.dirichlet(np.full(4, 0.3), number)
    noise = rng.normal(0, 0.01, (2, number, dictionary.LENGTH))
    return dictionary.Cycles(
        dictionary.normalised(code @ bumps + noise[0]), dictionary.normalised(code @ waves + noise[1])
    )


def test_a_hidden_relation_is_learned_by_both_maps_and_not_by_the_mean():
    train, valid, test = families(200, 0), families(60, 1), families(60, 2)
    found = {
        "dictionary": dictionary.fit_dictionary(train, valid, atoms=(6, 12), nonzero=(2,)),
        "cosine": dictionary.fit_cosine(train, valid),
        "mean": dictionary.fit_mean(train, valid),
    }
    r = {name: dictionary.cycle_r(test.wanted_ML, fit.predict(test.given_ML)).mean() for name, fit in found.items()}
    assert min(r["dictionary"], r["cosine"]) > 0.9 > 0.8 > r["mean"]
    assert found["dictionary"].valid_r == pytest.approx(r["dictionary"], abs=0.05)
    assert found["dictionary"].chosen["atoms"] in (6, 12)
    chosen = dictionary.fit_dictionary(train, valid, atoms=(6,), nonzero=(2,))
    assert found["dictionary"].valid_r >= chosen.valid_r


def test_shuffled_partners_teach_nothing_beyond_the_mean():
    train, valid, test = families(400, 3), families(100, 4), families(100, 5)
    order = np.random.default_rng(0).permutation(400)
    mixed = dictionary.Cycles(train.given_ML, train.wanted_ML[order])
    fitted, plain = dictionary.fit_cosine(mixed, valid), dictionary.fit_mean(mixed, valid)
    r = [dictionary.cycle_r(test.wanted_ML, fit.predict(test.given_ML)).mean() for fit in (fitted, plain)]
    assert r[0] < r[1] + 0.15


def test_the_r_of_cycles_is_pearsons():
    x, y = np.random.default_rng(0).normal(size=(2, 5, 40))
    assert dictionary.cycle_r(x, y) == pytest.approx([metrics.r(a, b) for a, b in zip(x, y, strict=True)])
    assert dictionary.cycle_r(x, 3 * x - 7) == pytest.approx(np.ones(5))
    assert dictionary.cycle_r(x, np.ones_like(x)).tolist() == [0] * 5


def test_cycles_have_no_gain_no_level_and_no_tempo():
    t = np.arange(2000) / 250
    slow, fast = np.sin(2 * np.pi * t), np.sin(2 * np.pi * 2 * t)
    one, two = (dictionary.cut(x, [slice(0, n)]) for x, n in ((5 * slow + 3, 251), (fast, 126)))
    np.testing.assert_allclose(one, two, atol=0.01)
    moved = dictionary.cut(np.roll(slow, 50), [slice(0, 251)], shift=50)
    np.testing.assert_allclose(moved, one, atol=1e-6)
    assert not dictionary.cut(np.ones(300), [slice(0, 250)]).any()
    assert dictionary.cut(slow, []).shape == (0, dictionary.LENGTH)


def test_spans_are_cycles_inside_the_window():
    assert dictionary.spans([0.5, 1.3, 4.0, 4.8], 250.0, 2500) == [slice(125, 325), slice(1000, 1200)]
    assert dictionary.spans([9.5, 10.2], 250.0, 2500) == []
    assert dictionary.spans([], 250.0, 2500) == dictionary.spans([1.0], 250.0, 2500) == []
