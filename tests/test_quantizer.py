"""The adaptive residual quantizer: an independent oracle, gradients at every level, budgets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cardiofm.model.encoded import depths
from cardiofm.model.quantizer import AdaptiveRVQ, Blocks, QuantizerConfig, log_gains, water_fill

CONFIG = QuantizerConfig(levels=6, codes=32, width=8, group=1)
GROUPED = QuantizerConfig(levels=6, codes=32, width=8, group=5)


@pytest.fixture
def quantizer() -> AdaptiveRVQ:
    torch.manual_seed(1)
    made = AdaptiveRVQ(CONFIG)
    made.codebook_QRE.normal_().mul_(0.6 ** torch.arange(CONFIG.levels)[:, None, None])
    made.ready.fill_(True)
    return made.eval()


def latents() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(3, 50, CONFIG.width, generator=torch.Generator().manual_seed(2)), torch.ones(3, 50).bool()


def test_codes_agree_with_an_independent_rvq(quantizer: AdaptiveRVQ) -> None:
    from vector_quantize_pytorch import ResidualVQ

    oracle = ResidualVQ(dim=CONFIG.width, num_quantizers=CONFIG.levels, codebook_size=CONFIG.codes).eval()
    for q, layer in enumerate(oracle.layers):
        codebook: Any = layer._codebook
        codebook.embed.copy_(quantizer.codebook_QRE[q][None])
    y_BSE, valid_BS = latents()
    with torch.no_grad():
        expected_BSE, expected_BSQ, _ = oracle(y_BSE)
        ours = quantizer(y_BSE, valid_BS, torch.full(valid_BS.shape, float(CONFIG.levels)))
    assert torch.equal(ours.codes_BSQ, expected_BSQ)
    torch.testing.assert_close(ours.latent_BSE, expected_BSE, rtol=1e-5, atol=1e-5)


def test_blocks_are_an_orthonormal_transform_with_low_frequencies_first() -> None:
    blocks, wave_BSP = Blocks(QuantizerConfig(width=20, group=5), 20), torch.randn(2, 25, 20)
    latent_BSE = blocks(wave_BSP)
    torch.testing.assert_close(blocks.inverse(latent_BSE), wave_BSP, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(latent_BSE.square().sum(), wave_BSP.square().sum(), rtol=1e-4, atol=1e-4)
    slow_BSP = torch.sin(torch.arange(500) / 250 * 2 * np.pi).view(1, 25, 20)
    energy = blocks(slow_BSP).square().sum(-1).view(5, 5)
    assert (energy[:, 0] > 0.99 * energy.sum(-1)).all()
    seen_BS = torch.zeros(1, 25).bool()
    seen_BS[0, 7] = True
    assert blocks.coded(seen_BS)[0].nonzero().flatten().tolist() == [5, 6, 7, 8, 9]


def test_the_first_token_of_a_block_has_its_own_book() -> None:
    torch.manual_seed(1)
    made = AdaptiveRVQ(GROUPED).train()
    y_BSE = torch.randn(4, 100, GROUPED.width)
    y_BSE[:, ::5] += 50.0
    for _ in range(3):
        made(y_BSE, torch.ones(4, 100).bool(), torch.full((4, 100), 6.0))
    first, rest = made.codebook_QRE[0].chunk(2)
    assert first.mean() > 40
    assert rest.abs().mean() < 5
    with torch.no_grad():
        ours = made.eval()(y_BSE, torch.ones(4, 100).bool(), torch.full((4, 100), 6.0))
    assert int(ours.codes_BSQ.max()) < GROUPED.codes
    torch.testing.assert_close(made.dequantize(ours.codes_BSQ, ours.depth_BS), ours.latent_BSE, atol=1e-4, rtol=0)


def test_dequantize_undoes_quantize_at_any_depth(quantizer: AdaptiveRVQ) -> None:
    y_BSE, valid_BS = latents()
    depth_BS = torch.arange(50).remainder(CONFIG.levels + 1).float().expand(3, -1)
    with torch.no_grad():
        ours = quantizer(y_BSE, valid_BS, depth_BS)
        torch.testing.assert_close(
            quantizer.dequantize(ours.codes_BSQ, ours.depth_BS), ours.latent_BSE, atol=1e-5, rtol=0
        )


def test_commitment_of_every_level_reaches_the_latent(quantizer: AdaptiveRVQ) -> None:
    y_BSE, valid_BS = latents()
    y_BSE.requires_grad_()
    out = quantizer(y_BSE, valid_BS, torch.zeros(valid_BS.shape))
    out.commitment.backward()
    residual, expected = y_BSE.detach(), torch.zeros_like(y_BSE)
    for q in range(CONFIG.levels):
        residual = residual - quantizer.codebook_QRE[q][out.codes_BSQ[..., q]]
        expected += 2 * residual / (valid_BS.sum() * CONFIG.levels)
    assert y_BSE.grad is not None
    torch.testing.assert_close(y_BSE.grad, expected, rtol=1e-4, atol=1e-7)


def test_depth_gets_a_gradient_at_every_level(quantizer: AdaptiveRVQ) -> None:
    y_BSE, valid_BS = latents()
    for q in range(CONFIG.levels):
        depth_BS = torch.full(valid_BS.shape, q + 0.6, requires_grad=True)
        quantizer(y_BSE, valid_BS, depth_BS).latent_BSE.square().sum().backward()
        assert depth_BS.grad is not None
        assert (depth_BS.grad != 0).float().mean() > 0.9


def test_training_brings_the_codebooks_to_the_data() -> None:
    torch.manual_seed(3)
    learner = AdaptiveRVQ(CONFIG).train()
    centres = torch.randn(20, CONFIG.width) * 3
    errors, y_BSE = [], torch.empty(0)
    for _ in range(20):
        y_BSE = (centres[torch.randint(20, (4, 100))] + 0.05 * torch.randn(4, 100, CONFIG.width)).float()
        errors.append(float(learner(y_BSE, torch.ones(4, 100).bool(), torch.full((4, 100), 6.0)).commitment))
    assert errors[-1] < 0.05 * float(y_BSE.var())
    assert bool((learner.usage_QR > 0).all())


def worths(seed: int, *shape: int) -> torch.Tensor:
    """Worth of eight levels that falls from level to level, as every measured one does."""
    draw = torch.Generator().manual_seed(seed)
    first = 3 * torch.randn(*shape, 1, generator=draw)
    return first - torch.rand(*shape, 8, generator=draw).cumsum(-1)


def test_gains_are_those_of_the_codes_and_never_rise(quantizer: AdaptiveRVQ) -> None:
    y_BSE, _ = latents()
    codes_BSQ, error_BSQ = quantizer.search(y_BSE)
    for depth in range(CONFIG.levels + 1):
        drawn = quantizer.dequantize(codes_BSQ, torch.full(codes_BSQ.shape[:2], float(depth)))
        torch.testing.assert_close((y_BSE - drawn).square().sum(-1), error_BSQ[..., depth], rtol=1e-4, atol=1e-4)
    worth_BSQ = log_gains(error_BSQ)
    assert (worth_BSQ.diff(dim=-1) <= 0).all()
    first = (error_BSQ[..., 0] - error_BSQ[..., 1]).clamp_min(0)
    torch.testing.assert_close(worth_BSQ[..., 0].exp(), first + 1e-4, rtol=1e-4, atol=1e-5)


def test_greedy_depths_lose_less_than_any_uniform_depth_at_the_same_bits() -> None:
    torch.manual_seed(3)
    learner = AdaptiveRVQ(CONFIG).train()
    y_BSE = torch.randn(8, 100, CONFIG.width) * torch.exp(torch.randn(8, 100, 1))
    for _ in range(10):
        learner(y_BSE, torch.ones(8, 100).bool(), torch.full((8, 100), 6.0))
    _, error_BSQ = learner.search(y_BSE)
    worth = log_gains(error_BSQ).numpy()
    for depth in (1, 2, 4):
        chosen = depths(worth, np.ones((8, 100), bool), depth)
        assert (chosen.sum(-1) <= depth * 100).all()
        greedy = np.take_along_axis(error_BSQ.numpy(), chosen[..., None], -1).sum()
        assert greedy < 0.9 * float(error_BSQ[..., depth].sum())


def test_water_fill_meets_its_budget_and_follows_worth() -> None:
    worth_BSQ = worths(4, 4, 125)
    valid_BS = torch.ones(4, 125).bool()
    valid_BS[:, 100:] = False
    mean_depth_B = torch.tensor([0.1, 1.0, 2.5, 6.0])
    depth_BS = water_fill(worth_BSQ, valid_BS, mean_depth_B)
    torch.testing.assert_close(depth_BS[:, :100].mean(-1), mean_depth_B, rtol=1e-3, atol=1e-3)
    assert float(depth_BS[:, 100:].abs().max()) == 0
    same_BSQ = worth_BSQ[..., :1] - torch.arange(8)
    order = same_BSQ[2, :100, 0].argsort()
    assert bool((water_fill(same_BSQ, valid_BS, mean_depth_B)[2, :100][order].diff() >= 0).all())


@pytest.mark.parametrize("mean_depth", [0.3, 1.0, 2.56, 7.0, 8.0, np.inf])
def test_numpy_depths_never_exceed_the_budget_and_follow_worth(mean_depth: float) -> None:
    worth, coded = worths(5, 2, 2, 125).numpy(), np.ones((2, 2, 125), bool)
    coded[0, 0, 60:] = False
    coded[1, 1] = False
    depth = depths(worth, coded, mean_depth)
    budget = min(mean_depth, 8) * coded.sum(-1)
    assert (depth.sum(-1) <= budget + 1e-6).all()
    assert (depth.sum(-1) >= budget - 1 - 1e-6).all()
    assert (depth[~coded] == 0).all()
    kept = np.arange(8) < depth[1, 0][:, None]
    assert kept.all() or worth[1, 0][kept].min(initial=np.inf) >= worth[1, 0][~kept].max()


def test_numpy_depths_are_those_of_training() -> None:
    worth, coded = worths(6, 3, 125), np.ones((3, 125), bool)
    trained = water_fill(worth, torch.from_numpy(coded), torch.full((3,), 3.0))
    rounded = (trained - 0.5).ceil().clamp(0, 8).numpy()
    assert np.abs(depths(worth.numpy(), coded, 3.0) - rounded).mean() < 0.2
