"""The encoder's graphs with the matrices of its blocks in eight bits, beside those in full precision.

Weights are rounded per column once; activations per token batch as they come, or to ranges seen on real windows
(static). Everything else stays as it is: stem, attention, norms, pooling, and all that codes, measures or draws, where
eight bits cost more than they gave (docs/log.md). The graphs share one weights file. Needs onnx.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from safetensors.numpy import save_file

from cardiofm.config import from_dict
from cardiofm.edge.export import example_windows, safetensors_table
from cardiofm.edge.runtime import EMBEDDERS, INT8_WEIGHTS, SOURCE, OnnxBackend, int8_name, source_hash
from cardiofm.model.checkpoint import read_config
from cardiofm.signals import CheckpointError, InputSpec

LEAST_COSINE = 0.995  # of embeddings, eight bits against full precision
Windows = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]  # values, visibility, units; as `encode`
_SMALL = 1024  # bytes; a smaller tensor stays in its graph


def quantize(folder: Path, real: Windows | None = None) -> list[Path]:
    """Write the eight-bit graphs and their weights into a model folder that has its ONNX graphs; returns their paths.

    With `real`, windows with both channels, activations are rounded to the ranges that every other of them reaches
    (static). Embeddings, of the windows in between or of random ones, must keep a cosine of `LEAST_COSINE` to those in
    full precision; otherwise nothing is written and a CheckpointError says what was found.
    """
    config = read_config(folder)
    if real is not None and len(real[0]) < 2:
        raise CheckpointError(f"static ranges need at least 2 real windows, found {len(real[0])}; give more recordings")
    full = OnnxBackend(folder, threads=1)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".int8-") as name:
        draft = Path(name)
        seen = None if real is None else (real[0][::2], real[1][::2], real[2][::2])
        width = config["encoder"]["width"]
        graphs = {int8_name(n): _rounded(folder / n, draft, width, seen) for n in EMBEDDERS.values()}
        _save(graphs, draft, source_hash(folder))
        windows = example_windows(from_dict(InputSpec, config["spec"]), 16)
        if real is not None:
            windows = real[0][1::2], real[1][1::2], real[2][1::2]
        for present, graph in EMBEDDERS.items():
            true = full.embed(*windows, present)
            session = ort.InferenceSession(draft / int8_name(graph), providers=["CPUExecutionProvider"])
            inputs = dict(zip((i.name for i in session.get_inputs()), windows, strict=True))
            cosine = least_cosine(true, np.asarray(session.run(None, inputs)[0]))
            if not cosine >= LEAST_COSINE:
                raise CheckpointError(
                    f"embeddings of {graph} in eight bits must keep a cosine of {LEAST_COSINE:g} to those in full "
                    f"precision, found {cosine:.4g}; nothing written"
                )
        return [(draft / n).replace(folder / n) for n in (INT8_WEIGHTS, *graphs)]


def least_cosine(a_BD: np.ndarray, b_BD: np.ndarray) -> float:
    """Of two embeddings of the same window; a window without the stream has none."""
    has = np.abs(a_BD).max(1) > 0
    a_BD, b_BD = a_BD[has], b_BD[has]
    return float(((a_BD * b_BD).sum(1) / np.linalg.norm(a_BD, axis=1) / np.linalg.norm(b_BD, axis=1)).min())


class _Reader(CalibrationDataReader):
    """Windows one by one, under the names of a graph's inputs."""

    def __init__(self, proto: onnx.ModelProto, windows: Windows) -> None:
        names = [i.name for i in proto.graph.input]
        rows = zip(*(array[:, None] for array in windows), strict=True)
        self.rows = (dict(zip(names, row, strict=True)) for row in rows)

    def get_next(self) -> dict[str, NDArray]:
        return next(self.rows, {})


def _rounded(path: Path, draft: Path, width: int, seen: Windows | None) -> onnx.ModelProto:
    """The graph with its weights inside, those of the blocks in eight bits."""
    proto = _folded(path)
    shape = {t.name: tuple(t.dims) for t in proto.graph.initializer}
    blocks = [n.name for n in proto.graph.node if n.op_type == "MatMul" and min(shape.get(n.input[1], (0,))) >= width]
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it asks for a preparation that changes nothing here
    rounded = draft / "rounded.onnx"
    how = {"per_channel": True, "weight_type": QuantType.QInt8, "nodes_to_quantize": blocks}
    how["extra_options"] = {"DefaultTensorType": TensorProto.FLOAT}  # ONNX cannot infer what others' operators give
    if seen is None:
        quantize_dynamic(proto, rounded, **how)
    else:
        quantize_static(proto, rounded, _Reader(proto, seen), activation_type=QuantType.QUInt8, **how)
    logging.root.setLevel(level)
    return onnx.load(rounded)


def _folded(path: Path) -> onnx.ModelProto:
    """The graph with its weights inside, in float32 and turned as they are used."""
    proto = onnx.load(path)
    value = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    kept = []
    for node in proto.graph.node:
        known, how = value.get(node.input[0]) if node.input else None, {a.name: a for a in node.attribute}
        if known is not None and node.op_type == "Cast" and how["to"].i == TensorProto.FLOAT:
            value[node.output[0]] = known.astype(np.float32)
        elif known is not None and node.op_type == "Transpose":
            value[node.output[0]] = np.ascontiguousarray(known.transpose(how["perm"].ints))
        elif node.op_type == "FusedMatMul":
            turned = f"{node.input[1]}.turned"
            value[turned] = np.ascontiguousarray(value[node.input[1]].T)
            kept.append(helper.make_node("MatMul", [node.input[0], turned], node.output, name=node.name))
        else:
            kept.append(node)
    used = {name for node in kept for name in node.input}
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.node.extend(kept)
    proto.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in value.items() if n in used)
    return proto


def _save(graphs: dict[str, onnx.ModelProto], folder: Path, source: str) -> None:
    """Write the graphs, with every larger tensor in one weights file, once for all of them."""
    tensors: dict[str, np.ndarray] = {}
    names: dict[str, dict[str, str]] = {name: {} for name in graphs}
    for name, proto in graphs.items():
        for tensor in proto.graph.initializer:
            value = numpy_helper.to_array(tensor)
            if value.nbytes >= _SMALL:
                key = hashlib.sha256(f"{value.dtype}{value.shape}".encode() + value.tobytes()).hexdigest()
                names[name][tensor.name] = key
                tensors[key] = value
    save_file(tensors, folder / INT8_WEIGHTS)
    (folder / INT8_WEIGHTS).chmod(0o644)
    table, data_at = safetensors_table(folder / INT8_WEIGHTS)
    for name, proto in graphs.items():
        for tensor in proto.graph.initializer:
            if tensor.name in names[name]:
                begin, end = table[names[name][tensor.name]]["data_offsets"]
                for field in ("raw_data", "float_data", "int32_data", "int64_data"):
                    tensor.ClearField(field)
                tensor.data_location = TensorProto.EXTERNAL
                place = {"location": INT8_WEIGHTS, "offset": str(data_at + begin), "length": str(end - begin)}
                for key, text in place.items():
                    tensor.external_data.add(key=key, value=text)
        helper.set_model_props(proto, {SOURCE: source})
        onnx.save(proto, folder / name)
