"""A head: a folder that explains itself (head.json, head.safetensors), and its answer for a recording.

It belongs to one set of weights: with others its numbers would mean nothing. Needs numpy alone, and torch where the
head was made by tuning the encoder (tuned.safetensors).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cardiofm import weights
from cardiofm.config import ConfigError, from_dict, to_dict
from cardiofm.heads.calibration import Calibration
from cardiofm.heads.look import Seen, View, encoder_hash, look
from cardiofm.heads.parts import NUMBERS, Floats, Parts
from cardiofm.pipeline import Model
from cardiofm.signals import MODALITIES, CheckpointError, Record

FORMAT = 1
ABOUT, WEIGHTS, TUNED = "head.json", "head.safetensors", "tuned.safetensors"
FORMS = ("linear", "boosted", "fused", "attention", "fused-attention")
Tune = Literal["none", "lora", "full"]


@dataclass(frozen=True)
class About:
    """What head.json says of a head."""

    name: str
    task: str  # what it tells, in words
    kind: str  # "classification", "multilabel" or "regression"
    form: str  # one of FORMS
    classes: tuple[str, ...]  # () for a regression
    model: str  # name of the model that it belongs to
    encoder_sha256: str  # of that model's encoder
    calibration: Calibration
    view: View = field(default_factory=View)
    unit: str = ""  # of a regression's value
    linear_of: str = "embedding"  # "embedding", "hand-crafted" or "both"
    trees_of: str = "both"
    trees_share: float = 0.0
    thresholds: tuple[float, ...] = ()  # a label is given from this probability on; () for the likeliest
    crafted: tuple[str, ...] = ()  # the hand-crafted numbers that it knows, in order
    tune: str = "none"
    report: dict[str, Any] = field(default_factory=dict)  # scores of people it did not learn from, floors beside
    provenance: dict[str, Any] = field(default_factory=dict)

    def positive(self, chance_RL: Floats) -> NDArray[np.bool_]:
        """Which classes are given `(R, L)`: of exclusive ones one, the last of two from its threshold on."""
        thresholds = np.array(self.thresholds)
        if self.kind == "multilabel":
            return chance_RL >= thresholds
        best = chance_RL.argmax(1)
        if len(thresholds) == 2:
            best = (chance_RL[:, 1] >= thresholds[1]).astype(np.int64)
        return np.arange(chance_RL.shape[1]) == best[:, None]


@dataclass(frozen=True)
class Prediction:
    """What a head says of one recording."""

    record: str
    head: str
    label: str | None  # several are joined by ";", "" for none of them; None for a regression
    probability: dict[str, float]  # of every class; {} for a regression
    value: float | None  # of a regression, in its unit
    low: float | None  # nine in ten people lie between low and high
    high: float | None
    windows: int
    quality: dict[str, float | None]  # by modality, 0 bad to 1 good; None where absent

    def row(self) -> dict[str, Any]:
        """The same as one flat row: record, windows, quality_…, then label and probability_…, or value, low, high."""
        out: dict[str, Any] = {"record": self.record, "windows": self.windows}
        out |= {f"quality_{m}": q for m, q in self.quality.items()}
        if self.value is not None:
            return out | {"value": self.value, "low": self.low, "high": self.high}
        return out | {"label": self.label} | {f"probability_{c}": p for c, p in self.probability.items()}


@dataclass(frozen=True)
class Head:
    """A head in memory; `folder` holds the encoder's tuned weights where there are any."""

    about: About
    parts: Parts
    folder: Path | None = None
    _tuned: dict[str, Model] = field(default_factory=dict, repr=False, compare=False)

    def predict(self, record: Record, model: Model, told: str | None = None) -> Prediction:
        """What the head says of a record, of the type that is `told` (one of `about.view.types`; None: not known).

        Raises CheckpointError where the head belongs to other weights than the model's, SignalError where the record
        lacks a channel that it needs, or has no usable window, or the head does not know the type.
        """
        return self.told(look(record, self.fitting(model), self.about.view, told))

    def fitting(self, model: Model) -> Model:
        """The model if the head belongs to its weights, with the tuned encoder where the head has one."""
        about, own = self.about, encoder_hash(model)
        if own != about.encoder_sha256:
            raise CheckpointError(
                f"head {about.name!r} must be used with the weights that it was made for ({about.model} "
                f"{about.encoder_sha256[:12]}), found {model.name} {own[:12]}; make it again with `cardiofm finetune`"
            )
        if about.tune == "none":
            return model
        if own not in self._tuned:
            from cardiofm.heads.learn.tune import tuned

            assert self.folder is not None
            self._tuned[own] = tuned(model, load_file(self.folder / TUNED))
        return self._tuned[own]

    def told(self, seen: Seen) -> Prediction:
        """The answer from what is seen of a record."""
        found = self.outputs([seen])[0]
        about, label, value, low, high = self.about, None, None, None, None
        chances: dict[str, float] = {}
        if about.kind == "regression":
            value, half = float(found[0]), about.calibration.half_range or 0.0
            low, high = value - half, value + half
        else:
            chances = dict(zip(about.classes, found.tolist(), strict=True))
            label = ";".join(np.array(about.classes)[about.positive(found[None])[0]].tolist())
        quality = {m: seen.quality_of(c) for c, m in enumerate(MODALITIES)}
        return Prediction(seen.record, about.name, label, chances, value, low, high, len(seen.known), quality)

    def outputs(self, seen: list[Seen]) -> Floats:
        """Calibrated probabilities of all classes `(R, L)`, or values `(R, 1)`."""
        found = self.about.calibration(self.parts.raw(seen))
        two = self.about.kind == "classification" and len(self.about.classes) == 2
        return np.concatenate([1 - found, found], axis=1) if two else found

    def save(self, folder: Path, tuned: dict[str, NDArray[Any]] | None = None) -> None:
        """Write the folder, which is made; `tuned` are the encoder's changed weights."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TUNED).unlink(missing_ok=True)
        for name, arrays in ((WEIGHTS, self.parts.arrays()), (TUNED, tuned)):
            if arrays:
                save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / name)
                os.chmod(folder / name, 0o644)  # safetensors makes it private
        text = json.dumps({"format": FORMAT, **to_dict(self.about)}, indent=1, allow_nan=False, ensure_ascii=False)
        (folder / ABOUT).write_text(text + "\n", encoding="utf-8")


def load(name_or_folder: str | Path) -> Head:
    """A shipped head by its name, or a head's folder; CheckpointError for what is none."""
    folder = Path(name_or_folder)
    if not folder.is_dir():
        if str(name_or_folder) not in weights.heads():
            known = ", ".join(weights.heads()) or "none"
            raise CheckpointError(f"a head must be a folder or a shipped one ({known}), found {str(name_or_folder)!r}")
        folder = weights.HEADS / str(name_or_folder)
    lacks = [name for name in (ABOUT, WEIGHTS) if not (folder / name).is_file()]
    if lacks:
        raise CheckpointError(
            f"{folder} must hold {ABOUT} and {WEIGHTS} of a head, lacks {' and '.join(lacks)}; name a head's folder"
        )
    try:
        text = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        version = text.pop("format")
        about = from_dict(About, text)
        arrays = load_file(folder / WEIGHTS)
    except (OSError, KeyError, ValueError, ConfigError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{folder} must hold {ABOUT} and {WEIGHTS} of a head: {reason}; make it again") from error
    if version != FORMAT:
        raise CheckpointError(f"{folder} has format {version}, this version reads {FORMAT}; update cardiofm")
    if about.crafted and about.crafted != about.view.names:
        raise CheckpointError(f"{folder} must know the numbers that this version measures, found others; make it again")
    if about.linear_of not in NUMBERS or about.trees_of not in NUMBERS:
        raise CheckpointError(
            f"{folder} must say one of {', '.join(NUMBERS)} of its numbers, found {about.linear_of!r} and "
            f"{about.trees_of!r}; make it again"
        )
    parts = Parts.of(arrays, about.linear_of, about.trees_of, about.trees_share)
    return Head(about, parts, folder)
