"""What a window is asked about itself: the answers are those of the simulator and move with the signal as they must."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cardiofm.data import catalog
from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.signals import InputSpec, Window
from cardiofm.train.facts import Beats, Facts
from cardiofm.train.targets import BIN, FACTS, POINTS, describe

SPEC = InputSpec()
AT = {name: i for i, name in enumerate(FACTS)}


def facts_of(window: Window) -> tuple[np.ndarray, np.ndarray]:
    return describe(window.values, window.valid, window.in_mv, SPEC.fs_hz)


@pytest.fixture(scope="module")
def pair() -> tuple[Window, np.ndarray]:
    made = simulate(12, fs_ecg_hz=SPEC.fs_hz, fs_ppg_hz=SPEC.fs_hz, seed=4)
    return window_at(made.record, SPEC, 0.0), made.beats.r_peak_s


def test_the_beat_map_has_the_simulators_beats(pair: tuple[Window, np.ndarray]) -> None:
    window, r_s = pair
    map_CT, _ = facts_of(window)
    assert map_CT.shape == (2, SPEC.samples // BIN)
    found_s = (np.flatnonzero(map_CT[0]) + 0.5) * BIN / SPEC.fs_hz
    inside_s = r_s[(r_s > 0.1) & (r_s < SPEC.window_s - 0.1)]
    assert len(inside_s) >= 6
    assert np.abs(found_s[:, None] - inside_s).min(0).max() <= BIN / SPEC.fs_hz


def test_facts_are_measured_and_move_with_the_signal(pair: tuple[Window, np.ndarray]) -> None:
    window, r_s = pair
    _, facts = facts_of(window)
    assert facts.shape == (len(FACTS),)
    assert np.isfinite(facts).mean() > 0.95
    assert np.exp(facts[AT["ecg_log_interval"]]) == pytest.approx(np.median(np.diff(r_s[r_s < 10])), rel=0.03)
    louder = window.values * np.array([[2.0], [3.0]], np.float32)
    _, again = describe(louder, window.valid, window.in_mv, SPEC.fs_hz)
    changed = np.abs(again - facts) > 1e-3
    assert [FACTS[i] for i in np.flatnonzero(changed)] == ["ecg_log_amplitude"]
    assert again[AT["ecg_log_amplitude"]] - facts[AT["ecg_log_amplitude"]] == pytest.approx(np.log(2), abs=1e-3)
    later = np.stack([window.values[0], np.roll(window.values[1], 10)])
    _, shifted = describe(later, window.valid, window.in_mv, SPEC.fs_hz)
    assert shifted[AT["lag_s"]] - facts[AT["lag_s"]] == pytest.approx(10 / SPEC.fs_hz, abs=0.005)


def test_what_cannot_be_measured_is_nan() -> None:
    flat, nothing = np.zeros((2, SPEC.samples), np.float32), np.zeros((2, SPEC.samples), bool)
    for valid in (nothing, ~nothing):
        map_CT, facts = describe(flat, valid, np.array([True, False]), SPEC.fs_hz)
        assert map_CT.sum() == 0
        assert np.isnan(facts).all()
    assert len(FACTS) == len(set(FACTS)) == 2 * 17 + sum(POINTS) + 2


@pytest.mark.shared
def test_most_facts_of_real_recordings_are_known(data_root: Path) -> None:
    records = (catalog.load(entry, data_root) for entry in catalog.entries("bidmc", data_root)[:10])
    known = [np.isfinite(facts_of(window_at(record, SPEC, 60.0))[1]) for record in records]
    assert np.mean(known) > 0.9


def learned(part: torch.nn.Module, loss: Callable[[], torch.Tensor], steps: int = 200) -> float:
    optimizer = torch.optim.Adam(part.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return float(loss().detach())


def test_facts_are_read_whatever_their_unit_and_where_they_are_known() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 8)
    facts = x @ torch.randn(8, 5) * torch.tensor([1e-3, 1.0, 1e3, 1.0, 1.0]) + torch.tensor([0.0, 5.0, 1e3, 0.0, 0.0])
    facts[::2, 1] = torch.nan
    facts[:, 4] = torch.nan
    part = Facts(8, 5).train()
    first = float(part(x, facts).detach())
    assert learned(part, lambda: part(x, facts)) < 0.02 < 0.2 < first
    part.eval()
    before = part.mean_F.clone()
    part(x, facts + 100)
    assert torch.equal(before, part.mean_F)  # nothing is learned of statistics while evaluating


def test_beats_are_learned_from_valid_tokens_alone() -> None:
    torch.manual_seed(0)
    h = torch.randn(4, 25, 16)
    map_BT = (h[..., :5] > 1.5).float().flatten(1)
    valid = torch.ones(4, 25).bool()
    part = Beats(16, 5)
    assert learned(part, lambda: part(h, map_BT, valid, 0)) < 0.15
    valid[:, 12:] = False
    loss = part(h, map_BT, valid, 0)
    h[:, 12:] = 9.0
    assert torch.equal(loss, part(h, map_BT, valid, 0))
