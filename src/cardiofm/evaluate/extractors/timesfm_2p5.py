"""TimesFM 2.5 (Das and others, Google; PyPI `timesfm`): a forecaster of 200 M parameters, its last layer as numbers.

Contract: ECG and PPG one after the other, each 125 Hz, 10 s, in standard deviations of the window; patches of 32, the
first one padded. There is no official embedding: the outputs of the last layer are averaged over the patches, 1,280
numbers a channel. `weights`: `model.safetensors` of google/timesfm-2.5-200m-pytorch, or its folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cardiofm.evaluate.extractors.checkout import size_of, unfit
from cardiofm.evaluate.extractors.contract import Contract, both
from cardiofm.evaluate.extractors.extractor import Extractor, peer_key
from cardiofm.signals import CheckpointError, InputSpec

CONTRACTS = (Contract("ecg", 125.0, 10.0), Contract("ppg", 125.0, 10.0))


def timesfm(weights: Path | None, spec: InputSpec) -> Extractor:
    """The network of the installed package; with random weights where none are given."""
    if weights is not None and not weights.exists():
        raise CheckpointError(f"the weights must be a file or its folder, found none at {weights}")
    import timesfm as package  # pyright: ignore[reportMissingImports]

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = package.TimesFM_2p5_200M_torch(torch_compile=False)
    if weights is not None:
        try:
            network.load_checkpoint(str(weights), torch_compile=False)
        except (OSError, RuntimeError) as error:
            raise unfit(weights, error) from error
    return extractor(network.model.eval(), weights, spec)


def extractor(network: Any, weights: Path | None, spec: InputSpec) -> Extractor:
    """Of the package's network, of any size."""
    return Extractor(
        "timesfm",
        "TimesFM 2.5, ECG and PPG at 125 Hz, mean of the last layer",
        2 * network.md,
        (0, 1),
        peer_key("timesfm", weights, __file__),
        lambda windows: both(lambda x: _last_layer(network, x), CONTRACTS, windows, spec, network.md),
        lambda: size_of(network),
    )


def _last_layer(network: Any, x_BN: Tensor) -> Tensor:
    """Patches normalised by what came before them, as the package does before it forecasts, `(B, D)`."""
    from timesfm.torch import util  # pyright: ignore[reportMissingImports]

    padding = -x_BN.shape[-1] % network.p
    x_BSP = torch.nn.functional.pad(x_BN, (padding, 0)).unflatten(-1, (-1, network.p))
    absent_BSP = torch.zeros_like(x_BSP, dtype=torch.bool)
    absent_BSP[:, 0, :padding] = True
    count_B, mean_B, spread_B = (torch.zeros(len(x_BN)) for _ in range(3))
    seen = []
    for s in range(x_BSP.shape[1]):
        now, _ = util.update_running_stats(count_B, mean_B, spread_B, x_BSP[:, s], absent_BSP[:, s])
        count_B, mean_B, spread_B = now
        seen.append((mean_B, spread_B))
    mean_BS, spread_BS = (torch.stack(one, 1) for one in zip(*seen, strict=True))
    z_BSP = util.revin(x_BSP, mean_BS, spread_BS, reverse=False)
    (_, out_BSD, _, _), _ = network(torch.where(absent_BSP, 0.0, z_BSP), absent_BSP)
    return out_BSD.mean(1)
