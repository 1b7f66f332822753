"""Each switch of an ablation removes what its name says, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cardiofm.model.cardiofm import CardioFM, ModelConfig
from cardiofm.model.decoder import DecoderConfig
from cardiofm.model.encoded import depths
from cardiofm.model.encoder import EncoderConfig
from cardiofm.model.layers import LOOKING, SecondsRotary, View
from cardiofm.model.quantizer import QuantizerConfig, even_worth
from cardiofm.train.batches import Batch, BatchConfig, Batches
from cardiofm.train.objectives import ObjectiveConfig, Pretraining
from small_run import SPEC, SmallStore

ENCODER = EncoderConfig(width=32, depth=2, heads=2, hidden=32, stem=8, embedding=16)
QUANTIZER = QuantizerConfig(levels=3, codes=16, width=4)
DECODER = DecoderConfig(width=32, depth=1, heads=2, hidden=32)
IN_MV = torch.ones(2, 2, dtype=torch.bool)


def small(encoder: EncoderConfig = ENCODER, quantizer: QuantizerConfig = QUANTIZER) -> CardioFM:
    torch.manual_seed(0)
    model = CardioFM(ModelConfig("small", encoder=encoder, quantizer=quantizer, decoder=DECODER))
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)  # away from the symmetric start
    for part in model.quantizer:
        part.get_buffer("codebook_QRE").normal_(0.0, 0.5)
        part.get_buffer("ready").fill_(True)
    return model.eval()


def waves(seed: int) -> Tensor:
    return torch.randn(2, 2, 2500, generator=torch.Generator().manual_seed(seed)).cumsum(-1) * 0.05


def seen() -> Tensor:
    return torch.ones(2, 2, 2500, dtype=torch.bool)


@pytest.mark.parametrize("cross", LOOKING)
def test_only_the_named_stream_looks_at_the_other(cross: str) -> None:
    """Replace one channel: the other stream's tokens and its drawing from codes change where it looks, only there."""
    model = small(replace(ENCODER, cross=cross))
    for changed in range(2):
        x = waves(1)
        other = x.clone()
        other[:, changed] = waves(2)[:, changed]
        depth_B = torch.full((2,), 3.0)
        found, drawings = [], []
        with torch.inference_mode():
            for waveform in (x, other):
                tokens = model.encoder(waveform, seen(), IN_MV)
                found.append(tokens.z[1 - changed])
                made = [q for q in model.quantize(tokens, depth_B) if q is not None]
                made[1 - changed] = made[1 - changed]._replace(latent_BSE=torch.ones_like(made[1 - changed].latent_BSE))
                drawn = model.codes([q.latent_BSE for q in made], [q.depth_BS for q in made], tokens.visible)
                drawings.append(drawn[:, 1 - changed])
        looks = 1 - changed in LOOKING[cross]
        assert torch.equal(*found) is not looks
        assert torch.equal(*drawings) is not looks


def test_a_stream_that_looks_at_nothing_has_no_such_parameters() -> None:
    names = [name for name, _ in small(replace(ENCODER, cross="none")).named_parameters()]
    assert not [name for name in names if ".cross." in name]
    one_way = [name for name, _ in small(replace(ENCODER, cross="ecg_from_ppg")).named_parameters()]
    assert [name for name in one_way if ".cross.0." in name]
    assert not [name for name in one_way if ".cross.1." in name]


def test_an_unknown_direction_is_named() -> None:
    with pytest.raises(ValueError, match=r"encoder\.cross must be one of both, none, ecg_from_ppg, ppg_from_ecg"):
        replace(ENCODER, cross="left")


def test_without_lag_bias_no_table_is_left_and_time_still_counts() -> None:
    """A pulse of the PPG moved by a second changes the ECG's tokens through its rotary position alone."""
    model = small(replace(ENCODER, lag_bias=False))
    assert not [name for name, _ in model.named_parameters() if "lag_bias" in name]
    block = model.encoder.blocks[0]
    generator = torch.Generator().manual_seed(3)
    ecg, ppg = torch.randn(1, 6, 32, generator=generator), torch.randn(1, 6, 32, generator=generator)
    shown = torch.ones(1, 6, dtype=torch.bool)
    now = torch.arange(6)[None] * 0.08
    out = []
    for delay_s in (0.0, 1.0):
        view = View(SecondsRotary(16), [now, now + delay_s], [shown, shown], 0.08)
        out.append(block([ecg, ppg], view)[0])
    assert (out[0] - out[1]).abs().max() > 1e-4


