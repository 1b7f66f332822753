"""ECG-FM (McKeen and others, 2024; github.com/bowang-lab/ECG-FM): wav2vec 2.0 of 12 leads, 768 numbers.

Contract: ECG as lead II of twelve, the others 0 (it was trained with leads masked at random), 500 Hz, pieces of 5 s
in standard deviations of the window, averaged over time and pieces. `repo`: a checkout of
github.com/Jwoo5/fairseq-signals, in which its classes are (it imports hydra-core, omegaconf, pandas, scikit-learn,
transformers below 5); `weights`: `mimic_iv_ecg_physionet_pretrained.pt`. Where that file holds more than tensors and
plain values it is refused: save its "model" alone, `torch.save({"model": state["model"]}, …)`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from cardiofm.evaluate.extractors.checkout import imported, size_of, weighed
from cardiofm.evaluate.extractors.contract import Contract, averaged
from cardiofm.evaluate.extractors.extractor import Extractor, peer_key
from cardiofm.signals import InputSpec

CONTRACT = Contract("ecg", 500.0, 5.0, leads=12, lead=1)
_SHAPE = {"quantize_targets": True, "final_dim": 256, "encoder_embed_dim": 768, "in_d": 12}


def ecg_fm(weights: Path | None, repo: Path, spec: InputSpec) -> Extractor:
    """The network of a checkout, its encoder's outputs; with random weights where none are given."""
    with _hashable(), imported(repo, "fairseq_signals/models/wav2vec2/wav2vec2_cmsc.py") as module:
        network: Any = weighed(
            module.Wav2Vec2CMSCModel(module.Wav2Vec2CMSCConfig(**_SHAPE)), weights, lambda s: s["model"]
        )
    return Extractor(
        "ecg-fm",
        "ECG-FM, lead II of twelve at 500 Hz",
        768,
        (CONTRACT.channel,),
        peer_key("ecg-fm", weights, __file__),
        lambda windows: averaged(lambda x: network.extract_features(x, None)["x"].mean(1), CONTRACT, windows, spec),
        lambda: size_of(network),
    )


@contextmanager
def _hashable() -> Iterator[None]:
    """Lets its code, written for Python 3.10, give a dataclass as a default: from 3.11 on that must be hashable."""
    real = dataclasses.dataclass

    def hashable(cls: Any = None, **how: Any) -> Any:
        if cls is None:
            return partial(hashable, **how)
        own = how.get("frozen") or cls.__dict__.get("__hash__")
        return real(cls, **(how if own else how | {"unsafe_hash": True}))

    dataclasses.dataclass = hashable
    try:
        yield
    finally:
        dataclasses.dataclass = real
