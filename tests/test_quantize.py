"""Eight-bit matrices: embeddings nearly the same, measures the same, one weights file, and no copy of older weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from cardiofm.edge import quantize as quantize_module
from cardiofm.edge.export import example_windows
from cardiofm.edge.quantize import quantize
from cardiofm.edge.runtime import EMBEDDERS, INT8_WEIGHTS, OnnxBackend, int8_name
from cardiofm.pipeline import load
from cardiofm.signals import CheckpointError, InputSpec

NAMES = {INT8_WEIGHTS, *map(int8_name, EMBEDDERS.values())}


@pytest.fixture(scope="module")
def rounded(micro_graphs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small model with its eight-bit graphs."""
    folder = tmp_path_factory.mktemp("int8") / "micro"
    shutil.copytree(micro_graphs, folder)
    assert {p.name for p in quantize(folder)} == NAMES
    assert not list(folder.glob(".int8-*"))
    return folder


@pytest.mark.parametrize("present", [(0, 1), (0,), (1,)])
def test_embeddings_stay_and_all_else_is_the_same(rounded: Path, present: tuple[int, ...]) -> None:
    windows = example_windows(InputSpec(), 5)
    full, eight = OnnxBackend(rounded, 1), OnnxBackend(rounded, 1, int8=True)
    a, b = full.embed(*windows, present), eight.embed(*windows, present)
    assert np.abs(a - b).max() < 0.02 * np.abs(a).max()
    assert np.abs(a - b).max() > 0  # it is another arithmetic
    for mine, theirs in zip(full.encode(*windows, present), eight.encode(*windows, present), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(full.measure(*windows, present), eight.measure(*windows, present), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_graphs_share_one_file_of_eight_bit_matrices(rounded: Path) -> None:
    found: dict[str, set[tuple[str, int]]] = {}
    for name in map(int8_name, EMBEDDERS.values()):
        assert (rounded / name).stat().st_size < 1 << 20
        tensors = onnx.load(rounded / name, load_external_data=False).graph.initializer
        outside = [t for t in tensors if t.data_location == onnx.TensorProto.EXTERNAL]
        places = [({e.key: e.value for e in t.external_data}, t) for t in outside]
        assert {place["location"] for place, _ in places} == {INT8_WEIGHTS}
        found[name] = {(p["offset"], t.data_type) for p, t in places}
        assert any(t.data_type == onnx.TensorProto.INT8 for t in outside)
    both, ecg, ppg = (found[int8_name(name)] for name in EMBEDDERS.values())
    shared = {kind for place in (ecg & both) | (ppg & both) for kind in place[1:]}
    assert onnx.TensorProto.INT8 in shared


def test_the_door_takes_them_by_name(rounded: Path, micro_graphs: Path) -> None:
    model = load(rounded, backend="onnx-int8", threads=1)
    assert isinstance(model.backend, OnnxBackend)
    assert set(model.backend.embedders.values()) < NAMES
    with pytest.raises(CheckpointError, match=r"to run in eight bits, .* lacks it; write it with `cardiofm export"):
        load(micro_graphs, backend="onnx-int8")


def test_graphs_of_older_weights_are_refused(rounded: Path, tmp_path: Path) -> None:
    shutil.copytree(rounded, tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1  # another value in the same place
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match="must belong to the"):
        OnnxBackend(tmp_path / "m", 1, int8=True).embed(*example_windows(InputSpec(), 1))
    OnnxBackend(tmp_path / "m", 1).embed(*example_windows(InputSpec(), 1))  # those in full precision follow


def test_nothing_is_written_when_embeddings_differ(
    micro_graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(micro_graphs, tmp_path / "m")
    before = {p.name for p in (tmp_path / "m").iterdir()}
    monkeypatch.setattr(quantize_module, "LEAST_COSINE", 1.1)
    with pytest.raises(CheckpointError, match="must keep a cosine of 1"):
        quantize(tmp_path / "m")
    assert {p.name for p in (tmp_path / "m").iterdir()} == before
