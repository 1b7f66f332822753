"""Chronos-Bolt (Ansari and others, Amazon; PyPI `chronos-forecasting`): a T5 forecaster, its encoder as numbers.

Contract: ECG and PPG one after the other, each 125 Hz, 10 s, in standard deviations of the window; patches of 16. The
outputs of the encoder are averaged over the patches: 768 numbers a channel for "base" (205 M parameters).
`weights`: the folder of amazon/chronos-bolt-base (or -tiny, -mini, -small).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cardiofm.evaluate.extractors.checkout import size_of, unfit
from cardiofm.evaluate.extractors.contract import Contract, both
from cardiofm.evaluate.extractors.extractor import Extractor, peer_key
from cardiofm.signals import CheckpointError, InputSpec

CONTRACTS = (Contract("ecg", 125.0, 10.0), Contract("ppg", 125.0, 10.0))
_BASE = {"d_model": 768, "d_ff": 3072, "d_kv": 64, "num_layers": 12, "num_decoder_layers": 12, "num_heads": 12}
_BOLT = {
    "context_length": 2048, "input_patch_size": 16, "input_patch_stride": 16, "prediction_length": 64,
    "quantiles": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], "use_reg_token": True,
}  # fmt: skip


def chronos(weights: Path | None, spec: InputSpec) -> Extractor:
    """The network of the installed package; a "base" with random weights where none are given."""
    if weights is None:
        return extractor(untrained(_BASE), None, spec)
    from chronos import ChronosBoltPipeline  # pyright: ignore[reportMissingImports]

    if not (weights / "config.json").is_file():
        raise CheckpointError(f"the weights of Chronos-Bolt must be a folder with config.json, found none at {weights}")
    try:
        network = ChronosBoltPipeline.from_pretrained(str(weights), local_files_only=True).model
    except (OSError, AssertionError, KeyError, TypeError, ValueError) as error:
        raise unfit(weights, error) from error
    return extractor(network, weights, spec)


def untrained(size: dict[str, int]) -> Any:
    """The package's network of that size, random weights."""
    from chronos.chronos_bolt import ChronosBoltModelForForecasting  # pyright: ignore[reportMissingImports]
    from transformers import T5Config  # pyright: ignore[reportMissingImports]

    more: dict[str, Any] = {"chronos_config": _BOLT, "decoder_start_token_id": 0, "pad_token_id": 0}
    config = T5Config(**size, feed_forward_proj="relu", **more)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ChronosBoltModelForForecasting(config)


def extractor(network: Any, weights: Path | None, spec: InputSpec) -> Extractor:
    """Of the package's network, of any size."""
    from chronos import ChronosBoltPipeline  # pyright: ignore[reportMissingImports]

    asked, width = ChronosBoltPipeline(network.eval()), network.config.d_model
    return Extractor(
        "chronos-bolt",
        "Chronos-Bolt, ECG and PPG at 125 Hz, mean of the encoder",
        2 * width,
        (0, 1),
        peer_key("chronos-bolt", weights, __file__),
        lambda windows: both(lambda x: asked.embed(x)[0][:, :-1].mean(1), CONTRACTS, windows, spec, width),
        lambda: size_of(network),
    )
