"""What embeds as an OpenVINO model, `embed.xml` and `embed.bin`; in eight bits `embed.int8.xml`. Needs openvino, nncf.

The model is made from `encode.onnx`, so the folder must have its ONNX graphs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.config import from_dict
from cardiofm.edge.export import example_windows
from cardiofm.edge.quantize import LEAST_COSINE, Windows, least_cosine
from cardiofm.edge.runtime import ENCODERS, OnnxBackend
from cardiofm.model.checkpoint import read_config
from cardiofm.signals import CheckpointError, InputSpec

FILE, INT8_FILE = "embed.xml", "embed.int8.xml"
LEAST_FULL = 0.99999  # cosine of embeddings to ONNX Runtime's, weights stored in sixteen bits


def export_openvino(folder: Path, real: Windows | None = None) -> list[Path]:
    """Write the model into `folder`, in eight bits (by nncf) too where `real` windows are given; returns the paths.

    Embeddings must keep their cosine to those of ONNX Runtime; otherwise nothing is written and a CheckpointError says
    what was found.
    """
    import openvino as ov  # pyright: ignore[reportMissingImports]

    onnx = OnnxBackend(folder, threads=1)
    windows = example_windows(from_dict(InputSpec, read_config(folder)["spec"]), 3)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".openvino-") as name:
        full, eight = Path(name) / FILE, Path(name) / INT8_FILE
        whole = ov.Core().read_model(folder / ENCODERS[0, 1])
        alone = ov.Model([whole.outputs[0]], whole.get_parameters(), "embed")  # the search for codes falls away
        ov.save_model(alone, full, compress_to_fp16=True)
        _agree(onnx, full, windows, LEAST_FULL)
        if real is not None:
            model = ov.Core().read_model(full)  # as saved: a part of `whole` would lead nncf into what fell away
            ov.save_model(_eight_bits(model, real), eight)
            _agree(onnx, eight, (real[0][1::2], real[1][1::2], real[2][1::2]), LEAST_COSINE)
        return [p.replace(folder / p.name) for p in sorted(Path(name).iterdir())]


def _agree(onnx: OnnxBackend, path: Path, windows: Windows, least: float) -> None:
    cosine = least_cosine(onnx.embed(*windows), Embedder(path)(*windows))
    if not cosine >= least:
        raise CheckpointError(
            f"embeddings of {path.name} must keep a cosine of {least:g} to ONNX Runtime's, found {cosine:.6g}; "
            "nothing written"
        )


def _eight_bits(model: Any, real: Windows) -> Any:
    import nncf  # pyright: ignore[reportMissingImports]

    def is_weight(source: Any) -> bool:  # stored in sixteen bits, so behind a conversion
        kind = source.get_type_name()
        return kind == "Constant" or (kind in ("Convert", "Transpose") and is_weight(source.input_value(0).get_node()))

    kept = [  # as in ONNX Runtime's: the matrices of the blocks alone
        op.get_friendly_name()
        for op in model.get_ops()
        if op.get_type_name() in ("Convolution", "GroupConvolution")
        or (op.get_type_name() == "MatMul" and not is_weight(op.input_value(1).get_node()))
    ]
    names = [parameter.friendly_name for parameter in model.get_parameters()]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(a[::2][:, None] for a in real), strict=True)]
    return nncf.quantize(
        model,
        nncf.Dataset(rows),
        subset_size=len(rows),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=nncf.IgnoredScope(names=kept),
    )


class Embedder:
    """An OpenVINO model file, compiled for this processor: windows as `encode` takes them to embeddings `(B, E)`."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        import openvino as ov  # pyright: ignore[reportMissingImports]

        how = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        self.compiled = ov.Core().compile_model(path, "CPU", how)

    def __call__(self, *arrays: NDArray) -> NDArray[np.float32]:
        return self.compiled(arrays)[0]
