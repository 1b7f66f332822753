"""Pictures of heads: the curve's area is the AUROC, groups are large enough, and every kind of head can be drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cardiofm.evaluate import heads_picture
from cardiofm.evaluate.heads_picture import Told
from cardiofm.heads import scores
from cardiofm.heads.calibration import Calibration
from cardiofm.heads.head import About

RNG = np.random.default_rng(0)
R = 120
PEOPLE = [str(k) for k in range(R)]


def told(kind: str, classes: tuple[str, ...]) -> Told:
    calibration = Calibration("each", (1.0,), (0.0,), half_range=2.0)
    about = About(f"a {kind}", "", kind, "linear", classes, "base", "", calibration, thresholds=(0.5,) * len(classes))
    if kind == "regression":
        y = 60 + 10 * RNG.normal(size=R)
        return Told(about, y, (y + RNG.normal(size=R))[:, None], PEOPLE)
    if kind == "multilabel":
        y = RNG.random((R, len(classes))) < 0.4
        return Told(about, y, np.clip(0.4 * y + 0.6 * RNG.random(y.shape), 0, 1), PEOPLE)
    y = RNG.integers(0, 2, R)
    p = np.clip(0.4 * y + 0.6 * RNG.random(R), 0, 1)
    return Told(about, y, np.stack([1 - p, p], axis=1), PEOPLE)


def test_the_area_under_the_curve_is_the_auroc_and_ties_are_a_slope():
    y, score = RNG.random(R) < 0.4, np.round(RNG.random(R), 1)
    curve = heads_picture.roc(y, score, np.ones((1, R)))[0]
    assert np.trapezoid(curve, np.linspace(0, 1, 101)) == pytest.approx(scores.once(scores.auroc, y, score), abs=0.01)
    assert heads_picture.roc(y, np.zeros(R), np.ones((1, R)))[0] == pytest.approx(np.linspace(0, 1, 101))


def test_groups_of_like_probability_are_large_enough_to_say_something():
    said = RNG.random(R)
    truth = (RNG.random(R) < said).astype(float)
    mean, (low, value, high) = heads_picture.reliability(truth, said, heads_picture.draws(PEOPLE))
    assert len(mean) == R // heads_picture.LEAST
    assert (np.diff(mean) > 0).all()
    assert ((low <= value) & (value <= high)).all()


def test_a_draw_counts_patients_not_records():
    weight = heads_picture.draws(["a", "a", "b", "c"], 50)
    assert np.array_equal(weight[:, 0], weight[:, 1])
    assert weight[0].tolist() == [1, 1, 1, 1]


def test_every_kind_of_head_is_drawn(tmp_path: Path):
    every = [told("multilabel", ("A", "B", "C")), told("classification", ("no", "yes")), told("regression", ())]
    heads_picture.draw(every, tmp_path / "heads.png")
    assert (tmp_path / "heads.png").stat().st_size > 20_000
