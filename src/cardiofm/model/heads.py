"""The fiducial head: where waves begin, peak and end, from the encoder's early tokens and from the waveform itself.

Tokens of 80 ms know the rhythm, the other signal and the kind of beat, but not milliseconds; so each modality has a
narrow U-shaped convolutional path at the full rate that meets the tokens at its bottom (Ronneberger et al. 2015). The
encoder stands still. Three answers to one question let them be compared: what wave a sample belongs to, how likely an
event lies at it, and, from the middle of a beat, how far away each of its events is, with the error to be expected.

Shapes: B batch, C channels, N samples, S token steps, D encoder width, W channels of a level, K events.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cardiofm.config import ConfigError, from_dict, to_dict
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.checkpoint import HEAD, HEAD_WEIGHTS
from cardiofm.model.encoder import Tokens
from cardiofm.signals import EVENTS, WAVES, CheckpointError, InputSpec

ECG_EVENTS = sum(not name.startswith("ppg") for name in EVENTS)
SPLIT = (ECG_EVENTS, len(EVENTS) - ECG_EVENTS)  # events of the ECG, of the PPG
UNIT_S = 0.1  # of reach and spread inside the network
SPREAD_S = (0.0005, 0.5)  # expected errors outside of this are not said


@dataclass(frozen=True)
class HeadConfig:
    """Size of the head, and where it reads."""

    read_after: int = 2  # blocks of the encoder; the others are not run for measuring
    widths: tuple[int, ...] = (16, 32, 48, 96)  # W at 250, 125, 62.5 Hz and at the tokens' rate
    tokens: bool = True  # False: from the waveform alone (ablation)


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
    """One modality: waveform `(B, N)`, visibility `(B, N)` and tokens `(B, S, D)` to `(B, outputs, N)`."""

    def __init__(self, config: HeadConfig, D: int, patch: int, outputs: int) -> None:
        super().__init__()
        W = config.widths
        strides = (2, 2, patch // 4)
        self.enter = nn.Sequential(nn.Conv1d(2, W[0], 15, padding=7, bias=False), nn.BatchNorm1d(W[0]), nn.ReLU())
        self.down = nn.ModuleList(Level(w, 7) for w in W[:3])
        self.shrink = nn.ModuleList(nn.Conv1d(a, b, s, stride=s) for a, b, s in zip(W[:3], W[1:], strides, strict=True))
        self.norm = nn.LayerNorm(D) if config.tokens else None
        self.read = nn.Linear(D, W[3]) if config.tokens else None
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


class FiducialHead(nn.Module):
    """The head of both modalities; see `Measure` for what it says."""

    def __init__(self, config: HeadConfig, D: int, spec: InputSpec) -> None:
        super().__init__()
        if len(config.widths) != 4 or spec.patch % 4:
            raise ConfigError(
                f"the head must have 4 widths and tokens of a multiple of 4 samples, found {len(config.widths)} and "
                f"{spec.patch}"
            )
        self.config = config
        outputs = (len(WAVES) + 3 * SPLIT[0], 3 * SPLIT[1])
        self.paths = nn.ModuleList(Path1d(config, D, spec.patch, n) for n in outputs)
        self.about: dict[str, Any] = {}  # provenance, and the calibration of confidences

    def forward(self, tokens: Tokens, visible_BCN: Tensor) -> list[Tensor | None]:
        """The numbers `(B, outputs, N)` per modality from the encoder's early tokens; None where there are none."""
        out: list[Tensor | None] = [None, None]
        for c, (z_BSD, patch_BSP) in enumerate(zip(tokens.z, tokens.patches, strict=True)):
            if z_BSD is not None and patch_BSP is not None:
                x_BN = patch_BSP.flatten(1)
                out[c] = self.paths[c](x_BN, visible_BCN[:, c].to(x_BN.dtype), z_BSD)
        return out

    def save(self, folder: Path) -> None:
        """Write `fiducials.json` and `fiducials.safetensors` (matrices in float16) into a model folder."""
        small = {name for name, t in self.state_dict().items() if t.ndim < 2 or not t.is_floating_point()}
        tensors = {n: (t if n in small else t.half()).cpu().contiguous() for n, t in self.state_dict().items()}
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / HEAD_WEIGHTS)
        (folder / HEAD_WEIGHTS).chmod(0o644)
        about = {"config": to_dict(self.config), **self.about}
        (folder / HEAD).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, model: CardioFM) -> FiducialHead:
        """The head in a folder, for the encoder of `model`, in float32, ready to measure."""
        try:
            about = json.loads((folder / HEAD).read_text(encoding="utf-8"))
            config = from_dict(HeadConfig, about.pop("config"))
            head = cls(config, model.config.encoder.width, model.config.spec)
            state = load_file(folder / HEAD_WEIGHTS)
            head.load_state_dict({k: t.float() if t.is_floating_point() else t for k, t in state.items()})
        except (OSError, ValueError, KeyError, ConfigError, SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{folder} must hold a fiducial head ({HEAD}, {HEAD_WEIGHTS}) for this encoder: {reason}; "
                "fetch the model again or train a head"
            ) from error
        head.about = about
        return head.eval()


