"""Batches for the fiducial head: pure functions of (seed, step), the ratio asked for, targets on the same clock."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from cardiofm.measure.band import power_in_band
from cardiofm.signals import EVENTS, InputSpec
from cardiofm.train import annotated, marked
from cardiofm.train.annotated import R, Take
from cardiofm.train.marked import MarkedBatches, MarkedConfig, recorded

SPEC = InputSpec()


def take(kind: str, seconds: float, fold: int) -> Take:
    """One R peak a second, each one sample high."""
    values = np.zeros((2, round(seconds * SPEC.fs_hz)), np.float32)
    at_s = np.arange(0.5, seconds, 1.0)
    values[0, np.rint(at_s * SPEC.fs_hz).astype(int)] = 1.0
    beats_s = np.full((len(at_s), len(EVENTS)), np.nan)
    beats_s[:, R] = at_s
    valid = np.stack([np.ones(values.shape[1], bool), np.zeros(values.shape[1], bool)])
    looked = np.zeros((len(EVENTS), values.shape[1]), bool)
    looked[R] = True
    return Take(kind, values, valid, np.ones(2, bool), beats_s, looked, fold)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> MarkedBatches:
    """Of simulated takes and of marks alone: no recording is needed."""

    class NoPairs:  # of the store only these are asked
        rows = np.array([(True, True, "train")], [("has_ecg", "?"), ("has_ppg", "?"), ("split", "U8")])
        manifest: ClassVar[dict] = {}

    sources = [take("ludb", 10, 0), take("qtdb", 40, 1), take("mitdb", 60, 2)]
    monkeypatch.setattr(annotated, "manual", lambda *_: iter(sources))
    config = MarkedConfig(size=8, shares=(0.4, 0.3, 0.2, 0.0, 0.1, 0.0))
    return MarkedBatches(Path(), NoPairs(), SPEC, config, seed=3)  # pyright: ignore[reportArgumentType]


def test_a_step_is_always_the_same_and_processes_share_it(batches: MarkedBatches) -> None:
    whole, again = batches(5), batches(5)
    parts = [batches(5, rank, 2) for rank in range(2)]
    for name in ("x_BCN", "valid_BCN", "chance_BKN", "reach_BKN", "wave_BN", "fold_B"):
        assert torch.equal(getattr(whole, name).nan_to_num(7), getattr(again, name).nan_to_num(7))
        laid = torch.cat([getattr(p, name) for p in parts])
        assert torch.equal(getattr(whole, name).nan_to_num(7), laid.nan_to_num(7))
    assert not torch.equal(whole.x_BCN, batches(6).x_BCN)


def test_targets_stay_on_the_peaks_through_cuts_and_changes_of_speed(batches: MarkedBatches) -> None:
    tops = 0
    for step in range(6):
        batch = batches(step)
        assert batch.chance_BKN is not None
        for i in range(8):
            clean, seen = batch.target_BCN[i, 0].abs(), batch.valid_BCN[i, 0]
            if batch.fold_B is None or batch.fold_B[i] < 0 or clean.max() == 0:
                continue
            for n in torch.nonzero((batch.chance_BKN[i, R].nan_to_num() > 0.95) & seen)[:, 0].tolist():
                near = clean[max(0, n - 2) : n + 3]
                tops += 1
                assert near.max() > 0.2 * clean.max()
    assert tops > 100


@pytest.mark.parametrize("snr_db", [12.0, 0.0, -6.0])
def test_recorded_noise_has_the_ratio_in_band(snr_db: float) -> None:
    rng = np.random.default_rng(1)
    t = np.arange(2500) / 250
    clean = np.sin(2 * np.pi * 3 * t).astype(np.float32)
    noise = {"em": np.cumsum(rng.normal(size=(2, 9000)), axis=1).astype(np.float32)}
    added = recorded(clean, np.ones(2500, bool), snr_db, noise, 1, 250.0, rng)
    known = np.ones(2500, bool)
    ratio = power_in_band(clean, known, 250.0, "ppg") / power_in_band(added, known, 250.0, "ppg")
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.5)
    assert not recorded(np.zeros(2500, np.float32), known, snr_db, noise, 1, 250.0, rng).any()


def test_kinds_are_drawn_by_their_shares(batches: MarkedBatches) -> None:
    folds = torch.cat([batches(step).fold_B for step in range(12)])  # pyright: ignore[reportArgumentType]
    share = [(folds == f).float().mean().item() for f in (0, 1, 2, -1)]
    np.testing.assert_allclose(share, (0.4, 0.3, 0.2, 0.1), atol=0.15)
    assert marked.KINDS[:3] == ("ludb", "qtdb", "mitdb")
