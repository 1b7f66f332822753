"""The pretraining objective: every mode learns, hidden samples do not leak, and two processes see one batch."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from cardiofm.config import ConfigError
from cardiofm.model.cardiofm import TINY, CardioFM
from cardiofm.train import objectives
from cardiofm.train.batches import Batch
from cardiofm.train.objectives import ObjectiveConfig, Pretraining
from cardiofm.train.targets import describe

PAIRED = ("ecg", "ppg")


def batch(present: tuple[str, ...] = PAIRED, size: int = 4) -> Batch:
    torch.manual_seed(1)
    x = torch.randn(size, 2, 2500).cumsum(-1) * 0.05
    valid = torch.ones(size, 2, 2500, dtype=torch.bool)
    valid[:, 1] = "ppg" in present
    valid[0, :, 400:700] = False
    in_mv = torch.ones(size, 2, dtype=torch.bool)
    described = [describe((x * valid)[i].numpy(), valid[i].numpy(), in_mv[i].numpy(), 250.0) for i in range(size)]
    maps, facts = (torch.from_numpy(np.stack(part)) for part in zip(*described, strict=True))
    return Batch(x * valid, x * valid, valid, in_mv, present, 0.0, maps, facts)


def objective(**settings: float | int) -> Pretraining:
    torch.manual_seed(0)
    return Pretraining(CardioFM(TINY).train(), ObjectiveConfig(**settings), seed=3)  # type: ignore[arg-type]


def step_with(learner: Pretraining, mode: str) -> int:
    """A step whose draw gives that mode."""
    for step in range(1000, 2000):
        if learner._mode(np.random.default_rng((learner.seed, step, 7)), True) == mode:
            return step
    raise AssertionError(mode)


def test_every_parameter_learns() -> None:
    learner = objective(echo_share=1.0)
    elsewhere = r"model\.decoder\.weigh_patch\..*"  # the gaps' stage learns to trust visible samples
    missing = {name for name, _ in learner.named_parameters() if not re.fullmatch(elsewhere, name)}
    for mode in ("codec", "masked", "cross"):
        learner.zero_grad()
        loss, _ = learner(batch(size=16), step_with(learner, mode))
        assert torch.isfinite(loss)
        loss.backward()
        missing -= {n for n, p in learner.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert not missing


@pytest.mark.parametrize("present", [PAIRED, ("ecg",)])
def test_a_few_steps_lower_the_loss(present: tuple[str, ...]) -> None:
    learner = objective(codec_share=0.0, cross_share=0.0)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        loss, _ = learner(batch(present), 5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_hidden_tokens_do_not_reach_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changing only hidden samples of the input changes no drawing."""
    learner = objective(codec_share=0.0, cross_share=0.0).eval()
    seen: list[torch.Tensor] = []
    inner = learner.model.encoder.forward

    def spy(x: torch.Tensor, visible: torch.Tensor, *rest: object) -> object:
        seen.append(visible.clone())
        return inner(x, visible, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(learner.model.encoder, "forward", spy)
    drawn: list[torch.Tensor] = []
    monkeypatch.setattr(learner, "_compare", _keep(drawn))
    given = batch()
    learner(given, 1500)
    noisy = torch.where(seen[0], given.x_BCN, given.x_BCN + 5.0)
    learner(Batch(noisy, given.target_BCN, given.valid_BCN, given.in_mv_BC, given.present), 1500)
    assert not seen[0].all()
    assert torch.equal(drawn[0], drawn[1])


def _keep(drawn: list[torch.Tensor]) -> Callable[..., tuple[torch.Tensor, ...]]:
    def compare(d: torch.Tensor, *_: object) -> tuple[torch.Tensor, ...]:
        drawn.append(d)
        return torch.zeros(()), torch.zeros(())

    return compare


def test_masks_are_complementary_and_split_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = objective()
    whole = learner._keep(np.random.default_rng(0), 8, 0.75, torch.device("cpu"))
    assert whole[0].shape == (8, 31)
    for ecg, ppg in zip(*whole, strict=True):
        assert not set(ecg.tolist()) & set(ppg.tolist())
    halves = []
    for rank in range(2):
        monkeypatch.setattr(objectives, "place", lambda rank=rank: (rank, 2))
        halves.append(learner._keep(np.random.default_rng(0), 4, 0.75, torch.device("cpu")))
    for c in range(2):
        assert torch.equal(torch.cat([h[c] for h in halves]), whole[c])


@pytest.mark.parametrize("mode", ["codec", "masked", "cross"])
def test_bf16_gives_the_loss_of_float32(mode: str) -> None:
    found = []
    for enabled in (False, True):
        learner = objective()
        step = step_with(learner, mode)
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss, _ = learner(batch(), step)
        loss.backward()
        found.append(float(loss.detach()))
    assert found[1] == pytest.approx(found[0], rel=0.03)


def test_fixed_blocks_stand_still_and_all_above_them_learns() -> None:
    """Tokens after the fixed blocks, and codes, stay as they were to the bit; the embedding does not."""
    learner = objective(codec_share=0.0, fixed_blocks=2)
    model, given = learner.model, batch(size=4)

    def read() -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            tokens = model.encoder(given.x_BCN, given.valid_BCN, given.in_mv_BC, blocks=2)
            depths = [None if seen is None else 2.0 * seen for seen in tokens.visible]
            drawn = model.codes([model.latent(tokens, c) for c in range(2)], depths, tokens.visible)
            return *(z for z in tokens.z if z is not None), drawn, model(given.x_BCN, given.valid_BCN, given.in_mv_BC)

    before = read()
    optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], lr=1e-3)
    for mode in ("masked", "cross"):
        learner(given, step_with(learner, mode))[0].backward()
        optimizer.step()
    *same, moved = (torch.equal(a, b) for a, b in zip(before, read(), strict=True))
    assert all(same)
    assert not moved


@pytest.mark.parametrize("settings", [{"fixed_blocks": 1}, {"fixed_blocks": -1, "codec_share": 0.0}])
def test_blocks_can_be_fixed_only_without_codec_steps(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="fixed_blocks must be at least 0, and codec_share 0"):
        objective(**settings)
