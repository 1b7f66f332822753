"""One signal from the other one alone: what a method may see, and what the scores are of drawings that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiofm import pipeline
from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.evaluate import across, dictionary
from cardiofm.evaluate.sample import Piece
from cardiofm.measure.bridge import Beat
from cardiofm.signals import InputSpec

SPEC = InputSpec()


def piece(seed: int, patient: str | None = None) -> Piece:
    record = simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=seed, heart_rate_bpm=60 + 5 * seed).record
    return Piece("bidmc", patient or f"p{seed}", f"r{seed}", window_at(record, SPEC, 0.0))


@pytest.fixture(scope="module")
def model(micro) -> pipeline.Model:
    pytest.importorskip("torch")
    return pipeline.load(micro, backend="torch", threads=1)


@pytest.fixture(scope="module")
def cases() -> list[across.Case]:
    return [c for c in across.all_cases([piece(s) for s in range(4)], SPEC.fs_hz)[0] if c.channel == 1]


@pytest.fixture(scope="module")
def fitted(cases) -> across.Fitted:
    beat = Beat(np.array([0, 1, 0], np.float32), 1)
    plain = dictionary.CycleMap(lambda x_ML: x_ML, {}, 0.0)
    return across.Fitted(
        np.zeros(SPEC.samples, np.float32), beat, 0.25, {way: {"same": plain} for way in across.CYCLES}
    )


def test_the_truth_scores_full_and_its_delay_is_forgiven_only_at_the_best_lag(cases):
    case = cases[0]
    true_N = case.piece.window.values[1]
    late_N = np.concatenate([np.full(50, true_N[0]), true_N[:-50]])
    whole, late = across.score(case, {"truth": true_N, "late": late_N}, SPEC.fs_hz)
    assert (whole["prd"], whole["r"], whole["r_lag"]) == pytest.approx((0, 1, 1))
    assert all(pairs == events > 10 for pairs, events in whole["counts"].values())
    assert late["r"] < 0.9
    assert late["r_lag"] > 0.999
    pairs, events = late["counts"]["f1_50"]
    assert pairs == 0
    pairs, events = late["counts"]["f1_50_lag"]
    assert pairs / events > 0.9


def test_the_hidden_channel_is_not_seen_by_any_method_but_the_one_that_says_so(model, cases, fitted):
    drawn = across.all_drawn(cases, {"model": model}, fitted, SPEC.fs_hz)
    mirrored = []
    for case in cases:  # the truth turned back to front keeps its mean and its spread
        values_CN = case.piece.window.values.copy()
        values_CN[1] = values_CN[1][::-1]
        mirrored.append(replace(case, piece=replace(case.piece, window=replace(case.piece.window, values=values_CN))))
    again = across.all_drawn(mirrored, {"model": model}, fitted, SPEC.fs_hz)
    for name in ("model", "mis-paired", "mean", "pat"):
        np.testing.assert_allclose(again[name], drawn[name], rtol=1e-4, atol=1e-4)


def test_the_mis_paired_drawing_is_a_strangers_in_the_own_unit(model, cases, fitted):
    drawn = across.all_drawn(cases, {"model": model}, fitted, SPEC.fs_hz)
    for i, case in enumerate(cases):
        j = across.stranger(cases, i)
        assert cases[j].piece.patient != case.piece.patient
        own, other = drawn["mis-paired"][i], drawn["model"][j]
        assert np.corrcoef(own, other)[0, 1] == pytest.approx(1, abs=1e-3)
    twins = [replace(c, piece=replace(c.piece, patient="one")) for c in cases]
    with pytest.raises(ValueError, match="two patients"):
        across.stranger(twins, 0)


def test_every_method_is_scored_on_the_same_cycles(model, cases, fitted):
    drawn = across.all_drawn(cases, {"model": model, "untrained": model}, fitted, SPEC.fs_hz)
    drawn["model"] = [c.piece.window.values[1] for c in cases]  # a perfect drawing
    found = across.cycle_scores(cases, drawn, fitted, SPEC.fs_hz)
    for way in across.CYCLES:
        own = [s for s in found if way in s]
        assert {s["method"] for s in own} == {"model", "untrained", "mis-paired", "same"}
        assert [s[way] for s in own if s["method"] == "model"] == pytest.approx([1.0] * len(cases))
        by_window = [{s["cycles"] for s in own if s["window"] == id(c.piece)} for c in cases]
        assert all(len(counts) == 1 and min(counts) > 5 for counts in by_window)


def test_a_late_drawing_loses_its_cycles_unless_the_delay_is_known(cases, fitted):
    late = [np.roll(case.piece.window.values[1], 60) for case in cases]
    drawn: dict[str, list[across.Floats]] = {name: [*late] for name in ("model", "untrained", "mis-paired")}
    own = [s for s in across.cycle_scores(cases, drawn, fitted, SPEC.fs_hz) if s["method"] == "model"]
    assert max(s["cycle_r"] for s in own if "cycle_r" in s) < 0.8
    assert min(s["cycle_r_aligned"] for s in own if "cycle_r_aligned" in s) > 0.95


def test_windows_with_one_channel_are_refused_in_both_directions():
    whole = piece(1)
    valid = whole.window.valid.copy()
    valid[1, :2000] = False
    broken = replace(whole, window=replace(whole.window, valid=valid))
    found, refused = across.all_cases([whole, broken], SPEC.fs_hz)
    assert len(found) == 2
    assert refused == {("bidmc", "ecg"): 1, ("bidmc", "ppg"): 1}
