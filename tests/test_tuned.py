"""Tuning the last blocks: what stands before them is kept and gives the same; the fold that is scored is not shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cardiofm import pipeline, simulate
from cardiofm.data.windows import cut
from cardiofm.evaluate import cached, cohorts, tasks, tuned
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.heads.learn.tune import Still, _Asked, _network, _tensors, embeddings
from cardiofm.pipeline import Model
from cardiofm.signals import SignalError


@pytest.fixture(scope="module")
def model() -> Model:
    return pipeline.load("tiny", threads=1)


def test_kept_tokens_give_what_the_whole_encoder_gives(model: Model) -> None:
    network = _network(model).eval()
    windows = list(cut(simulate(40, fs_ecg_hz=250, fs_ppg_hz=125, seed=2).record, model.spec))
    still = Still(model)
    still.blocks = 1
    asked = _Asked(network, nn.Identity(), "binary", 0.0, 1.0, still)
    asked.autocast = False
    with torch.inference_mode():
        whole = network.encoder.embed(network.encoder(*_tensors(windows)))
        for some in ([0, 2], [3, 1, 0]):  # some are known already, in another order
            found = asked.out([windows[k] for k in some])
            np.testing.assert_allclose(found.numpy(), whole[some].numpy(), atol=2e-2)
    assert len(still.kept) == 4
    np.testing.assert_allclose(embeddings(model, {}, windows, still), whole.numpy(), atol=2e-2)


def task_of(cohort: Cohort, name: str) -> tasks.Task:
    ask = tasks.of_ptb_xl if cohort.dataset == "ptb-xl" else tasks.of_challenge_2015
    return next(task for task in ask(cohort) if task.name == name)


@pytest.mark.shared
def test_the_fold_that_is_scored_is_not_shown(data_root: Path, model: Model, tmp_path: Path) -> None:
    cohort = cohorts.ptb_xl(data_root, model.spec, limit=250)
    found = tuned.embedding(cohort, task_of(cohort, "superclasses"), model, "weights", tmp_path / "one", steps=2)
    frozen = cohort.mean(cached.embeddings(model, cohort.windows))
    assert found.shape == (1, *frozen.shape)
    assert 1e-4 < np.abs(found - frozen).mean() < 1
    for entry in cohort.entries:  # other labels there: the same network, tuned again
        if entry.labels["strat_fold"] == 9:
            entry.labels["superclasses"] = ("HYP",)
    again = tuned.embedding(cohort, task_of(cohort, "superclasses"), model, "weights", tmp_path / "other", steps=2)
    np.testing.assert_allclose(found, again, atol=1e-6)


@pytest.mark.shared
def test_each_fold_has_its_own_encoder_and_joins_the_frozen_probe(
    data_root: Path, model: Model, tmp_path: Path
) -> None:
    cohort = cohorts.before_the_alarm(data_root, model.spec, limit=60)
    task = replace(task_of(cohort, "alarm"), folds=3, head="linear", crafted="hand-crafted", trees=False)
    frozen = cohort.mean(cached.embeddings(model, cohort.windows))
    for part, own in zip(task.parts, task.held_out(frozen, "linear").inner, strict=True):
        assert own[0].tolist() == [k for k, name in enumerate(part) if name == "valid"]
        people = {name: {task.patients[k] for k, of in enumerate(part) if of == name} for name in part}
        assert not people["test"] & (people["train"] | people["valid"]) | (people["train"] & people["valid"])
    found = tuned.embedding(cohort, task, model, "weights", tmp_path, steps=2)
    assert found.shape == (3, *frozen.shape)
    assert np.abs(found[0] - found[1]).max() > 1e-4
    answers = tasks.probed(task, {"model": frozen, "hand-crafted": frozen, tasks.TUNED: found})
    whole = answers[tasks.TUNED, "linear"]
    for k, part in enumerate(task.parts):  # as if it were the only fold
        one = replace(task, part=part).held_out(found[k], "linear")
        test = np.array(part) == "test"
        np.testing.assert_array_equal(whole.scores[test], one.scores[test])
    assert np.isfinite(answers[tasks.TUNED, "fused"].scores).all()


@pytest.mark.shared
def test_too_few_records_are_one_sentence(data_root: Path, model: Model, tmp_path: Path) -> None:
    cohort = cohorts.ptb_xl(data_root, model.spec, limit=30)
    with pytest.raises(SignalError, match=r"records to tune by .* must show both"):
        tuned.embedding(cohort, task_of(cohort, "superclasses"), model, "weights", tmp_path, steps=2)
