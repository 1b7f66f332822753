"""Attention with positions in seconds, and the two-stream block in which ECG and PPG look at each other.

Shapes: B batch, H heads, S token steps (T of the other stream), D width, F head width.
A stream that is absent is None. A token that is not visible is masked as a key with a finite bias, so that a
window with nothing visible in one stream stays finite and gives the other stream exactly its single-modality result.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MASKED = -1e4  # finite on purpose: exp(-1e4) is exactly 0 in float32, and an all-masked row stays a number
LAG_LIMIT_S = 2.0
CROSS_SPAN_S, CROSS_WIDTH_S = 1.2, 0.2  # of the heads' first lags to the other signal
OWN_SPAN_S, OWN_WIDTH_S = 0.36, 0.08  # and within one signal
LOOKING = {"both": (0, 1), "none": (), "ecg_from_ppg": (0,), "ppg_from_ecg": (1,)}  # streams that look at the other


class SecondsRotary(nn.Module):
    """Rotary position whose angle is time in seconds, so any rate, length and gap share one clock.

    Su et al. 2021 (RoFormer) with periods spaced geometrically from `min_period_s` to `max_period_s`.
    """

    rate_F: Tensor

    def __init__(self, head_width: int, min_period_s: float = 0.2, max_period_s: float = 40.0) -> None:
        super().__init__()
        periods_s = torch.logspace(math.log10(min_period_s), math.log10(max_period_s), head_width // 2)
        self.register_buffer("rate_F", 2 * math.pi / periods_s, persistent=False)

    def forward(self, time_BS: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin `(B, 1, S, F/2)` of the times in seconds."""
        angle = (time_BS[..., None] * self.rate_F)[:, None]
        return angle.cos(), angle.sin()


def rotate(x_BHSF: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """`x` turned by its token's angle, halves paired."""
    cos, sin = rotary
    a, b = x_BHSF.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _heads(x_BSD: Tensor, heads: int) -> Tensor:
    return x_BSD.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(q_BHSF: Tensor, k_BHTF: Tensor, v_BHTF: Tensor, bias_BHST: Tensor) -> Tensor:
    """Scaled dot-product attention `(B, H, S, F)` with a bias on the scores."""
    if q_BHSF.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return F.scaled_dot_product_attention(q_BHSF, k_BHTF, v_BHTF, attn_mask=bias_BHST)
    # the fused kernel's backward is five times slower than plain products in bf16
    score_BHST = (q_BHSF * q_BHSF.shape[-1] ** -0.5) @ k_BHTF.transpose(-1, -2) + bias_BHST
    return torch.softmax(score_BHST, dim=-1).to(v_BHTF.dtype) @ v_BHTF


def lag_windows(heads: int, token_s: float, span_s: float, width_s: float) -> Tensor:
    """First lag biases `(lags, heads)`, lags -2…2 s: a head looks mainly at its own lag, the last one at all of them.

    Together the heads start as a convolution over `-span_s…span_s`. Attention without it has to find out first what
    is near, and in thousands of steps it did not (docs/log.md).
    """
    reach = round(LAG_LIMIT_S / token_s)
    lag_L = torch.arange(-reach, reach + 1) * token_s
    centre_H = torch.linspace(-span_s, span_s, max(heads - 1, 1))
    bias_LH = (-((lag_L[:, None] - centre_H) ** 2) / (2 * width_s**2)).clamp_min(-4.0)
    return torch.cat([bias_LH[:, : heads - 1], torch.zeros(len(lag_L), 1)], dim=1)


class SelfAttention(nn.Module):
    """Attention of a stream to its own visible tokens, with a learnable bias on the lag in seconds."""

    def __init__(self, width: int, heads: int, token_s: float, lags: bool = True) -> None:
        super().__init__()
        self.heads = heads
        start = lag_windows(heads, token_s, OWN_SPAN_S, OWN_WIDTH_S)
        self.lag_bias = nn.Parameter(start) if lags else None
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BSD: Tensor, rotary: tuple[Tensor, Tensor], lag_BSS: Tensor, key_bias_B11S: Tensor) -> Tensor:
        q, k, v = (_heads(t, self.heads) for t in self.qkv(self.norm(x_BSD)).chunk(3, dim=-1))
        bias = key_bias_B11S
        if self.lag_bias is not None:
            bias = bias + self.lag_bias[lag_BSS].permute(0, 3, 1, 2)
        y = attend(rotate(q, rotary), rotate(k, rotary), v, bias)
        return self.out(y.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Attention to the other modality with a soft, learnable bias on the lag in seconds and a null token.

    Monitors delay the pulse by a fixed time, so the lag is learned (a table over -2…2 s per head), never masked hard.
    The null token is what a head attends to when nothing matches, and all there is when the other side is absent.
    Without the bias (ablation) queries and keys are turned by the rotary position, or no head could tell when.
    """

    def __init__(self, width: int, heads: int, token_s: float, lags: bool = True) -> None:
        super().__init__()
        self.heads, self.token_s = heads, token_s
        self.reach = round(LAG_LIMIT_S / token_s)
        self.norm = nn.LayerNorm(width)
        self.norm_other = nn.LayerNorm(width)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.null_k = nn.Parameter(torch.zeros(heads, 1, width // heads))
        self.null_v = nn.Parameter(torch.zeros(heads, 1, width // heads))
        start = lag_windows(heads, token_s, CROSS_SPAN_S, CROSS_WIDTH_S)
        self.lag_bias = nn.Parameter(start) if lags else None

    def forward(self, x_BSD: Tensor, other_BTD: Tensor | None, view: View, stream: int) -> Tensor:
        B = x_BSD.shape[0]
        null_v = self.null_v.expand(B, -1, -1, -1)
        lag_BST, bias = view.lag[stream], view.key_bias[1 - stream]
        own_angle, other_angle = view.rotary[stream], view.rotary[1 - stream]
        if other_BTD is None or lag_BST is None or bias is None:
            return self.out(null_v.transpose(1, 2).flatten(2)).expand(-1, x_BSD.shape[1], -1)
        q = _heads(self.q(self.norm(x_BSD)), self.heads)
        k, v = (_heads(t, self.heads) for t in self.kv(self.norm_other(other_BTD)).chunk(2, dim=-1))
        if self.lag_bias is not None:
            bias = self.lag_bias[lag_BST].permute(0, 3, 1, 2) + bias
        elif own_angle and other_angle:
            q, k = rotate(q, own_angle), rotate(k, other_angle)
        k = torch.cat([self.null_k.expand(B, -1, -1, -1), k], dim=2)
        v = torch.cat([null_v, v], dim=2)
        y = attend(q, k, v, F.pad(bias, (1, 0)))
        return self.out(y.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear maps with a GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x_BSD: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(self.norm(x_BSD)), approximate="tanh"))


class TwoStreamBlock(nn.Module):
    """One layer of both streams: each looks at itself, then, if `cross` says so, at the other, then thinks."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        token_s: float,
        cross: str = "both",
        lags: bool = True,
    ) -> None:
        super().__init__()
        self.own = nn.ModuleList(SelfAttention(width, heads, token_s, lags) for _ in range(2))
        self.cross = nn.ModuleDict({str(c): CrossAttention(width, heads, token_s, lags) for c in LOOKING[cross]})
        self.ffn = nn.ModuleList(FeedForward(width, hidden) for _ in range(2))

    def forward(self, x: list[Tensor | None], view: View) -> list[Tensor | None]:
        x = [
            None if x_BSD is None else x_BSD + self.own[c](x_BSD, view.rotary[c], view.own_lag[c], view.key_bias[c])
            for c, x_BSD in enumerate(x)
        ]
        x = [
            x_BSD if x_BSD is None or str(c) not in self.cross else x_BSD + self.cross[str(c)](x_BSD, x[1 - c], view, c)
            for c, x_BSD in enumerate(x)
        ]
        return [None if x_BSD is None else x_BSD + self.ffn[c](x_BSD) for c, x_BSD in enumerate(x)]


