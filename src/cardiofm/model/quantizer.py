"""Adaptive residual vector quantization: each token gets as many codebook levels as it needs under a budget.

Shapes: B batch, S token steps, Q levels, K codes of a book, R rows (codes of all books), E code width, P samples of a
token, M tokens used for learning.

The tokens of a block of `group` carry the block's cosine transform, lowest frequencies first: a pulse needs few numbers
in 400 ms, but many in five times 80 ms. The first token of a block has a codebook of its own.

Residual quantization with EMA codebooks (van den Oord 2017; Zeghidour 2021). The residual is detached per level and
the straight-through estimator is applied once at the end, so every level's commitment reaches the encoder.
Depth follows what levels are worth: the log of the squared error that a level of a token takes away, measured, plus
what a small net adds. A budget (mean levels per token) sets one line per window; a token keeps the levels above it.
That is the greedy allocation of Shoham & Gersho (1988), and one model thereby covers every rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from cardiofm.model.layers import cosines

LEAST_GAIN = 1e-4  # of the squared error of a token, in squared normalised units
TURN = 0.02  # how far apart equal blocks are put


@dataclass(frozen=True)
class QuantizerConfig:
    """Codebooks of one modality."""

    levels: int = 12  # Q
    codes: int = 256  # K per level, so 8 bits a code
    group: int = 5  # tokens whose samples are transformed together
    width: int = 16  # E
    decay: float = 0.98  # of the moving averages behind the codebooks
    dead: float = 0.2  # a code used less than this share of uniform use is replaced
    adaptive: bool = True  # False: every block has the same depths to within one level (ablation)
    bypass: bool = False  # True: latents are drawn unquantized (ablation)


class Quantized(NamedTuple):
    """What the quantizer says of a batch of tokens."""

    latent_BSE: Tensor  # sum of the codes within each token's depth, straight-through
    codes_BSQ: Tensor  # int64, all levels, each below K
    depth_BS: Tensor  # levels used, 0…Q
    commitment: Tensor  # scalar, mean over levels
    perplexity_Q: Tensor  # of the codes chosen in this batch


class Blocks(nn.Module):
    """The cosine transform of blocks of `group` tokens (Ahmed, Natarajan, Rao 1974) and its inverse."""

    basis_FX: Tensor  # F numbers of a block from its X samples, orthonormal

    def __init__(self, config: QuantizerConfig, patch: int) -> None:
        super().__init__()
        self.group = config.group
        basis_FX = cosines(config.group * config.width, config.group * patch)
        self.register_buffer("basis_FX", basis_FX, persistent=False)

    def forward(self, patch_BSP: Tensor) -> Tensor:
        """Latents `(B, S, E)` of samples `(B, S, P)`: token k of a block has its k-th E frequencies."""
        block = patch_BSP.unflatten(1, (-1, self.group)).flatten(2) @ self.basis_FX.T
        return block.unflatten(-1, (self.group, -1)).flatten(1, 2)

    def inverse(self, latent_BSE: Tensor) -> Tensor:
        """Samples `(B, S, P)` of latents `(B, S, E)`."""
        block = latent_BSE.unflatten(1, (-1, self.group)).flatten(2) @ self.basis_FX
        return block.unflatten(-1, (self.group, -1)).flatten(1, 2)

    def coded(self, seen_BS: Tensor) -> Tensor:
        """The tokens of blocks of which any is visible: these have codes."""
        return seen_BS.unflatten(1, (-1, self.group)).any(-1).repeat_interleave(self.group, dim=1)

    def total(self, depth_BS: Tensor) -> Tensor:
        """Levels spent on the whole block of each token."""
        return depth_BS.unflatten(1, (-1, self.group)).sum(-1).repeat_interleave(self.group, dim=1)


class AdaptiveRVQ(nn.Module):
    """Quantizes `(B, S, E)` latents with per-token depth."""

    codebook_QRE: Tensor
    usage_QR: Tensor
    total_QRE: Tensor
    ready: Tensor

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.config = config
        self.books = 1 if config.group == 1 else 2
        Q, R, E = config.levels, self.books * config.codes, config.width
        self.register_buffer("codebook_QRE", torch.zeros(Q, R, E))
        self.register_buffer("usage_QR", torch.ones(Q, R))
        self.register_buffer("total_QRE", torch.zeros(Q, R, E))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))

    def book(self, steps: int) -> Tensor:
        """Which codebook each of `steps` tokens has, `(S,)`: 0 for the first of a block, else 1."""
        at_S = torch.arange(steps, device=self.codebook_QRE.device)
        return (at_S % self.config.group != 0).long()

    def forward(self, y_BSE: Tensor, valid_BS: Tensor, depth_BS: Tensor) -> Quantized:
        """Quantize; in training mode also learn the codebooks from the valid tokens (all levels, unmasked).

        `depth_BS` is real-valued in 0…Q; its gradient is that of a smooth step around each level.
        """
        if self.training:
            self._learn(y_BSE.detach()[valid_BS], self.book(y_BSE.shape[1]).expand(valid_BS.shape)[valid_BS])
        residual, codes, commitment, latent = y_BSE, [], [], torch.zeros_like(y_BSE)
        weight_BS1 = valid_BS.to(y_BSE.dtype)[..., None]
        for q in range(self.config.levels):
            index_BS = self.nearest(residual.detach(), q)
            code_BSE = self.vectors(index_BS, q)
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

    def search(self, y_BSE: Tensor) -> tuple[Tensor, Tensor]:
        """Codes `(B, S, Q)` of latents `(B, S, E)`, and the squared error `(B, S, Q + 1)` after 0, 1, … Q of them."""
        residual, codes, error = y_BSE, [], [y_BSE.square().sum(-1)]
        for q in range(self.config.levels):
            codes.append(self.nearest(residual, q))
            residual = residual - self.vectors(codes[-1], q)
            error.append(residual.square().sum(-1))
        return torch.stack(codes, dim=-1), torch.stack(error, dim=-1)

    def nearest(self, x_BSE: Tensor, level: int) -> Tensor:
        """Index `(B, S)`, below K, of the nearest code of that level in the token's book (squared distance)."""
        return self._nearest(x_BSE, self.book(x_BSE.shape[1]), level)

    def _nearest(self, x_XME: Tensor, book_M: Tensor, level: int) -> Tensor:
        all_RE = self.codebook_QRE[level]
        score_XMR = all_RE.square().sum(-1) - 2 * x_XME @ all_RE.T
        if self.books == 1:
            return score_XMR.argmin(-1)
        first, rest = (part.argmin(-1) for part in score_XMR.chunk(2, dim=-1))
        return torch.where(book_M == 0, first, rest)

    def vectors(self, codes_BS: Tensor, level: int) -> Tensor:
        """The entries `(B, S, E)` of that level that codes `(B, S)` name."""
        return self.codebook_QRE[level][codes_BS + self.config.codes * self._shift(codes_BS.shape[1])]

    def _shift(self, steps: int) -> Tensor:
        return self.book(steps) * (self.books - 1)

    def dequantize(self, codes_BSQ: Tensor, depth_BS: Tensor) -> Tensor:
        """Latents `(B, S, E)` of codes, each token summed over its first `depth` levels."""
        latent = torch.zeros(*codes_BSQ.shape[:2], self.config.width, device=codes_BSQ.device)
        for q in range(self.config.levels):
            used_BS1 = (depth_BS > q).to(latent.dtype)[..., None]
            latent = latent + used_BS1 * self.vectors(codes_BSQ[..., q], q)
        return latent

    @torch.no_grad()
    def _learn(self, x_ME: Tensor, book_M: Tensor) -> None:
        """One EMA step of every level; k-means the first time; codes out of use restart at current residuals."""
        x_ME, book_M = _gather(x_ME), _gather(book_M[:, None])[:, 0]
        if len(x_ME) < 2:
            return
        if not bool(self.ready):
            self.start(x_ME, book_M)
        codes, decay = self.config.codes, self.config.decay
        for q in range(self.config.levels):
            row_M = self._nearest(x_ME, book_M, q) + codes * book_M * (self.books - 1)
            residual = x_ME - self.codebook_QRE[q][row_M]
            count_R = torch.bincount(row_M, minlength=self.books * codes).to(x_ME.dtype)
            self.usage_QR[q].mul_(decay).add_(count_R, alpha=1 - decay)
            self.total_QRE[q].mul_(decay)
            self.total_QRE[q].index_add_(0, row_M, x_ME, alpha=1 - decay)
            self.codebook_QRE[q].copy_(self.total_QRE[q] / self.usage_QR[q].clamp_min(1e-5)[:, None])
            for b in range(self.books):
                self._revive(q, b, x_ME if self.books == 1 else x_ME[book_M == b])
            x_ME = residual

    def _revive(self, level: int, book: int, x_ME: Tensor) -> None:
        """Put the dead codes of one book at some of the residuals `x`."""
        own = slice(book * self.config.codes, (book + 1) * self.config.codes)
        usage_K = self.usage_QR[level, own]
        dead_K = usage_K < self.config.dead * usage_K.mean()
        if bool(dead_K.any()) and len(x_ME):
            fresh = _spread(x_ME, int(dead_K.sum()))
            self.codebook_QRE[level, own][dead_K] = fresh
            usage_K[dead_K] = usage_K.mean()
            self.total_QRE[level, own][dead_K] = fresh * usage_K.mean()

    @torch.no_grad()
    def learn_once(self, x_ME: Tensor) -> None:
        """k-means of the tokens of all processes (one book); waits for another batch where they are too few."""
        x_ME = _gather(x_ME)
        if len(x_ME) >= self.config.codes:
            self.start(x_ME, torch.zeros(len(x_ME), dtype=torch.int64, device=x_ME.device))

    def start(self, x_ME: Tensor, book_M: Tensor, rounds: int = 8) -> None:
        """k-means of each level's residuals, in turn, for each book from its own tokens."""
        codes = self.config.codes
        for b in range(self.books):
            own_ME = x_ME if self.books == 1 else x_ME[book_M == b]
            own = slice(b * codes, (b + 1) * codes)
            for q in range(self.config.levels if len(own_ME) else 0):
                centre_KE, index_M = _k_means(own_ME, codes, rounds)
                count_K = torch.bincount(index_M, minlength=codes).to(x_ME.dtype).clamp_min(0.5)
                self.codebook_QRE[q, own], self.usage_QR[q, own] = centre_KE, count_K
                self.total_QRE[q, own] = centre_KE * count_K[:, None]
                own_ME = own_ME - centre_KE[index_M]
        self.ready.fill_(True)

    def _perplexity(self, codes_MQ: Tensor) -> Tensor:
        K, Q = self.config.codes, self.config.levels
        slot_MQ = codes_MQ + K * torch.arange(Q, device=codes_MQ.device)
        share_QK = torch.bincount(slot_MQ.flatten(), minlength=Q * K).view(Q, K) / max(len(codes_MQ), 1)
        return torch.exp(-(share_QK * torch.log(share_QK + 1e-9)).sum(-1))


