"""Tokens or codes back to both waveforms: a light two-stream transformer and a convolutional read-out for each.

Shapes: B batch, C channels, N samples, S token steps, D encoder width, G decoder width, E code width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardiofm.model.echo import Echo, Echoed
from cardiofm.model.encoder import EncoderConfig, Tokens
from cardiofm.model.layers import SecondsRotary, TwoStreamBlock, View
from cardiofm.model.quantizer import Blocks, QuantizerConfig
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


class Think(nn.Module):
    """The blocks of a decoder over its tokens `(B, S, G)`; None for a stream that is not drawn."""

    def __init__(self, config: DecoderConfig, spec: InputSpec, encoder: EncoderConfig) -> None:
        super().__init__()
        self.token_s = spec.token_s
        self.blocks = nn.ModuleList(
            TwoStreamBlock(config.width, config.heads, config.hidden, spec.token_s, encoder.cross, encoder.lag_bias)
            for _ in range(config.depth)
        )
        self.rotary = SecondsRotary(config.width // config.heads)

    def forward(self, h: list[Tensor | None], visible: list[Tensor | None]) -> list[Tensor | None]:
        first = next(t for t in h if t is not None)
        B, S = first.shape[:2]
        grid_1S = ((torch.arange(S, device=first.device) + 0.5) * self.token_s)[None]
        everywhere = torch.ones(B, S, dtype=torch.bool, device=first.device)
        seen = [None if t is None else everywhere if visible[c] is None else visible[c] for c, t in enumerate(h)]
        view = View(self.rotary, [None if t is None else grid_1S for t in h], seen, self.token_s)
        for block in self.blocks:
            h = block(h, view)
        return h


class Decoder(nn.Module):
    """Draws both channels on the full token grid from encoder tokens, gaps filled in."""

    def __init__(self, config: DecoderConfig, spec: InputSpec, encoder: EncoderConfig) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        G, P = config.width, spec.patch
        self.from_tokens = nn.ModuleList(nn.Linear(encoder.width, G) for _ in range(2))
        self.echo = Echo(spec.fs_hz, P)
        self.from_echo = nn.ModuleList(nn.Linear(P, G) for _ in range(2))
        self.from_match = nn.ModuleList(nn.Linear(2 * P, G) for _ in range(2))
        self.weigh_echo = nn.ModuleList(nn.Linear(G, 1) for _ in range(2))
        self.weigh_patch = nn.ModuleList(nn.Linear(G, P) for _ in range(2))
        self.hidden = nn.Parameter(torch.randn(2, G) * 0.02)
        self.think = Think(config, spec, encoder)
        self.read = nn.ModuleList(Readout(G, P) for _ in range(2))
        for parameter in self.from_match.parameters():
            nn.init.zeros_(parameter)
        self.begin()

    @torch.no_grad()
    def begin(self) -> None:
        """Let the echo and a token's own samples lead, until the network has learned to draw."""
        for part, lead in ((self.weigh_echo, 5.0), (self.weigh_patch, 3.0)):
            for name, parameter in part.named_parameters():
                parameter.fill_(lead if name.endswith("bias") else 0.0)

    def tokens(
        self,
        tokens: Tokens,
        steps: int,
        index: list[Tensor | None] | None = None,
        echo: bool = True,
        wanted: tuple[int, ...] = (0, 1),
    ) -> tuple[Tensor, Tensor, list[Tensor | None]]:
        """Both waveforms `(B, C, N)` in normalised units from encoder tokens, what is not visible filled in; the same
        with what is visible cleaned of noise; and the decoder's tokens `(B, S, G)` behind them.

        Visible patches pass. A hidden one is a mean of the network's drawing and of the `Echo` of what matches its
        surroundings, where there is one; the network sees the echo, how far it agrees with what is
        visible and how much it varies, and says its weight, token by token. A cleaned patch is a mean of the same
        drawing and of the patch, whose weight is said sample by sample.
        `index` places kept tokens (per stream `(B, V)`) on the grid of `steps`; None means that all were kept.
        Without `echo` the network draws alone (in training, where the echo takes longer than the network). A channel
        that is not `wanted` and was not run is 0.
        """
        full, patches, shown = self._place(tokens, steps, index)
        echoes: list[Echoed | None] = [None, None]
        if echo:
            echoes = self.echo(patches, shown)
        h: list[Tensor | None] = [None, None]
        for c in range(2):
            if c in wanted or shown[c] is not None:
                h[c] = self._hint(full[c], patches[c], shown[c], echoes[c], c)
        h = self.think(h, [None, None])
        blank_BN = tokens.offset_BC.new_zeros(tokens.offset_BC.shape[0], steps * self.spec.patch)
        drawn, clean = [], []
        for c, h_BSG in enumerate(h):
            led_BN, clean_BN = (
                (blank_BN, blank_BN) if h_BSG is None else self._lead(h_BSG, patches[c], shown[c], echoes[c], c)
            )
            drawn.append(led_BN)
            clean.append(clean_BN)
        return torch.stack(drawn, dim=1), torch.stack(clean, dim=1), h

    def _place(
        self, tokens: Tokens, steps: int, index: list[Tensor | None] | None
    ) -> tuple[list[Tensor], list[Tensor | None], list[Tensor | None]]:
        """Per channel on the whole grid: decoder tokens, visible patches and which are visible."""
        full: list[Tensor] = []
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
            full.append(
                h_BVG if at is None else blank_BSG.to(h_BVG.dtype).scatter(1, at[..., None].expand_as(h_BVG), h_BVG)
            )
            patches[c], shown[c] = tokens.patches[c], seen_BV
            if at is not None and (patch_BVP := tokens.patches[c]) is not None:
                blank_BSP = patch_BVP.new_zeros(B, steps, self.spec.patch)
                patches[c] = blank_BSP.scatter(1, at[..., None].expand_as(patch_BVP), patch_BVP)
                shown[c] = torch.zeros(B, steps, dtype=torch.bool, device=at.device).scatter(1, at, seen_BV)
        return full, patches, shown

    def _hint(
        self,
        h_BSG: Tensor,
        patch_BSP: Tensor | None,
        seen_BS: Tensor | None,
        echo: Echoed | None,
        channel: int,
    ) -> Tensor:
        """Decoder tokens that know what their echo looks like: hidden ones itself, visible ones how they differ."""
        if patch_BSP is None or seen_BS is None or echo is None:
            return h_BSG
        hidden_BS1, has_BS1 = (echo.has_BS & ~seen_BS)[..., None], echo.has_BS[..., None]
        differs_BSP = torch.where(seen_BS[..., None], patch_BSP - echo.drawn_BSP, 0.0)
        match_BSR = torch.cat([differs_BSP, echo.spread_BSP], dim=-1)
        h_BSG = h_BSG + hidden_BS1 * self.from_echo[channel](echo.drawn_BSP)
        return h_BSG + has_BS1 * self.from_match[channel](match_BSR)

    def _lead(
        self,
        h_BSG: Tensor,
        patch_BSP: Tensor | None,
        seen_BS: Tensor | None,
        echo: Echoed | None,
        channel: int,
    ) -> tuple[Tensor, Tensor]:
        """The drawing `(B, N)` of one channel, led by its visible patches and by their echo, and the cleaned one."""
        drawn_BN = self.read[channel](h_BSG).float()
        if patch_BSP is None or seen_BS is None:
            return drawn_BN, drawn_BN
        drawn_BSP = drawn_BN.unflatten(-1, (-1, self.spec.patch))
        if echo is not None:
            trust_BS1 = torch.sigmoid(self.weigh_echo[channel](h_BSG).float())
            led_BSP = drawn_BSP + trust_BS1 * (echo.drawn_BSP - drawn_BSP)
            drawn_BSP = torch.where(echo.has_BS[..., None], led_BSP, drawn_BSP)
        own_BSP = torch.sigmoid(self.weigh_patch[channel](h_BSG).float())
        clean_BSP = torch.where(seen_BS[..., None], drawn_BSP + own_BSP * (patch_BSP - drawn_BSP), drawn_BSP)
        return torch.where(seen_BS[..., None], patch_BSP, drawn_BSP).flatten(1), clean_BSP.flatten(1)


