"""A U-shaped path at the full rate that meets the encoder's tokens at its bottom, and the files of what is made of it.

Tokens of 80 ms know the rhythm, the other signal and the kind of beat, but not milliseconds; a narrow convolutional
path does (Ronneberger et al. 2015).
Shapes: B batch, N samples, S token steps, D encoder width, W channels of a level.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cardiofm.config import ConfigError, to_dict
from cardiofm.signals import CheckpointError

Part = TypeVar("Part", bound=nn.Module)
WIDTHS = (16, 32, 48, 96)  # W at 250, 125, 62.5 Hz and at the tokens' rate


class Level(nn.Module):
    """Two convolutions with a way around them, `(B, W, N)` to `(B, W, N)`."""

    def __init__(self, width: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        pad = dilation * (kernel // 2)
        self.first = nn.Conv1d(width, width, kernel, padding=pad, dilation=dilation, bias=False)
        self.first_norm = nn.BatchNorm1d(width)
        self.second = nn.Conv1d(width, width, kernel, padding=pad, dilation=dilation, bias=False)
        self.second_norm = nn.BatchNorm1d(width)

    def forward(self, x_BWN: Tensor) -> Tensor:
        return F.relu(x_BWN + self.second_norm(self.second(F.relu(self.first_norm(self.first(x_BWN))))))


class Path1d(nn.Module):
    """One modality: waveform `(B, N)`, visibility `(B, N)` and tokens `(B, S, D)` to `(B, outputs, N)`.

    Without `tokens` it is of the waveform alone.
    """

    def __init__(self, widths: tuple[int, ...], D: int, patch: int, outputs: int, tokens: bool = True) -> None:
        super().__init__()
        if len(widths) != 4 or patch % 4:
            raise ConfigError(
                f"the head must have 4 widths and tokens of a multiple of 4 samples, found {len(widths)} and {patch}"
            )
        W = widths
        strides = (2, 2, patch // 4)
        self.enter = nn.Sequential(nn.Conv1d(2, W[0], 15, padding=7, bias=False), nn.BatchNorm1d(W[0]), nn.ReLU())
        self.down = nn.ModuleList(Level(w, 7) for w in W[:3])
        self.shrink = nn.ModuleList(nn.Conv1d(a, b, s, stride=s) for a, b, s in zip(W[:3], W[1:], strides, strict=True))
        self.norm = nn.LayerNorm(D) if tokens else None
        self.read = nn.Linear(D, W[3]) if tokens else None
        self.think = nn.Sequential(*(Level(W[3], 5, dilation) for dilation in (1, 2, 4)))
        self.grow = nn.ModuleList(
            nn.ConvTranspose1d(b, a, s, stride=s) for a, b, s in zip(W[:3], W[1:], strides, strict=True)
        )
        self.up = nn.ModuleList(Level(w, 7) for w in W[:3])
        self.out = nn.Conv1d(W[0], outputs, 1)

    def forward(self, x_BN: Tensor, visible_BN: Tensor, z_BSD: Tensor) -> Tensor:
        h = self.enter(torch.stack([x_BN, visible_BN], dim=1))
        kept = []
        for level, shrink in zip(self.down, self.shrink, strict=True):
            h = level(h)
            kept.append(h)
            h = shrink(h)
        if self.norm is not None and self.read is not None:
            h = h + self.read(self.norm(z_BSD)).transpose(1, 2)
        h = self.think(h)
        for level, grow, side in zip(reversed(self.up), reversed(self.grow), reversed(kept), strict=True):
            h = level(grow(h) + side)
        return self.out(h)


def write_part(part: nn.Module, folder: Path, file: str, weights: str, config: Any, about: dict[str, Any]) -> None:
    """Write what a part of a model is (JSON) and its weights (safetensors, matrices in float16) into a folder."""
    small = {name for name, t in part.state_dict().items() if t.ndim < 2 or not t.is_floating_point()}
    tensors = {n: (t if n in small else t.half()).cpu().contiguous() for n, t in part.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / weights)
    (folder / weights).chmod(0o644)
    text = json.dumps({"config": to_dict(config), **about}, indent=1)
    (folder / file).write_text(text + "\n", encoding="utf-8")


def read_part(
    folder: Path, file: str, weights: str, what: str, make: Callable[[dict[str, Any]], Part]
) -> tuple[Part, dict[str, Any]]:
    """The part in a folder, made from its config, in float32, ready to use; and what else its file says."""
    try:
        about = json.loads((folder / file).read_text(encoding="utf-8"))
        part = make(about.pop("config"))
        state = load_file(folder / weights)
        part.load_state_dict({k: t.float() if t.is_floating_point() else t for k, t in state.items()})
    except (OSError, ValueError, KeyError, ConfigError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{folder} must hold {what} ({file}, {weights}) for this encoder: {reason}; "
            "fetch the model again or train a head"
        ) from error
    return part.eval(), about
