"""Codes at many depths and the classical coder beside them: budgets kept, sizes that a coder could reach."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiofm.codec import wavelet
from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.evaluate import codes, metrics
from cardiofm.evaluate.drawing import decoded, encoded, flat_depths, mean_depth, through_codes, uniform_depths
from cardiofm.evaluate.sample import pieces
from cardiofm.evaluate.wavelet import Coder
from cardiofm.model.encoded import depths
from cardiofm.pipeline import load
from cardiofm.signals import InputSpec, Window

SPEC = InputSpec()


def test_uniform_depths_are_alike_in_all_blocks_and_keep_the_budget(micro):
    model = load(micro, backend="torch", threads=1)
    windows = [_simulated(seed) for seed in range(3)]
    code = encoded(model, windows, np.stack([w.valid for w in windows]))
    for mean in (0.3, 0.7, 1.0):
        depth = uniform_depths(model, code, np.full((3, 2, 1), mean))
        total = depth.reshape(3, 2, -1, model.config["quantizer"]["group"])
        assert (total.max(2) - total.min(2)).max() <= 1
        spent = depth.sum(-1) / code.coded.sum(-1)
        assert (spent <= mean + 1e-6).all()
        assert (spent > 0.85 * mean).all()
        flat = flat_depths(code, np.full((3, 2, 1), mean))
        assert (flat.max(-1) - flat.min(-1)).max() <= 1
        np.testing.assert_array_equal(flat.sum(-1), np.floor(mean * code.coded.sum(-1) + 1e-9))


def test_encoded_once_gives_what_each_rate_gives(micro):
    model = load(micro, backend="torch", threads=1)
    windows = [_simulated(seed) for seed in range(5)]
    visible = np.stack([w.valid for w in windows])
    visible[1, 0] = visible[3, 1] = False
    code = encoded(model, windows, visible, batch=2)
    for rate in (40.0, None):
        depth = depths(code.worth, code.coded, mean_depth(model, rate))
        mine, theirs = decoded(model, code, depth, batch=3), through_codes(model, windows, visible, [rate])[0]
        seen = visible.any(-1)
        np.testing.assert_allclose(mine[seen], theirs[seen], rtol=1e-4, atol=1e-4)


def test_the_wavelet_coder_keeps_its_budget_and_gets_better_with_it():
    for channel in range(2):
        x = _simulated(1).values[channel]
        coder = Coder.fitted([_simulated(seed).values[channel] for seed in range(2, 5)], 640)
        found = []
        for bits in (160, 640, 2560, 10240):
            bands, _ = coder.quantised(x, bits)
            assert coder.bits(bands) <= bits
            found.append(metrics.prd(x, coder.coded(x, bits)))
        assert found == sorted(found, reverse=True)
        assert found[-1] < 2
        scaled = coder.coded(1000 * x + 5, 640)
        np.testing.assert_allclose(scaled, 1000 * coder.coded(x, 640) + 5, rtol=1e-3, atol=0.5)
    pulse = _simulated(1).values[1]
    assert metrics.prd(pulse, Coder.empty().coded(pulse, 1)) == pytest.approx(100)


def test_the_size_is_that_of_an_adaptive_coder_run_step_by_step():
    coder = Coder.fitted([_simulated(seed).values[0] for seed in range(2)], 640)
    bands, _ = coder.quantised(_simulated(7).values[0], 640)
    slots, hits, raw = wavelet.decisions(bands)
    counts, bits = coder.counts.copy(), raw
    for slot, hit in zip(slots, hits, strict=True):
        bits -= math.log2(counts[int(hit), slot] / counts[:, slot].sum())
        counts[int(hit), slot] += 1
    assert coder.bits(bands) == pytest.approx(bits)


def test_what_the_coder_learns_from_training_signals_helps():
    train = [_simulated(seed).values[0] for seed in range(10, 16)]
    fitted = Coder.fitted(train, 640)
    prd = [[metrics.prd(x, c.coded(x, 640)) for x in train] for c in (fitted, Coder.empty())]
    assert np.mean(prd[0]) < np.mean(prd[1])


@pytest.mark.shared
def test_the_wavelet_coder_is_as_good_as_such_coders_are(data_root):
    """Bedside PPG: about 6 % at 64 bit/s and 1.4 % at 128 bit/s are known of it (whole records, ours are windows)."""
    train = [p.window.values[1] for p in pieces("challenge-2015", data_root, SPEC, 12, "train") if _whole(p.window, 1)]
    test = [p.window.values[1] for p in pieces("bidmc", data_root, SPEC, 12) if _whole(p.window, 1)]
    for rate, most in ((64, 8.0), (128, 3.0)):
        coder = Coder.fitted(train, rate * SPEC.window_s)
        assert np.median([metrics.prd(x, coder.coded(x, rate * SPEC.window_s)) for x in test]) < most


def _simulated(seed: int) -> Window:
    pair = simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=seed, ecg_noise_mv=0.01, ppg_noise=0.005)
    return window_at(pair.record, SPEC, 0.0)


def _whole(window: Window, channel: int) -> bool:
    return bool(window.valid[channel].all()) and window.values[channel].std() > 0


@given(st.integers(0, 1000), st.integers(2, 300))
@settings(max_examples=25, deadline=None)
def test_use_and_perplexity_of_codes(seed, tokens):
    rng = np.random.default_rng(seed)
    even = np.resize(np.arange(16), (tokens, 1))
    skewed = np.minimum(rng.geometric(0.5, (tokens, 1)), 15)
    (used_even, used_skewed), (flat, steep) = codes.usage(np.hstack([even, skewed]), 16)
    assert used_even == min(tokens, 16) / 16
    assert 1 <= steep <= used_skewed * 16 + 1e-9
    assert flat == pytest.approx(min(tokens, 16), rel=0.1)


def test_the_cost_of_depths_is_that_of_an_adaptive_coder_run_step_by_step():
    rng = np.random.default_rng(0)
    paths = [np.clip(np.cumsum(rng.integers(-1, 2, 125)) + 4, 0, 8) for _ in range(6)]
    count, bits = np.full((10, 9), 0.5), 0.0
    for path in paths:
        before = 9
        for depth in path:
            bits -= math.log2(count[before, depth] / count[before].sum())
            count[before, depth] += 1
            before = depth
    assert codes.depth_bits(paths, 8) == pytest.approx(bits)
    assert codes.depth_bits([np.full(125, 3)] * 6, 8) < 0.1 * bits  # what never changes costs next to nothing


@given(st.integers(0, 1000), st.integers(1, 7), st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_block_means_keep_the_bits(seed, size, tokens):
    bits = np.random.default_rng(seed).integers(0, 64, tokens).astype(float)
    spread = codes.block_means(bits, size)
    assert spread.sum() == pytest.approx(bits.sum())
    assert spread.shape == bits.shape
    if size == 1:
        np.testing.assert_array_equal(spread, bits)
    else:
        assert len(np.unique(spread[:size].round(9))) == 1
