"""Tokens or codes back to both waveforms: a light two-stream transformer and a convolutional read-out.

Shapes: B batch, C channels, N samples, S token steps, D encoder width, G decoder width, E code width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardiofm.model.encoder import Tokens
from cardiofm.model.layers import SecondsRotary, TwoStreamBlock, View, cosines
from cardiofm.signals import InputSpec

READ_WIDTH = 16


@dataclass(frozen=True)
class DecoderConfig:
    """Size of the decoder; the defaults are `base`."""

    width: int = 192  # G
    depth: int = 3
    heads: int = 6
    hidden: int = 384


class Readout(nn.Module):
    """Decoder tokens `(B, S, G)` to samples `(B, N)`, N = S * patch."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.rise = nn.Linear(width, patch * READ_WIDTH)
        self.mix = nn.Conv1d(READ_WIDTH, READ_WIDTH, 9, padding=4)
        self.out = nn.Conv1d(READ_WIDTH, 1, 9, padding=4)
        with torch.no_grad():  # a small correction at first, so that the direct path of the codes leads
            self.out.weight.mul_(0.1)

    def forward(self, h_BSG: Tensor) -> Tensor:
        h_BRN = self.rise(self.norm(h_BSG)).unflatten(-1, (-1, READ_WIDTH)).flatten(1, 2).transpose(1, 2)
        return self.out(h_BRN + F.gelu(self.mix(h_BRN), approximate="tanh"))[:, 0]


class Decoder(nn.Module):
    """Draws both channels on the full token grid, from encoder tokens (gaps filled in) or from quantized latents."""

    def __init__(self, config: DecoderConfig, spec: InputSpec, encoder_width: int, code_width: int) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        G = config.width
        self.from_tokens = nn.ModuleList(nn.Linear(encoder_width, G) for _ in range(2))
        self.from_codes = nn.ModuleList(nn.Linear(code_width, G) for _ in range(2))
        self.direct = nn.ModuleList(nn.Linear(code_width, spec.patch, bias=False) for _ in range(2))
        for linear in self.direct:
            linear.weight = nn.Parameter(cosines(code_width, spec.patch).T.contiguous())
        self.hidden = nn.Parameter(torch.randn(2, G) * 0.02)
        self.blocks = nn.ModuleList(
            TwoStreamBlock(G, config.heads, config.hidden, spec.token_s) for _ in range(config.depth)
        )
        self.rotary = SecondsRotary(G // config.heads)
        self.read = nn.ModuleList(Readout(G, spec.patch) for _ in range(2))

    def tokens(self, tokens: Tokens, steps: int, index: list[Tensor | None] | None = None) -> Tensor:
        """Both waveforms `(B, C, N)` in normalised units from encoder tokens; what is not visible is filled in.

        `index` places kept tokens (per stream `(B, V)`) on the grid of `steps`; None means that all were kept.
        """
        full: list[Tensor | None] = []
        B = tokens.offset_BC.shape[0]
        for c, z_BVD in enumerate(tokens.z):
            blank_BSG = self.hidden[c].expand(B, steps, -1)
            seen_BV = tokens.visible[c]
            if z_BVD is None or seen_BV is None:
                full.append(blank_BSG)
                continue
            at = index[c] if index is not None else None
            blank_BVG = blank_BSG[:, : z_BVD.shape[1]]
            h_BVG = torch.where(seen_BV[..., None], self.from_tokens[c](z_BVD), blank_BVG)
            full.append(h_BVG if at is None else blank_BSG.scatter(1, at[..., None].expand_as(h_BVG), h_BVG))
        return self._draw(full, [None, None])

    def codes(self, latents: list[Tensor | None], visible: list[Tensor | None]) -> Tensor:
        """Waveforms `(B, C, N)` in normalised units from quantized latents `(B, S, E)`; 0 for an absent stream.

        The direct path starts as the inverse cosine transform of each patch; the network corrects it with context.
        """
        drawn_BCN = self._draw([None if y is None else self.from_codes[c](y) for c, y in enumerate(latents)], visible)
        blank_BN = torch.zeros_like(drawn_BCN[:, 0])
        direct = [blank_BN if y is None else self.direct[c](y).flatten(1) for c, y in enumerate(latents)]
        return drawn_BCN + torch.stack(direct, dim=1)

    def _draw(self, h: list[Tensor | None], visible: list[Tensor | None]) -> Tensor:
        first = next(t for t in h if t is not None)
        B, S = first.shape[:2]
        grid_1S = ((torch.arange(S, device=first.device) + 0.5) * self.spec.token_s)[None]
        everywhere = torch.ones(B, S, dtype=torch.bool, device=first.device)
        seen = [None if t is None else everywhere if visible[c] is None else visible[c] for c, t in enumerate(h)]
        view = View(self.rotary, [None if t is None else grid_1S for t in h], seen, self.spec.token_s)
        for block in self.blocks:
            h = block(h, view)
        blank_BN = first.new_zeros(B, S * self.spec.patch)
        return torch.stack([blank_BN if t is None else self.read[c](t) for c, t in enumerate(h)], dim=1)
