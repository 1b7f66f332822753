"""What a hidden stretch most likely looks like: the visible stretches that match its surroundings, in both channels.

Shapes: B batch, S token steps, P samples per token, L lags, M samples at half rate, N samples, C channels.

For every token and every lag the visible signal is compared with itself shifted by that lag, over a few seconds around
the token; the partner channel, which may be visible where this one is not, is compared with itself at the same lag and
votes too. A softmax over lags then averages the shifted samples. It is attention in time with a classical score, so a
regular rhythm is continued without any training; it carries no gradient, and the decoder learns to correct it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HALF = 2  # matches are scored at half rate
LAG_FROM_S, LAG_TO_S = 0.256, 2.4
AROUND_S = 3.2  # of signal around a token that is compared
SHARPNESS = 40.0  # inverse temperature of the softmax over lags
PARTNER = 0.6  # weight of the other channel's match


class Echo(nn.Module):
    """Patches `(B, S, P)` with visible tokens `(B, S)` per channel to drawn patches and where there is one `(B, S)`."""

    lag_L: Tensor

    def __init__(self, fs_hz: float, patch: int) -> None:
        super().__init__()
        self.patch = patch
        half_hz = fs_hz / HALF
        near, far = round(LAG_FROM_S * half_hz), round(LAG_TO_S * half_hz)
        one_side = torch.arange(near, far + 1)
        self.register_buffer("lag_L", torch.cat([-one_side.flip(0), one_side]), persistent=False)
        self.reach = far
        around = round(AROUND_S * half_hz) // (patch // HALF)
        self.around = around + 1 - around % 2  # tokens, odd

    @torch.no_grad()
    def forward(self, patches: list[Tensor | None], seen: list[Tensor | None]) -> list[tuple[Tensor, Tensor] | None]:
        scores = [None if p is None or s is None else self.match(p, s) for p, s in zip(patches, seen, strict=True)]
        drawn: list[tuple[Tensor, Tensor] | None] = [None, None]
        for c, (patch_BSP, seen_BS) in enumerate(zip(patches, seen, strict=True)):
            if patch_BSP is None or seen_BS is None:
                continue
            parts = [score if k == c else PARTNER * score for k, score in enumerate(scores) if score is not None]
            drawn[c] = self.copy(patch_BSP, seen_BS, SHARPNESS * torch.stack(parts).sum(0))
        return drawn

    def match(self, patch_BSP: Tensor, seen_BS: Tensor) -> Tensor:
        """How well the signal around each token agrees with itself at each lag, `(B, L, S)`: 0 unknown, 1 alike."""
        step = self.patch // HALF
        visible_BSP = seen_BS[..., None].to(patch_BSP.dtype).expand(-1, -1, step)
        v_BM = visible_BSP.flatten(1)
        x_BM = patch_BSP.unflatten(-1, (step, HALF)).mean(-1).flatten(1) * v_BM
        x_BLM, v_BLM = (self._shifted(t, 1) for t in (x_BM, v_BM))
        both_BLM = v_BLM * v_BM[:, None]
        product_BLM = x_BLM * x_BM[:, None]
        energy_BLM = 0.5 * both_BLM * (x_BLM.square() + x_BM.square()[:, None])
        product, energy, known = (self._around(t, step) for t in (product_BLM, energy_BLM, both_BLM))
        return product / (energy + 0.05) * known / (known + 0.15)

    def copy(self, patch_BSP: Tensor, seen_BS: Tensor, logit_BLS: Tensor) -> tuple[Tensor, Tensor]:
        """The shifted samples averaged by softmax over lags, `(B, S, P)`, and the tokens that have any, `(B, S)`."""
        S, P = patch_BSP.shape[1:]
        seen_BSP = seen_BS[..., None].to(patch_BSP.dtype).expand(-1, -1, P)
        weight_BLS = torch.softmax(logit_BLS, dim=1)
        x_BLSP, v_BLSP = (
            self._shifted(t.flatten(1), HALF).unflatten(-1, (S, P)) for t in (patch_BSP * seen_BSP, seen_BSP)
        )
        total_BSP = (weight_BLS[..., None] * v_BLSP).sum(1)
        drawn_BSP = (weight_BLS[..., None] * x_BLSP).sum(1) / (total_BSP + 1e-4)
        return drawn_BSP, total_BSP.mean(-1) > 1e-3

    def _shifted(self, x_BN: Tensor, scale: int) -> Tensor:
        """`(B, L, N)`: the signal moved by each lag, 0 where it would come from outside the window."""
        pad = self.reach * scale
        N = x_BN.shape[-1]
        index_LN = torch.arange(N, device=x_BN.device)[None] - self.lag_L[:, None] * scale + pad
        return F.pad(x_BN, (pad, pad))[:, index_LN]

    def _around(self, x_BLM: Tensor, step: int) -> Tensor:
        """Means over each token, then over the tokens around it: `(B, L, S)`."""
        token_BLS = x_BLM.unflatten(-1, (-1, step)).mean(-1)
        return F.avg_pool1d(token_BLS, self.around, stride=1, padding=self.around // 2)
