"""One channel drawn from the other one: what the head promises, and that it learns it in spite of an unknown delay."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cardiofm.data import catalog
from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.edge.runtime import OnnxBackend
from cardiofm.evaluate.metrics import best_lag
from cardiofm.model.across import Across, AcrossConfig
from cardiofm.model.backend import TorchBackend
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.checkpoint import ACROSS, ACROSS_WEIGHTS
from cardiofm.pipeline import load
from cardiofm.signals import CheckpointError, InputSpec
from cardiofm.train.across import AcrossTraining, Drawing, train
from cardiofm.train.batches import Batch, BatchConfig
from cardiofm.train.loop import LoopConfig
from small_store import small_store

SPEC = InputSpec()


def windows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    made = [
        window_at(simulate(12, fs_ecg_hz=250, fs_ppg_hz=250, seed=k, pat_ms=150 + 60 * k).record, SPEC, 1.0)
        for k in range(count)
    ]
    return np.stack([w.values for w in made]), np.stack([w.valid for w in made]), np.stack([w.in_mv for w in made])


def test_each_channel_is_drawn_from_the_other_one_alone_and_the_graph_agrees(micro_graphs: Path) -> None:
    truth, graph = TorchBackend(micro_graphs), OnnxBackend(micro_graphs, 1)
    x, visible, in_mv = windows(3)
    visible[1, 0] = visible[2, 1] = False
    code = truth.encode(np.where(visible, x, 0).astype(np.float32), visible, in_mv)
    drawn, same = truth.across(code), graph.across(code)
    assert drawn is not None
    assert same is not None
    assert drawn.shape == x.shape
    np.testing.assert_allclose(drawn, same, rtol=1e-3, atol=1e-4)
    assert not drawn[1, 1].any()  # there is no ECG to draw a PPG from
    assert not drawn[2, 0].any()
    assert drawn[1, 0].std() > 0
    other = code._replace(tokens=code.tokens.copy(), patches=code.patches.copy())
    other.tokens[:, 0] += 1
    other.patches[:, 0] += 1
    again = truth.across(other)
    assert again is not None
    np.testing.assert_array_equal(again[:, 0], drawn[:, 0])
    assert (again[0, 1] != drawn[0, 1]).any()


def test_a_channel_that_is_hidden_throughout_is_drawn_by_the_head(micro: Path, tmp_path: Path) -> None:
    record = simulate(20, fs_ecg_hz=250, fs_ppg_hz=125, seed=3).record
    without = tmp_path / "without"
    shutil.copytree(micro, without)
    (without / ACROSS).unlink()
    head, decoder = (load(f, backend="torch").reconstruct(record, hide="ppg") for f in (micro, without))
    assert head.ppg is not None
    assert decoder.ppg is not None
    assert np.mean(head.ppg.samples != decoder.ppg.samples) > 0.9
    spans = [(5.0, 6.0)]
    head, decoder = (load(f, backend="torch").reconstruct(record, hide=spans) for f in (micro, without))
    assert head.ppg is not None
    assert decoder.ppg is not None
    np.testing.assert_array_equal(head.ppg.samples, decoder.ppg.samples)


def test_the_head_comes_back_as_it_was_saved_and_a_damaged_one_is_named(micro: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(micro, folder)
    model = CardioFM.load(folder)
    head = Across.load(folder, model)
    head.about = {"provenance": {"commit": "abc"}}
    head.save(folder)
    again = Across.load(folder, model)
    assert again.about == head.about
    assert all(torch.equal(a, b) for a, b in zip(head.state_dict().values(), again.state_dict().values(), strict=True))
    (folder / ACROSS_WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="draws across"):
        Across.load(folder, model)


def test_it_learns_a_sharp_drawing_though_every_monitor_delays_by_a_time_of_its_own(micro: Path) -> None:
    torch.manual_seed(0)
    model = CardioFM.load(micro)
    objective = Drawing(model, Across(AcrossConfig(widths=(8, 16, 16, 24)), 32, SPEC)).train()
    x, valid, in_mv = (torch.from_numpy(a) for a in windows(6))
    batch = Batch(x, x, valid, in_mv, ("ecg", "ppg"))
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=5e-3)
    shares = []
    for step in range(40):
        loss, logs = objective(batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        shares.append((logs["share_ecg"].item(), logs["share_ppg"].item()))
    assert shares[0][0] > 0.9
    assert max(shares[-1]) < 0.6
    assert all(torch.equal(before[n], p) for n, p in model.named_parameters())
    short = replace(batch, valid_BCN=valid & (torch.arange(valid.shape[-1]) < 200))
    assert objective(short, 0)[0].item() == 0  # less than a second teaches nothing


def test_a_constant_moves_the_drawings_to_where_they_are_most_like_the_truth(micro: Path) -> None:
    model = CardioFM.load(micro)
    ecg = torch.from_numpy(windows(4)[0])[:, 0]
    x = torch.stack([ecg, torch.roll(ecg, 9, dims=-1)], dim=1)  # the PPG is the ECG nine samples later
    valid, in_mv = torch.ones(x.shape, dtype=torch.bool), torch.tensor([[True, False]] * 4)
    batch = Batch(x, x, valid, in_mv, ("ecg", "ppg"))

    class Copying(Across):
        """Draws what it is given."""

        def drawn(self, channel: int, z_BSD: Tensor, patch_BSP: Tensor, seen_BS: Tensor) -> Tensor:
            return patch_BSP.flatten(1)

    later = Drawing(model, Copying(AcrossConfig(), 32, SPEC)).later(lambda step: batch, 2)
    assert later == (-9, 9)
    head = Across(AcrossConfig(widths=(4, 8, 8, 16)), 32, SPEC).eval()
    tokens = model.encoder(x, valid, in_mv, (0,))
    given = tokens.z[0], tokens.patches[0], tokens.visible[0]
    before = head.drawn(1, *given)
    head.config = replace(head.config, later=later)
    torch.testing.assert_close(head.drawn(1, *given)[:, 9:], before[:, :-9])
    assert (head.drawn(1, *given)[:, :9] == before[:, :1]).all()  # the first sample is held
    torch.testing.assert_close(head.drawn(0, *given)[:, :-9], at_once(head).drawn(0, *given)[:, 9:])


def at_once(head: Across) -> Across:
    """The same head, whose drawings are not moved."""
    still = Across(replace(head.config, later=(0, 0)), 32, SPEC).eval()
    still.load_state_dict(head.state_dict())
    return still


def test_the_command_trains_resumes_and_says_where_the_head_comes_from(micro: Path, tmp_path: Path) -> None:
    store = small_store(tmp_path)
    config = AcrossTraining(
        start_from=str(micro),
        head=AcrossConfig(widths=(4, 8, 8, 16)),
        batches=BatchConfig(size=4, paired_share=1.0),
        loop=LoopConfig(steps=3, warmup_steps=1, threads=1),
    )
    folder = train(config, store, tmp_path / "run")
    head = Across.load(folder, CardioFM.load(micro))
    assert head.about["provenance"]["config"]["loop"]["steps"] == 3
    assert all(abs(samples) <= 50 for samples in head.config.later)
    weights = (folder / ACROSS_WEIGHTS).read_bytes()
    assert train(config, store, tmp_path / "run") == folder
    assert (folder / ACROSS_WEIGHTS).read_bytes() == weights


@pytest.mark.shared
@pytest.mark.parametrize("name", ["base", "tiny"])
def test_the_released_head_draws_the_beats_of_people_it_never_saw(data_root: Path, name: str) -> None:
    """BIDMC, each signal from the other: like the truth at the best lag, and not like another patient's."""
    model = load(name)
    records = [catalog.load(e, data_root).crop(60.0, 70.0) for e in catalog.entries("bidmc", data_root)[:6]]
    for channel, least in (("ecg", 0.45), ("ppg", 0.7)):
        drawn = [model.reconstruct(r, hide=channel).signal(channel) for r in records]
        own, other = [], []
        for i, record in enumerate(records):
            true, mine, another = record.signal(channel), drawn[i], drawn[i - 1]
            assert true is not None
            assert mine is not None
            assert another is not None
            for found, made in ((own, mine), (other, another)):
                found.append(best_lag(true.samples[:1250], made.samples[:1250], true.fs_hz)[0])
        assert np.mean(own) > least
        assert np.mean(own) > np.mean(other) + 0.2
