"""Tokens or codes back to both waveforms: a light two-stream transformer and a convolutional read-out.

Shapes: B batch, C channels, N samples, S token steps, D encoder width, G decoder width, E code width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardiofm.model.echo import Echo
from cardiofm.model.encoder import Tokens
from cardiofm.model.layers import SecondsRotary, TwoStreamBlock, View, cosines
from cardiofm.model.quantizer import QuantizerConfig
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

    basis_EP: Tensor

    def __init__(self, config: DecoderConfig, spec: InputSpec, encoder_width: int, quantizer: QuantizerConfig) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        G = config.width
        self.from_tokens = nn.ModuleList(nn.Linear(encoder_width, G) for _ in range(2))
        self.from_codes = nn.ModuleList(nn.Linear(quantizer.width + 1, G) for _ in range(2))
        self.register_buffer("basis_EP", cosines(quantizer.width, spec.patch), persistent=False)
        self.trust = nn.Parameter(torch.linspace(0.0, -2.5, quantizer.levels + 1).repeat(2, 1))
        self.echo = Echo(spec.fs_hz, spec.patch)
        self.trust_echo = nn.Parameter(torch.full((2,), -3.0))
        self.hidden = nn.Parameter(torch.randn(2, G) * 0.02)
        self.blocks = nn.ModuleList(
            TwoStreamBlock(G, config.heads, config.hidden, spec.token_s) for _ in range(config.depth)
        )
        self.rotary = SecondsRotary(G // config.heads)
        self.read = nn.ModuleList(Readout(G, spec.patch) for _ in range(2))

    def tokens(self, tokens: Tokens, steps: int, index: list[Tensor | None] | None = None) -> Tensor:
        """Both waveforms `(B, C, N)` in normalised units from encoder tokens; what is not visible is filled in.

        Visible patches pass. A hidden one is the `Echo` of what matches its surroundings, where there is one, plus the
        network's correction, weighted by `trust_echo` (log); without an echo it is the network's alone.
        `index` places kept tokens (per stream `(B, V)`) on the grid of `steps`; None means that all were kept.
        """
        full: list[Tensor | None] = []
        patches: list[Tensor | None] = [None, None]
        shown: list[Tensor | None] = [None, None]
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
            patches[c], shown[c] = tokens.patches[c], seen_BV
            if at is not None and (patch_BVP := tokens.patches[c]) is not None:
                blank_BSP = patch_BVP.new_zeros(B, steps, self.spec.patch)
                patches[c] = blank_BSP.scatter(1, at[..., None].expand_as(patch_BVP), patch_BVP)
                shown[c] = torch.zeros(B, steps, dtype=torch.bool, device=at.device).scatter(1, at, seen_BV)
        drawn_BCN = self._draw(full, [None, None])
        echoes = self.echo(patches, shown)
        return torch.stack([self._led(drawn_BCN[:, c], patches[c], shown[c], echoes[c], c) for c in range(2)], dim=1)

    def _led(
        self,
        drawn_BN: Tensor,
        patch_BSP: Tensor | None,
        seen_BS: Tensor | None,
        echo: tuple[Tensor, Tensor] | None,
        channel: int,
    ) -> Tensor:
        """The network's drawing of one channel, led by its visible patches and by their echo."""
        if patch_BSP is None or seen_BS is None or echo is None:
            return drawn_BN
        echo_BSP, has_BS = echo
        drawn_BSP = drawn_BN.unflatten(-1, (-1, self.spec.patch))
        led_BSP = echo_BSP + self.trust_echo[channel].exp() * drawn_BSP
        hidden_BSP = torch.where(has_BS[..., None], led_BSP, drawn_BSP)
        return torch.where(seen_BS[..., None], patch_BSP, hidden_BSP).flatten(1)

    def codes(self, latents: list[Tensor | None], depths: list[Tensor | None], visible: list[Tensor | None]) -> Tensor:
        """Waveforms `(B, C, N)`, normalised, from latents `(B, S, E)` of depths `(B, S)`; 0 for an absent stream.

        Each patch is the inverse cosine transform of its latent plus the network's correction from context; `trust`
        (log, per depth) makes the correction smaller the more levels were coded, so full depth is not disturbed.
        """
        h: list[Tensor | None] = [None, None]
        direct, trust = [], []
        levels = self.trust.shape[1] - 1
        for c, (y_BSE, depth_BS) in enumerate(zip(latents, depths, strict=True)):
            if y_BSE is None or depth_BS is None:
                continue
            depth_BS1 = depth_BS.to(y_BSE.dtype)[..., None]
            h[c] = self.from_codes[c](torch.cat([y_BSE, depth_BS1 / levels], dim=-1))
            direct.append((c, (y_BSE @ self.basis_EP).flatten(1)))
            factor_BS1 = self.trust[c][depth_BS.long()].exp()[..., None]
            trust.append(factor_BS1.expand(-1, -1, self.spec.patch).flatten(1))
        drawn_BCN = self._draw(h, visible)
        made = {c: drawn_BCN[:, c] * t + d for (c, d), t in zip(direct, trust, strict=True)}
        return torch.stack([made.get(c, drawn_BCN[:, c]) for c in range(2)], dim=1)

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
