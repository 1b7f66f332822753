"""CardioFM: the embedding, the same of one channel alone, and the same network before training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cardiofm.config import from_dict
from cardiofm.evaluate import cached, floors
from cardiofm.evaluate.extractors.extractor import Extractor, hashed
from cardiofm.pipeline import Model
from cardiofm.signals import MODALITIES, Window


def embedding(model: Model, sha256: str) -> Extractor:
    """The embedding of what the window has; `sha256` is that of the model's weights."""
    return Extractor(
        "model",
        "CardioFM embedding",
        _size(model),
        (0, 1),
        f"model {sha256} {type(model.backend).__name__}",
        lambda windows: cached.embeddings(model, windows),
        lambda: _parameters(model),
    )


def alone(model: Model, sha256: str, modality: str) -> Extractor:
    """The embedding of one channel, the other withheld."""
    c = MODALITIES.index(modality)
    return replace(
        embedding(model, sha256),
        name=f"{modality} alone",
        meaning=f"CardioFM embedding of the {modality.upper()} alone, the other channel withheld",
        channels=(c,),
        made_by=f"{modality}-alone {sha256} {type(model.backend).__name__}",
        make=lambda windows: cached.embeddings(model, [_only(w, c) for w in windows]),
    )


def untrained(model: Model, windows: list[Window]) -> Extractor:
    """The same network before training; its codebooks come from `windows`, its embedding does not depend on them."""
    network = floors.untrained(model, windows)
    return replace(
        embedding(model, ""),
        name="untrained",
        meaning="the same network before training (seed 0)",
        made_by=f"untrained {hashed(model.config)}",
        make=lambda some: cached.embeddings(network, some),
    )


def _only(window: Window, c: int) -> Window:
    keep_C = np.arange(len(MODALITIES)) == c
    valid = window.valid & keep_C[:, None]
    return replace(window, values=np.where(valid, window.values, np.float32(0)), valid=valid)


def _size(model: Model) -> int:
    return int(model.config["encoder"]["embedding"])


def _parameters(model: Model) -> int:
    """Of the encoder, which makes the embedding."""
    import torch

    from cardiofm.model.encoder import Encoder, EncoderConfig

    with torch.device("meta"):
        encoder = Encoder(from_dict(EncoderConfig, model.config["encoder"]), model.spec)
    return sum(p.numel() for p in encoder.parameters())
