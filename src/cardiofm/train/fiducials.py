"""The stage that trains the fiducial head, from an encoder that stands still.

`python -m cardiofm.train.fiducials configs/fiducials.toml start_from=MODEL --data-root DIR --store DIR --out OUT` uses
the one training loop. Four heads learn side by side from the same batches: the one to release, in `OUT/last/model`, and
for each fold of the patients who were marked by hand one that never sees them, in `OUT/last/model/without-FOLD`: what
is said of people never seen comes from these.

Shapes: B windows, K events, N samples.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardiofm.config import ConfigError, load, to_dict
from cardiofm.data.store import Store
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.heads import SPLIT, UNIT_S, FiducialHead, HeadConfig, answers
from cardiofm.signals import MODALITIES, WAVES
from cardiofm.train.annotated import FOLDS
from cardiofm.train.loop import LoopConfig, fit
from cardiofm.train.marked import MarkedBatch, MarkedBatches, MarkedConfig
from cardiofm.train.pretrain import commit, here

EVENT_WEIGHT = 12.0  # of the places near an event beside the many where there is none
CHANCE, REACH, WAVE = 6.0, 0.5, 0.3  # weights of the three answers
LEAST = -5.0  # log of the least spread in UNIT_S: 0.7 ms


@dataclass(frozen=True)
class FiducialConfig:
    """One training of a head."""

    start_from: str = ""  # the model folder whose encoder is read
    head: HeadConfig = field(default_factory=HeadConfig)
    marked: MarkedConfig = field(default_factory=MarkedConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=3000, warmup_steps=100, lr=2e-3, decay_share=0.5))

    def __post_init__(self) -> None:
        if not self.start_from:
            raise ConfigError("a head must have a model to read; set start_from to its folder")


class Fiducials(nn.Module):
    """The objective of the heads: `(batch, step)` to a loss and its parts; only the heads learn.

    `heads[i]` does not learn from windows of fold i; the last one learns from all.
    """

    def __init__(self, model: CardioFM, heads: list[FiducialHead]) -> None:
        super().__init__()
        self.model, self.heads = model, nn.ModuleList(heads)
        model.requires_grad_(False)

    def train(self, mode: bool = True) -> Fiducials:
        """Only the heads are ever in training."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, batch: MarkedBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        config = cast(FiducialHead, self.heads[-1]).config
        with torch.no_grad():
            blocks = config.read_after
            tokens = self.model.encoder(batch.x_BCN, batch.valid_BCN, batch.in_mv_BC, (0, 1), blocks=blocks)
        losses, logs = [], {}
        for fold, head in enumerate(self.heads):
            assert batch.fold_B is not None
            rows = torch.nonzero(batch.fold_B != fold)[:, 0]
            kept = replace(
                tokens, z=[None if z is None else z[rows] for z in tokens.z],
                patches=[None if p is None else p[rows] for p in tokens.patches],
            )  # fmt: skip
            loss, logs = head_loss(head(kept, batch.valid_BCN[rows]), batch.rows(rows))
            losses.append(loss)
        return torch.stack(losses).sum(), logs


def head_loss(raw: list[Tensor | None], batch: MarkedBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of one head's numbers, and its parts."""
    assert batch.chance_BKN is not None
    assert batch.reach_BKN is not None
    assert batch.wave_BN is not None
    logs: dict[str, Tensor] = {}
    loss = batch.x_BCN.new_zeros(())
    for c, modality in enumerate(MODALITIES):
        out_BKN = raw[c]
        assert out_BKN is not None
        own = slice(0, SPLIT[0]) if c == 0 else slice(SPLIT[0], None)
        logit, reach, spread = answers(out_BKN.float(), c)
        logs[f"{modality}_chance"] = chance_loss(logit, batch.chance_BKN[:, own])
        logs[f"{modality}_reach"], logs[f"{modality}_off_ms"] = reach_loss(reach, spread, batch.reach_BKN[:, own])
        loss = loss + CHANCE * logs[f"{modality}_chance"] + REACH * logs[f"{modality}_reach"]
    ecg = raw[0]
    assert ecg is not None
    known_BN = batch.wave_BN >= 0
    wave_BN = F.cross_entropy(ecg[:, : len(WAVES)].float(), batch.wave_BN.clamp_min(0), reduction="none")
    logs["wave"] = (wave_BN * known_BN).sum() / known_BN.sum().clamp_min(1)
    return loss + WAVE * logs["wave"], logs


def chance_loss(logit_BKN: Tensor, target_BKN: Tensor) -> Tensor:
    """Binary cross-entropy against the bumps, less that of the bumps themselves; NaN is not asked."""
    known = torch.isfinite(target_BKN)
    target = torch.where(known, target_BKN, 0.0)
    weight = known * (1 + EVENT_WEIGHT * target)
    each = F.binary_cross_entropy_with_logits(logit_BKN, target, reduction="none")
    least = F.binary_cross_entropy(target, target, reduction="none")
    return ((each - least) * weight).sum() / known.sum().clamp_min(1)


def reach_loss(reach_BKN: Tensor, spread_BKN: Tensor, target_BKN: Tensor) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood of a Laplace distribution, and the mean absolute error in ms."""
    known = torch.isfinite(target_BKN)
    count = known.sum().clamp_min(1)
    off = (reach_BKN - torch.where(known, target_BKN / UNIT_S, 0.0)).abs() * known
    log_b = spread_BKN.clamp(LEAST, 3.0)
    return ((off * torch.exp(-log_b) + log_b) * known).sum() / count, 1000 * UNIT_S * off.detach().sum() / count


def train(config: FiducialConfig, data_root: Path, store: Path, out: Path) -> Path:
    """Train or resume the heads in `out`; returns the folder that holds them."""
    model = CardioFM.load(Path(config.start_from))
    torch.manual_seed(config.loop.seed)
    heads = [FiducialHead(config.head, model.config.encoder.width, model.config.spec) for _ in range(FOLDS + 1)]
    batches = MarkedBatches(data_root, Store(store), model.config.spec, config.marked, config.loop.seed)

    def save(folder: Path, progress: dict[str, Any]) -> None:
        for fold, head in enumerate(heads):
            head.about = {
                "provenance": {
                    "config": to_dict(config) | {"start_from": here(config.start_from)},
                    "commit": commit(),
                    **progress,
                }
            }
            head.save(folder if fold == FOLDS else folder / f"without-{fold}")

    fit(Fiducials(model, heads), batches, config.loop, out, save_model=save)
    return out / "last" / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config", type=Path, help="a TOML file of differences from the defaults")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as loop.steps=500")
    parser.add_argument("--data-root", type=Path, required=True, help="the folder of recordings")
    parser.add_argument("--store", type=Path, default=Path("store"), help="the folder that `cardiofm prepare` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the run")
    given = parser.parse_args()
    print(train(load(FiducialConfig, given.config, given.overrides), given.data_root, given.store, given.out))


if __name__ == "__main__":
    main()
