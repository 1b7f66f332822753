"""AnyPPG (Nie and others, 2025; github.com/PKUDigitalHealth/AnyPPG): 4 M parameters, 512 numbers of a PPG.

Contract: PPG, 125 Hz, 10 s, Butterworth 0.5-8 Hz of order 3, standard deviations of the window.
`repo`: a checkout; `weights`: its `load_anyppg/anyppg_ckpt.pth`.
"""

from __future__ import annotations

from pathlib import Path

from cardiofm.evaluate.extractors.checkout import imported, size_of, weighed
from cardiofm.evaluate.extractors.contract import Contract, averaged, band
from cardiofm.evaluate.extractors.extractor import Extractor, peer_key
from cardiofm.signals import InputSpec

CONTRACT = Contract("ppg", 125.0, 10.0, clean=band(0.5, 8.0, 3))
_SHAPE = {
    "in_channels": 1, "base_filters": 64, "ratio": 1.0, "filter_list": [64, 160, 160, 400, 400, 512],
    "m_blocks_list": [2, 2, 2, 3, 3, 1], "kernel_size": 3, "stride": 2, "groups_width": 16,
}  # fmt: skip


def anyppg(weights: Path | None, repo: Path, spec: InputSpec) -> Extractor:
    """The network of a checkout; with random weights where none are given."""
    with imported(repo, "load_anyppg/resnet1d.py") as module:
        network = weighed(module.Net1D(**_SHAPE), weights)
    return Extractor(
        "anyppg",
        "AnyPPG, PPG at 125 Hz",
        512,
        (CONTRACT.channel,),
        peer_key("anyppg", weights, __file__),
        lambda windows: averaged(network, CONTRACT, windows, spec),
        lambda: size_of(network),
    )
