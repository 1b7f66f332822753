"""The last stage of a release: the codec settled on training windows, in closed form.

`python -m cardiofm.train.settle FOLDER --store DIR --out FOLDER` reads a model folder and writes another.
1. What the encoder adds to the codes and to a token's worth is set to nothing (`docs/log.md`: on validation windows it
   made the codes harder to quantize than better), so latents are cosine transforms and depth follows energy.
2. Codebooks are k-means of those latents, level by level.
3. `trust`, the weight of the network's correction at each depth, is the least-squares one.

Shapes: B batch, S token steps, P samples per token, Q levels.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from cardiofm.data.store import Store
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.checkpoint import read_provenance
from cardiofm.model.encoder import Tokens
from cardiofm.model.quantizer import AdaptiveRVQ
from cardiofm.train.augment import AugmentConfig
from cardiofm.train.batches import BatchConfig, Batches, Segments

PLAIN = AugmentConfig(
    **dict.fromkeys(("gain_mv", "gain_nu"), 1.0),
    **dict.fromkeys(("flip_share", "stretch_share", "drop_mv_share", "noise_share", "sensor_share"), 0.0),
    **dict.fromkeys(("wander_share", "clip_share", "gap_share"), 0.0),
)
MEAN_DEPTHS = (0.3, 1.0, 2.5, 5.0)  # levels per token at which trust is measured, beside all of them
LEAST_TRUST = 1e-3


@torch.no_grad()
def settle(model: CardioFM, store: Segments, batches: int = 8, size: int = 64, seed: int = 5) -> CardioFM:
    """Settle the codec of `model` in place on `batches` x `size` training windows; returns it."""
    model.eval()
    for part in (*model.to_code.parameters(), *model.worth.parameters()):
        part.zero_()
    model.slope.fill_(1.0)
    latents: list[list[Tensor]] = [[], []]
    for tokens in _tokens(model, store, batches, size, seed):
        for c in range(2):
            latents[c].append(model.latent(tokens, c)[cast(Tensor, tokens.visible[c])])
    for c in range(2):
        found = torch.cat(latents[c])
        if len(found) >= model.config.quantizer.codes:  # a store without this modality leaves its codebooks as they are
            cast(AdaptiveRVQ, model.quantizer[c]).start(found)
    top = model.config.quantizer.levels
    matched, power = torch.zeros(2, top + 1), torch.zeros(2, top + 1)
    for tokens in _tokens(model, store, max(1, batches // 4), size, seed):
        for mean_depth in (*MEAN_DEPTHS, float(top)):
            _measure(model, tokens, mean_depth, matched, power)
    best = (matched / power.clamp_min(1e-9)).clamp(LEAST_TRUST, 1.0).log()
    model.decoder.trust.copy_(torch.where(power > 0, best, model.decoder.trust))
    return model


def _tokens(model: CardioFM, store: Segments, batches: int, size: int, seed: int) -> Iterator[Tokens]:
    for step in range(batches):
        config = BatchConfig(size=size, paired_share=float(step % 2), augment=PLAIN)
        batch = Batches(store, model.config.spec, config, seed)(step)
        yield model.encoder(batch.target_BCN, batch.valid_BCN, batch.in_mv_BC, (0, 1))


def _measure(model: CardioFM, tokens: Tokens, mean_depth: float, matched_CQ: Tensor, power_CQ: Tensor) -> None:
    """Add, per channel and depth, the correction's product with what was missing, and its energy."""
    top = model.config.quantizer.levels
    budget_B = torch.full((len(tokens.offset_BC),), mean_depth)
    made = [q for q in model.quantize(tokens, budget_B, budget_B >= top) if q is not None]
    depths: list[Tensor | None] = [q.depth_BS for q in made]
    drawn_BCN = model.decoder.codes([q.latent_BSE for q in made], depths, tokens.visible)
    for c, quantized in enumerate(made):
        depth_BS = quantized.depth_BS.long()
        direct_BSP = quantized.latent_BSE @ model.decoder.basis_EP
        drawn_BSP = drawn_BCN[:, c].unflatten(-1, (-1, direct_BSP.shape[-1]))
        correction_BSP = (drawn_BSP - direct_BSP) / model.decoder.trust[c][depth_BS].exp()[..., None]
        missing_BSP = cast(Tensor, tokens.patches[c]) - direct_BSP
        seen_BS = cast(Tensor, tokens.visible[c])
        at = depth_BS[seen_BS]
        matched_CQ[c].index_add_(0, at, (correction_BSP * missing_BSP).sum(-1)[seen_BS])
        power_CQ[c].index_add_(0, at, correction_BSP.square().sum(-1)[seen_BS])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the model folder to settle")
    parser.add_argument("--store", type=Path, required=True, help="the folder that `cardiofm prepare` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    given = parser.parse_args()
    model = settle(CardioFM.load(given.folder), Store(given.store))
    before = read_provenance(given.folder)
    model.save(given.out, before | {"settled": "python -m cardiofm.train.settle, 8 x 64 training windows, seed 5"})


if __name__ == "__main__":
    main()
