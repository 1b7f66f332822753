"""The checkpoint folder that explains itself: config.json, model.safetensors, provenance.json. Needs no torch.

Never pickle. `format` in config.json counts layouts of this folder. Formats 1 and 2 (version 0.1) coded single tokens,
not blocks of them: no change of settings turns their weights into these.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cardiofm.signals import CheckpointError

FORMAT = 5
OLDEST = 3
CONFIG, WEIGHTS, PROVENANCE = "config.json", "model.safetensors", "provenance.json"
ACROSS, ACROSS_WEIGHTS = "across.json", "across.safetensors"  # of the head that draws one channel from the other
HEAD, HEAD_WEIGHTS = "fiducials.json", "fiducials.safetensors"  # of the fiducial head, in the same folder or another


def read_config(folder: Path) -> dict[str, Any]:
    """The model settings in a checkpoint folder as a nested dict.

    Raises CheckpointError when the folder is no checkpoint, is damaged, or comes from an older or newer version.
    """
    if not folder.is_dir():
        raise CheckpointError(f"a model must be a folder with {CONFIG} and {WEIGHTS}, found no folder at {folder}")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f"a model folder must hold {CONFIG} and {WEIGHTS}, {folder} lacks {name}")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        version = config.pop("format")
    except (ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{folder / CONFIG} must be JSON with a format number: {error}; fetch it again"
        ) from error
    if not isinstance(version, int) or version > FORMAT:
        raise CheckpointError(f"{folder} has format {version}, this version reads up to {FORMAT}; update cardiofm")
    if version < OLDEST:
        raise CheckpointError(
            f"{folder} has format {version}, whose codes this version cannot read; it reads {OLDEST} to {FORMAT}: "
            "use cardiofm 0.1 for it, or train it again"
        )
    return config


def upgraded(tensors: dict[str, Any]) -> dict[str, Any]:
    """The tensors of a model folder of any format that is read, as the present format names them."""
    return _without_added(_two_decoders(tensors))


def _two_decoders(tensors: dict[str, Any]) -> dict[str, Any]:
    """Format 3 to 4: one decoder for tokens and codes becomes two, each of which begins as it."""
    if any(name.startswith("codes.") for name in tensors):
        return tensors
    out = {}
    for name, tensor in tensors.items():
        if not name.startswith("decoder."):
            out[name] = tensor
            continue
        part = name.removeprefix("decoder.").replace("blocks.", "think.blocks.", 1)
        if not part.startswith(("from_codes.", "trust")):
            out[f"decoder.{part}"] = tensor
        if part.startswith(("from_codes.", "trust", "think.", "read.")):
            out[f"codes.{part}"] = tensor
    return out


def _without_added(tensors: dict[str, Any]) -> dict[str, Any]:
    """Format 4 to 5: what the encoder added to latents and worth is no more; 0 in every settled folder.

    A folder with other numbers there has to be settled again before its codes are worth keeping.
    """
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(("to_code.", "worth."))}


def read_provenance(folder: Path) -> dict[str, Any]:
    """Where the weights come from: commit, versions, seed, data manifest, hardware, hours seen ({} when not saved)."""
    path = folder / PROVENANCE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_config(folder: Path, config: dict[str, Any], provenance: dict[str, Any] | None) -> None:
    """Write config.json and, when given, provenance.json into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, **config}, indent=1)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    if provenance is not None:
        (folder / PROVENANCE).write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")
