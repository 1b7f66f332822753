"""A small store in memory and a small objective for the tests of training; run as a script it is one process of them.

python small_run.py OUT KILL_AT DEVICES: 20 steps; KILL_AT > 0 kills the process while it saves that step.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cardiofm.signals import InputSpec, Window
from cardiofm.train.batches import Batch, BatchConfig, Batches
from cardiofm.train.loop import LoopConfig, fit

SPEC = InputSpec(window_s=2.0)
LOOP = LoopConfig(
    seed=3, steps=20, warmup_steps=4, lr=3e-3, precision="fp32", checkpoint_minutes=0.0, log_every=3, threads=1
)


class SmallStore:
    """Simulated pulses; datasets `both`, `ecg`, `ppg`; row 16 is for testing, 17 is one window long."""

    def __init__(self) -> None:
        names = [*["both"] * 8, *["ecg"] * 4, *["ppg"] * 4, "both", "both"]
        n = len(names)
        self.rows = {
            "dataset": np.array(names),
            "record": np.array([f"r{i}" for i in range(n)]),
            "patient": np.array([f"p{i // 2}" for i in range(n)]),
            "split": np.array(["train"] * (n - 2) + ["test", "train"]),
            "fs_hz": np.full(n, SPEC.fs_hz),
            "samples": np.array([3000] * 8 + [2000] * 8 + [3000, SPEC.samples]),
            "has_ecg": np.array([d != "ppg" for d in names]),
            "has_ppg": np.array([d != "ecg" for d in names]),
        }
        self.manifest: dict[str, Any] = {"noise": {"file": "in memory"}}
        self.noise = {"ma": np.random.default_rng(0).standard_normal((2, 9000)).astype(np.float32)}
        self.reads: list[int] = []

    def __len__(self) -> int:
        return len(self.rows["dataset"])

    def read(self, i: int) -> Window:
        self.reads.append(i)
        n = int(self.rows["samples"][i])
        beat = 2 * np.pi * (1 + i / 20) * np.arange(n) / SPEC.fs_hz
        values = np.stack([np.cos(beat) ** 21, 100 + 20 * np.cos(beat - 1.5)]).astype(np.float32)
        valid = np.repeat([[self.rows["has_ecg"][i]], [self.rows["has_ppg"][i]]], n, axis=1)
        return Window(0.0, np.where(valid, values, np.float32(0)), valid, np.array([True, False]) & valid[:, 0])


class SmallObjective(nn.Module):
    """Learns to remove the noise; keeps a moving average in a buffer, as codebooks do; draws dropout where asked."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        torch.manual_seed(1)
        n = SPEC.samples
        self.nets = nn.ModuleDict(
            {
                m: nn.Sequential(nn.Linear(n, 24), nn.GELU(), nn.Dropout(dropout), nn.Linear(24, n))
                for m in SPEC.channels
            }
        )
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        loss = batch.x_BCN.new_zeros(())
        logs = {}
        for m in batch.present:  # the net of an absent modality gets no gradient
            c = SPEC.channels.index(m)
            valid = batch.valid_BCN[:, c]
            scale = 1 + batch.x_BCN[:, c].abs().amax(-1, keepdim=True)
            error = (self.nets[m](batch.x_BCN[:, c] / scale) - batch.target_BCN[:, c] / scale) ** 2 * valid
            logs[m] = error.mean()
            loss = loss + logs[m]
        seen = loss.detach().clone()
        if dist.is_available() and dist.is_initialized():  # as codebooks do: one average over all processes
            dist.all_reduce(seen)
            seen /= dist.get_world_size()
        with torch.no_grad():
            self.mean.mul_(0.9).add_(seen / 10)
        return loss + 0.01 * self.mean, logs


def small_batches() -> Batches:
    return Batches(SmallStore(), SPEC, BatchConfig(size=8), LOOP.seed)


def save_nothing(folder: Path, progress: dict[str, Any]) -> None:
    (folder / "steps.txt").write_text(str(progress["step"]))


def main(out: Path, kill_at: int, devices: int) -> None:
    def save_model(folder: Path, progress: dict[str, Any]) -> None:
        if progress["step"] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        save_nothing(folder, progress)

    objective = SmallObjective(0.1 if devices == 1 else 0.0)  # each process draws its own dropout
    fit(objective, small_batches(), replace(LOOP, devices=devices), out, save_model=save_model)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
