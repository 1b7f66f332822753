"""Training of rhythms: nobody is told by trees that saw them, thresholds come from inside, files can be loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
from cardiofm.heads.scores import auroc, once
from cardiofm.measure.rhythms import LABELS, WAYS, Rhythms
from cardiofm.train import rhythm as training

SMALL = training.Settings(rounds=10, rate=0.2, leaves=4)


def drawn(records: int = 500, tells: bool = True) -> training.Examples:
    """Records whose first number tells AF, or nothing does."""
    rng = np.random.default_rng(0)
    y = rng.choice(4, records, p=(0.5, 0.2, 0.2, 0.1))
    x = {way: rng.normal(size=(records, len(names))) for way, names in WAYS.items()}
    if tells:
        for numbers in x.values():
            numbers[:, 0] += 2 * (y == training.AF)
    return training.Examples(x, y, tuple(f"p{k}" for k in range(records)))


def test_a_patient_is_in_one_fold_whatever_the_order() -> None:
    data = drawn(100)
    again = data.rows(np.arange(100)[::-1])
    assert dict(zip(data.patient, data.fold, strict=True)) == dict(zip(again.patient, again.fold, strict=True))
    assert len(set(data.fold.tolist())) == training.FOLDS


def test_labels_by_chance_are_not_told() -> None:
    data = drawn(600, tells=False)
    found = training.crossed(data, "beats", SMALL, tell=lambda _: None)
    assert once(auroc, data.y == training.AF, found.chance[:, training.AF]) == pytest.approx(0.5, abs=0.1)


def test_what_tells_is_learned_and_its_threshold_does_not_know_the_fold() -> None:
    data = drawn()
    found = training.crossed(data, "beats", SMALL, tell=lambda _: None)
    af = data.y == training.AF
    assert once(auroc, af, found.chance[:, training.AF]) > 0.8
    np.testing.assert_allclose(found.chance.sum(1), 1)
    own = data.fold == 0
    other = replace(data, y=np.where(own, (data.y + 1) % 4, data.y))
    again = training.crossed(other, "beats", SMALL, tell=lambda _: None)
    np.testing.assert_array_equal(again.chance[own], found.chance[own])
    assert (again.af_from[own] == found.af_from[own]).all()


def test_half_of_the_best_f1() -> None:
    af = np.array([True, False, True, False, False])
    chance = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    assert training.af_from(chance, af) == pytest.approx(0.8 / 2)  # two hits and one false alarm: F1 = 4 / 5


def test_what_is_written_is_loaded(tmp_path: Path) -> None:
    data = drawn()
    training.train(data, tmp_path, SMALL)
    rhythms = Rhythms.load(tmp_path)
    chance = rhythms.trees["ecg"].probabilities(data.x["ecg"])
    assert chance.shape == (len(data.y), len(LABELS))
    assert once(auroc, data.y == training.AF, chance[:, training.AF]) > 0.9
    assert all(0.2 < t <= 0.5 for t in rhythms.af_from.values())


@pytest.mark.shared
def test_numbers_of_real_records_are_kept(tmp_path: Path, data_root: Path) -> None:
    cache = tmp_path / "numbers.npz"
    made = training.examples(data_root, limit=6, cache=cache)
    kept = training.examples(Path("nowhere"), limit=6, cache=cache)
    assert kept.patient == made.patient
    for way, names in WAYS.items():
        assert made.x[way].shape == (6, len(names))
        np.testing.assert_array_equal(kept.x[way], made.x[way])
