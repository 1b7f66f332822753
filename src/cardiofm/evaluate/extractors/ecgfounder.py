"""ECGFounder (Li and others, NEJM AI 2025; github.com/PKUDigitalHealth/ECGFounder): 1,024 numbers of one lead.

Contract: ECG, 500 Hz, 10 s, a notch at 50 Hz, Butterworth 0.67-40 Hz of order 4, less a running median over 0.4 s,
standard deviations of the window. Its weights for one lead were trained on lead I; here they are given lead II.
`repo`: a checkout (it imports matplotlib); `weights`: `1_lead_ECGFounder.pth`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scipy.signal import iirnotch, medfilt, tf2sos
from torch import nn

from cardiofm.evaluate.extractors.checkout import imported, size_of, weighed
from cardiofm.evaluate.extractors.contract import Array, Contract, averaged, band, twice
from cardiofm.evaluate.extractors.extractor import Extractor, peer_key
from cardiofm.signals import InputSpec

_SHAPE = {
    "in_channels": 1, "base_filters": 64, "ratio": 1, "filter_list": [64, 160, 160, 400, 400, 1024, 1024],
    "m_blocks_list": [2, 2, 2, 3, 3, 4, 4], "kernel_size": 16, "stride": 2, "groups_width": 16, "n_classes": 1,
    "use_bn": False, "use_do": False,
}  # fmt: skip


def _clean(x: Array, fs_hz: float) -> Array:
    x = band(0.67, 40.0, 4)(twice(tf2sos(*iirnotch(50, 30, fs_hz)), x), fs_hz)
    return x - medfilt(x, 2 * round(0.2 * fs_hz) + 1)


CONTRACT = Contract("ecg", 500.0, 10.0, clean=_clean)


def ecgfounder(weights: Path | None, repo: Path, spec: InputSpec) -> Extractor:
    """The network of a checkout, what it gives to its last layer; with random weights where none are given."""
    with imported(repo, "net1d.py") as module:
        network = module.Net1D(**_SHAPE)
    network.dense = nn.Identity()
    network = weighed(network, weights, _named)
    return Extractor(
        "ecgfounder",
        "ECGFounder for one lead, ECG at 500 Hz",
        1024,
        (CONTRACT.channel,),
        peer_key("ecgfounder", weights, __file__),
        lambda windows: averaged(network, CONTRACT, windows, spec),
        lambda: size_of(network),
    )


def _named(held: dict[str, Any]) -> dict[str, Any]:
    """Without the last layer, which names diagnoses."""
    return {name: value for name, value in held["state_dict"].items() if not name.startswith("dense.")}