def test_uniform_depth_differs_by_one_level_at_most_and_keeps_the_budget() -> None:
    model = small(quantizer=replace(QUANTIZER, adaptive=False))
    x = waves(4)
    x[:, :, :1250] *= 0.01  # a flat half, which adaptive depth would leave uncoded
    tokens = model.encoder(x, seen(), IN_MV)
    for mean_depth in (0.3, 1.0, 2.6):
        for made in model.quantize(tokens, torch.full((2,), mean_depth)):
            assert made is not None
            block = made.depth_BS.unflatten(1, (-1, QUANTIZER.group))
            assert (block.amax(1) - block.amin(1)).max() <= 1
            assert made.depth_BS.mean().item() == pytest.approx(mean_depth, abs=0.15)
    adaptive = small().quantize(tokens, torch.full((2,), 1.0))[0]
    assert adaptive is not None
    assert adaptive.depth_BS.max() - adaptive.depth_BS.min() > 1


def test_even_worth_gives_every_block_the_same_and_any_stretch_its_share() -> None:
    coded_BS = torch.ones(2, 1000).bool()
    first = torch.randn(2, 1000, 1, generator=torch.Generator().manual_seed(7))
    worth_BSQ = first + 3 * (torch.arange(1000) % 5 == 0)[:, None] - 2 * torch.arange(8)
    even_BSQ = even_worth(worth_BSQ, coded_BS, 5)
    depth_BS = torch.from_numpy(depths(even_BSQ.numpy(), coded_BS.numpy(), np.array([[0.5], [2.0]])))
    block = depth_BS.unflatten(1, (-1, 5))
    assert (block.amax(1) - block.amin(1)).max() <= 1
    assert (block[..., 0] > block[..., 1]).float().mean() > 0.95
    share = depth_BS[0].float().unfold(-1, 100, 5).mean(-1)
    assert share.min() > 0.4
    assert share.max() < 0.6


def test_bypassed_codes_draw_from_the_latent_itself() -> None:
    model = small(quantizer=replace(QUANTIZER, bypass=True))
    tokens = model.encoder(waves(5), seen(), IN_MV)
    for c, made in enumerate(model.quantize(tokens, torch.full((2,), 0.5))):
        assert made is not None
        assert torch.equal(made.latent_BSE, model.latent(tokens, c))
        assert made.commitment == 0


@pytest.mark.parametrize("only", ["ecg", "ppg"])
def test_one_modality_alone_is_all_that_batches_show(only: str) -> None:
    batches = Batches(SmallStore(), SPEC, BatchConfig(size=16, modalities=(only,)), seed=1)
    of_paired_records = 0
    for step in range(6):
        batch = batches(step)
        other = 1 - ("ecg", "ppg").index(only)
        assert batch.present == (only,)
        assert not batch.valid_BCN[:, other].any()
        assert not batch.x_BCN[:, other].any()
        rows = batches._rows(batch.present, np.random.default_rng(step))
        of_paired_records += sum(str(batches.store.rows["dataset"][r]) == "both" for r in rows)
    assert of_paired_records > 0


@pytest.mark.parametrize(
    "model",
    [
        small(replace(ENCODER, cross="none")),
        small(replace(ENCODER, cross="ppg_from_ecg", lag_bias=False)),
        small(quantizer=replace(QUANTIZER, adaptive=False)),
        small(quantizer=replace(QUANTIZER, bypass=True)),
    ],
    ids=["no cross", "one way, no lags", "uniform", "bypass"],
)
def test_every_variant_learns_in_every_mode(model: CardioFM) -> None:
    x = waves(6)
    batch = Batch(x, x, seen(), IN_MV, ("ecg", "ppg"))
    for codec_share, cross_share in ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0)):
        config = ObjectiveConfig(codec_share=codec_share, cross_share=cross_share)
        loss, _ = Pretraining(model.train(), config, seed=0)(batch, 1)
        loss.backward()
        assert torch.isfinite(loss)
