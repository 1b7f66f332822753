"""Between the two stages: the codebooks settled on training windows, in closed form.

`python -m cardiofm.train.settle FOLDER --store DIR --out FOLDER` reads a model folder and writes another. Codebooks are
k-means of the latents, level by level. The decoder of codes begins at no correction, for `configs/codec.toml` to train;
that of tokens at its echo, for `configs/gaps.toml`.

Shapes: B batch, S token steps, P samples per token, Q levels, M tokens.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from cardiofm.data.store import Store
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.checkpoint import read_provenance
from cardiofm.model.encoded import depths
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
MOST_TOKENS = 60_000  # that k-means of one codebook is given


@torch.no_grad()
def settle(model: CardioFM, store: Segments, batches: int = 24, size: int = 64, seed: int = 5) -> float:
    """Settle the codec of `model` in place on `batches` x `size` training windows.

    Returns the mean log PRD (%) over rates and channels on validation windows.
    """
    model.eval()
    _codebooks(model, list(_tokens(model, store, "train", batches, size, seed)))
    split = "valid" if "valid" in set(map(str, store.rows["split"])) else "train"
    found = _log_prd(model, list(_tokens(model, store, split, max(2, batches // 6), size, seed + 1)))
    model.codes.begin()
    model.decoder.begin()
    return found


def _tokens(model: CardioFM, store: Segments, split: str, batches: int, size: int, seed: int) -> Iterator[Tokens]:
    for step in range(batches):
        config = BatchConfig(size=size, paired_share=float(step % 2), split=split, augment=PLAIN)
        batch = Batches(store, model.config.spec, config, seed)(step)
        yield model.sampled(batch.target_BCN, batch.valid_BCN, (0, 1))


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
        kept = torch.cat([_evenly(torch.nonzero(book_M == b)[:, 0]) for b in range(quantizer.books)])
        if len(found_ME) >= model.config.quantizer.codes * model.config.quantizer.group:
            quantizer.start(found_ME[kept], book_M[kept])


def _evenly(index_M: Tensor) -> Tensor:
    """At most `MOST_TOKENS` of them, evenly spread."""
    step = max(1, math.ceil(len(index_M) / MOST_TOKENS))
    return index_M[::step]


def _log_prd(model: CardioFM, valid: list[Tokens]) -> float:
    """Mean over windows, channels and rates of log PRD (%) of what the codes say, without the network's correction."""
    config, found = model.config.quantizer, []
    for tokens in valid:
        for c in range(2):
            seen_BS = cast(Tensor, tokens.visible[c])
            truth_BSP = cast(Tensor, tokens.patches[c]) * seen_BS[..., None]
            power_B, latent_BSE = truth_BSP.square().sum((1, 2)), model.latent(tokens, c)
            quantizer = cast(AdaptiveRVQ, model.quantizer[c])
            codes_BSQ, error_BSQ = quantizer.search(latent_BSE)
            worth = model.importance(tokens, error_BSQ, c).numpy()
            for rate in (*BITS_PER_S, math.inf):
                depth = rate * model.config.spec.token_s / math.log2(config.codes)
                depth_BS = torch.from_numpy(depths(worth, model.block.coded(seen_BS).numpy(), depth))
                drawn_BSP = model.block.inverse(quantizer.dequantize(codes_BSQ, depth_BS))
                error_B = ((drawn_BSP - truth_BSP) * seen_BS[..., None]).square().sum((1, 2))
                share_B = (error_B / power_B.clamp_min(1e-9))[power_B > 0]
                found.append(share_B.clamp_min(1e-8).log() / 2 + math.log(100))
    return float(torch.cat(found).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the model folder to settle")
    parser.add_argument("--store", type=Path, required=True, help="the folder that `cardiofm prepare` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    given = parser.parse_args()
    model = CardioFM.load(given.folder)
    found = settle(model, Store(given.store))
    print(f"PRD {math.exp(found):.2f} % (geometric mean over rates, validation windows)")
    said = {"command": "python -m cardiofm.train.settle, 24 x 64 training windows, seed 5", "log_prd": found}
    model.save(given.out, read_provenance(given.folder) | {"settled": said})


if __name__ == "__main__":
    main()
