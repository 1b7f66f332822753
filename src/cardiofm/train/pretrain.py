"""Pretraining from a config: store → batches → objective → loop → checkpoint folder with its provenance."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cardiofm.config import ConfigError, to_dict
from cardiofm.data.store import Store
from cardiofm.model.cardiofm import CardioFM, ModelConfig, parameters_m
from cardiofm.model.checkpoint import read_provenance
from cardiofm.train.batches import BatchConfig, Batches
from cardiofm.train.codec import Codec
from cardiofm.train.gaps import Gaps
from cardiofm.train.loop import LoopConfig, fit
from cardiofm.train.objectives import ObjectiveConfig, Pretraining

STAGES = ("all", "gaps", "codec")


@dataclass(frozen=True)
class PretrainConfig:
    """One pretraining run; a file in configs/ states only its differences from these defaults."""

    model: ModelConfig = field(default_factory=ModelConfig)
    batches: BatchConfig = field(default_factory=BatchConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    start_from: str = ""  # a checkpoint folder whose weights are the start, "" for random weights
    stage: str = "all"  # or, from a settled model, "gaps", "codec": only the decoder of tokens, or of codes, learns

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise ConfigError(f"stage must be one of {', '.join(STAGES)}, found {self.stage!r}")
        if self.stage != "all" and not self.start_from:
            raise ConfigError(f"stage {self.stage!r} must have a settled model to begin with; set start_from")


def pretrain(config: PretrainConfig, store_dir: Path, out: Path) -> Path:
    """Run or resume pretraining in `out`; returns the checkpoint folder `out/last/model`."""
    store = Store(store_dir)
    torch.manual_seed(config.loop.seed)
    model = CardioFM.load(Path(config.start_from)) if config.start_from else CardioFM(config.model)
    seed = config.loop.seed
    one_part = {"gaps": Gaps, "codec": Codec}.get(config.stage)
    objective = one_part(model, seed) if one_part else Pretraining(model.train(), config.objective, seed)
    batches = Batches(store, config.model.spec, config.batches, config.loop.seed)

    def save_model(folder: Path, progress: dict[str, Any]) -> None:
        model.save(folder, provenance(config, store_dir, model) | progress)

    fit(objective, batches, config.loop, out, save_model=save_model)
    return out / "last" / "model"


def provenance(config: PretrainConfig, store_dir: Path, model: CardioFM) -> dict[str, Any]:
    """What produced these weights: settings, commit, versions, data manifest, hardware."""
    manifest = store_dir / "manifest.json"
    return {
        "config": to_dict(config) | {"start_from": here(config.start_from)},
        "parameters_m": {"encoder": round(parameters_m(model.encoder), 3), "all": round(parameters_m(model), 3)},
        "commit": commit(),
        "versions": {name: version(name) for name in ("torch", "numpy", "lightning", "cardiofm")},
        "hardware": f"{platform.machine()}, {torch.get_num_threads()} threads"
        + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""),
        "manifest_sha256": hashlib.sha256(manifest.read_bytes()).hexdigest(),
        "hours": json.loads(manifest.read_text(encoding="utf-8")).get("hours"),
        "before": read_provenance(Path(config.start_from)) if config.start_from else None,
    }


def here(folder: str) -> str:
    """A folder as seen from where the command runs; of one that lies elsewhere, its name: no path of a machine."""
    path = Path(folder)
    if not path.is_absolute():
        return folder
    inside = path.is_relative_to(Path.cwd())
    return str(path.relative_to(Path.cwd())) if inside else path.name


def commit() -> str:
    """The commit of the source tree that runs, "" outside a git checkout."""
    where = Path(__file__).parent
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=where, capture_output=True, text=True, check=False)
    return done.stdout.strip()
