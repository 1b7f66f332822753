"""Processor time of one window on one core: ours, others', and how fast the core multiplies matrices.

Time is that of the process, not of the clock on the wall, so that other work on the machine costs nobody's figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cardiofm.data.usable import stacked
from cardiofm.data.windows import cut
from cardiofm.evaluate.edge import others
from cardiofm.evaluate.edge.operations import Cost, cost
from cardiofm.evaluate.timing import Key, Way, timed
from cardiofm.model.backend import Embed, TorchBackend
from cardiofm.model.checkpoint import HEAD
from cardiofm.model.heads import Measure
from cardiofm.pipeline import Model
from cardiofm.signals import Record

REPEATS = 4  # of a way in a round
SHAPES = ((1024, 1024, 1024), (512, 512, 512), (125, 256, 976), (125, 256, 768), (125, 976, 256))  # of matrix products
RATE = "matrix products"
WORK = ("encoder", "embed", "embed + measure")  # prepared window to embedding · recording to embedding · and its beats


def ways(record: Record, models: dict[tuple[str, str], Model]) -> dict[Key, Way]:
    """Every way by (what, system, precision, by): `models` by (name, precision)."""
    found: dict[Key, Way] = {}
    for (name, precision), model in models.items():
        (window,) = cut(record, model.spec)
        arrays = stacked([window])
        by = "torch" if isinstance(model.backend, TorchBackend) else "ONNX Runtime"
        found["encoder", name, precision, by] = _repeated(lambda m=model, a=arrays: m.backend.embed(*a))
        found["embed", name, precision, by] = _repeated(lambda m=model: m.embed(record))
        if model.folder is not None and (model.folder / HEAD).is_file():
            found["embed + measure", name, precision, by] = _repeated(
                lambda m=model: (m.embed(record), m.measure(record))
            )
    return found


def _repeated(once: Callable[[], Any]) -> Way:
    def way() -> int:
        torch.set_num_threads(1)
        for _ in range(REPEATS):
            once()
        return REPEATS

    once()
    return way


class Bf16Backend(TorchBackend):
    """The network run by torch in bfloat16, where matrices are multiplied."""

    def _run(self, module: torch.nn.Module, *arrays: NDArray) -> list[NDArray]:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            out = module(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays))
        parts = out if isinstance(out, tuple) else (out,)
        return [(t.float() if t.is_floating_point() else t).numpy() for t in parts]


def bf16(model: Model) -> Model:
    """The same model in bfloat16."""
    assert model.folder is not None
    return replace(model, backend=Bf16Backend(model.folder, threads=1))


def other_ways(record: Record, home: Path) -> tuple[dict[Key, Way], dict[str, float]]:
    """The networks of others' size, and openecg where it is installed, for one window of both signals; their millions
    of parameters."""
    draw, found, millions = np.random.default_rng(0), {}, {}
    for name, module, shape, times in (
        ("PaPaGei-S-sized", others.ResNet(), (1, 1, 1250), 2),  # once for each signal
        ("ECG-FM-sized", others.Transformer(), (1, 12, 2500), 2),  # ten seconds are two of its segments
    ):
        x = draw.normal(size=shape).astype(np.float32)
        run = others.session(module, x, home / f"{name}.onnx")
        found["encoder", name, "fp32", "ONNX Runtime"] = _repeated(lambda r=run, x=x, n=times: [r(x) for _ in range(n)])
        millions[name] = round(others.parameters_m(module), 2)
    try:
        import openecg
    except ModuleNotFoundError:
        return found, millions
    ecg = record.ecg
    assert ecg is not None
    x = np.interp(np.arange(5000) / 500, np.arange(len(ecg.values)) / ecg.fs_hz, ecg.values[:]).astype(np.float32)
    model = openecg.load_codec_onnx() if hasattr(openecg, "load_codec_onnx") else None
    found["encoder", "openecg", "int8", "its own"] = _repeated(lambda: openecg.encode_stream(x, fs=500, model=model))
    return found, millions


def rate_ways() -> dict[Key, Way]:
    """Products of matrices by ONNX Runtime, as ways whose "windows" are thousands of operations."""
    found: dict[Key, Way] = {}
    for m, k, n in SHAPES:
        run = _product(m, k, n)

        def way(run: Callable[[], Any] = run, operations: int = 2 * m * k * n) -> int:
            for _ in range(8):
                run()
            return 8 * operations // 1000

        way()
        found[RATE, f"{m}x{k}x{n}", "fp32", "ONNX Runtime"] = way
    return found


def _product(m: int, k: int, n: int) -> Callable[[], Any]:
    draw = np.random.default_rng(0)
    x, w = (draw.normal(size=size).astype(np.float32) for size in ((m, k), (k, n)))
    shown = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in (("x", (m, k)), ("y", (m, n)))
    ]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        shown[:1],
        shown[1:],
        [numpy_helper.from_array(w, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def optional_ways(record: Record, model: Model, folder: Path, here: set[str]) -> tuple[dict[Key, Way], dict[str, Any]]:
    """Those of "openvino" and "executorch" that are `here`, with what `folder` holds for them; the cosine of their
    embeddings to ONNX Runtime's."""
    (window,) = cut(record, model.spec)
    arrays, found, cosine = stacked([window]), {}, {}
    runners: list[tuple[str, str, Any]] = []
    if "openvino" in here:
        from cardiofm.edge.openvino import INT8_FILE, Embedder

        runners += [
            ("fp32", "OpenVINO", Embedder(folder / "embed.xml")),
            ("int8", "OpenVINO", Embedder(folder / INT8_FILE)),
        ]
    if "executorch" in here:
        from cardiofm.edge.executorch import Embedder as Program

        runners.append(("fp32", "ExecuTorch", Program(folder / "embed.pte")))
    true = model.backend.embed(*arrays)[0].astype(np.float64)
    for precision, by, run in runners:
        mine = run(*arrays)[0].astype(np.float64)
        cosine[f"{model.name} {precision} {by}"] = float(mine @ true / np.linalg.norm(mine) / np.linalg.norm(true))
        found["encoder", model.name, precision, by] = _repeated(lambda r=run: r(*arrays))
    return found, cosine


def costs(model: Model) -> dict[str, Cost]:
    """Arithmetic of one window of a model, by work."""
    backend = TorchBackend(model.folder, threads=1) if model.folder else None
    assert backend is not None
    windows = [torch.zeros(1, 2, model.spec.samples), torch.ones(1, 2, model.spec.samples, dtype=torch.bool)]
    windows.append(torch.ones(1, 2, dtype=torch.bool))
    found = {"encoder": cost(Embed(backend.model), *windows)}
    if backend.head is not None:
        found["measure"] = cost(Measure(backend.model, backend.head), *windows)
    return found


def rounds(every: dict[Key, Way], number: int) -> dict[Key, list[float]]:
    """Windows per second of processor time, of every way in every round."""
    return timed(every, number, clock=time.process_time)
