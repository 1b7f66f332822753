"""The echo continues what repeats, lets the partner vote, and never looks at what is hidden."""

from __future__ import annotations

import torch
from torch import Tensor

from cardiofm.model.echo import COARSE, Echo, lanczos, slices

SPEC = {"fs_hz": 250.0, "patch": 20}
GAP = slice(60, 73)  # tokens: about one second


def beats(times_s: Tensor, width_s: float) -> Tensor:
    """One bump per beat, `(1, S, P)`, of unit spread."""
    t = torch.arange(2500) / 250
    x = torch.exp(-0.5 * ((t[:, None] - times_s[None]) / width_s) ** 2).sum(-1)
    return ((x - x.mean()) / x.std()).view(1, 125, 20)


def seen(hidden: slice | None) -> Tensor:
    out = torch.ones(1, 125, dtype=torch.bool)
    if hidden is not None:
        out[:, hidden] = False
    return out


def r(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def test_a_regular_rhythm_is_continued() -> None:
    ecg = beats(torch.arange(0.1, 10, 0.83), 0.02)
    shown = seen(GAP)
    made = Echo(**SPEC)([ecg * shown[..., None], None], [shown, None])
    assert made[1] is None
    assert made[0] is not None
    drawn, has = made[0].drawn_BSP, made[0].has_BS
    assert has[:, GAP].all()
    assert r(drawn[:, GAP], ecg[:, GAP]) > 0.95


def test_hidden_samples_are_not_looked_at() -> None:
    ecg, shown = beats(torch.arange(0.1, 10, 0.83), 0.02), seen(GAP)
    a, b = (Echo(**SPEC)([x, None], [shown, None])[0] for x in (ecg, torch.where(shown[..., None], ecg, ecg + 9)))
    assert a is not None
    assert b is not None
    assert torch.equal(a[0], b[0])


def test_the_partner_says_where_an_irregular_beat_falls() -> None:
    rr_s = torch.tensor([0.8, 0.6, 1.0, 0.7, 0.9, 0.65, 0.95, 0.75, 0.6, 1.0, 0.8, 0.7])
    times_s = rr_s.cumsum(0)
    ecg, ppg = beats(times_s, 0.02), beats(times_s + 0.25, 0.12)
    shown = seen(GAP)
    alone = Echo(**SPEC)([ecg * shown[..., None], None], [shown, None])[0]
    both = Echo(**SPEC)([ecg * shown[..., None], ppg], [shown, seen(None)])[0]
    assert alone is not None
    assert both is not None
    assert r(both[0][:, GAP], ecg[:, GAP]) > r(alone[0][:, GAP], ecg[:, GAP])


def test_there_is_no_echo_of_nothing() -> None:
    shown = seen(slice(0, 125))
    made = Echo(**SPEC)([torch.zeros(1, 125, 20), None], [shown, None])[0]
    assert made is not None
    assert not made.has_BS.any()
    assert not made.drawn_BSP.any()


def test_an_echo_meets_the_level_of_both_sides() -> None:
    ecg, shown = beats(torch.arange(0.1, 10, 0.83), 0.02), seen(GAP)
    drift = torch.linspace(-1.5, 1.5, 2500).view(1, 125, 20)  # no stretch of the window has the gap's level
    made = Echo(**SPEC)([(ecg + drift) * shown[..., None], None], [shown, None])[0]
    assert made is not None
    error = (made.drawn_BSP - ecg - drift)[:, GAP].mean(-1)
    assert error.abs().max() < 0.25


def test_a_stretch_is_found_as_far_away_as_the_window_reaches() -> None:
    t = torch.arange(2500) / 250
    twice = [1.5, 7.6]  # a word of three bumps, 6.1 s apart; all else is quiet
    word = [(0.0, 1.0), (0.25, -0.7), (0.6, 0.5)]
    bumps = [a * torch.exp(-0.5 * ((t - at - after) / 0.03) ** 2) for at in twice for after, a in word]
    x = torch.stack(bumps).sum(0)
    x = ((x - x.mean()) / x.std()).view(1, 125, 20)
    hidden = slice(97, 100)  # the second bump of the second word
    shown = seen(hidden)
    made = Echo(**SPEC)([x * shown[..., None], None], [shown, None])[0]
    assert made is not None
    assert r(made.drawn_BSP[:, hidden], x[:, hidden]) > 0.9


def test_what_repeats_exactly_has_no_spread() -> None:
    t = torch.arange(2500) / 250
    wave, shown = torch.sin(2 * torch.pi * t / 0.8).view(1, 125, 20), seen(GAP)
    noise = torch.randn(1, 125, 20, generator=torch.Generator().manual_seed(0))
    quiet, loud = (Echo(**SPEC)([x * shown[..., None], None], [shown, None])[0] for x in (wave, wave + noise))
    assert quiet is not None
    assert loud is not None
    assert quiet.spread_BSP[:, GAP].mean() < 0.15 < 0.6 < loud.spread_BSP[:, GAP].mean()


def test_slices_and_the_finer_grid_are_exact_where_they_must_be() -> None:
    x = torch.arange(12.0).view(2, 6).sin()
    assert torch.equal(slices(x, 3), x.unfold(1, 3, 1).transpose(1, 2))
    weight = lanczos(COARSE)
    assert torch.allclose(weight.sum(-1), torch.ones(COARSE))
    assert weight[0].argmax() == weight.shape[1] // 2 - 1  # a place itself
    assert torch.allclose(weight[0].max(), torch.ones(()))
