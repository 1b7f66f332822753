"""A model folder to ONNX graphs beside its weights: one copy of the weights, nothing written that differs from torch.

A graph's initialisers are external data inside model.safetensors itself (tensor data start at 8 + header length);
float16 ones pass through a Cast that ONNX Runtime folds when it loads the graph. Needs torch, onnx and onnxscript.
Shapes: B batch, C channels, N samples, S token steps, D width, Q codebook levels.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxscript import optimizer
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from cardiofm.edge.fused import fused
from cardiofm.edge.runtime import (
    ACROSS_GRAPH,
    DECODE,
    DRAW,
    EMBEDDERS,
    ENCODERS,
    LAYOUT,
    MEASURERS,
    OnnxBackend,
    layout,
    weights_of,
)
from cardiofm.model.backend import Decode, Draw, DrawAcross, Embed, Encode, TorchBackend
from cardiofm.model.heads import Measure
from cardiofm.signals import CheckpointError, InputSpec

OPSET = 20
TOLERANCE = 1e-3  # of embeddings, tokens and waveforms, graph against torch, relative to their largest value
SAME_CODES = 0.99  # share: a token between two codes may fall to either
GRAPH_BYTES = 1 << 20  # a graph that is larger holds weights of its own
_KINDS = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}


def silent(_step: str) -> None:
    """Nothing is told."""


def export(folder: Path, tell: Callable[[str], None] = silent) -> list[Path]:
    """Write the graphs of a model folder into it, those of its heads too; returns their paths.

    `tell` hears of each step, as they take minutes together.

    ONNX Runtime must give what torch gives on 1, 3 and 16 windows with gaps and absent channels; otherwise nothing
    is written and a CheckpointError says what differed.
    """
    torch_backend = TorchBackend(folder)
    model = torch_backend.model
    windows = example_windows(model.config.spec, 2)
    encoded = torch_backend.encode(*windows)
    depth = np.full(encoded.seen.shape, 2)
    jobs: dict[str, tuple[nn.Module, tuple[NDArray, ...]]] = {
        **{name: (Encode(model, present), windows) for present, name in ENCODERS.items()},
        **{name: (Embed(model, present), windows) for present, name in EMBEDDERS.items()},
        DRAW: (Draw(model), (encoded.tokens, encoded.patches, encoded.seen)),
        DECODE: (Decode(model), (encoded.codes, depth, encoded.coded)),
    }
    if torch_backend.head is not None:
        head = torch_backend.head
        jobs |= {name: (Measure(model, head, present), windows) for present, name in MEASURERS.items()}
    if torch_backend.across_head is not None:
        jobs[ACROSS_GRAPH] = (DrawAcross(torch_backend.across_head), jobs[DRAW][1])
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as draft:
        for name in dict.fromkeys(file for graph in jobs for file in weights_of(graph).values()):
            shutil.copyfile(folder / name, Path(draft) / name)
        for number, (name, (module, arrays)) in enumerate(jobs.items(), 1):
            tell(f"{name}, {number} of {len(jobs)}")
            embeds = name in EMBEDDERS.values()
            with fused() if embeds else nullcontext():
                proto = _attach(_graph(module, arrays), folder, name)
            onnx.save(as_stored(proto) if embeds else proto, Path(draft) / name)
        graphs = OnnxBackend(Path(draft), threads=1)
        for batch in (1, 3, 16):
            tell(f"comparing graphs and torch on {batch} window{'s' * (batch > 1)}")
            _compare(torch_backend, graphs, example_windows(model.config.spec, batch))
        return [(Path(draft) / name).replace(folder / name) for name in jobs]


def _graph(module: nn.Module, arrays: tuple[NDArray, ...]) -> onnx.ModelProto:
    """The module as a graph of any batch size whose weights are inputs, so that nothing is folded into copies."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    tensors = tuple(torch.from_numpy(a) for a in arrays)
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):  # the other kernels' memory layouts do not export
        warnings.simplefilter("ignore")
        exported = torch.export.export(module.eval(), tensors, dynamic_shapes=tuple({0: batch} for _ in tensors))
        program = torch.onnx.export(exported, (), dynamo=True, opset_version=OPSET, optimize=False, verbose=False)
    logger.setLevel(level)
    graph = program.model.graph  # pyright: ignore[reportOptionalMemberAccess]
    for name in [n for n in graph.initializers if n in module.state_dict()]:
        value = graph.initializers.pop(name)
        value.const_value = None
        graph.inputs.append(value)
    optimizer.optimize(program.model)  # pyright: ignore
    proto = onnx_ir.to_proto(program.model)  # pyright: ignore
    for node in proto.graph.node:  # traces of the machine that exported
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.value_info[:], proto.graph.metadata_props[:], proto.metadata_props[:]
    return proto


