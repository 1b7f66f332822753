"""The doors: embed, reconstruct, analyze, on records whose truth is known."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiofm.data.simulate import simulate
from cardiofm.pipeline import Model, load
from cardiofm.signals import CheckpointError, Embedding, Record, Signal, SignalError


@pytest.fixture(scope="module")
def model(micro: Path) -> Model:
    return load(micro, backend="torch")


@pytest.fixture(scope="module")
def record() -> Record:
    return simulate(42, fs_ecg_hz=500, fs_ppg_hz=125, seed=1).record


def ecg(record: Record) -> Signal:
    assert record.ecg is not None
    return record.ecg


def ppg(record: Record) -> Signal:
    assert record.ppg is not None
    return record.ppg


def with_gap(record: Record, start_s: float, end_s: float) -> Record:
    values = ecg(record).values.copy()
    values[round(start_s * 500) : round(end_s * 500)] = np.nan
    return replace(record, ecg=replace(ecg(record), samples=values))


def test_embedding_has_one_row_per_window(model: Model, record: Record) -> None:
    e = model.embed(record)
    assert e.values.shape == (5, 16)
    assert e.values.dtype == np.float32
    assert e.start_s.tolist() == [0, 10, 20, 30, 40]
    assert e.present.all()
    assert (e.quality[:4] > 0.3).all()
    assert model.embed(record, hop_s=5.0).start_s.tolist() == [0, 5, 10, 15, 20, 25, 30, 35]


def test_many_records_give_what_one_by_one_gives(model: Model, record: Record) -> None:
    only_ppg = Record("p", ppg=ppg(record).crop(0, 25))
    records = [record, only_ppg, record.crop(0, 9), Record("e", ecg=ecg(record))]
    for batch in (1, 3, 16):
        together = model.embed(iter(records), batch=batch)
        assert [e.record for e in together] == [r.name for r in records]
        for one, e in zip(records, together, strict=True):
            alone = model.embed(one)
            np.testing.assert_allclose(e.values, alone.values, rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(e.start_s, alone.start_s)
    assert not together[1].present[:, 0].any()


def test_embed_each_is_lazy_and_gives_errors_in_place(model: Model, record: Record) -> None:
    read: list[int] = []

    def records():
        for i, one in enumerate([record, Record.from_arrays(ecg=(np.zeros(2500), 250.0), name="flat"), record, record]):
            read.append(i)
            yield one

    found = model.embed_each(records(), batch=2)
    first = next(found)
    assert isinstance(first, Embedding)
    assert read == [0, 1, 2]  # as far as the batch that finished the first record reaches, not to the end
    second, third, _ = list(found)
    assert isinstance(second, SignalError)
    assert "'flat' must hold 1 s of signal" in str(second)
    assert isinstance(third, Embedding)
    np.testing.assert_allclose(third.values, first.values, rtol=1e-4, atol=1e-5)


def test_short_and_silent_records_are_refused(model: Model, record: Record) -> None:
    with pytest.raises(SignalError, match="must last at least 1 s"):
        model.embed(record.crop(0, 0.7))
    with pytest.raises(SignalError, match="must hold 1 s of signal"):
        model.embed(Record.from_arrays(ecg=(np.full(5000, np.nan), 250.0)))


def test_three_seconds_are_embedded_and_said_to_be_short(model: Model, record: Record) -> None:
    short = record.crop(5, 8)
    assert len(model.embed(short)) == 1
    assert "lasts 3 s, shorter than the window of 10 s" in model.reconstruct(short).notes


def test_clock_shift_moves_start_s_and_nothing_else(model: Model, record: Record) -> None:
    later = replace(record, ecg=replace(ecg(record), start_s=1000.0), ppg=replace(ppg(record), start_s=1000.0))
    a, b = model.embed(record), model.embed(later)
    np.testing.assert_allclose(b.start_s, a.start_s + 1000)
    np.testing.assert_allclose(b.values, a.values, atol=1e-4)
    x, y = model.reconstruct(record), model.reconstruct(later)
    np.testing.assert_allclose(ecg(y).values, ecg(x).values, atol=1e-4)
    assert ppg(y).start_s == 1000.0


def test_delay_of_one_channel_is_seen(model: Model, record: Record) -> None:
    late = replace(record, ppg=replace(ppg(record), start_s=0.2))
    assert np.abs(model.embed(late).values - model.embed(record).values).max() > 1e-4
    drawn = ppg(model.reconstruct(late))
    assert drawn.start_s == 0.2
    assert len(drawn.samples) == len(ppg(record).samples)


@pytest.mark.parametrize("hide", [None, "ppg", "ecg", [(12.0, 13.5)]])
def test_reconstruction_keeps_clock_rate_and_unit(model: Model, record: Record, hide) -> None:
    made = model.reconstruct(record, hide=hide)
    for modality, true, drawn in (("ecg", ecg(record), ecg(made)), ("ppg", ppg(record), ppg(made))):
        assert (drawn.fs_hz, drawn.unit, drawn.name, drawn.start_s) == (
            true.fs_hz, true.unit, true.name, true.start_s,
        )  # fmt: skip
        assert len(drawn.samples) == len(true.samples)
        assert np.isfinite(drawn.values).all()
        passes = isinstance(hide, str) and hide != modality
        assert np.array_equal(drawn.values, true.values) == passes


def test_gap_stays_gap_unless_it_is_hidden(model: Model, record: Record) -> None:
    broken = with_gap(record, 15.0, 17.0)
    absent = np.isnan(ecg(broken).values)
    for hide in (None, "ppg", [(30.0, 31.0)]):
        assert np.array_equal(np.isnan(ecg(model.reconstruct(broken, hide=hide)).values), absent)
    filled = ecg(model.reconstruct(broken, hide=[(15.5, 16.0)])).values
    assert np.isnan(filled).sum() == absent.sum() - 250
    assert np.isfinite(filled[7750:8000]).all()


def test_hidden_samples_are_not_used(model: Model, record: Record) -> None:
    values = ecg(record).values.copy()
    values[6000:6750] += 5.0
    other = replace(record, ecg=replace(ecg(record), samples=values))
    a, b = (model.reconstruct(r, hide=[(12.0, 13.5)]) for r in (record, other))
    np.testing.assert_allclose(ecg(a).values, ecg(b).values, atol=1e-6)
    c, d = (model.reconstruct(r, hide="ppg") for r in (record, replace(record, ppg=replace(
        ppg(record), samples=3 * ppg(record).values + 7))))  # fmt: skip
    np.testing.assert_allclose(3 * ppg(c).values + 7, ppg(d).values, atol=1e-3)
    np.testing.assert_allclose(ecg(c).values, ecg(d).values, atol=1e-5)


def test_channel_that_is_not_there_is_drawn_in_z(model: Model, record: Record) -> None:
    made = ppg(model.reconstruct(Record("e", ecg=ecg(record)), hide="ppg"))
    assert (made.unit, made.fs_hz, len(made.samples)) == ("z", 250.0, 42 * 250)
    assert np.isfinite(made.values).all()
    with pytest.raises(SignalError, match="must have another channel than the hidden ecg"):
        model.reconstruct(Record("e", ecg=ecg(record)), hide="ecg")


@pytest.mark.parametrize("hide", [[(3.0, 2.0)], [(100.0, 101.0)], [], "spo2"])
def test_wrong_hide_is_one_sentence(model: Model, record: Record, hide) -> None:
    with pytest.raises(SignalError):
        model.reconstruct(record, hide=hide)


def test_batch_does_not_change_a_reconstruction(model: Model, record: Record) -> None:
    for hide in (None, [(12.0, 13.5)]):
        a, b = model.reconstruct(record, hide=hide, batch=1), model.reconstruct(record, hide=hide, batch=16)
        np.testing.assert_allclose(ecg(a).values, ecg(b).values, atol=1e-4)


def test_bits_are_spent_up_to_the_budget(model: Model, record: Record) -> None:
    most = model.analyze(record, bits_per_second=1000.0)
    assert most.bits.shape == most.depth.shape == (2, 525)
    assert (most.depth == 3).all()
    assert most.bits.max() == 12.0  # 3 levels of 16 codes
    for budget in (40.0, 80.0):
        some = model.analyze(record, bits_per_second=budget)
        rate = some.bits.sum(-1) / record.duration_s
        assert (rate <= 1.05 * budget).all()
        assert (rate > 0.8 * budget).all()
    np.testing.assert_allclose(most.token_start_s[:3], [0.0, 0.08, 0.16])
    np.testing.assert_array_equal(ecg(most.reconstruction).values, ecg(model.reconstruct(record)).values)
    assert set(most.prd) == set(most.r) == {"ecg", "ppg"}


def test_analysis_of_one_channel_says_nothing_of_the_other(model: Model, record: Record) -> None:
    found = model.analyze(Record("p", ppg=ppg(record)))
    assert found.reconstruction.ecg is None
    assert set(found.prd) == {"ppg"}
    assert np.isnan(found.bits[0]).all()
    assert np.isfinite(found.bits[1]).all()


def test_a_day_is_processed_in_constant_memory(model: Model) -> None:
    class Endless:
        def __init__(self, n: int) -> None:
            self.n = n

        def __len__(self) -> int:
            return self.n

        def __getitem__(self, index: slice, /) -> np.ndarray:
            first, last, _ = index.indices(self.n)
            return np.sin(np.arange(first, last) / 9).astype(np.float32)

    def peak(hours: float) -> int:
        lazy = Record("day", ppg=Signal(Endless(round(hours * 3600 * 125)), 125.0, "NU", "ppg"))
        tracemalloc.start()
        try:
            model.reconstruct(lazy)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(0.02)
    result_bytes = 4 * round(0.3 * 3600 * 125)  # of the longer result beyond the shorter's
    assert peak(0.4) - peak(0.1) < 1.3 * result_bytes


def test_unknown_model_lists_the_installed_ones() -> None:
    with pytest.raises(CheckpointError, match=r"an installed name \(.*\), found 'huge'"):
        load("huge")
    with pytest.raises(CheckpointError, match="'onnx-int8' or 'torch'"):
        load("huge", backend="jax")


def test_onnx_and_torch_tell_the_same(micro_graphs: Path, record: Record) -> None:
    onnx, torch = load(micro_graphs, threads=1), load(micro_graphs, backend="torch")
    assert type(onnx.backend).__name__ == "OnnxBackend"
    a, b = onnx.embed(record), torch.embed(record)
    assert np.abs(a.values - b.values).max() <= 1e-3 * np.abs(b.values).max()
    x, y = onnx.reconstruct(record, hide="ppg"), torch.reconstruct(record, hide="ppg")
    np.testing.assert_allclose(ppg(x).values, ppg(y).values, atol=1e-3)


def test_base_install_works_without_torch(micro_graphs: Path) -> None:
    code = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "huggingface_hub", "lightning", "onnx", "onnxscript"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import cardiofm
assert not {{"scipy", "onnxruntime", "pyarrow", "wfdb"}} & set(sys.modules), "importing cardiofm must be cheap"
record = cardiofm.simulate(12, fs_ecg_hz=250, fs_ppg_hz=125, seed=1).record
model = cardiofm.load({str(micro_graphs)!r})
print(model.embed(record).values.shape, len(model.reconstruct(record, hide="ppg").ppg.values))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[0] == "(2, 16) 1500", done.stderr


def test_what_is_visible_passes_sample_for_sample_at_any_rate(micro: Path) -> None:
    model = load(micro, backend="torch")
    record = simulate(20, fs_ecg_hz=125, fs_ppg_hz=60, seed=2, ecg_noise_mv=0.05, ppg_noise=0.05).record
    for hide in ([(5.0, 6.0)], "ppg"):
        made = model.reconstruct(record, hide=hide)
        for modality in ("ecg",) if hide == "ppg" else ("ecg", "ppg"):
            true, drawn = record.signal(modality), made.signal(modality)
            assert true is not None
            assert drawn is not None
            t_n = np.arange(len(true.samples)) / true.fs_hz
            shown = (t_n < 5.0) | (t_n >= 6.0) if hide != "ppg" else t_n >= 0
            np.testing.assert_array_equal(drawn.values[shown], true.values[shown])
            assert np.isfinite(drawn.values).all()


def test_a_gap_meets_what_is_visible_beside_it(micro: Path) -> None:
    record = simulate(20, fs_ecg_hz=250, fs_ppg_hz=250, seed=4).record
    made = load(micro, backend="torch").reconstruct(record, hide=[(7.0, 8.5)])
    for modality in ("ecg", "ppg"):
        true, drawn = record.signal(modality), made.signal(modality)
        assert true is not None
        assert drawn is not None
        step = np.abs(np.diff(drawn.values))
        assert step[[1749, 2124]].max() < 0.02 * true.values.std()


def test_a_hidden_channel_that_never_moves_is_drawn_as_one_that_is_not_there(micro: Path) -> None:
    model = load(micro, backend="torch")
    ecg = simulate(20, fs_ecg_hz=250, fs_ppg_hz=250, seed=4).record.ecg
    assert ecg is not None
    for flat in (np.zeros(2000), np.full(2000, np.nan), np.full(2000, 7.0)):
        record = Record.from_arrays(ecg=(ecg.values, 250.0), ppg=(flat, 100.0))
        made = model.reconstruct(record, hide="ppg")
        assert made.ppg is not None
        assert (made.ppg.unit, made.ppg.fs_hz) == ("z", 250.0)
        assert np.isfinite(made.ppg.values).all()
        assert any("never moves" in note for note in made.notes)


def test_what_could_not_be_drawn_is_said(micro: Path) -> None:
    record = simulate(40, fs_ecg_hz=250, fs_ppg_hz=250, seed=4).record
    made = load(micro, backend="torch").reconstruct(record, hide=[(8.0, 32.0)])
    assert made.ecg is not None
    lost = np.isnan(made.ecg.values).sum() / 250
    assert lost > 5
    assert f"{lost:.3g} hidden s of the ecg are not drawn" in " ".join(made.notes)


@pytest.mark.parametrize("hide", [(5.0, 6.0), ["ppg"], 3, [(1,)], [("a", "b")], []])
def test_what_cannot_be_hidden_is_named(micro: Path, hide: Any) -> None:
    record = simulate(12, fs_ecg_hz=250, fs_ppg_hz=250, seed=4).record
    with pytest.raises(SignalError, match="hide must be 'ecg', 'ppg' or spans"):
        load(micro, backend="torch").reconstruct(record, hide=hide)
    with pytest.raises(SignalError, match="one Record, found str; read a file first"):
        load(micro, backend="torch").reconstruct("x.hea", hide="ppg")  # pyright: ignore
