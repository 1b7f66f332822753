"""The training checkpoint: a folder that is replaced in one move and never half there. Never pickle."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cardiofm.signals import CheckpointError, TrainingError

SaveModel = Callable[[Path, dict[str, Any]], None]  # (folder, progress): write the released form of the model there


@dataclass
class State:
    """Where a run stands; `training.json` of the checkpoint."""

    seed: int
    step: int = 0  # steps done, so the 0-based number of the next one
    hours: float = 0.0  # of windows seen, all processes together
    wall_s: float = 0.0  # in the loop, over all runs
    loss: float = math.nan  # of the last step
    lr: float = 0.0  # of the last step
    precision: str = ""
    devices: int = 1
    sums: dict[str, list[float]] = field(default_factory=dict)  # name → [sum, count] since the last line of the log

    def progress(self) -> dict[str, Any]:
        """What the provenance of the model should tell about its training."""
        return {
            "step": self.step,
            "hours_seen": self.hours,
            "wall_s": self.wall_s,
            "loss": self.loss,
            "precision": self.precision,
            "devices": self.devices,
            "seed": self.seed,
        }

    def add(self, values: dict[str, float]) -> None:
        """Take one step's values into the means of the next line of the log."""
        for name, value in values.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = [total + value, count + 1]

    def means(self) -> dict[str, float]:
        """The mean of each value over the steps that had it since the last line of the log; starts anew."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means


def save_training(
    out: Path,
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: State,
    save_model: SaveModel,
) -> None:
    """Replace `out/last` in one move; until the new folder is complete and on disk, the old one stays."""
    new, last, old = (out / name for name in ("last.new", "last", "last.old"))
    tensors = {f"objective/{n}": t for n, t in _tensors(objective).items()}
    for name, parameter in objective.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = value
    wrong = next((name for name, t in tensors.items() if not bool(torch.isfinite(t).all())), None)
    if wrong:
        raise TrainingError(
            f"the checkpoint of step {state.step} must be finite, found a number in {wrong} that is not; {kept(out)}: "
            "lower loop.lr, run again"
        )
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        copies = {n: t.detach().to("cpu", copy=True).contiguous() for n, t in tensors.items()}
        save_file(copies, new / "training.safetensors")
        (new / "training.json").write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
        (new / "model").mkdir()
        save_model(new / "model", state.progress())
        for path in (*new.rglob("*"), new):
            _sync(path)
        shutil.rmtree(old, ignore_errors=True)
        if last.exists():
            last.rename(old)
        new.rename(last)
        _sync(out)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(new, ignore_errors=True)
        recover(out)
        raise TrainingError(
            f"the checkpoint of step {state.step} must fit on the disk, found: {error}; {kept(out)}: free space, run "
            "again"
        ) from error
    shutil.rmtree(old, ignore_errors=True)


def kept(out: Path) -> str:
    """Which checkpoint a run that stops here leaves, as part of a sentence."""
    last = out / "last"
    return f"the last checkpoint is kept in {last}" if last.exists() else "there is no checkpoint yet"


def recover(out: Path) -> None:
    """Leave `out` with its newest complete checkpoint as `last`, wherever a save was interrupted."""
    out.mkdir(parents=True, exist_ok=True)
    if (out / "last.old").exists() and not (out / "last").exists():
        (out / "last.old").rename(out / "last")
    shutil.rmtree(out / "last.old", ignore_errors=True)
    shutil.rmtree(out / "last.new", ignore_errors=True)


def load_training(folder: Path, objective: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> State:
    """Fill objective and optimizer from a checkpoint folder, in place, and return where that run stood."""
    try:
        state = State(**json.loads((folder / "training.json").read_text(encoding="utf-8")))
        saved = load_file(folder / "training.safetensors")
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{folder} must hold a complete training checkpoint: {error}; move it away") from error
    if state.seed != seed:
        raise CheckpointError(
            f"{folder} is of seed {state.seed}, this run of seed {seed}; give the same seed or another folder"
        )
    own = _tensors(objective)
    stored = {n.removeprefix("objective/"): t for n, t in saved.items() if n.startswith("objective/")}
    wrong = sorted(
        n for n in own.keys() | stored.keys() if n not in own or n not in stored or own[n].shape != stored[n].shape
    )
    if wrong:
        raise CheckpointError(
            f"{folder} must be of the same model, found {len(wrong)} tensors that differ, first {wrong[0]!r}; "
            "give the model's own settings or another folder"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(stored[name])
    for name, parameter in objective.named_parameters():
        entry = {
            k: saved[f"optimizer/{k}/{name}"]
            for k in ("step", "exp_avg", "exp_avg_sq")
            if f"optimizer/{k}/{name}" in saved
        }
        if entry:  # the count stays on the CPU, where AdamW keeps it
            optimizer.state[parameter] = {k: v if k == "step" else v.to(parameter.device) for k, v in entry.items()}
    return state


def _tensors(objective: nn.Module) -> dict[str, Tensor]:
    return {**dict(objective.named_parameters()), **dict(objective.named_buffers())}


def _sync(path: Path) -> None:
    """Wait until a file's or folder's content is on the disk, so that no power cut leaves half a checkpoint."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
