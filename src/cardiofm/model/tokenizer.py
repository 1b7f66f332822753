"""Samples to tokens: a short convolutional stem per modality, one token every `InputSpec.token_s` seconds.

Shapes: B batch, C channels, N samples, S token steps, D width, W stem width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEM_STRIDE = 5


class Refine(nn.Module):
    """A depth-wise convolution over time and a point-wise mix, added to its input (Liu et al. 2022, ConvNeXt)."""

    def __init__(self, width: int, kernel: int = 9) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x_BWN: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x_BWN).transpose(1, 2))
        return x_BWN + self.down(F.gelu(self.up(y), approximate="tanh")).transpose(1, 2)


class Tokenizer(nn.Module):
    """One channel `(B, N)` and its visibility to tokens `(B, S, D)`; the amplitude in mV, where known, is added.

    A sample that is not visible enters as 0 with its visibility bit 0, so nothing hidden leaks into a visible token.
    """

    def __init__(self, width: int, stem: int, patch: int) -> None:
        super().__init__()
        step = patch // STEM_STRIDE
        if step * STEM_STRIDE != patch:
            raise ValueError(f"patch must be a multiple of {STEM_STRIDE} samples, found {patch}")
        self.rise = nn.Conv1d(2, stem, 15, stride=STEM_STRIDE, padding=5)
        self.refine = nn.Sequential(Refine(stem), Refine(stem))
        self.patch = nn.Conv1d(stem, width, 2 * step, stride=step, padding=step // 2)
        self.scale = nn.Linear(2, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BN: Tensor, visible_BN: Tensor, log_mv_B: Tensor, in_mv_B: Tensor) -> Tensor:
        h_BWN = F.gelu(self.rise(torch.stack([x_BN, visible_BN], dim=1)), approximate="tanh")
        tokens_BSD = self.patch(self.refine(h_BWN)).transpose(1, 2)
        scale_BD = self.scale(torch.stack([log_mv_B * in_mv_B, in_mv_B], dim=-1))
        return self.norm(tokens_BSD + scale_BD[:, None])


def normalise(x_BCN: Tensor, visible_BCN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each channel centred and scaled by its visible samples: values `(B, C, N)`, offset and scale `(B, C)`.

    Hidden samples become 0. A channel with nothing visible, or flat, has scale 1.
    """
    weight = visible_BCN.to(x_BCN.dtype)
    count_BC = weight.sum(-1).clamp_min(1.0)
    offset_BC = (x_BCN * weight).sum(-1) / count_BC
    centred_BCN = (x_BCN - offset_BC[..., None]) * weight
    variance_BC = (centred_BCN**2).sum(-1) / count_BC
    scale_BC = torch.where(variance_BC > 1e-14, variance_BC.clamp_min(1e-14).sqrt(), torch.ones_like(variance_BC))
    return (centred_BCN / scale_BC[..., None]).clamp(-20.0, 20.0), offset_BC, scale_BC


def log_amplitude(scale_BC: Tensor) -> Tensor:
    """log of the standard deviation in mV, about 0 for an ordinary ECG (0.2 mV)."""
    return torch.log(scale_BC.clamp(1e-3, 20.0)) - math.log(0.2)