def _k_means(x_ME: Tensor, codes: int, rounds: int) -> tuple[Tensor, Tensor]:
    """Centres `(K, E)` and the nearest one of each row `(M,)`; a centre without rows stays where it was."""

    def nearest(centre_KE: Tensor) -> Tensor:
        return (centre_KE.square().sum(-1) - 2 * x_ME @ centre_KE.T).argmin(-1)

    centre_KE = _spread(x_ME, codes)
    for _ in range(rounds):
        index_M = nearest(centre_KE)
        count_K = torch.bincount(index_M, minlength=codes).to(x_ME.dtype)
        mean_KE = torch.zeros_like(centre_KE).index_add_(0, index_M, x_ME) / count_K.clamp_min(1.0)[:, None]
        centre_KE = torch.where(count_K[:, None] > 0, mean_KE, centre_KE)
    return centre_KE, nearest(centre_KE)


def level_mask(depth_BS: Tensor, level: int) -> Tensor:
    """1 where the token's depth reaches past the middle of `level`, else 0; gradient of a smooth step."""
    soft = (depth_BS - level).clamp(0.0, 1.0)
    soft = soft * soft * (3 - 2 * soft)
    hard = (depth_BS > level + 0.5).to(soft.dtype)
    return hard + soft - soft.detach()


