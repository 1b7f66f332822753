"""The fiducial head: promised shapes and units, torch and ONNX agree, and it learns what it is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from cardiofm.edge.runtime import OnnxBackend
from cardiofm.model.backend import TorchBackend
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.heads import FiducialHead, HeadConfig
from cardiofm.signals import EVENTS, CheckpointError
from cardiofm.train.fiducials import Fiducials
from cardiofm.train.marked import REACH_S, MarkedBatch, targets


def windows(batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.cumsum(np.random.default_rng(3).normal(size=(batch, 2, 2500)), -1).astype(np.float32)
    return x, np.ones(x.shape, bool), np.ones((batch, 2), bool)


def test_answers_are_probabilities_and_seconds_and_the_graphs_agree(micro_graphs: Path) -> None:
    graphs, truth = OnnxBackend(micro_graphs, 1), TorchBackend(micro_graphs)
    for present in ((0, 1), (0,), (1,)):
        x, visible, in_mv = windows(2)
        found = truth.measure(x, visible, in_mv, present)
        for a, b in zip(found, graphs.measure(x, visible, in_mv, present), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
        waves, chance, reach, spread = found
        assert waves.shape == (2, 4, 2500)
        assert chance.shape == reach.shape == spread.shape == (2, len(EVENTS), 2500)
        np.testing.assert_allclose(waves.sum(1), 1, rtol=1e-4)
        assert (spread > 0).all()
        absent = [k for k, n in enumerate(EVENTS) if (1 if n.startswith("ppg") else 0) not in present]
        assert not chance[:, absent].any()
        rest = [k for k in range(len(EVENTS)) if k not in absent]
        assert (chance[:, rest] > 0).all()


def test_nothing_is_likely_where_nothing_is_seen(micro: Path) -> None:
    x, visible, in_mv = windows(1)
    visible[..., 1000:1500] = False
    chance = TorchBackend(micro).measure(np.where(visible, x, 0).astype(np.float32), visible, in_mv)[1]
    assert not chance[..., 1000:1500].any()


def test_one_window_is_measured_as_in_a_batch(micro: Path) -> None:
    x, visible, in_mv = windows(3)
    backend = TorchBackend(micro)
    whole, one = backend.measure(x, visible, in_mv), backend.measure(x[1:2], visible[1:2], in_mv[1:2])
    for a, b in zip(whole, one, strict=True):
        np.testing.assert_allclose(a[1:2], b, rtol=1e-4, atol=1e-5)


def test_a_folder_without_head_and_a_damaged_head_are_one_sentence(micro: Path, tmp_path: Path) -> None:
    model = CardioFM.load(micro)
    with pytest.raises(CheckpointError, match="fiducial head"):
        TorchBackend(model).measure(*windows(1))
    head = FiducialHead.load(micro, model)
    head.save(tmp_path)
    about = json.loads((tmp_path / "fiducials.json").read_text())
    about["config"]["widths"] = [4, 8, 8, 20]
    (tmp_path / "fiducials.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match="train a head"):
        FiducialHead.load(tmp_path, model)


def test_targets_peak_at_the_events_and_reach_them() -> None:
    beats_s = np.full((2, len(EVENTS)), np.nan)
    beats_s[0] = [0.8, 0.88, 0.95, 1.0, 1.05, 1.25, 1.35, 1.3, 1.45]
    beats_s[1, EVENTS.index("r_peak")] = 2.0
    looked = np.ones((len(EVENTS), 2500), bool)
    looked[0, 1000:] = False
    chance, reach, wave = targets(beats_s, looked, np.ones((2, 2500), bool), 250.0, True)
    r = EVENTS.index("r_peak")
    assert chance[r, 250] == chance[r, 500] == 1
    assert np.isnan(chance[0, 1000:]).all()
    assert reach[EVENTS.index("t_end"), 250] == pytest.approx(0.35, abs=1e-6)
    assert reach[EVENTS.index("ppg_foot"), 330] == pytest.approx(-0.02, abs=1e-6)
    assert np.isnan(reach[0, 500])
    assert np.isnan(reach[r, 250 + round(REACH_S[0] * 250) + 1])
    assert [wave[210], wave[230], wave[250], wave[330]] == [1, 0, 2, 3]


def test_only_the_head_learns_and_its_loss_falls(micro: Path) -> None:
    torch.manual_seed(0)
    model = CardioFM.load(micro)
    head = FiducialHead(HeadConfig(read_after=1, widths=(8, 8, 16, 16)), 32, model.config.spec)
    before = {n: p.clone() for n, p in model.named_parameters()}
    objective = Fiducials(model, [head]).train()
    x = np.zeros((4, 2, 2500), np.float32)
    made = []
    for i in range(4):
        beats_s = np.full((9, len(EVENTS)), np.nan)
        beats_s[:, EVENTS.index("r_peak")] = np.arange(9) + 0.5 + 0.1 * i
        x[i, :, np.rint(beats_s[:, EVENTS.index("r_peak")] * 250).astype(int)] = 1.0
        made.append(targets(beats_s, np.ones((len(EVENTS), 2500), bool), np.ones((2, 2500), bool), 250.0, False))
    chance, reach, wave = (torch.from_numpy(np.stack(p)) for p in zip(*made, strict=True))
    seen, mv = torch.ones(4, 2, 2500, dtype=torch.bool), torch.ones(4, 2, dtype=torch.bool)
    tensor = torch.from_numpy(x)
    dense: dict[str, Any] = {
        "chance_BKN": chance,
        "reach_BKN": reach,
        "wave_BN": wave,
        "fold_B": torch.tensor([-1, 1, 2, 1]),
    }
    batch = MarkedBatch(tensor, tensor, seen, mv, ("ecg", "ppg"), **dense)
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for step in range(40):
        loss, logs = objective(batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(logs["ecg_chance"].item())
    assert losses[-1] < 0.3 * losses[0]
    assert all(torch.equal(before[n], p) for n, p in model.named_parameters())


def test_a_fold_teaches_only_the_other_heads(micro: Path) -> None:
    model = CardioFM.load(micro)
    heads = [FiducialHead(HeadConfig(read_after=1, widths=(4, 8, 8, 16)), 32, model.config.spec) for _ in range(2)]
    objective = Fiducials(model, heads).train()
    x = torch.from_numpy(windows(4)[0])
    seen, mv = torch.ones(x.shape, dtype=torch.bool), torch.ones(4, 2, dtype=torch.bool)
    chance, reach = torch.zeros(4, len(EVENTS), 2500), torch.zeros(4, len(EVENTS), 2500)
    wave, fold = torch.zeros(4, 2500, dtype=torch.int64), torch.tensor([0, 0, -1, -1])

    def gradient(changed: float) -> list[torch.Tensor]:
        dense: dict[str, Any] = {"chance_BKN": chance.clone(), "reach_BKN": reach, "wave_BN": wave, "fold_B": fold}
        dense["chance_BKN"][0] = changed
        objective.zero_grad()
        objective(MarkedBatch(x, x, seen, mv, ("ecg", "ppg"), **dense), 0)[0].backward()
        return [cast(torch.Tensor, head.get_parameter("paths.0.out.weight").grad).clone() for head in heads]

    before, after = gradient(0.0), gradient(1.0)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])
