"""The graphs in a model folder: small, one copy of the weights, and nothing written that differs from torch."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from cardiofm.edge import export as export_module
from cardiofm.edge.export import export
from cardiofm.edge.runtime import ACROSS_GRAPH, DECODE, DRAW, EMBEDDERS, ENCODERS, MEASURERS, weights_of
from cardiofm.model.cardiofm import CardioFM
from cardiofm.signals import CheckpointError

GRAPHS = (*ENCODERS.values(), *EMBEDDERS.values(), DRAW, DECODE)


def test_graphs_read_their_weights_from_the_safetensors_file(micro_graphs: Path) -> None:
    for name in (*GRAPHS, *MEASURERS.values(), ACROSS_GRAPH):
        files = {file: (micro_graphs / file).stat().st_size for file in weights_of(name).values()}
        assert (micro_graphs / name).stat().st_size < 1 << 20
        proto = onnx.load(micro_graphs / name, load_external_data=False)
        outside = [t for t in proto.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
        inside = [t for t in proto.graph.initializer if t.data_location != onnx.TensorProto.EXTERNAL]
        assert outside
        for tensor in outside:
            place = {entry.key: entry.value for entry in tensor.external_data}
            assert int(place["offset"]) + int(place["length"]) <= files[place["location"]]
        floats = [t for t in inside if t.data_type == onnx.TensorProto.FLOAT]
        assert sum(int(np.prod(t.dims)) for t in floats) < 60_000  # angles, tables of the echo, transform of a block


def test_graphs_tell_nothing_of_the_machine_that_wrote_them(micro_graphs: Path) -> None:
    for name in GRAPHS:
        data = (micro_graphs / name).read_bytes()
        assert b".py" not in data
        assert b"stack_trace" not in data


def test_single_stream_graphs_cost_less(micro_graphs: Path) -> None:
    both, ecg = (onnx.load(micro_graphs / n, load_external_data=False) for n in ("encode.onnx", "encode_ecg.onnx"))
    assert len(ecg.graph.node) < 0.7 * len(both.graph.node)


def test_embedding_alone_needs_no_codes_and_no_turned_matrices(micro_graphs: Path) -> None:
    for present, name in EMBEDDERS.items():
        full, lean = (onnx.load(micro_graphs / n, load_external_data=False).graph for n in (ENCODERS[present], name))
        assert [o.name for o in lean.output] == [full.output[0].name]
        assert "ArgMin" in {n.op_type for n in full.node}
        assert "ArgMin" not in {n.op_type for n in lean.node}
        weights = {t.name.removesuffix(".half") for t in lean.initializer}
        assert not [n for n in lean.node if n.op_type == "Transpose" and n.input[0] in weights]
        assert [n for n in lean.node if n.op_type == "FusedMatMul"]


def test_new_values_in_the_same_places_need_no_new_graphs(micro_graphs: Path, tmp_path: Path) -> None:
    from cardiofm.edge.runtime import OnnxBackend
    from cardiofm.model.backend import TorchBackend

    shutil.copytree(micro_graphs, tmp_path / "next")
    model = CardioFM.load(micro_graphs)
    with torch.no_grad():
        model.encoder.pool[0].get_parameter("weight").mul_(2.0)
    model.save(tmp_path / "next")
    windows = export_module.example_windows(model.config.spec, 2)
    graph, truth = OnnxBackend(tmp_path / "next", 1), TorchBackend(tmp_path / "next")
    np.testing.assert_allclose(graph.encode(*windows).embedding, truth.encode(*windows).embedding, rtol=1e-3, atol=1e-4)


def test_what_embeds_is_written_in_few_operators(micro: Path, micro_graphs: Path) -> None:
    """And agrees with torch: `export` compared it, tests/test_runtime.py does again."""
    blocks = CardioFM.load(micro).config.encoder.depth
    for present, name in EMBEDDERS.items():
        plain, fused = (
            [node.op_type for node in onnx.load(micro_graphs / n, load_external_data=False).graph.node]
            for n in (ENCODERS[present], name)
        )
        assert fused.count("MultiHeadAttention") == blocks * (4 if len(present) == 2 else 1)
        assert "Softmax" not in fused
        assert plain.count("Softmax") >= fused.count("MultiHeadAttention")
        assert len(fused) < 0.7 * len(plain)


def test_nothing_is_written_when_a_graph_differs(
    micro: Path, micro_graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CardioFM.load(micro).save(tmp_path)
    real, made = export_module._graph, {}

    def wrong(module, arrays):  # the ready graph of the other streams in place of each
        kind = type(module).__name__
        name = {"Draw": DRAW, "Decode": DECODE}.get(kind) or {"Embed": EMBEDDERS}.get(kind, ENCODERS)[module.present]
        proto = onnx.load(micro_graphs / name, load_external_data=False)
        made[name] = proto
        return proto

    def attach(proto, folder, name):
        for node in proto.graph.node:
            if node.op_type == "Softmax":
                node.attribute[0].i = 1
                break
        return proto

    assert real is not wrong
    monkeypatch.setattr(export_module, "_graph", wrong)
    monkeypatch.setattr(export_module, "_attach", attach)
    told: list[str] = []
    with pytest.raises(CheckpointError, match="must agree with torch"):
        export(tmp_path, told.append)
    assert [step.split(",")[0] for step in told[:-1]] == list(GRAPHS)
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    assert set(made) == set(GRAPHS)
