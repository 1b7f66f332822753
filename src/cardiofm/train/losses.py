"""Losses between waveforms and between embeddings (torch): means over the rows of all processes.

Shapes: B batch, N samples, D width, M records.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiofm.train.processes import gathered, shared_mean

STFT_WINDOWS = (
    16,
    64,
    256,
)  # samples at 250 Hz: 64 ms for the QRS, 256 ms for the T wave and the pulse, 1 s for the beat


def huber(drawn_BN: Tensor, target_BN: Tensor, weight_BN: Tensor) -> Tensor:
    """Mean Huber error (delta 1, normalised units) over the weighted samples."""
    error_BN = F.smooth_l1_loss(drawn_BN, target_BN, reduction="none")
    return shared_mean((error_BN * weight_BN).sum(), weight_BN.sum())


def log_share(drawn_BN: Tensor, target_BN: Tensor, weight_BN: Tensor, least: float) -> Tensor:
    """Mean over rows of the log of PRD / 100: half the log of the squared error as a share of the row's power.

    `target` is about zero mean. An error share of `least` is as good as none; a row without power counts nothing.
    """
    power_B = (target_BN.square() * weight_BN).sum(-1)
    some_B = power_B > 0
    share_B = ((drawn_BN - target_BN).square() * weight_BN).sum(-1) / torch.where(some_B, power_B, 1.0)
    return shared_mean((torch.log(share_B + least) / 2 * some_B).sum(), some_B.sum())


def spectral(drawn_BN: Tensor, target_BN: Tensor, weight_BN: Tensor) -> Tensor:
    """Multi-resolution STFT error: log magnitude, plus phase (1 - cos of its error) where the target has energy.

    Phase matters for timing: a beat drawn at the wrong place has the right magnitude. Rows without weight count 0.
    """
    rows = weight_BN.any(-1)
    some = bool(rows.any())
    if not some:  # one silent row, for the other processes wait for this one's sums
        rows = torch.arange(len(rows), device=rows.device) == 0
    errors, weights = [], []
    drawn, target = (drawn_BN * weight_BN)[rows], (target_BN * weight_BN)[rows]
    for size in STFT_WINDOWS:
        if drawn.shape[-1] < size:
            continue
        window = torch.hann_window(size, device=drawn.device)
        a, b = (
            torch.stft(x.float(), size, size // 2, window=window, center=False, return_complex=True) / size**0.5
            for x in (drawn, target)
        )
        size_a, size_b = (torch.sqrt(x.real**2 + x.imag**2 + 1e-6) for x in (a, b))
        magnitude = (torch.log1p(10 * size_a) - torch.log1p(10 * size_b)).abs()
        aligned = a.real * b.real + a.imag * b.imag
        energy = b.abs()
        errors += [magnitude.sum(), (energy * (1 - aligned / (size_a * size_b))).sum()]
        weights += [energy.new_tensor(magnitude.numel() * some), energy.sum()]
    if not errors:  # shorter than the shortest window
        return drawn_BN.new_zeros(())
    parts = shared_mean(torch.stack(errors), torch.stack(weights), 1e-3)
    return sum(parts, drawn_BN.new_zeros(())) / len(STFT_WINDOWS)


def at_best_lag(
    drawn_BN: Tensor, target_BN: Tensor, weight_BN: Tensor, reach: int, toll: float, sharpness: float = 50.0
) -> tuple[Tensor, Tensor]:
    """The error as a share of the target's power, at the lag that suits it best, and that lag in samples, each `(B,)`.

    Lags go from -`reach` to `reach`, positive where the drawing is late; the furthest costs `toll`, nearer ones by
    the square. The minimum is soft: lags that are worse by 1 / `sharpness` take part, and it is 1 / `sharpness` times
    their logarithm above the least where all are alike. Rows without power have 0.
    """
    known_BN = weight_BN * target_BN
    power_BL = by_lag(known_BN * target_BN, torch.ones_like(drawn_BN), reach)
    along_BL, drawn_BL = by_lag(known_BN, drawn_BN, reach), by_lag(weight_BN, drawn_BN.square(), reach)
    error_BL = drawn_BL - 2 * along_BL + power_BL
    lag_L = torch.arange(-reach, reach + 1, device=drawn_BN.device)
    some_B = power_BL[:, reach] > 0
    least_B1 = (power_BL[:, reach, None] / 2).clamp_min(1e-3)  # where little of the target is left, as if half were
    paid_BL = error_BL / torch.maximum(power_BL, least_B1) + toll * (lag_L / reach).square()
    share_B = (math.log(len(lag_L)) - torch.logsumexp(-sharpness * paid_BL, dim=-1)) / sharpness
    return share_B * some_B, lag_L[paid_BL.argmin(-1)]


def by_lag(a_BN: Tensor, b_BN: Tensor, reach: int) -> Tensor:
    """The sum over n of a[n] * b[n + lag] for each lag from -`reach` to `reach`, `(B, L)`.

    >>> by_lag(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 5.0]]), 1).round().tolist()
    [[0.0, 0.0, 5.0]]
    """
    wide = 2 * a_BN.shape[-1]
    spectrum = torch.fft.rfft(a_BN.float(), wide).conj() * torch.fft.rfft(b_BN.float(), wide)
    full_BM = torch.fft.irfft(spectrum, wide)
    return torch.cat([full_BM[:, wide - reach :], full_BM[:, : reach + 1]], dim=-1)


def contrastive(first_MD: Tensor, second_MD: Tensor, temperature: float = 0.2) -> tuple[Tensor, Tensor]:
    """InfoNCE both ways between two views of M records, and the share of views whose partner is nearest.

    Each number is first standardised over the batch: what all windows share would drown what tells them apart.
    """
    both_XD = torch.cat([gathered(first_MD), gathered(second_MD)])
    both_XD = F.normalize((both_XD - both_XD.mean(0)) / (both_XD.var(0) + 1e-5).sqrt(), dim=-1)
    a, b = both_XD.chunk(2)
    score_MM = a @ b.T / temperature
    own = torch.arange(len(a), device=a.device)
    loss = (F.cross_entropy(score_MM, own) + F.cross_entropy(score_MM.T, own)) / 2
    return loss, (score_MM.argmax(-1) == own).float().mean()
