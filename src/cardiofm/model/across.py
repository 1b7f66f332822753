"""One channel drawn from the other one: the head that draws what a window does not hold at all.

A monitor delays the pulse by a time that nobody knows. The mean over all delays, which is what the decoder of tokens
learns to draw, is a blur; this head learns from its error at the best lag (`train.across`), so its beats are sharp, and
they fall where they usually do. It reads the encoder's tokens of the given channel and its waveform.

Shapes: B batch, C channels (ecg, ppg), N samples, S token steps, D encoder width, P samples per token.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardiofm.config import from_dict
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.checkpoint import ACROSS, ACROSS_WEIGHTS
from cardiofm.model.path import WIDTHS, Path1d, read_part, write_part
from cardiofm.signals import InputSpec


@dataclass(frozen=True)
class AcrossConfig:
    """Size of the head, and where its drawings fall."""

    widths: tuple[int, ...] = WIDTHS
    later: tuple[int, ...] = (0, 0)  # samples by which the ECG, the PPG that it drew is moved, fitted after training


class Across(nn.Module):
    """Tokens `(B, C, S, D)` and patches `(B, C, S, P)`, seen or not, to waveforms `(B, C, N)` in normalised units, each
    channel drawn from the other one alone; flat where that is not seen."""

    def __init__(self, config: AcrossConfig, D: int, spec: InputSpec) -> None:
        super().__init__()
        self.config = config
        self.paths = nn.ModuleList(Path1d(config.widths, D, spec.patch, 1) for _ in range(2))  # by the channel drawn
        self.about: dict[str, Any] = {}  # provenance

    def forward(self, tokens_BCSD: Tensor, patches_BCSP: Tensor, seen_BCS: Tensor) -> Tensor:
        given = ((tokens_BCSD[:, 1 - c], patches_BCSP[:, 1 - c], seen_BCS[:, 1 - c]) for c in range(2))
        return torch.stack([self.drawn(c, *one) for c, one in enumerate(given)], dim=1)

    def drawn(self, channel: int, z_BSD: Tensor, patch_BSP: Tensor, seen_BS: Tensor) -> Tensor:
        """The waveform `(B, N)` of `channel` from the tokens and patches of the other one."""
        seen_BS1 = seen_BS[..., None].to(patch_BSP.dtype)
        shown_BN = seen_BS1.expand_as(patch_BSP).flatten(1)
        drawn_BN = self.paths[channel](patch_BSP.flatten(1) * shown_BN, shown_BN, z_BSD * seen_BS1)[:, 0]
        later = self.config.later[channel]
        held_B1N = F.pad(drawn_BN[:, None], (max(later, 0), max(-later, 0)), mode="replicate")
        drawn_BN = held_B1N[:, 0, max(-later, 0) :][:, : drawn_BN.shape[1]]
        return drawn_BN * seen_BS.any(-1, keepdim=True).to(drawn_BN.dtype)

    def save(self, folder: Path) -> None:
        """Write `across.json` and `across.safetensors` (matrices in float16) into a model folder."""
        write_part(self, folder, ACROSS, ACROSS_WEIGHTS, self.config, self.about)

    @classmethod
    def load(cls, folder: Path, model: CardioFM) -> Across:
        """The head in a folder, for the encoder of `model`, in float32, ready to draw."""

        def made(config: dict[str, Any]) -> Across:
            return cls(from_dict(AcrossConfig, config), model.config.encoder.width, model.config.spec)

        head, head.about = read_part(folder, ACROSS, ACROSS_WEIGHTS, "a head that draws across", made)
        return head
