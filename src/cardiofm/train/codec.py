"""The second stage: the decoder of codes alone learns to draw, at every rate, from codebooks that stand still.

Its loss is the logarithm of a window's error share, so that 16 bit/s and all levels count alike. The encoder is not
run: codes are of samples.

Shapes: B windows of one process, C channels, N samples, S token steps, P samples of a token.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cardiofm.model.cardiofm import CardioFM
from cardiofm.train.batches import Batch
from cardiofm.train.losses import log_share
from cardiofm.train.part import OnePart, channels
from cardiofm.train.processes import place

LEAST_SHARE = 1e-4  # of the error: 1 % PRD is as good as none
DEPTHS = (0.1, 6.0)  # mean levels a token, log-uniform between: 10 to 600 bit/s at 80 ms and 8 bits


class Codec(OnePart):
    """The objective of drawing from codes: `(batch, step)` to a loss and its parts; all else of the model is fixed."""

    def __init__(self, model: CardioFM, seed: int) -> None:
        super().__init__(model, model.codes, seed)

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        own = channels(batch)
        with torch.no_grad():
            tokens = self.model.sampled(batch.target_BCN, batch.valid_BCN, tuple(own))
            made = self.model.quantize(tokens, self._depth(step, len(batch.x_BCN), batch.x_BCN.device))
        coded = [None if v is None else self.model.block.coded(v) for v in tokens.visible]
        latents = [None if q is None else q.latent_BSE for q in made]
        depths = [None if q is None else q.depth_BS for q in made]
        drawn_BCN = self.model.codes(latents, depths, coded)
        logs = {}
        for c, name in own.items():
            patch_BSP, seen_BS = tokens.patches[c], tokens.visible[c]
            assert patch_BSP is not None
            assert seen_BS is not None
            seen_BN = seen_BS[..., None].expand_as(patch_BSP).flatten(1)
            logs[f"log_prd_{name}"] = log_share(drawn_BCN[:, c], patch_BSP.flatten(1), seen_BN, LEAST_SHARE)
        return torch.stack(list(logs.values())).mean(), logs

    def _depth(self, step: int, B: int, device: torch.device) -> Tensor:
        rank, world = place()
        draw = np.random.default_rng((self.seed, step, 11))
        depth_G = np.exp(draw.uniform(np.log(DEPTHS[0]), np.log(DEPTHS[1]), B * world))[rank * B : (rank + 1) * B]
        return torch.tensor(depth_G, dtype=torch.float32, device=device)
