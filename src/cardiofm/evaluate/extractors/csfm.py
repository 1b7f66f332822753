"""CSFM (Gu and others, Nat Mach Intell 2026; github.com/guxiao0822/Cardiac-Sensing-FM): ECG and PPG together.

Contract: lead II as channel 1 and PPG as channel 12, 250 Hz, 10 s, each in standard deviations of the window; ECG
high-passed at 0.5 Hz (Butterworth, order 5) and averaged over a mains period of 50 Hz, PPG 0.5-8 Hz (order 3). A
channel that is absent is left out. 768 numbers ("Tiny", "Base") or 1,024 ("Large"): the weights say which.
`repo`: a checkout (it imports einops); `weights`: by signed agreement with its authors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter
from torch import nn

from cardiofm.data.usable import kinds
from cardiofm.evaluate.extractors.checkout import imported, size_of, weighed
from cardiofm.evaluate.extractors.contract import Array, Contract, band, twice
from cardiofm.evaluate.extractors.extractor import Extractor, peer_key
from cardiofm.signals import InputSpec, Window

_PLACES = (1, 12)  # of our channels among its own
_VARIANTS = {(768, 6): "Tiny", (768, 12): "Base", (1024, 16): "Large"}  # width, layers
_BATCH = 16


def _clean_ecg(x: Array, fs_hz: float) -> Array:
    sos: Any = butter(5, 0.5, "highpass", fs=fs_hz, output="sos")
    x = twice(sos, x)
    return uniform_filter1d(x, max(1, round(fs_hz / 50)), mode="nearest")


CONTRACTS = (Contract("ecg", 250.0, 10.0, clean=_clean_ecg), Contract("ppg", 250.0, 10.0, clean=band(0.5, 8.0, 3)))


def csfm(weights: Path | None, repo: Path, spec: InputSpec) -> Extractor:
    """The network of a checkout before its last layer; a "Base" with random weights where none are given."""
    with imported(repo, "network/model.py") as module:
        network = module.CSFM_model(_variant(weights))
    size = network.mlp_head.in_features
    network.mlp_head = nn.Identity()
    network = weighed(network, weights, _named)
    return Extractor(
        "csfm",
        "CSFM, lead II and PPG at 250 Hz",
        size,
        (0, 1),
        peer_key("csfm", weights, __file__),
        lambda windows: _numbers(network, windows, spec, size),
        lambda: size_of(network),
    )


def _numbers(network: nn.Module, windows: list[Window], spec: InputSpec, size: int) -> NDArray[np.float32]:
    """Windows with the same channels go together."""
    out = np.zeros((len(windows), size), np.float32)
    for at, channels in kinds(windows):
        for k in range(0, len(at), _BATCH):
            some = at[k : k + _BATCH]
            x = [CONTRACTS[c].prepared([windows[i] for i in some], spec)[:, 0] for c in channels]
            with torch.inference_mode():
                out[some] = network(torch.from_numpy(np.concatenate(x, 1)), np.array([_PLACES[c] for c in channels]))
    return out


def _named(held: dict[str, Any]) -> dict[str, Any]:
    """The encoder's, without the last layer."""
    own = {k.removeprefix("encoder."): v for k, v in held.items() if k.startswith("encoder.")}
    return {k: v for k, v in own.items() if not k.startswith("mlp_head")}


def _variant(weights: Path | None) -> str:
    """By the width and number of layers in the file; what cannot be read is said when the weights are."""
    if weights is None or not weights.is_file():
        return "Base"
    own = _named(torch.load(weights, map_location="cpu", weights_only=True))
    layers = {name.split(".")[2] for name in own if name.startswith("transformer.layers.")}
    return _VARIANTS.get((own["cls_token"].shape[-1] if "cls_token" in own else 0, len(layers)), "Base")
