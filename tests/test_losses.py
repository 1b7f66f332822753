"""Losses: zero for the right answer, growing with the error, and blind to what has no weight."""

from __future__ import annotations

import math

import torch

from cardiofm.train.losses import at_best_lag, contrastive, huber, spectral


def wave(shift: int = 0) -> torch.Tensor:
    t = torch.arange(1000 + shift)[shift:] / 250
    return torch.sin(2 * math.pi * 1.2 * t)[None].repeat(2, 1)


def test_right_drawing_costs_nothing() -> None:
    x, one = wave(), torch.ones(2, 1000)
    assert huber(x, x, one) == 0
    assert spectral(x, x, one) < 1e-3


def test_cost_grows_with_a_delay() -> None:
    one = torch.ones(2, 1000)
    near, far = (spectral(wave(k), wave(), one) for k in (5, 40))
    assert 0 < near < far


def test_a_delay_costs_its_toll_alone() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 1000), torch.ones(2, 1000)
    late = torch.roll(x, 30, dims=-1)
    share, lag = at_best_lag(torch.stack([late[0], x[1]]), x, weight, 60, 0.2, sharpness=1e4)
    assert lag.tolist() == [30, 0]
    assert abs(share[0] - 0.2 / 4) < 0.01
    assert abs(share[1]) < 0.01
    nothing, _ = at_best_lag(torch.zeros(2, 1000), x, weight, 60, 0.2, sharpness=1e4)
    assert (nothing - 1).abs().max() < 0.01
    weight[:, :500] = 0
    late[:, :500] = 99.0
    assert (at_best_lag(x + 0, x, weight, 60, 0.2, sharpness=1e4)[0]).abs().max() < 0.01
    assert at_best_lag(x, x, 0 * weight, 60, 0.2)[0].tolist() == [0, 0]


def test_what_has_no_weight_does_not_count() -> None:
    x, y = wave(), wave()
    y[:, 300:500] = 99.0
    weight = torch.ones(2, 1000)
    weight[:, 300:500] = 0
    assert huber(y, x, weight) == 0
    assert spectral(y, x, weight) < 1e-3
    assert spectral(x, y, torch.zeros(2, 1000)) == 0


def test_contrastive_knows_partners() -> None:
    views = torch.eye(8, 16)
    right, hit = contrastive(views, views)
    wrong, miss = contrastive(views, views.roll(1, 0))
    assert right < 0.1
    assert hit == 1
    assert wrong > 5
    assert miss == 0
