"""What embeds as an OpenVINO model, `embed.xml` and `embed.bin`; in eight bits `embed.int8.xml`. Needs openvino, nncf.

The model is made from `encode.onnx`, so the folder must have its ONNX graphs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov  # pyright: ignore[reportMissingImports]
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
    onnx = OnnxBackend(folder, threads=1)
    whole = ov.Core().read_model(folder / ENCODERS[0, 1])
    model = ov.Model([whole.outputs[0]], whole.get_parameters(), "embed")  # the search for codes falls away
    windows = example_windows(from_dict(InputSpec, read_config(folder)["spec"]), 3)
    jobs = [(FILE, model, windows, LEAST_FULL)]
    if real is not None:
        held_out = (real[0][1::2], real[1][1::2], real[2][1::2])
        jobs.append((INT8_FILE, _eight_bits(model, real), held_out, LEAST_COSINE))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".openvino-") as name:
        for file, one, checked, least in jobs:
            ov.save_model(one, Path(name) / file, compress_to_fp16=True)
            cosine = least_cosine(onnx.embed(*checked), Embedder(Path(name) / file)(*checked))
            if not cosine >= least:
                raise CheckpointError(
                    f"embeddings of {file} must keep a cosine of {least:g} to ONNX Runtime's, found {cosine:.6g}; "
                    "nothing written"
                )
        return [p.replace(folder / p.name) for p in sorted(Path(name).iterdir())]


def _eight_bits(model: Any, real: Windows) -> Any:
    import nncf  # pyright: ignore[reportMissingImports]

    names = [parameter.friendly_name for parameter in model.get_parameters()]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(a[::2][:, None] for a in real), strict=True)]
    return nncf.quantize(
        model,
        nncf.Dataset(rows),
        subset_size=len(rows),
        preset=nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER,
    )


class Embedder:
    """An OpenVINO model file, compiled for this processor: windows as `encode` takes them to embeddings `(B, E)`."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        how = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        self.compiled = ov.Core().compile_model(path, "CPU", how)

    def __call__(self, *arrays: NDArray) -> NDArray[np.float32]:
        return self.compiled(arrays)[0]
