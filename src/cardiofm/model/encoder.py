"""Two streams of tokens, ECG and PPG, that attend to themselves and to each other; and the pooled embedding.

Shapes: B batch, C channels, N samples, S token steps, V tokens kept (the others are never computed), D width.
The 17.11 M parameters of `base` are all of this file: tokenizers, blocks, final norms and embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cardiofm.model.layers import LOOKING, SecondsRotary, TwoStreamBlock, View
from cardiofm.model.tokenizer import Tokenizer, log_amplitude, normalise
from cardiofm.signals import InputSpec


@dataclass(frozen=True)
class EncoderConfig:
    """Size of the encoder; the defaults are `base`."""

    width: int = 256  # D
    depth: int = 8  # two-stream blocks
    heads: int = 8
    hidden: int = 976  # of the feed-forward part
    stem: int = 64  # width of the convolutional stem
    embedding: int = 256  # numbers per window
    cross: str = "both"  # which stream looks at the other, here and in the decoder: one of LOOKING (ablation)
    lag_bias: bool = True  # False: no bias on the lag in any attention, here and in the decoder (ablation)

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise ValueError(f"encoder.width must be a multiple of 2 x heads, found {self.width} and {self.heads}")
        if self.embedding > 256:
            raise ValueError(f"encoder.embedding must be at most 256 numbers, found {self.embedding}")
        if self.cross not in LOOKING:
            raise ValueError(f"encoder.cross must be one of {', '.join(LOOKING)}, found {self.cross!r}")


@dataclass
class Tokens:
    """Encoder output: per stream (ecg, ppg) tokens `(B, V, D)`, their times in s `(B, V)`, or `(1, V)` where all
    windows share the grid, and which are visible `(B, V)`.

    `patches` are each token's own samples `(B, V, patch)`, normalised, hidden ones 0. A stream that was not run is
    None. `offset` and `scale` `(B, C)` undo the normalisation.
    """

    z: list[Tensor | None]
    time: list[Tensor | None]
    visible: list[Tensor | None]
    offset_BC: Tensor
    scale_BC: Tensor
    patches: list[Tensor | None] = field(default_factory=lambda: [None, None])


class Encoder(nn.Module):
    """Waveforms with their visibility to tokens and to an embedding of at most 256 numbers."""

    def __init__(self, config: EncoderConfig, spec: InputSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        D = config.width
        self.tokenizer = nn.ModuleList(Tokenizer(D, config.stem, spec.patch) for _ in range(2))
        self.blocks = nn.ModuleList(
            TwoStreamBlock(D, config.heads, config.hidden, spec.token_s, config.cross, config.lag_bias)
            for _ in range(config.depth)
        )
        self.norm = nn.ModuleList(nn.LayerNorm(D) for _ in range(2))
        self.rotary = SecondsRotary(D // config.heads)
        self.pool = nn.ModuleList(nn.Linear(2 * D, config.embedding) for _ in range(2))

    def forward(
        self,
        x_BCN: Tensor,
        visible_BCN: Tensor,
        in_mv_BC: Tensor,
        present: tuple[int, ...] = (0, 1),
        keep: list[Tensor | None] | None = None,
        blocks: int | None = None,
    ) -> Tokens:
        """Encode the streams in `present`; with `keep` (per stream, token indices `(B, V)`) only those tokens.

        A token is visible when at least half of its samples are. With `blocks` the tokens are those after that many
        blocks, not normalised.
        """
        xn_BCN, offset_BC, scale_BC = normalise(x_BCN, visible_BCN)
        log_mv_BC, in_mv = log_amplitude(scale_BC), in_mv_BC.to(x_BCN.dtype)
        steps_S = torch.arange(x_BCN.shape[-1] // self.spec.patch, device=x_BCN.device)
        grid_1S = ((steps_S + 0.5) * self.spec.token_s)[None]  # one for all windows and both streams: so are the lags
        z: list[Tensor | None] = [None, None]
        time: list[Tensor | None] = [None, None]
        visible: list[Tensor | None] = [None, None]
        patches: list[Tensor | None] = [None, None]
        for c in present:
            seen_BN = visible_BCN[:, c].to(x_BCN.dtype)
            tokens = self.tokenizer[c](xn_BCN[:, c], seen_BN, log_mv_BC[:, c], in_mv[:, c])
            ok = token_visible(visible_BCN[:, c], self.spec.patch)
            when = grid_1S
            patch = xn_BCN[:, c].unflatten(-1, (-1, self.spec.patch))
            index = keep[c] if keep is not None else None
            if index is not None:
                tokens, patch = (t.gather(1, index[..., None].expand(-1, -1, t.shape[-1])) for t in (tokens, patch))
                ok, when = ok.gather(1, index), when.expand(x_BCN.shape[0], -1).gather(1, index)
            z[c], time[c], visible[c], patches[c] = tokens, when, ok, patch
        view = View(self.rotary, time, visible, self.spec.token_s)
        for block in self.blocks[:blocks]:
            z = block(z, view)
        if blocks is not None:
            return Tokens(z, time, visible, offset_BC, scale_BC, patches)
        z = [None if t is None else self.norm[c](t) for c, t in enumerate(z)]
        return Tokens(z, time, visible, offset_BC, scale_BC, patches)

    def embed(self, tokens: Tokens) -> Tensor:
        """Embedding `(B, embedding)`: mean and spread of a stream's visible tokens, mapped, averaged over streams."""
        parts, weights = [], []
        for c, z_BVD in enumerate(tokens.z):
            seen_BV = tokens.visible[c]
            if z_BVD is None or seen_BV is None:
                continue
            weight_BV1 = seen_BV.to(z_BVD.dtype)[..., None]
            count_B1 = weight_BV1.sum(1)
            mean_BD = (z_BVD * weight_BV1).sum(1) / count_B1.clamp_min(1.0)
            spread_BD = (((z_BVD - mean_BD[:, None]) ** 2 * weight_BV1).sum(1) / count_B1.clamp_min(1.0) + 1e-6).sqrt()
            has_B1 = (count_B1 > 0).to(z_BVD.dtype)
            parts.append(self.pool[c](torch.cat([mean_BD, spread_BD], dim=-1)) * has_B1)
            weights.append(has_B1)
        return torch.stack(parts).sum(0) / torch.stack(weights).sum(0).clamp_min(1.0)


def token_visible(visible_BN: Tensor, patch: int) -> Tensor:
    """Which tokens `(B, S)` have at least half of their samples visible."""
    return visible_BN.unflatten(-1, (-1, patch)).to(torch.float32).mean(-1) >= 0.5
