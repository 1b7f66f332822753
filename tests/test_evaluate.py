"""Metrics, intervals, floors and drawings: known cases, and the same numbers as the door gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiofm import pipeline
from cardiofm.data import catalog
from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.evaluate import floors, metrics
from cardiofm.evaluate.bootstrap import difference, interval
from cardiofm.evaluate.drawing import draw, through_codes
from cardiofm.evaluate.extractors.extractor import source
from cardiofm.evaluate.sample import pieces, summary
from cardiofm.measure.fit import fit
from cardiofm.signals import InputSpec, Record, Signal

SPEC = InputSpec()


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_prd_and_r_properties(seed, gain, offset):
    x, y = np.random.default_rng(seed).normal(size=(2, 200))
    assert metrics.prd(x, x) == 0
    assert metrics.prd(x, np.full(200, x.mean())) == pytest.approx(100)
    assert metrics.prd(gain * x + offset, gain * y + offset) == pytest.approx(metrics.prd(x, y))
    assert metrics.r(x, gain * y + offset) == pytest.approx(metrics.r(x, y))
    assert metrics.r(x, -x) == pytest.approx(-1)
    assert metrics.r(x, np.full(200, offset + 0.1, np.float32)) == 0
    channels = (Signal(values, 100.0, "mV", "x") for values in (x, y))
    assert (metrics.prd(x, y), metrics.r(x, y)) == pytest.approx(fit(*channels), rel=1e-4)


def test_a_constant_truth_is_not_scored():
    assert np.isnan([metrics.prd(np.ones(9), np.arange(9.0)), metrics.r(np.ones(9), np.arange(9.0))]).all()


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):  # 25 patients with 8 windows each; what a person adds outweighs what a window adds
        person = rng.normal(3.0, 1.0, 25)
        values = (person[:, None] + rng.normal(0, 0.3, (25, 8))).ravel()
        found = interval(values, np.repeat(np.arange(25), 8).astype(str).tolist(), repeats=400, seed=trial)
        covered += found.low <= 3.0 <= found.high
    assert 0.87 <= covered / 200 <= 0.99


def test_the_interval_belongs_to_patients_not_windows():
    values = np.random.default_rng(1).normal(size=40)
    alone = interval(values, [f"p{i}" for i in range(40)])
    repeated = interval(np.repeat(values, 50), [f"p{i}" for i in range(40) for _ in range(50)])
    assert (repeated.value, repeated.high - repeated.low) == pytest.approx((alone.value, alone.high - alone.low))
    assert (repeated.patients, repeated.windows) == (40, 2000)
    assert interval([1.0, 2.0, 90.0], ["a", "b", "c"], "median").value == 2.0
    assert np.isnan(interval([1.0, 2.0], ["a", "a"]).low)


def test_a_paired_difference_sees_what_two_intervals_do_not():
    base = np.random.default_rng(2).normal(0, 10, 30)
    found = difference(base + 1, base, [str(i) for i in range(30)])
    assert (found.low, found.high) == pytest.approx((1.0, 1.0))
    with pytest.raises(ValueError, match="finite"):
        difference([np.nan], [1.0], ["a"])


def test_floors_fill_a_gap_from_what_is_visible_only():
    t = np.arange(2500) / 250
    x = (np.exp(30 * (np.cos(2 * np.pi * 1.25 * t) - 1)) + 0.3 * np.sin(2 * np.pi * 1.25 * t)).astype(np.float32)
    gap = slice(1000, 1250)
    visible = np.ones(2500, bool)
    visible[gap] = False
    broken = np.where(visible, x, np.float32(99))
    line, match = floors.straight_line(broken, visible), floors.best_match(broken, visible, gap, 250.0)
    assert match is not None
    assert metrics.r(x[gap], match[gap]) > 0.999  # a strictly periodic wave comes back
    assert np.ptp(np.diff(line[gap])) < 1e-5
    assert line[999] <= max(x[999], x[1250])
    visible[300:] = False
    assert floors.best_match(broken, visible, gap, 250.0) is None


def test_drawings_are_those_of_the_door(tiny):
    record = simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=3).record
    window = window_at(record, SPEC, 0.0)
    seen = window.valid[None].copy()
    for rate in (None, 64.0):
        mine = through_codes(tiny, [window], seen, [rate])[0]
        _same(mine[0], tiny.reconstruct(record, bits_per_second=rate))
    seen[..., 500:750] = False
    _same(draw(tiny, [window], seen)[0], tiny.reconstruct(record, hide=[(2.0, 3.0)]))
    seen = window.valid[None].copy()
    seen[:, 1] = False
    _same(draw(tiny, [window], seen)[0], tiny.reconstruct(record, hide="ppg"))


def test_the_drawing_ignores_what_is_hidden(tiny):
    window = window_at(simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=4).record, SPEC, 0.0)
    seen = window.valid[None].copy()
    seen[:, 0, 1000:1500] = False
    other = replace(window, values=np.where(seen[0], window.values, np.float32(7)))
    np.testing.assert_array_equal(draw(tiny, [window], seen), draw(tiny, [other], seen))


def test_the_untrained_network_is_seeded_and_has_codebooks(tiny):
    windows = [window_at(simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=s).record, SPEC, 0.0) for s in range(4)]
    seen = np.stack([w.valid for w in windows])
    one, two, other = (
        through_codes(floors.untrained(tiny, windows, seed), windows, seen, [None])[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, other)


@pytest.mark.shared
def test_pieces_are_chosen_by_patient_and_never_trained_on(data_root):
    some, again = (pieces("qtdb", data_root, SPEC, 6, "test") for _ in range(2))
    assert summary(some) == summary(again)
    assert summary(some)["qtdb"]["patients"] == len({p.patient for p in some}) > 1
    assert {p.patient for p in some}.isdisjoint(
        e.patient for e in catalog.entries("qtdb", data_root) if e.split == "train"
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> pipeline.Model:
    """The shape of the tiny model with random weights and codebooks, run by torch."""
    torch = pytest.importorskip("torch")
    from cardiofm.model.cardiofm import TINY, CardioFM

    torch.manual_seed(0)
    network = CardioFM(TINY)
    for quantizer in network.quantizer:
        quantizer.get_buffer("codebook_QRE").normal_()
    folder = tmp_path_factory.mktemp("tiny")
    network.save(folder, half=False)
    return pipeline.load(folder, backend="torch", threads=1)


def _same(drawn_CN, record: Record) -> None:
    assert record.ecg is not None
    assert record.ppg is not None
    np.testing.assert_allclose(drawn_CN, [record.ecg.values, record.ppg.values], rtol=1e-4, atol=1e-4)


def test_what_is_kept_goes_by_the_code_that_is_imported(tmp_path: Path) -> None:
    room = tmp_path / "measure"
    room.mkdir()
    (room / "one.py").write_text("from cardiofm.measure.two import f\n")
    (room / "two.py").write_text("from cardiofm.measure import three\n")
    for name in ("three", "four"):
        (room / f"{name}.py").write_text("x = 1\n")
    before = source(str(room / "one.py"))
    (room / "four.py").write_text("x = 2\n")
    assert source(str(room / "one.py")) == before
    (room / "three.py").write_text("x = 2\n")
    assert source(str(room / "one.py")) != before
    assert source(str(room / "one.py"), alone=True) == source(str(room / "one.py"), alone=True) != before
