"""Scores become rows: counts, refusals, pooling and pairing; and one ruler reads original and drawing alike."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.evaluate.bootstrap import ratio_difference
from cardiofm.evaluate.intervals import event_counts, events, qt_ms
from cardiofm.evaluate.rows import Metric, paired, summarised
from cardiofm.evaluate.sample import ZERO_SHOT, is_clean, pieces
from cardiofm.signals import InputSpec

SPEC = InputSpec()
METRICS = {
    "prd": Metric("%", "median", 2),
    "f1": Metric("pooled", "pooled", 3),
    "ms": Metric("ms a beat", "median", 1),
}


def scores(method: str, add: float) -> list[dict]:
    return [
        {"set": "x", "method": method, "patient": f"p{i // 2}", "window": i, "prd": i + add, "f1": (2 * i + add, 20.0)}
        | {"ms": [float(i), float(i) + 2]}
        for i in range(8)
    ]


def test_a_row_counts_patients_windows_and_refusals():
    mine = scores("model", 0.0)
    mine[3]["prd"] = math.nan
    mine[4]["ms"] = []
    rows = {r["metric"]: r for r in summarised(mine, ("set", "method"), METRICS, {("x", "model"): 2})}
    assert (rows["prd"]["windows"], rows["prd"]["patients"], rows["prd"]["refused"]) == (7, 4, 3)
    assert rows["f1"]["value"] == pytest.approx(sum(2 * i for i in range(8)) / 160)
    assert (rows["ms"]["windows"], rows["ms"]["refused"]) == (14, 3)  # one a beat
    assert rows["ms"]["low"] <= rows["ms"]["value"] <= rows["ms"]["high"]


def test_pairs_are_of_the_same_windows():
    both = scores("model", 0.0) + scores("floor", 4.0)[:6]
    rows = {r["metric"]: r for r in paired(both, ("set",), METRICS, [("model", "floor")])}
    assert (rows["prd"]["value"], rows["prd"]["low"], rows["prd"]["high"]) == (-4, -4, -4)
    assert rows["prd"]["windows"] == 6
    assert rows["f1"]["value"] == pytest.approx(-4 / 20, abs=1e-3)
    assert "ms" not in rows
    assert rows["prd"]["difference"] == "model - floor"


def test_a_difference_of_ratios_is_paired():
    rng = np.random.default_rng(0)
    whole = np.full(40, 20.0)
    base = rng.integers(2, 15, 40).astype(float)
    who = [f"p{i}" for i in range(40)]
    found = ratio_difference((base + 2, whole), (base, whole), who)
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="wholes"):
        ratio_difference((base, whole), (base, 0 * whole), who)


def test_events_in_a_gap_are_paired_across_its_edge():
    true = np.array([1.0, 2.0, 3.0, 4.0])
    assert event_counts(true, true, 0.05) == (8, 8)
    assert event_counts(true, true + 0.03, 0.05, (2.98, 3.99)) == (2, 2)
    assert event_counts(true, true - 0.03, 0.05, (2.98, 3.99)) == (2, 2)  # found at 2.97: no miss
    assert event_counts(true, np.array([1.0, 2.0, 3.5, 4.0]), 0.05, (2.5, 3.9)) == (0, 2)
    assert event_counts(true, true, 0.05, (2.1, 2.9)) == (0, 0)


def test_the_ruler_reads_an_interval_and_no_change_where_there_is_none():
    pytest.importorskip("neurokit2")
    pair = simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=2, heart_rate_bpm=65, qt_ms=400)
    x_N, known_N = window_at(pair.record, SPEC, 0.0).values[0], np.ones(SPEC.samples, bool)
    beats_s = events(x_N, known_N, 0, SPEC.fs_hz)
    before = qt_ms(x_N, beats_s, SPEC.fs_hz)
    assert len(before) == len(beats_s) >= 8
    assert np.isfinite(before).mean() > 0.6
    assert abs(np.nanmedian(before) - 400) < 60
    np.testing.assert_array_equal(before, qt_ms(x_N.copy(), beats_s, SPEC.fs_hz))
    np.testing.assert_allclose(before, qt_ms(5 * x_N, beats_s, SPEC.fs_hz), atol=1.01)
    assert np.isnan(qt_ms(x_N, beats_s[:2], SPEC.fs_hz)).all()


@pytest.mark.shared
def test_the_clean_rule_keeps_a_short_pulse_and_drops_what_motion_destroyed(data_root):
    share = {}
    for dataset in ("bidmc", "ppg-bp", "wrist"):
        assert dataset in ZERO_SHOT
        own = [p.window for p in pieces(dataset, data_root, SPEC, 12)]
        share[dataset] = np.mean([is_clean(w, 1, SPEC.fs_hz) for w in own])
    assert share["bidmc"] > share["wrist"]
    assert share["ppg-bp"] > 0.3
