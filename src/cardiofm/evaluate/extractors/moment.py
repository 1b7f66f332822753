"""MOMENT (Goswami and others, ICML 2024; github.com/moment-timeseries-foundation-model/moment): a T5 encoder of series.

Contract: ECG and PPG one after the other, each 51.2 Hz (512 samples in 10 s), in standard deviations of the window;
patches of 8, its own mean over them. The package on PyPI asks for numpy 1.25 and cannot stand beside ours; its code
runs, so it is taken from a checkout. `repo`: a checkout (it imports transformers); `weights`: the folder of
AutonLab/MOMENT-1-small, -base or -large.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cardiofm.evaluate.extractors.checkout import imported, size_of, unfit
from cardiofm.evaluate.extractors.contract import Contract, both
from cardiofm.evaluate.extractors.extractor import Extractor, peer_key
from cardiofm.signals import CheckpointError, InputSpec

CONTRACTS = (Contract("ecg", 51.2, 10.0), Contract("ppg", 51.2, 10.0))
_SMALL = {
    "model_name": "MOMENT", "task_name": "reconstruction", "transformer_type": "encoder_only", "d_model": 512,
    "seq_len": 512, "patch_len": 8, "patch_stride_len": 8, "transformer_backbone": "google/flan-t5-small",
    "enable_gradient_checkpointing": False,
    "t5_config": {
        "d_model": 512, "d_ff": 1024, "d_kv": 64, "num_heads": 6, "num_layers": 8, "feed_forward_proj": "gated-gelu",
    },
}  # fmt: skip
_TASK = {"task_name": "embedding"}


def moment(weights: Path | None, repo: Path, spec: InputSpec) -> Extractor:
    """The network of a checkout; a "small" one with random weights where none are given."""
    with imported(repo, "momentfm/__init__.py") as module:
        if weights is None:
            network = module.MOMENTPipeline(_SMALL, model_kwargs=dict(_TASK))
        else:
            network = _loaded(module, weights)
    network.init()
    network.eval().requires_grad_(False)
    width = network.config.d_model
    return Extractor(
        "moment",
        "MOMENT, ECG and PPG at 51.2 Hz",
        2 * width,
        (0, 1),
        peer_key("moment", weights, __file__),
        lambda windows: both(lambda x: network.embed(x_enc=x[:, None]).embeddings, CONTRACTS, windows, spec, width),
        lambda: size_of(network),
    )


def _loaded(module: Any, weights: Path) -> Any:
    if not (weights / "config.json").is_file():
        raise CheckpointError(f"the weights of MOMENT must be a folder with config.json, found none at {weights}")
    try:
        return module.MOMENTPipeline.from_pretrained(str(weights), model_kwargs=dict(_TASK), local_files_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise unfit(weights, error) from error
