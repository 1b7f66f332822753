"""The released models, each a folder with config.json, model.safetensors and its ONNX graphs; and the shipped heads."""

from __future__ import annotations

from pathlib import Path

from cardiofm.signals import CheckpointError

HERE = Path(__file__).parent
HEADS = HERE / "heads"


def installed() -> tuple[str, ...]:
    """The names of the models in this package."""
    return tuple(sorted(p.parent.name for p in HERE.glob("*/config.json")))


def heads() -> tuple[str, ...]:
    """The names of the heads in this package."""
    return tuple(sorted(p.parent.name for p in HEADS.glob("*/head.json")))


def folder(name: str) -> Path:
    """The folder of a released model; an unknown name is a CheckpointError that lists the installed ones."""
    if name not in installed():
        known = ", ".join(installed()) or "none"
        raise CheckpointError(
            f"a model must be a folder or an installed name ({known}), found {name!r}; check the name"
        )
    return HERE / name
