"""The second stage: the decoder of codes alone learns to draw, at every rate, from codebooks that stand still.

Its loss is the logarithm of a window's error share, so that 16 bit/s and all levels count alike. The encoder is run
only where latents or worth depend on it; after `cardiofm.train.settle` they seldom do.

Shapes: B windows of one process, C channels, N samples, S token steps, P samples of a token.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.encoder import Tokens, token_visible
from cardiofm.model.tokenizer import normalise
from cardiofm.train.batches import Batch
from cardiofm.train.processes import place, shared_mean

LEAST_SHARE = 1e-4  # of the error: 1 % PRD is as good as none
DEPTHS = (0.1, 6.0)  # mean levels a token, log-uniform between: 10 to 600 bit/s at 80 ms and 8 bits


class Codec(nn.Module):
    """The objective of drawing from codes: `(batch, step)` to a loss and its parts; all else of the model is fixed."""

    def __init__(self, model: CardioFM, seed: int) -> None:
        super().__init__()
        self.model, self.seed = model, seed
        model.requires_grad_(False)
        model.codes.requires_grad_(True)

    def train(self, mode: bool = True) -> Codec:
        """Codebooks learn whenever their module trains, so only the decoder of codes does."""
        super().train(mode)
        self.model.encoder.eval()
        self.model.quantizer.eval()
        return self

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        present = tuple(("ecg", "ppg").index(m) for m in batch.present)
        with torch.no_grad():
            tokens = self._tokens(batch, present)
            made = self.model.quantize(tokens, self._depth(step, len(batch.x_BCN), batch.x_BCN.device))
        coded = [None if v is None else self.model.block.coded(v) for v in tokens.visible]
        latents = [None if q is None else q.latent_BSE for q in made]
        depths = [None if q is None else q.depth_BS for q in made]
        drawn_BCN = self.model.codes(latents, depths, coded)
        loss, logs = drawn_BCN.new_zeros(()), {}
        for c in present:
            patch_BSP, seen_BS = tokens.patches[c], tokens.visible[c]
            assert patch_BSP is not None
            assert seen_BS is not None
            error_BSP = (drawn_BCN[:, c].unflatten(-1, patch_BSP.shape[1:]) - patch_BSP) * seen_BS[..., None]
            power_B = (patch_BSP * seen_BS[..., None]).square().sum((1, 2))
            some_B = power_B > 0
            share_B = error_BSP.square().sum((1, 2)) / torch.where(some_B, power_B, 1.0)
            log_B = torch.log(share_B + LEAST_SHARE) / 2 * some_B
            logs[f"log_prd_{batch.present[present.index(c)]}"] = shared_mean(log_B.sum(), some_B.sum())
            loss = loss + logs[f"log_prd_{batch.present[present.index(c)]}"] / len(present)
        return loss, logs

    def _tokens(self, batch: Batch, present: tuple[int, ...]) -> Tokens:
        """The clean windows as tokens; without the encoder their `z` are zeros, which nothing then reads."""
        clean, valid = batch.target_BCN, batch.valid_BCN
        if any(bool(p.any()) for p in self._readers()):
            return self.model.encoder(clean, valid, batch.in_mv_BC, present)
        x_BCN, offset_BC, scale_BC = normalise(clean, valid)
        patch, width = self.model.config.spec.patch, self.model.config.encoder.width
        found = Tokens([None, None], [None, None], [None, None], offset_BC, scale_BC)
        for c in present:
            found.patches[c] = x_BCN[:, c].unflatten(-1, (-1, patch))
            found.visible[c] = token_visible(valid[:, c], patch)
            found.z[c] = x_BCN.new_zeros(len(x_BCN), x_BCN.shape[-1] // patch, width)
        return found

    def _readers(self) -> Iterator[Tensor]:
        """What reads the encoder's tokens on the way to codes."""
        yield from self.model.to_code.parameters()
        yield from self.model.worth.parameters()

    def _depth(self, step: int, B: int, device: torch.device) -> Tensor:
        rank, world = place()
        draw = np.random.default_rng((self.seed, step, 11))
        depth_G = np.exp(draw.uniform(np.log(DEPTHS[0]), np.log(DEPTHS[1]), B * world))[rank * B : (rank + 1) * B]
        return torch.tensor(depth_G, dtype=torch.float32, device=device)