class CodeDecoder(nn.Module):
    """Draws both channels from quantized latents."""

    def __init__(
        self, config: DecoderConfig, spec: InputSpec, encoder: EncoderConfig, quantizer: QuantizerConfig
    ) -> None:
        super().__init__()
        self.spec, self.block = spec, Blocks(quantizer, spec.patch)
        self.full = quantizer.group * quantizer.levels  # levels of a whole block
        self.from_codes = nn.ModuleList(nn.Linear(spec.patch + 2, config.width) for _ in range(2))
        self.trust = nn.Parameter(torch.linspace(0.0, -2.5, self.full + 1).repeat(2, 1))
        self.think = Think(config, spec, encoder)
        self.read = nn.ModuleList(Readout(config.width, spec.patch) for _ in range(2))

    @torch.no_grad()
    def begin(self) -> None:
        """Correct nothing, and be ready to learn to."""
        self.trust.copy_(torch.linspace(0.0, -2.5, self.full + 1))
        for name, parameter in self.read.named_parameters():
            if ".out." in name:
                parameter.zero_()

    def forward(self, latents: list[Tensor | None], depths: list[Tensor | None], coded: list[Tensor | None]) -> Tensor:
        """Waveforms `(B, C, N)`, normalised, from latents `(B, S, E)` of depths `(B, S)`, and which tokens have
        codes; 0 for an absent stream.

        Each block is the inverse cosine transform of its latents plus the network's correction from context; `trust`
        (log, per levels spent on a block) makes the correction smaller the more was coded, so full depth is not
        disturbed.
        """
        h: list[Tensor | None] = [None, None]
        direct, trust = [], []
        for c, (y_BSE, depth_BS) in enumerate(zip(latents, depths, strict=True)):
            if y_BSE is None or depth_BS is None:
                continue
            direct_BSP, total_BS = self.block.inverse(y_BSE), self.block.total(depth_BS)
            spent = total_BS.to(y_BSE.dtype)[..., None] / self.full
            h[c] = self.from_codes[c](torch.cat([direct_BSP, spent, torch.exp(-4 * self.full / 12 * spent)], dim=-1))
            direct.append((c, direct_BSP.flatten(1)))
            factor_BS1 = self.trust[c][total_BS.long()].exp()[..., None]
            trust.append(factor_BS1.expand(-1, -1, self.spec.patch).flatten(1))
        thought = self.think(h, coded)
        first = next(t for t in thought if t is not None)
        blank_BN = first.new_zeros(first.shape[0], first.shape[1] * self.spec.patch)
        drawn = [blank_BN if t is None else self.read[c](t).float() for c, t in enumerate(thought)]
        for (c, direct_BN), trust_BN in zip(direct, trust, strict=True):
            drawn[c] = drawn[c] * trust_BN + direct_BN
        return torch.stack(drawn, dim=1)