def _attach(proto: onnx.ModelProto, folder: Path, name: str) -> onnx.ModelProto:
    """Turn the weight inputs of the graph `name` into initialisers that lie in the folder's safetensors files."""
    files = weights_of(name)
    headers = {prefix: safetensors_table(folder / file) for prefix, file in files.items()}
    graph = proto.graph
    used = {name for node in graph.node for name in node.input}
    weights = [i for i in graph.input if i.name.startswith(tuple(files))]
    nodes = list(graph.node)
    del graph.node[:]
    for value in weights:
        graph.input.remove(value)
        if value.name not in used:
            continue
        prefix = value.name.split(".", 1)[0] + "."
        header, data_at = headers[prefix]
        entry = header[value.name.removeprefix(prefix)]
        half = entry["dtype"] == "F16"
        begin, end = entry["data_offsets"]
        tensor = graph.initializer.add()
        tensor.name = value.name + ".half" if half else value.name
        tensor.data_type, tensor.data_location = _KINDS[entry["dtype"]], TensorProto.EXTERNAL
        tensor.dims.extend(entry["shape"])
        for key, text in (("location", files[prefix]), ("offset", str(data_at + begin)), ("length", str(end - begin))):
            tensor.external_data.add(key=key, value=text)
        if half:
            graph.node.append(helper.make_node("Cast", [tensor.name], [value.name], to=TensorProto.FLOAT))
    graph.node.extend(nodes)
    helper.set_model_props(proto, {LAYOUT: layout(folder, name)})
    if proto.ByteSize() > GRAPH_BYTES:
        raise CheckpointError(f"a graph must hold no weights of its own, found one of {proto.ByteSize()} bytes")
    return proto


def as_stored(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Products that read their matrix as it is stored, rows for outputs, so that no turned copy of it is held.

    The turned copies of `base` are 68 MB, a third of what a process needed to embed. `FusedMatMul` is ONNX Runtime's.
    """
    graph = proto.graph
    made = {output: node for node in graph.node for output in node.output}
    stored = {t.name for t in graph.initializer}
    stored |= {o for o, n in made.items() if n.op_type == "Cast" and n.input[0] in stored}
    for node in graph.node:
        turn = made.get(node.input[1]) if node.op_type == "MatMul" else None
        if turn is not None and turn.op_type == "Transpose" and turn.input[0] in stored:
            node.op_type, node.domain, node.input[1] = "FusedMatMul", "com.microsoft", turn.input[0]
            node.attribute.append(helper.make_attribute("transB", 1))
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    kept = [node for node in graph.node if used & set(node.output)]
    del graph.node[:]
    graph.node.extend(kept)
    if not any(opset.domain == "com.microsoft" for opset in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


def safetensors_table(path: Path) -> tuple[dict[str, Any], int]:
    """The table of a safetensors file, and where its data start."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(size)), 8 + size


def example_windows(spec: InputSpec, batch: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Smooth random windows, their visibility and units: gaps in all; from the second on, one channel may be absent."""
    draw = np.random.default_rng(batch)
    x_BCN = np.cumsum(draw.normal(size=(batch, 2, spec.samples)), -1) * np.array([[[0.05], [3.0]]])
    visible_BCN = np.ones(x_BCN.shape, bool)
    visible_BCN[:, :, spec.samples // 3 : spec.samples // 2] = False
    visible_BCN[1::3, 1] = False
    visible_BCN[2::3, 0] = False
    return x_BCN.astype(np.float32), visible_BCN, np.tile([True, False], (batch, 1))


def _compare(
    truth: TorchBackend, graphs: OnnxBackend, windows: tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]
) -> None:
    """CheckpointError where a graph's output differs from torch's."""
    for present, name in ENCODERS.items():
        a, b = truth.encode(*windows, present), graphs.encode(*windows, present)
        for field in ("embedding", "tokens", "patches", "offset", "scale", "seen", "coded"):
            _close(f"{field} of {name}", getattr(a, field), getattr(b, field))
        alike = (a.codes == b.codes).all(-1)
        _close(f"worth of {name}", a.worth[alike], b.worth[alike])
        same = float((a.codes == b.codes)[a.coded].mean()) if a.coded.any() else 1.0
        if same < SAME_CODES:
            raise CheckpointError(f"codes of {name} must agree with torch, found {same:.1%} the same; nothing written")
        _close(f"embedding of {EMBEDDERS[present]}", a.embedding, graphs.embed(*windows, present))
        depth = np.minimum(a.codes.sum(-1) % 9, a.codes.shape[-1])
        for clean in (False, True):
            _close(f"waveform of {DRAW}", truth.draw(a, clean), graphs.draw(a, clean))
        if (drawn := truth.across(a)) is not None and (same := graphs.across(a)) is not None:
            _close(f"waveform of {ACROSS_GRAPH}", drawn, same)
        _close(f"waveform of {DECODE}", truth.decode(a.codes, depth, a.coded), graphs.decode(a.codes, depth, a.coded))
    for present, name in MEASURERS.items() if truth.head is not None else ():
        both = zip(truth.measure(*windows, present), graphs.measure(*windows, present), strict=True)
        for a, b in both:
            _close(f"answers of {name}", a, b)


def _close(what: str, a: NDArray, b: NDArray) -> None:
    error = float(np.abs(a.astype(np.float64) - b).max() / max(np.abs(a).max(), 1e-6))
    if not error <= TOLERANCE:
        raise CheckpointError(f"{what} must agree with torch to {TOLERANCE:g}, found {error:.2g}; nothing written")
