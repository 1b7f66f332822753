"""Adaptive residual vector quantization: each token gets as many codebook levels as it needs under a budget.

Shapes: B batch, S token steps, Q levels, K codes, E code width, M tokens used for learning.

Residual quantization with EMA codebooks (van den Oord 2017; Zeghidour 2021). The residual is detached per level and
the straight-through estimator is applied once at the end, so every level's commitment reaches the encoder.
Depth follows reverse water-filling: a small net says how many levels a token is worth, u; a budget (mean levels per
token) sets one water line per window; depth = clip(u - line, 0, Q). One model thereby covers every rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class QuantizerConfig:
    """Codebooks of one modality."""

    levels: int = 8  # Q
    codes: int = 256  # K per level, so 8 bits a code
    width: int = 16  # E
    decay: float = 0.98  # of the moving averages behind the codebooks
    dead: float = 0.2  # a code used less than this share of uniform use is replaced
    adaptive: bool = True  # False: every token has the same depth to within one level (ablation)
    bypass: bool = False  # True: latents are drawn unquantized, codebooks only name what to guess (ablation)


class Quantized(NamedTuple):
    """What the quantizer says of a batch of tokens."""

    latent_BSE: Tensor  # sum of the codes within each token's depth, straight-through
    codes_BSQ: Tensor  # int64, all levels
    depth_BS: Tensor  # levels used, 0…Q
    commitment: Tensor  # scalar, mean over levels
    perplexity_Q: Tensor  # of the codes chosen in this batch


class AdaptiveRVQ(nn.Module):
    """Quantizes `(B, S, E)` latents with per-token depth."""

    codebook_QKE: Tensor
    usage_QK: Tensor
    total_QKE: Tensor
    ready: Tensor

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.config = config
        Q, K, E = config.levels, config.codes, config.width
        self.register_buffer("codebook_QKE", torch.zeros(Q, K, E))
        self.register_buffer("usage_QK", torch.ones(Q, K))
        self.register_buffer("total_QKE", torch.zeros(Q, K, E))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))

    def forward(self, y_BSE: Tensor, valid_BS: Tensor, depth_BS: Tensor) -> Quantized:
        """Quantize; in training mode also learn the codebooks from the valid tokens (all levels, unmasked).

        `depth_BS` is real-valued in 0…Q; its gradient is that of a smooth step around each level.
        """
        if self.training:
            self._learn(y_BSE.detach()[valid_BS])
        residual, codes, commitment, latent = y_BSE, [], [], torch.zeros_like(y_BSE)
        weight_BS1 = valid_BS.to(y_BSE.dtype)[..., None]
        for q in range(self.config.levels):
            index_BS = self.nearest(residual.detach(), q)
            code_BSE = self.codebook_QKE[q][index_BS]
            commitment.append((weight_BS1 * (residual - code_BSE) ** 2).sum() / weight_BS1.sum().clamp_min(1.0))
            latent = latent + level_mask(depth_BS, q)[..., None] * code_BSE
            residual = residual - code_BSE
            codes.append(index_BS)
        codes_BSQ = torch.stack(codes, dim=-1)
        latent_BSE = latent + (y_BSE - y_BSE.detach())
        depth_BS = (depth_BS - 0.5).ceil().clamp(0, self.config.levels)
        if self.config.bypass:
            latent_BSE, commitment = y_BSE, [y_BSE.new_zeros(())]
            depth_BS = valid_BS.to(y_BSE.dtype) * self.config.levels
        return Quantized(
            latent_BSE, codes_BSQ, depth_BS, torch.stack(commitment).mean(), self._perplexity(codes_BSQ[valid_BS])
        )

    def nearest(self, x_BSE: Tensor, level: int) -> Tensor:
        """Index `(B, S)` of the nearest code of that level (squared distance)."""
        book_KE = self.codebook_QKE[level]
        return (book_KE.square().sum(-1) - 2 * x_BSE @ book_KE.T).argmin(-1)

    def dequantize(self, codes_BSQ: Tensor, depth_BS: Tensor) -> Tensor:
        """Latents `(B, S, E)` of codes, each token summed over its first `depth` levels."""
        latent = torch.zeros(*codes_BSQ.shape[:2], self.config.width, device=codes_BSQ.device)
        for q in range(self.config.levels):
            used_BS1 = (depth_BS > q).to(latent.dtype)[..., None]
            latent = latent + used_BS1 * self.codebook_QKE[q][codes_BSQ[..., q]]
        return latent

    @torch.no_grad()
    def _learn(self, x_ME: Tensor) -> None:
        """One EMA step of every level; k-means the first time; codes out of use restart at current residuals."""
        x_ME = _gather(x_ME)
        if len(x_ME) < 2:
            return
        if not bool(self.ready):
            self.start(x_ME)
        for q in range(self.config.levels):
            book, usage = self.codebook_QKE[q], self.usage_QK[q]
            index_M = self.nearest(x_ME, q)
            residual = x_ME - book[index_M]
            decay, codes = self.config.decay, self.config.codes
            usage.mul_(decay).add_(torch.bincount(index_M, minlength=codes).to(usage.dtype), alpha=1 - decay)
            self.total_QKE[q].mul_(decay)
            self.total_QKE[q].index_add_(0, index_M, x_ME, alpha=1 - decay)
            book.copy_(self.total_QKE[q] / usage.clamp_min(1e-5)[:, None])
            dead = usage < self.config.dead * usage.mean()
            if bool(dead.any()):
                fresh = _spread(x_ME, int(dead.sum()))
                book[dead] = fresh
                usage[dead] = usage.mean()
                self.total_QKE[q][dead] = fresh * usage.mean()
            x_ME = residual

    def start(self, x_ME: Tensor, rounds: int = 8) -> None:
        """k-means of each level's residuals, in turn."""
        for q in range(self.config.levels):
            book = _spread(x_ME, self.config.codes)
            self.codebook_QKE[q].copy_(book)
            for _ in range(rounds):
                index_M = self.nearest(x_ME, q)
                count_K = torch.bincount(index_M, minlength=self.config.codes).to(x_ME.dtype)
                mean_KE = torch.zeros_like(book).index_add_(0, index_M, x_ME) / count_K.clamp_min(1.0)[:, None]
                self.codebook_QKE[q].copy_(torch.where(count_K[:, None] > 0, mean_KE, self.codebook_QKE[q]))
            index_M = self.nearest(x_ME, q)
            self.usage_QK[q].copy_(torch.bincount(index_M, minlength=self.config.codes).to(x_ME.dtype).clamp_min(0.5))
            self.total_QKE[q].copy_(self.codebook_QKE[q] * self.usage_QK[q][:, None])
            x_ME = x_ME - self.codebook_QKE[q][index_M]
        self.ready.fill_(True)

    def _perplexity(self, codes_MQ: Tensor) -> Tensor:
        K, Q = self.config.codes, self.config.levels
        slot_MQ = codes_MQ + K * torch.arange(Q, device=codes_MQ.device)
        share_QK = torch.bincount(slot_MQ.flatten(), minlength=Q * K).view(Q, K) / max(len(codes_MQ), 1)
        return torch.exp(-(share_QK * torch.log(share_QK + 1e-9)).sum(-1))