class Measure(nn.Module):
    """Windows to what `HeadOutputs` holds: waves `(B, 4, N)`, chance, reach in s and spread in s, each `(B, K, N)`.

    Only the streams in `present` are run, through the encoder's first `read_after` blocks; events of the other one
    have no chance.
    """

    def __init__(self, model: CardioFM, head: FiducialHead, present: tuple[int, ...] = (0, 1)) -> None:
        super().__init__()
        self.model, self.head, self.present = model, head, present

    def forward(self, x_BCN: Tensor, visible_BCN: Tensor, in_mv_BC: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        raw = self.raw(x_BCN, visible_BCN, in_mv_BC)
        blank_BN = torch.zeros_like(x_BCN[:, 0])
        none_BWN = torch.stack([blank_BN + 1, blank_BN, blank_BN, blank_BN], dim=1)
        waves_BWN, parts = none_BWN, []
        for c, out_BKN in enumerate(raw):
            if out_BKN is None:
                zero_BKN = torch.stack([blank_BN] * SPLIT[c], dim=1)
                parts.append((zero_BKN, zero_BKN, zero_BKN + SPREAD_S[1]))
                continue
            if c == 0:
                waves_BWN = torch.softmax(out_BKN[:, : len(WAVES)], dim=1)
            chance_BKN, reach_BKN, spread_BKN = answers(out_BKN, c)
            seen_B1N = visible_BCN[:, c : c + 1].to(chance_BKN.dtype)
            parts.append((torch.sigmoid(chance_BKN) * seen_B1N, reach_BKN * UNIT_S, said_s(spread_BKN)))
        chance, reach, spread = (torch.cat(p, dim=1) for p in zip(*parts, strict=True))
        return waves_BWN, chance, reach, spread

    def raw(self, x_BCN: Tensor, visible_BCN: Tensor, in_mv_BC: Tensor) -> list[Tensor | None]:
        """The head's numbers `(B, outputs, N)` per modality; None for one that was not run."""
        tokens = self.model.encoder(x_BCN, visible_BCN, in_mv_BC, self.present, blocks=self.head.config.read_after)
        return self.head(tokens, visible_BCN)


def answers(out_BKN: Tensor, channel: int) -> tuple[Tensor, Tensor, Tensor]:
    """Chance (logit), reach (in `UNIT_S`) and spread (log, in `UNIT_S`), each `(B, K, N)` of a modality's events."""
    own = out_BKN[:, len(WAVES) :] if channel == 0 else out_BKN
    chance, reach, spread = own.split(SPLIT[channel], dim=1)
    return chance, reach, spread


def said_s(spread_BKN: Tensor) -> Tensor:
    """The expected absolute error in seconds from its logarithm in `UNIT_S`."""
    return (spread_BKN.clamp(-6.0, 3.0).exp() * UNIT_S).clamp(*SPREAD_S)
