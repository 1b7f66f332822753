"""The terms that ask a window about itself: its facts from the embedding, its beats from the decoder's tokens (torch).

Shapes: B windows, C channels (ecg, ppg), S token steps, T bins of the beat map (J in a token), D width, F facts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardiofm.train.processes import shared_mean, total

SLOWEST = 0.002  # least step of the running mean and spread of a fact
LIMIT = 4.0  # spreads from the mean at which a fact is cut
BEAT_WEIGHT = 6.0  # of a bin with a beat beside one without: beats are rare


class Facts(nn.Module):
    """Linear read-out of the standardised facts from an embedding, and its error."""

    mean_F: Tensor
    power_F: Tensor
    count_F: Tensor

    def __init__(self, width: int, facts: int) -> None:
        super().__init__()
        self.read = nn.Linear(width, facts)
        for name in ("mean_F", "power_F", "count_F"):
            self.register_buffer(name, torch.zeros(facts))

    def forward(self, embedding_BD: Tensor, facts_BF: Tensor) -> Tensor:
        """Mean Huber error over the facts that are known, in spreads of each fact."""
        known_BF = torch.isfinite(facts_BF)
        clean_BF = torch.where(known_BF, facts_BF, 0.0)
        if self.training:
            self._follow(clean_BF, known_BF)
        spread_F = (self.power_F - self.mean_F**2).clamp_min(1e-6).sqrt()
        z_BF = ((clean_BF - self.mean_F) / spread_F).clamp(-LIMIT, LIMIT)
        error_BF = F.smooth_l1_loss(self.read(embedding_BD).float(), z_BF, reduction="none") * known_BF
        return shared_mean(error_BF.sum(), known_BF.sum())

    @torch.no_grad()
    def _follow(self, facts_BF: Tensor, known_BF: Tensor) -> None:
        """Move the running mean and mean square of each known fact, fast at first."""
        n_F, sum_F, power_F = total(torch.stack([known_BF.float().sum(0), facts_BF.sum(0), (facts_BF**2).sum(0)]))
        some_F = n_F > 0
        self.count_F += some_F
        pace_F = torch.where(some_F, (1 / self.count_F.clamp_min(1)).clamp_min(SLOWEST), 0.0)
        self.mean_F += pace_F * (sum_F / n_F.clamp_min(1) - self.mean_F)
        self.power_F += pace_F * (power_F / n_F.clamp_min(1) - self.power_F)


class Beats(nn.Module):
    """Where R peaks and feet are, bin by bin, from tokens `(B, S, D)`, and its error."""

    def __init__(self, width: int, bins: int) -> None:
        super().__init__()
        self.read = nn.ModuleList(nn.Linear(width, bins) for _ in range(2))

    def forward(self, h_BSD: Tensor, map_BT: Tensor, valid_BS: Tensor, channel: int) -> Tensor:
        """Mean cross-entropy (nats, weighted) over the bins of valid tokens."""
        logit_BSJ = self.read[channel](h_BSD).float()
        map_BSJ = map_BT.unflatten(-1, (logit_BSJ.shape[1], -1))
        weight = logit_BSJ.new_tensor(BEAT_WEIGHT)
        error_BSJ = F.binary_cross_entropy_with_logits(logit_BSJ, map_BSJ, reduction="none", pos_weight=weight)
        return shared_mean((error_BSJ.mean(-1) * valid_BS).sum(), valid_BS.sum())
