"""PaPaGei-S (Pillai and others, ICLR 2025; github.com/Nokia-Bell-Labs/papagei-foundation-model): 512 numbers of a PPG.

Contract: PPG, 125 Hz, 10 s, Chebyshev (type II, order 4, 20 dB) 0.5-12 Hz and a moving average over 50 ms, standard
deviations of the window. `repo`: a checkout (it imports scikit-learn, matplotlib and tqdm); `weights`: `papagei_s.pt`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scipy.ndimage import uniform_filter1d
from scipy.signal import cheby2

from cardiofm.evaluate.extractors.checkout import imported, size_of, weighed
from cardiofm.evaluate.extractors.contract import Array, Contract, averaged, twice
from cardiofm.evaluate.extractors.extractor import Extractor, peer_key
from cardiofm.signals import InputSpec

_SHAPE = {
    "in_channels": 1, "base_filters": 32, "kernel_size": 3, "stride": 2, "groups": 1, "n_block": 18,
    "n_classes": 512, "n_experts": 3,
}  # fmt: skip


def _clean(x: Array, fs_hz: float) -> Array:
    sos: Any = cheby2(4, 20, (0.5, 12.0), "bandpass", fs=fs_hz, output="sos")
    return uniform_filter1d(twice(sos, x), max(1, round(0.05 * fs_hz)), mode="nearest")


CONTRACT = Contract("ppg", 125.0, 10.0, clean=_clean)


def papagei(weights: Path | None, repo: Path, spec: InputSpec) -> Extractor:
    """The network of a checkout, its first output; with random weights where none are given."""
    with imported(repo, "models/resnet.py") as module:
        network = weighed(module.ResNet1DMoE(**_SHAPE), weights, _named)
    return Extractor(
        "papagei-s",
        "PaPaGei-S, PPG at 125 Hz",
        512,
        (CONTRACT.channel,),
        peer_key("papagei-s", weights, __file__),
        lambda windows: averaged(lambda x: network(x)[0], CONTRACT, windows, spec),
        lambda: size_of(network),
    )


def _named(held: dict[str, Any]) -> dict[str, Any]:
    """Without the prefix that training on several devices left."""
    return {name.removeprefix("module."): value for name, value in held.items()}
