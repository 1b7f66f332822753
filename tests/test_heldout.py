"""Terms of the objective on held-out windows: the same parts hidden whatever the training hid, nothing changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cardiofm.evaluate.heldout import hidden_columns, terms
from cardiofm.model.cardiofm import CardioFM
from cardiofm.train.objectives import ObjectiveConfig, Pretraining
from test_columns import pulse


@pytest.fixture
def objective(micro: Path) -> Pretraining:
    torch.manual_seed(0)
    return Pretraining(CardioFM.load(micro), ObjectiveConfig(), seed=3).eval()


def test_what_training_hid_does_not_matter(objective: Pretraining) -> None:
    pieces = [pulse(i) for i in range(3)]
    first = terms(objective, pieces, "masked")
    objective.config, objective.seed = replace(objective.config, mask_from=0.9, mask_to=0.9), 8
    assert terms(objective, pieces, "masked") == first
    assert (objective.config.mask_to, objective.seed) == (0.9, 8)


def test_a_window_s_terms_do_not_depend_on_the_others(objective: Pretraining) -> None:
    pieces = [pulse(i) for i in range(3)]
    changed = [pieces[0], pulse(9), pieces[2]]
    a, b = terms(objective, pieces, "codec"), terms(objective, changed, "codec")
    assert a[0] == b[0]
    assert a[1] != b[1]
    assert a[2] == b[2]


def test_a_channel_that_is_not_shown_does_not_count(objective: Pretraining) -> None:
    other = pulse(1)
    values = other.window.values.copy()
    values[1] = np.random.default_rng(0).normal(size=values.shape[1])
    changed = replace(other, window=replace(other.window, values=values))
    assert terms(objective, [other], "masked", "ecg") == terms(objective, [changed], "masked", "ecg")
    assert terms(objective, [other], "masked") != terms(objective, [changed], "masked")
    keys = {c.key for c in hidden_columns(objective, [other], ("ecg",))}
    assert keys == {("guess", "ecg", "ecg"), ("wave", "ecg", "ecg")}


def test_a_window_without_a_channel_has_no_terms_of_both(objective: Pretraining) -> None:
    piece = pulse(1)
    valid = piece.window.valid.copy()
    valid[1] = False
    alone = replace(piece, window=replace(piece.window, valid=valid))
    assert terms(objective, [alone], "masked") == [{}]
    assert terms(objective, [alone], "masked", "ecg")[0]["masked_wave"] > 0