def log_gains(error_BSQ: Tensor) -> Tensor:
    """Worth `(B, S, Q)` of each level: log of the squared error it takes away, never more than the level before it.

    `error (B, S, Q + 1)` is what is left after 0, 1, … Q levels.
    """
    gain_BSQ = (error_BSQ[..., :-1] - error_BSQ[..., 1:]).clamp_min(0.0) + LEAST_GAIN
    worth, lowest = [], gain_BSQ[..., 0]
    for q in range(gain_BSQ.shape[-1]):
        lowest = torch.minimum(lowest, gain_BSQ[..., q])
        worth.append(lowest)
    return torch.stack(worth, dim=-1).log()


def water_fill(worth_BSQ: Tensor, valid_BS: Tensor, mean_depth_B: Tensor) -> Tensor:
    """Depth `(B, S)`: the levels whose worth is above a line, which is set so that valid tokens average `mean_depth`.

    A level within half a unit of the line counts in part, so that worth has a gradient; the line, found by bisection,
    has none. Invalid tokens get depth 0.
    """
    weight = valid_BS.to(worth_BSQ.dtype)
    count_B = weight.sum(-1).clamp_min(1.0)
    with torch.no_grad():
        low, high = worth_BSQ.amin((1, 2)) - 1.0, worth_BSQ.amax((1, 2)) + 1.0
        for _ in range(24):
            line = (low + high) / 2
            mean = (_above(worth_BSQ, line) * weight).sum(-1) / count_B
            low, high = torch.where(mean > mean_depth_B, line, low), torch.where(mean > mean_depth_B, high, line)
    return _above(worth_BSQ, high) * weight


def _above(worth_BSQ: Tensor, line_B: Tensor) -> Tensor:
    return (worth_BSQ - line_B[:, None, None] + 0.5).clamp(0.0, 1.0).sum(-1)


def even_worth(worth_BSQ: Tensor, coded_BS: Tensor, group: int) -> Tensor:
    """Worth `(B, S, Q)` under which every block gets the same depths, those of its places; left-over levels are spread.

    A place of a block is worth its mean over the window's blocks. The blocks' turns are small numbers that never
    repeat and fill evenly (multiples of the golden ratio): of any stretch of blocks the right share rounds up.
    """
    worth, weight = worth_BSQ.unflatten(1, (-1, group)), coded_BS.unflatten(1, (-1, group))[..., None]
    place = (worth * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1.0)
    turn = (torch.arange(worth.shape[1], device=worth.device, dtype=torch.float32) * 0.6180339887) % 1.0 - 0.5
    return (place + TURN * turn[:, None, None]).flatten(1, 2)


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
