"""The fiducial head: where waves begin, peak and end, from the encoder's early tokens and from the waveform itself.

The encoder stands still; each modality has a `Path1d` of its own. Three answers to one question let them be compared:
what wave a sample belongs to, how likely an event lies at it, and, from the middle of a beat, how far away each of its
events is, with the error to be expected.

Shapes: B batch, C channels, N samples, S token steps, D encoder width, W channels of a level, K events.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cardiofm.config import from_dict
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.checkpoint import HEAD, HEAD_WEIGHTS
from cardiofm.model.encoder import Tokens
from cardiofm.model.path import WIDTHS, Path1d, read_part, write_part
from cardiofm.signals import EVENTS, WAVES, InputSpec

ECG_EVENTS = sum(not name.startswith("ppg") for name in EVENTS)
SPLIT = (ECG_EVENTS, len(EVENTS) - ECG_EVENTS)  # events of the ECG, of the PPG
UNIT_S = 0.1  # of reach and spread inside the network
SPREAD_S = (0.0005, 0.5)  # expected errors outside of this are not said


@dataclass(frozen=True)
class HeadConfig:
    """Size of the head, and where it reads."""

    read_after: int = 2  # blocks of the encoder; the others are not run for measuring
    widths: tuple[int, ...] = WIDTHS  # W at 250, 125, 62.5 Hz and at the tokens' rate
    tokens: bool = True  # False: from the waveform alone (ablation)


class FiducialHead(nn.Module):
    """The head of both modalities; see `Measure` for what it says."""

    def __init__(self, config: HeadConfig, D: int, spec: InputSpec) -> None:
        super().__init__()
        self.config = config
        outputs = (len(WAVES) + 3 * SPLIT[0], 3 * SPLIT[1])
        self.paths = nn.ModuleList(Path1d(config.widths, D, spec.patch, n, config.tokens) for n in outputs)
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
        write_part(self, folder, HEAD, HEAD_WEIGHTS, self.config, self.about)

    @classmethod
    def load(cls, folder: Path, model: CardioFM) -> FiducialHead:
        """The head in a folder, for the encoder of `model`, in float32, ready to measure."""

        def made(config: dict[str, Any]) -> FiducialHead:
            return cls(from_dict(HeadConfig, config), model.config.encoder.width, model.config.spec)

        head, head.about = read_part(folder, HEAD, HEAD_WEIGHTS, "a fiducial head", made)
        return head


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