def level_mask(depth_BS: Tensor, level: int) -> Tensor:
    """1 where the token's depth reaches past the middle of `level`, else 0; gradient of a smooth step."""
    soft = (depth_BS - level).clamp(0.0, 1.0)
    soft = soft * soft * (3 - 2 * soft)
    hard = (depth_BS > level + 0.5).to(soft.dtype)
    return hard + soft - soft.detach()


def water_fill(worth_BS: Tensor, valid_BS: Tensor, mean_depth_B: Tensor, levels: int) -> Tensor:
    """Depth `(B, S)` = clip(worth - line, 0, levels), the line set so that valid tokens average `mean_depth`.

    Invalid tokens get depth 0. The line is found by bisection and carries no gradient.
    """
    weight = valid_BS.to(worth_BS.dtype)
    count_B = weight.sum(-1).clamp_min(1.0)
    with torch.no_grad():
        low = worth_BS.amin(-1) - levels - 1.0
        high = worth_BS.amax(-1) + 1.0
        for _ in range(24):
            line = (low + high) / 2
            mean = ((worth_BS - line[:, None]).clamp(0, levels) * weight).sum(-1) / count_B
            low, high = torch.where(mean > mean_depth_B, line, low), torch.where(mean > mean_depth_B, high, line)
    return (worth_BS - high[:, None]).clamp(0, levels) * weight


def even_worth(valid_BS: Tensor) -> Tensor:
    """Worth `(B, S)` under which every valid token gets the same depth; a fraction of a level is spread over time.

    Numbers in -0.5…0.5 that never repeat and fill evenly (multiples of the golden ratio): of any stretch of tokens the
    right share rounds up.
    """
    step_S = torch.arange(valid_BS.shape[-1], device=valid_BS.device, dtype=torch.float32)
    return ((step_S * 0.6180339887) % 1.0 - 0.5) * valid_BS


def _gather(x_ME: Tensor) -> Tensor:
    """The tokens of all processes, so that every process learns the same codebooks."""
    if not (dist.is_available() and dist.is_initialized()):
        return x_ME
    own = torch.tensor([len(x_ME)], device=x_ME.device)
    sizes = [torch.zeros_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, own)
    counts = [int(n) for n in sizes]
    padded = F.pad(x_ME, (0, 0, 0, max(counts) - len(x_ME)))
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])


def _spread(x_ME: Tensor, n: int) -> Tensor:
    """n of the tokens, evenly spread over the batch: without randomness, so all processes pick the same."""
    return x_ME[torch.arange(n, device=x_ME.device) * len(x_ME) // n]
