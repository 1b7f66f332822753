"""The last stage of a release: the codec settled on training windows, in closed form.

`python -m cardiofm.train.settle FOLDER --store DIR --out FOLDER` reads a model folder and writes another.
1. Codebooks are k-means of the latents, level by level.
2. `trust`, the weight of the network's correction for each number of levels of a block, is the least-squares one.
Both are done with and without what the encoder adds to the latents, and with and without what it adds to a token's
worth; the pair that draws validation windows best is kept, the other parts are set to nothing.

Shapes: B batch, S token steps, P samples per token, Q levels of a block.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

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
BITS_PER_S = (16.0, 32.0, 64.0, 128.0, 256.0, 512.0)  # a channel, beside all levels
LEAST_TRUST = 1e-3


@torch.no_grad()
def settle(model: CardioFM, store: Segments, batches: int = 24, size: int = 64, seed: int = 5) -> dict[str, float]:
    """Settle the codec of `model` in place on `batches` x `size` training windows.

    Returns the mean log PRD (%) over rates and channels on validation windows for each choice; the least was kept.
    """
    model.eval()
    train = list(_tokens(model, store, "train", batches, size, seed))
    split = "valid" if "valid" in set(map(str, store.rows["split"])) else "train"
    valid = list(_tokens(model, store, split, max(2, batches // 4), size, seed + 1))
    start = {k: v.clone() for k, v in model.state_dict().items()}
    found: dict[str, float] = {}
    best = start
    for added, learned in product((True, False), repeat=2):
        model.load_state_dict(start)
        for part, kept in ((model.to_code, added), (model.worth, learned)):
            _silence(part, not kept)
        _codebooks(model, train)
        _trust(model, train[: max(2, batches // 4)])
        name = f"{'added' if added else 'plain'} latents, {'learned' if learned else 'energy'} worth"
        found[name] = _log_prd(model, valid)
        if found[name] <= min(found.values()):
            best = copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    return found


def _silence(part: nn.Module, off: bool) -> None:
    for parameter in part.parameters() if off else ():
        parameter.zero_()


def _tokens(model: CardioFM, store: Segments, split: str, batches: int, size: int, seed: int) -> Iterator[Tokens]:
    for step in range(batches):
        config = BatchConfig(size=size, paired_share=float(step % 2), split=split, augment=PLAIN)
        batch = Batches(store, model.config.spec, config, seed)(step)
        yield model.encoder(batch.target_BCN, batch.valid_BCN, batch.in_mv_BC, (0, 1))


def _codebooks(model: CardioFM, train: list[Tokens]) -> None:
    """k-means of the latents; a store without a modality leaves its codebooks as they are."""
    for c in range(2):
        quantizer = cast(AdaptiveRVQ, model.quantizer[c])
        latents, books = [], []
        for tokens in train:
            coded_BS = model.block.coded(cast(Tensor, tokens.visible[c]))
            latents.append(model.latent(tokens, c)[coded_BS])
            books.append(quantizer.book(coded_BS.shape[1]).expand_as(coded_BS)[coded_BS])
        found_ME, book_M = torch.cat(latents), torch.cat(books)
        if len(found_ME) >= model.config.quantizer.codes * model.config.quantizer.group:
            quantizer.start(found_ME, book_M)


def _trust(model: CardioFM, train: list[Tokens]) -> None:
    """The least-squares weight of the correction for each number of levels spent on a block."""
    matched_CQ, power_CQ = torch.zeros_like(model.codes.trust), torch.zeros_like(model.codes.trust)
    for tokens in train:
        for rate in (*BITS_PER_S, math.inf):
            made, drawn_BCN = _through(model, tokens, rate)
            for c, (latent_BSE, depth_BS) in enumerate(made):
                total_BS = model.block.total(depth_BS).long()
                direct_BSP = model.block.inverse(latent_BSE)
                drawn_BSP = drawn_BCN[:, c].unflatten(-1, (-1, direct_BSP.shape[-1]))
                correction_BSP = (drawn_BSP - direct_BSP) / model.codes.trust[c][total_BS].exp()[..., None]
                missing_BSP = cast(Tensor, tokens.patches[c]) - direct_BSP
                seen_BS = cast(Tensor, tokens.visible[c])
                at = total_BS[seen_BS]
                matched_CQ[c].index_add_(0, at, (correction_BSP * missing_BSP).sum(-1)[seen_BS])
                power_CQ[c].index_add_(0, at, correction_BSP.square().sum(-1)[seen_BS])
    best = (matched_CQ / power_CQ.clamp_min(1e-9)).clamp(LEAST_TRUST, 1.5).log()
    model.codes.trust.copy_(torch.where(power_CQ > 0, best, model.codes.trust))


def _through(model: CardioFM, tokens: Tokens, bits_per_s: float) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Latents and depths per channel at that rate, and the drawing `(B, C, N)`."""
    config = model.config.quantizer
    depth = min(bits_per_s * model.config.spec.token_s / math.log2(config.codes), float(config.levels))
    budget_B = torch.full((len(tokens.offset_BC),), depth)
    made = [
        (q.latent_BSE, q.depth_BS) for q in model.quantize(tokens, budget_B, budget_B >= config.levels) if q is not None
    ]
    coded = [model.block.coded(v) for v in tokens.visible if v is not None]
    return made, model.codes([y for y, _ in made], [d for _, d in made], list(coded))


def _log_prd(model: CardioFM, valid: list[Tokens]) -> float:
    """Mean over windows, channels and rates of log PRD (%)."""
    found = []
    for tokens in valid:
        for rate in (*BITS_PER_S, math.inf):
            drawn_BCN = _through(model, tokens, rate)[1]
            for c, patch_BSP in enumerate(tokens.patches):
                seen_BN = cast(Tensor, tokens.visible[c]).repeat_interleave(model.config.spec.patch, 1)
                truth_BN = cast(Tensor, patch_BSP).flatten(1) * seen_BN
                error_B = ((drawn_BCN[:, c] - truth_BN) * seen_BN).square().sum(-1)
                power_B = truth_BN.square().sum(-1)
                found.append((error_B / power_B.clamp_min(1e-9))[power_B > 0].clamp_min(1e-8).log() / 2 + math.log(100))
    return float(torch.cat(found).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the model folder to settle")
    parser.add_argument("--store", type=Path, required=True, help="the folder that `cardiofm prepare` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    given = parser.parse_args()
    model = CardioFM.load(given.folder)
    found = settle(model, Store(given.store))
    for name, value in found.items():
        print(f"{name}: PRD {math.exp(value):.2f} % (geometric mean over rates, validation windows)")
    said = {"command": "python -m cardiofm.train.settle, 24 x 64 training windows, seed 5", "log_prd": found}
    model.save(given.out, read_provenance(given.folder) | {"settled": said})


if __name__ == "__main__":
    main()
