"""The echo continues what repeats, lets the partner vote, and never looks at what is hidden."""

from __future__ import annotations

import torch
from torch import Tensor

from cardiofm.model.echo import Echo

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
