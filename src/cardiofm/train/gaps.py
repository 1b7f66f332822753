"""The stage that trains the decoder of tokens alone: whole stretches and whole channels, drawn beside their echo.

The first stage hides many short spans, where the echo is poor; in use one stretch of a second or two is missing, and
the echo is good. Here the decoder learns how far to trust it, from an encoder that stands still;
and how far to trust samples that are visible and noisy.

Shapes: B windows of one process, C channels, N samples, S token steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.tokenizer import normalise
from cardiofm.train.batches import Batch
from cardiofm.train.losses import huber, spectral
from cardiofm.train.part import OnePart, channels
from cardiofm.train.processes import place

LENGTH_S = (0.4, 2.4)  # of a hidden stretch, uniform
SPECTRAL_WEIGHT = 0.3
CLEAN_WEIGHT = 1.0  # of visible samples, cleaned of the noise that the input was given


@dataclass(frozen=True)
class Shares:
    """What is hidden in a window that has both signals: probabilities, the rest is a stretch of one signal."""

    both: float = 0.2  # the same stretch of both
    whole: float = 0.25  # one signal throughout


class Gaps(OnePart):
    """The objective of drawing gaps: `(batch, step)` to a loss and its parts; only the decoder of tokens learns."""

    def __init__(self, model: CardioFM, seed: int, shares: Shares | None = None) -> None:
        super().__init__(model, model.decoder, seed)
        self.shares = shares or Shares()
        model.decoder.begin()  # what the first stage trusts, in its many short gaps, is worth nothing here

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        own = channels(batch)
        hidden_BCN, whole = self._hidden(batch, step, tuple(own))
        visible_BCN = batch.valid_BCN & ~hidden_BCN
        with torch.no_grad():
            run = tuple(c for c in own if c != whole)
            tokens = self.model.encoder(batch.x_BCN, visible_BCN, batch.in_mv_BC, run)
        steps = self.model.config.spec.tokens
        drawn_BCN, clean_BCN, _ = self.model.decoder.tokens(tokens, steps, wanted=tuple(own))
        losses, logs = [], {}
        for c, name in own.items():
            offset_B1, scale_B1 = tokens.offset_BC[:, c, None], tokens.scale_BC[:, c, None]
            if c == whole:
                _, offset_B1, scale_B1 = normalise(batch.target_BCN[:, c : c + 1], batch.valid_BCN[:, c : c + 1])
            target_BN = ((batch.target_BCN[:, c] - offset_B1) / scale_B1).clamp(-20, 20) * batch.valid_BCN[:, c]
            weight_BN = (batch.valid_BCN[:, c] & hidden_BCN[:, c]).float()
            wave = logs[f"{'whole' if c == whole else 'gap'}_{name}"] = huber(drawn_BCN[:, c], target_BN, weight_BN)
            losses.append(wave + SPECTRAL_WEIGHT * spectral(drawn_BCN[:, c], target_BN, weight_BN))
            if c != whole:
                logs[f"clean_{name}"] = huber(clean_BCN[:, c], target_BN, visible_BCN[:, c].float())
                losses.append(CLEAN_WEIGHT * logs[f"clean_{name}"])
        return torch.stack(losses).sum() / len(own), logs

    def _hidden(self, batch: Batch, step: int, present: tuple[int, ...]) -> tuple[Tensor, int | None]:
        """What is hidden `(B, C, N)`, on the grid of tokens, and the channel that is hidden throughout, if one is.

        A step hides the same kind in all windows, at a place and of a length of each window's own.
        """
        rank, world = place()
        draw = np.random.default_rng((self.seed, step, 13))
        spec, (B, C, N) = self.model.config.spec, batch.x_BCN.shape
        kind = draw.random() if len(present) == 2 else 1.0
        channel = present[int(draw.integers(len(present)))]
        length_G = draw.uniform(*LENGTH_S, B * world)[rank * B : (rank + 1) * B]
        at_G = draw.random(B * world)[rank * B : (rank + 1) * B]
        hidden_BCN = torch.zeros(B, C, N, dtype=torch.bool)
        if kind < self.shares.whole:
            hidden_BCN[:, channel] = True
            return hidden_BCN.to(batch.x_BCN.device), channel
        channels = list(present) if kind < self.shares.whole + self.shares.both else [channel]
        for b in range(B):
            steps = max(1, min(round(length_G[b] / spec.token_s), spec.tokens - 1))
            first = int(at_G[b] * (spec.tokens - steps + 1))
            hidden_BCN[b, channels, first * spec.patch : (first + steps) * spec.patch] = True
        return hidden_BCN.to(batch.x_BCN.device), None
