"""The last stage: codebooks and trust fitted in closed form draw training windows better than before."""

from __future__ import annotations

from dataclasses import replace

import torch

from cardiofm.model.cardiofm import TINY, CardioFM
from cardiofm.train.batches import BatchConfig, Batches
from cardiofm.train.settle import PLAIN, settle
from small_run import SPEC, SmallStore


def prd_percent(model: CardioFM, batches: Batches) -> float:
    """Error of the drawing at full depth over the valid samples, in % of the signal."""
    batch = batches(3)
    with torch.no_grad():
        tokens = model.encoder(batch.target_BCN, batch.valid_BCN, batch.in_mv_BC)
        full = torch.full((len(batch.x_BCN),), float(model.config.quantizer.levels))
        made = [q for q in model.quantize(tokens, full, full > 0) if q is not None]
        drawn = model.codes([q.latent_BSE for q in made], [q.depth_BS for q in made], tokens.visible)
    truth = torch.stack([p.flatten(1) for p in tokens.patches if p is not None], dim=1)
    return 100 * float(((drawn - truth)[batch.valid_BCN].square().sum() / truth.square().sum()).sqrt())


def test_settling_lowers_the_error_and_keeps_the_embedding() -> None:
    torch.manual_seed(0)
    model = CardioFM(replace(TINY, spec=SPEC)).eval()
    for quantizer in model.quantizer:
        quantizer.get_buffer("codebook_QRE").normal_()
    store = SmallStore()
    batches = Batches(store, SPEC, BatchConfig(size=16, paired_share=1.0, augment=PLAIN), 1)
    given = batches(0)
    with torch.no_grad():
        embedding = model(given.x_BCN, given.valid_BCN, given.in_mv_BC)
    before = prd_percent(model, batches)
    settle(model, store, batches=8, size=16)
    after = prd_percent(model, batches)
    assert after < 10 < before
    with torch.no_grad():
        assert torch.equal(embedding, model(given.x_BCN, given.valid_BCN, given.in_mv_BC))