def cosines(width: int, samples: int) -> Tensor:
    """The first `width` orthonormal DCT-II vectors of a patch, `(width, samples)` (Ahmed, Natarajan, Rao 1974)."""
    angle = math.pi / samples * torch.outer(torch.arange(width), torch.arange(samples) + 0.5)
    basis = torch.cos(angle) * math.sqrt(2 / samples)
    basis[0] /= math.sqrt(2)
    return basis


class View:
    """What every block needs to know of the tokens: their angles, which may be looked at, and the lags between streams.

    `time` and `visible` are per stream `(B, S)` in seconds and bool, or None for an absent stream.
    """

    def __init__(
        self,
        rotary: SecondsRotary,
        time: list[Tensor | None],
        visible: list[Tensor | None],
        token_s: float,
    ) -> None:
        self.rotary = [None if t is None else rotary(t) for t in time]
        self.key_bias = [None if v is None else MASKED * (~v).to(torch.float32)[:, None, None, :] for v in visible]
        self.lag: list[Tensor | None] = [None, None]
        half = round(LAG_LIMIT_S / token_s)
        known: dict[tuple[int, int], Tensor] = {}

        def lags(a_BS: Tensor, b_BT: Tensor) -> Tensor:
            pair = (id(a_BS), id(b_BT))  # both streams on one grid share one table
            if pair not in known:
                steps_BST = torch.round((a_BS[:, :, None] - b_BT[:, None, :]) / token_s).long()
                known[pair] = steps_BST.clamp(-half, half) + half
            return known[pair]

        self.own_lag = [None if t is None else lags(t, t) for t in time]
        ecg, ppg = time
        if ecg is not None and ppg is not None:
            self.lag = [lags(ecg, ppg), lags(ppg, ecg)]
