"""The stages that train one decoder each: it alone learns, and it draws better than where it began."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cardiofm.config import ConfigError
from cardiofm.model.cardiofm import TINY, CardioFM
from cardiofm.train.augment import AugmentConfig
from cardiofm.train.batches import BatchConfig, Batches
from cardiofm.train.codec import Codec
from cardiofm.train.gaps import Gaps, Shares
from cardiofm.train.loop import LoopConfig
from cardiofm.train.pretrain import PretrainConfig, pretrain
from cardiofm.train.settle import PLAIN, settle
from small_run import SPEC, SmallStore


@pytest.fixture(scope="module")
def settled() -> CardioFM:
    torch.manual_seed(0)
    model = CardioFM(replace(TINY, spec=SPEC))
    settle(model, SmallStore(), batches=6, size=16)
    return model


def copy_of(model: CardioFM) -> CardioFM:
    made = CardioFM(model.config)
    made.load_state_dict(model.state_dict())
    return made


def test_only_the_decoder_of_codes_learns_and_it_lowers_the_error(settled: CardioFM) -> None:
    stage = Codec(copy_of(settled), seed=1).train()
    batches = Batches(SmallStore(), SPEC, BatchConfig(size=16, augment=PLAIN), 2)
    before = {name: t.clone() for name, t in stage.model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in stage.parameters() if p.requires_grad], lr=2e-3)
    batch, losses = batches(0), []
    for _ in range(15):
        loss, _ = stage(batch, 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.01
    changed = {n for n, t in stage.model.state_dict().items() if not torch.equal(t, before[n])}
    assert changed
    assert all(name.startswith("codes.") for name in changed)


def test_only_the_decoder_of_tokens_learns_from_gaps(settled: CardioFM) -> None:
    stage = Gaps(copy_of(settled), seed=1, shares=Shares(whole=0.6)).train()
    before = {name: t.clone() for name, t in stage.model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in stage.parameters() if p.requires_grad], lr=1e-3)
    batch = Batches(SmallStore(), SPEC, BatchConfig(size=8, paired_share=1.0, augment=PLAIN), 2)(0)
    kinds, first, last = set(), {}, {}
    for turn in range(3):
        for step in range(8):
            loss, logs = stage(batch, step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            kinds |= set(logs)
            (first if turn == 0 else last)[step] = float(loss.detach())
    assert {"gap_ecg", "gap_ppg"} <= kinds
    assert {"whole_ecg", "whole_ppg"} & kinds
    assert sum(last.values()) < sum(first.values())
    changed = {n for n, t in stage.model.state_dict().items() if not torch.equal(t, before[n])}
    assert all(name.startswith("decoder.") for name in changed)
    for part in ("weigh_echo", "weigh_patch", "from_match"):
        assert any(name.startswith(f"decoder.{part}") for name in changed)


def test_a_drawing_begins_as_its_echo_and_what_is_visible_passes(settled: CardioFM) -> None:
    decoder = Gaps(copy_of(settled), seed=1).model.decoder
    batch = Batches(SmallStore(), SPEC, BatchConfig(size=4, paired_share=1.0, augment=PLAIN), 2)(0)
    visible_BCN = batch.valid_BCN.clone()
    visible_BCN[:, 0, SPEC.samples // 2 : SPEC.samples // 2 + 10 * SPEC.patch] = False
    with torch.no_grad():
        tokens = settled.encoder(batch.x_BCN, visible_BCN, batch.in_mv_BC)
        drawn_BCN, clean_BCN, _ = decoder.tokens(tokens, SPEC.tokens)
        echo = decoder.echo(tokens.patches, tokens.visible)[0]
        patch_BSP, seen_BS = tokens.patches[0], tokens.visible[0]
        assert echo is not None
        assert patch_BSP is not None
        assert seen_BS is not None
        drawn_BSP, clean_BSP = (t[:, 0].unflatten(-1, patch_BSP.shape[1:]) for t in (drawn_BCN, clean_BCN))
    gap_BS = echo.has_BS & ~seen_BS
    assert gap_BS.any()
    assert (drawn_BSP - echo.drawn_BSP)[gap_BS].square().mean() < 0.001
    assert torch.equal(drawn_BSP[seen_BS], patch_BSP[seen_BS])
    assert torch.equal(clean_BSP[~seen_BS], drawn_BSP[~seen_BS])
    off_BSP = (clean_BSP - patch_BSP)[seen_BS]
    assert 0 < off_BSP.square().mean() < 0.05


def test_noise_is_taken_away_where_the_stage_has_seen_it(settled: CardioFM) -> None:
    loud = AugmentConfig(**(vars(PLAIN) | {"sensor_share": 1.0, "sensor": 1.0}))
    stage = Gaps(copy_of(settled), seed=1, shares=Shares(whole=0.0)).train()
    batch = Batches(SmallStore(), SPEC, BatchConfig(size=8, paired_share=1.0, augment=loud), 2)(0)
    optimizer = torch.optim.AdamW([p for p in stage.parameters() if p.requires_grad], lr=3e-3)
    found = []
    for step in range(24):
        loss, logs = stage(batch, step % 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(logs["clean_ecg"].detach()))
    assert sum(found[-4:]) < 0.9 * sum(found[:4])


def test_hidden_samples_do_not_reach_a_drawn_gap(settled: CardioFM) -> None:
    stage = Gaps(copy_of(settled), seed=1).eval()
    batch = Batches(SmallStore(), SPEC, BatchConfig(size=8, paired_share=1.0, augment=PLAIN), 2)(0)
    step = next(s for s in range(50) if stage._hidden(batch, s, (0, 1))[1] is None)
    hidden_BCN, _ = stage._hidden(batch, step, (0, 1))
    other = replace(batch, x_BCN=torch.where(hidden_BCN, 9.0, batch.x_BCN))
    with torch.no_grad():
        assert torch.equal(stage(batch, step)[0], stage(other, step)[0])


def test_codes_do_not_need_the_encoder(settled: CardioFM) -> None:
    plain = copy_of(settled)
    batch = Batches(SmallStore(), SPEC, BatchConfig(size=8, paired_share=1.0), 2)(1)
    stage = Codec(plain, seed=1).train()
    before = stage(batch, 0)[0]
    with torch.no_grad():
        whole = plain.encoder(batch.target_BCN, batch.valid_BCN, batch.in_mv_BC)
    few = plain.sampled(batch.target_BCN, batch.valid_BCN, (0, 1))
    for own, other in ((whole.patches, few.patches), (whole.visible, few.visible)):
        assert all(torch.equal(a, b) for a, b in zip(own, other, strict=True) if a is not None and b is not None)
    for parameter in plain.encoder.parameters():
        parameter.data.normal_(std=0.1)
    assert torch.equal(before, stage(batch, 0)[0])


def test_the_loss_is_the_log_of_the_error_that_use_has(settled: CardioFM) -> None:
    stage = Codec(copy_of(settled), seed=1).train()
    batch = Batches(SmallStore(), SPEC, BatchConfig(size=8, paired_share=1.0, augment=PLAIN), 2)(1)
    loss, logs = stage(batch, 0)
    each = [float(logs[f"log_prd_{name}"].detach()) for name in ("ecg", "ppg")]
    assert float(loss.detach()) == pytest.approx(sum(each) / 2, abs=1e-5)
    assert -5 < float(loss.detach()) < 0  # PRD between 1 and 100 %


def test_a_stage_needs_its_name_and_its_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start_from"):
        PretrainConfig(stage="codec")
    with pytest.raises(ConfigError, match="'codex'"):
        PretrainConfig(stage="codex")


@pytest.mark.slow
@pytest.mark.shared
def test_the_command_runs_the_stage_and_keeps_where_it_came_from(tmp_path: Path, data_root: Path) -> None:
    from cardiofm.data.prepare import prepare
    from cardiofm.model.checkpoint import read_provenance

    store = tmp_path / "store"
    prepare(["ptb-xl"], data_root, store)
    first = tmp_path / "first"
    model = CardioFM(TINY)
    model.save(first, {"step": 7})
    loop = LoopConfig(steps=2, warmup_steps=1, threads=1)
    config = PretrainConfig(start_from=str(first), stage="codec", loop=loop, batches=BatchConfig(size=4))
    made = CardioFM.load(pretrain(config, store, tmp_path / "out"))
    said = read_provenance(tmp_path / "out" / "last" / "model")
    assert said["before"] == {"step": 7}
    for name, tensor in made.encoder.state_dict().items():
        torch.testing.assert_close(tensor, model.encoder.state_dict()[name], rtol=1e-2, atol=1e-3)
