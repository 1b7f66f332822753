"""What a model folder is written for: ONNX graphs of everything, or what embeds alone for OpenVINO or ExecuTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cardiofm.signals import CheckpointError

TARGETS = ("onnx", "openvino", "executorch")


def write(
    folder: Path, to: str, int8: bool = False, real: Any = None, tell: Callable[[str], None] = print
) -> list[Path]:
    """Write a target of `TARGETS` into a model folder; returns the paths.

    `real`: windows whose ranges eight-bit activations are rounded to, see `quantize`. Nothing is written that differs
    from torch: a CheckpointError says what was found, or which package is missing. `tell` hears of each step.
    """
    if to == "executorch" and int8:
        raise CheckpointError("executorch is written in full precision; leave out --int8")
    try:
        if to != "onnx":
            tell(f"what embeds, for {to}{' in eight bits too' * int8}")
        if to == "openvino":
            from cardiofm.edge.openvino import export_openvino

            return export_openvino(folder, real if int8 else None)
        if to == "executorch":
            from cardiofm.edge.executorch import export_executorch

            return export_executorch(folder)
    except ModuleNotFoundError as error:
        raise CheckpointError(f"--to {to} needs {error.name}: pip install 'cardiofm[{to}]'") from error
    from cardiofm.edge.export import export

    paths = export(folder, tell)
    if int8:
        tell("what embeds, in eight bits")
        from cardiofm.edge.quantize import quantize

        paths += quantize(folder, real)
    return paths
