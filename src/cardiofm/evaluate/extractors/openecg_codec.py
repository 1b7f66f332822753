"""openecg (PyPI): a delineator of 1.16 M parameters for one lead, the features that its heads read as numbers.

Contract: ECG, 500 Hz, 10 s, ranks of the samples (its own `rank_normalize`). The features of every sample before the
three heads are averaged over the window. Its weights (codec v6) are in the wheel; they were trained on records of LUDB,
QTDB and MIT-BIH among others.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from cardiofm.evaluate.extractors.checkout import size_of
from cardiofm.evaluate.extractors.contract import Contract, averaged
from cardiofm.evaluate.extractors.extractor import Extractor, peer_key
from cardiofm.signals import InputSpec

CONTRACT = Contract("ecg", 500.0, 10.0)


def openecg(spec: InputSpec) -> Extractor:
    """The network of the installed package with its weights."""
    import importlib.metadata

    import openecg as package

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about an option of its layers
        network: Any = package.load_codec()
    return Extractor(
        "openecg",
        "openecg's delineator, ECG at 500 Hz, mean of the features before its heads",
        network.rhythm_sample.in_features,
        (CONTRACT.channel,),
        f"{peer_key('openecg', None, __file__)} {importlib.metadata.version('openecg')}",
        lambda windows: averaged(lambda x: _before_heads(network, x), CONTRACT, windows, spec),
        lambda: size_of(network),
    )


def _before_heads(network: Any, x_BLN: Tensor) -> Tensor:
    """What the last of its heads is given, averaged over the samples, `(B, D)`."""
    from openecg.dsp import rank_normalize

    held: list[Tensor] = []
    hook = network.rhythm_sample.register_forward_pre_hook(lambda _, given: held.append(given[0].mean(1)))
    try:
        ranks = [torch.as_tensor(rank_normalize(x.numpy()), dtype=torch.float32) for x in x_BLN[:, 0]]
        network(torch.stack(ranks), torch.zeros(len(ranks), dtype=torch.long))
    finally:
        hook.remove()
    return held[0]
