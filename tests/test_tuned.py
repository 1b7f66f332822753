"""Tuning the last blocks: what stands before them is kept and gives the same, and the test fold is not shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cardiofm import pipeline, simulate
from cardiofm.data.windows import cut
from cardiofm.evaluate import cached, cohorts, tasks, tuned
from cardiofm.heads.learn.tune import _Asked, _network, _tensors
from cardiofm.signals import SignalError


def test_kept_tokens_give_what_the_whole_encoder_gives() -> None:
    model = pipeline.load("tiny", threads=1)
    network = _network(model).eval()
    windows = list(cut(simulate(40, fs_ecg_hz=250, fs_ppg_hz=125, seed=2).record, model.spec))
    asked = _Asked(network, nn.Identity(), "binary", 0.0, 1.0, still=1)
    asked.autocast = False
    with torch.inference_mode():
        whole = network.encoder.embed(network.encoder(*_tensors(windows)))
        for some in ([0, 2], [3, 1, 0]):  # some are known already, in another order
            found = asked.out([windows[k] for k in some])
            np.testing.assert_allclose(found.numpy(), whole[some].numpy(), atol=2e-2)
    assert len(asked.kept) == 4


@pytest.mark.shared
def test_the_fold_that_is_scored_is_not_shown(data_root: Path, tmp_path: Path) -> None:
    model = pipeline.load("tiny", threads=1)
    cohort = cohorts.ptb_xl(data_root, model.spec, limit=250)
    found = tuned.embedding(cohort, data_root, model, "weights", tmp_path / "one", steps=2)
    frozen = cached.embeddings(model, cohort.windows)
    assert found.shape == frozen.shape
    assert 1e-4 < np.abs(found - frozen).mean() < 1
    for entry in cohort.entries:  # other labels there: the same network, tuned again
        if tasks.PARTS.get(entry.labels["strat_fold"]) == "test":
            entry.labels["superclasses"] = ("HYP",)
    again = tuned.embedding(cohort, data_root, model, "weights", tmp_path / "other", steps=2)
    np.testing.assert_allclose(found, again, atol=1e-6)


@pytest.mark.shared
def test_too_few_records_are_one_sentence(data_root: Path, tmp_path: Path) -> None:
    model = pipeline.load("tiny", threads=1)
    with pytest.raises(SignalError, match="must"):
        tuned.embedding(cohorts.ptb_xl(data_root, model.spec, limit=30), data_root, model, "weights", tmp_path, steps=2)
