"""Damaged windows: who sees what, what is scored, and that a damage does what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiofm import pipeline
from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.evaluate import robustness
from cardiofm.evaluate.robustness import DAMAGES, Damage
from cardiofm.evaluate.sample import Piece
from cardiofm.signals import InputSpec

SPEC = InputSpec()
NOISE = {
    f"{kind}-1": np.random.default_rng(i).normal(size=9000).astype(np.float32) for i, kind in enumerate(("em", "ma"))
}


@pytest.fixture(scope="module")
def piece() -> Piece:
    record = simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=4, heart_rate_bpm=75).record
    return Piece("bidmc", "p", "r", window_at(record, SPEC, 0.0))


@pytest.fixture(scope="module")
def model(micro) -> pipeline.Model:
    pytest.importorskip("torch")
    return pipeline.load(micro, backend="torch", threads=1)


def test_a_damage_leaves_the_other_channel_alone(piece):
    views = robustness.views(piece, SPEC.fs_hz, NOISE)
    for (damage, given), view in views.items():
        c, other = damage.channel, 1 - damage.channel
        np.testing.assert_array_equal(view.window.values[other], piece.window.values[other])
        assert view.visible_CN[other].any() == (given != "damaged alone")
        assert view.visible_CN[c].all() == (given != "clean alone" and (damage.kind == "noise" or not damage.level))
        if given == "both" and damage.kind == "cut":
            assert view.visible_CN[c].mean() == pytest.approx(1 - damage.level, abs=1e-3)
            assert not view.visible_CN[c, robustness.hidden(piece, damage)].any()
    for c in range(2):
        assert views[Damage(c, "cut", 1.0), "both"] is views[Damage(c, "cut", 1.0), "clean alone"]
        assert (Damage(c, "cut", 1.0), "damaged alone") not in views


def test_the_clean_one_alone_never_knows_the_damaged_one(piece, model):
    values_CN = piece.window.values.copy()
    values_CN[0] = values_CN[0][::-1]
    other = replace(piece, window=replace(piece.window, values=values_CN))
    damage, given = Damage(0, "noise", 0.0), "clean alone"
    made = []
    for one in (piece, other):
        view = robustness.views(one, SPEC.fs_hz, NOISE)[damage, given]
        made.append(robustness.outputs(model, [view])[id(view)])
    np.testing.assert_allclose(made[0].embedding_E, made[1].embedding_E, atol=1e-6)
    np.testing.assert_allclose(made[0].waves["drawn"][0], made[1].waves["drawn"][0], atol=1e-4)


def test_the_outputs_are_those_of_the_door(piece, model):
    views = robustness.views(piece, SPEC.fs_hz, NOISE)
    whole = views[Damage(0, "cut", 0.0), "both"]
    made = robustness.outputs(model, list(views.values()))
    assert len(made) == len({id(v) for v in views.values()}) < len(views)
    record = simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=4, heart_rate_bpm=75).record
    np.testing.assert_allclose(made[id(whole)].embedding_E, model.embed(record).values[0], rtol=1e-4, atol=1e-4)
    coded = model.reconstruct(record)
    assert coded.ecg is not None
    np.testing.assert_allclose(made[id(whole)].waves["all levels"][0], coded.ecg.values, rtol=1e-3, atol=1e-3)
    for (damage, given), view in views.items():
        assert all(w.shape == (2, SPEC.samples) for w in robustness.waves_of(damage, given, made[id(view)]).values())


def test_noise_is_answered_by_a_cleaned_channel(piece, model):
    views = robustness.views(piece, SPEC.fs_hz, NOISE)
    damage = Damage(0, "noise", 0.0)
    made = robustness.outputs(model, [views[damage, given] for given in ("both", "clean alone")])
    both, alone = (robustness.waves_of(damage, g, made[id(views[damage, g])]) for g in ("both", "clean alone"))
    loud_N = views[damage, "both"].window.values[0]
    assert set(both) == {"all levels", "low rate", "denoised"}
    assert np.abs(both["denoised"][0] - loud_N).max() > 1e-3  # it does not only pass
    np.testing.assert_allclose(alone["denoised"][0], alone["drawn"][0], atol=1e-4)  # nothing of it was seen


def test_only_the_cut_part_is_scored(piece):
    for damage in DAMAGES:
        assert robustness.reconstruction(piece, damage, piece.window.values) == {"prd": 0.0, "r": pytest.approx(1.0)}
    damage = Damage(1, "cut", 0.25)
    wrong_CN = piece.window.values.copy()
    outside = np.ones(SPEC.samples, bool)
    outside[robustness.hidden(piece, damage)] = False
    wrong_CN[:, outside] = 9.0
    assert robustness.reconstruction(piece, damage, wrong_CN)["prd"] == 0.0
    assert robustness.reconstruction(piece, Damage(1, "cut", 0.75), wrong_CN)["prd"] != 0.0


def test_without_a_network_a_cut_is_filled_and_noise_stays(piece):
    views = robustness.views(piece, SPEC.fs_hz, NOISE)
    cut, loud = Damage(1, "cut", 0.25), Damage(0, "noise", 0.0)
    filled = robustness.untouched(piece, cut, views[cut, "damaged alone"], SPEC.fs_hz)["no network"]
    assert robustness.reconstruction(piece, cut, filled)["r"] > 0.5
    made = robustness.untouched(piece, loud, views[loud, "damaged alone"], SPEC.fs_hz)
    r = {name: robustness.reconstruction(piece, loud, x)["r"] for name, x in made.items()}
    assert 0.4 < r["no network"] < r["band-pass"] < 0.95


def test_rates_and_irregularity():
    for bpm in (55.0, 120.0):
        record = simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=1, heart_rate_bpm=bpm).record
        window = window_at(record, SPEC, 0.0)
        for c in range(2):
            assert robustness.heart_rate(window, c, window.valid[c], SPEC.fs_hz) == pytest.approx(bpm, rel=0.08)
        assert robustness.heart_rate(window, 0, np.zeros(SPEC.samples, bool), SPEC.fs_hz) is None
    steady, wild = (
        robustness.irregularity(
            window_at(simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=2, rhythm=rhythm).record, SPEC, 0.0), SPEC.fs_hz
        )
        for rhythm in ("sinus", "af")
    )
    assert wild > 2 * steady


def test_probes_are_fitted_for_what_is_shown(model):
    windows = [
        window_at(simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=s, heart_rate_bpm=50 + 5 * s).record, SPEC, 0.0)
        for s in range(12)
    ]
    rates = [robustness.heart_rate(w, 0, w.valid[0], SPEC.fs_hz) for w in windows]
    probe = robustness.fit_probes(model, windows[:8], windows[8:], [*rates[:7], None], rates[8:], "regression")
    assert set(probe) == set(robustness.SHOWN)
    lone = [replace(w, valid=w.valid & np.array([[True], [False]])) for w in windows]
    assert set(robustness.fit_probes(model, lone[:8], lone[8:], rates[:8], rates[8:], "regression")) == {(0,)}
    view = robustness.View(windows[0], windows[0].valid)
    output = robustness.outputs(model, [view])[id(view)]
    assert np.isfinite(robustness.read_out(probe, view, output.embedding_E, "regression", SPEC.fs_hz))


def test_the_taught_probe_has_seen_each_window_whole_and_damaged(model):
    made = [simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=s, heart_rate_bpm=50 + 5 * s).record for s in range(12)]
    own = [Piece("bidmc", f"p{s}", f"r{s}", window_at(record, SPEC, 0.0)) for s, record in enumerate(made)]
    loud = [robustness.damaged(p, SPEC.fs_hz, NOISE) for p in own]
    for piece, window in zip(own, loud, strict=True):
        touched = (window.values != piece.window.values).any(-1)
        assert touched.sum() == 1  # one channel, and something is left of it
        assert window.valid.any(-1).all()
        np.testing.assert_array_equal(robustness.damaged(piece, SPEC.fs_hz, NOISE).values, window.values)
    kinds = {
        (bool((w.values != p.window.values)[0].any()), bool(w.valid.all())) for p, w in zip(own, loud, strict=True)
    }
    assert len(kinds) > 2  # both channels, noise and cuts
    fit = {"train": own[:8], "valid": own[8:]}
    y = {split: robustness.labels(pieces, SPEC.fs_hz) for split, pieces in fit.items()}
    probe = robustness.taught(model, fit, y, "regression", NOISE)
    view = robustness.View(loud[0], loud[0].valid)
    lone = robustness.View(own[0].window, loud[0].valid & np.array([[True], [False]]))
    made = robustness.outputs(model, [view, lone])
    output, size = made[id(view)], len(made[id(view)].embedding_E)
    assert len(output.beside_E) == 3 * size
    np.testing.assert_allclose(output.beside_E[:size], output.embedding_E, atol=1e-5)
    assert (made[id(lone)].beside_E == made[id(lone)].embedding_E).all()
    assert np.isfinite(robustness.read_out({(0, 1): probe}, view, output.beside_E, "regression", SPEC.fs_hz))


@pytest.mark.shared
def test_alarms_end_their_window_and_af_is_balanced(data_root):
    found, truth = robustness.alarm_pieces(data_root, SPEC, "test", 3)
    assert [p.window.start_s for p in found] == [290.0] * 3
    assert set(truth) == {p.record for p in found}
    labelled = robustness.af_pieces(data_root, SPEC, "valid", 3)
    assert sorted(is_af for _, is_af in labelled) == [False] * 3 + [True] * 3
    kept, refused = robustness.usable(found, SPEC.fs_hz)
    assert len(kept) + sum(refused.values()) == 3
