"""The stage that trains the head which draws one channel from the other, from an encoder that stands still.

`python -m cardiofm.train.across configs/across.toml start_from=MODEL --store DIR --out OUT` uses the one training loop
and writes `OUT/last/model/across.json` and `.safetensors`. A drawing is compared with the truth at the lag that suits
it best, for the delay of a monitor is not to be seen in one signal; a lag costs a little, so that what is drawn falls
where most recordings have it.

Shapes: B windows, C channels, N samples.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cardiofm.config import ConfigError, load, to_dict
from cardiofm.data.store import Store
from cardiofm.model.across import Across, AcrossConfig
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.tokenizer import normalise
from cardiofm.train.batches import Batch, BatchConfig, Batches
from cardiofm.train.loop import LoopConfig, fit
from cardiofm.train.losses import at_best_lag
from cardiofm.train.part import channels
from cardiofm.train.pretrain import commit, here
from cardiofm.train.processes import shared_mean

REACH_S = 0.75  # lags that are tried, to both sides
TOLL = 0.5  # of the furthest lag, as a share of the target's power
LARGEST = 8.0  # of a target, in standard deviations
KNOWN_S = 3.0  # of both channels, or the window teaches nothing


@dataclass(frozen=True)
class AcrossTraining:
    """One training of the head."""

    start_from: str = ""  # the model folder whose encoder is read
    head: AcrossConfig = field(default_factory=AcrossConfig)
    batches: BatchConfig = field(default_factory=lambda: BatchConfig(paired_share=1.0))
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=2000, warmup_steps=50, lr=3e-3, decay_share=0.5))

    def __post_init__(self) -> None:
        if not self.start_from:
            raise ConfigError("a head must have a model to read; set start_from to its folder")


class Drawing(nn.Module):
    """The objective of the head: `(batch, step)` to a loss and its parts; only the head learns."""

    def __init__(self, model: CardioFM, head: Across) -> None:
        super().__init__()
        self.model, self.head = model, head
        model.requires_grad_(False)

    def train(self, mode: bool = True) -> Drawing:
        """Only the head is ever in training."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        own = channels(batch)
        if len(own) < 2:
            raise ConfigError("drawing one channel from the other must have recordings of both; prepare some")
        spec, losses, logs = self.model.config.spec, [], {}
        for c, name in own.items():
            with torch.no_grad():
                tokens = self.model.encoder(batch.x_BCN, batch.valid_BCN, batch.in_mv_BC, (1 - c,))
            z_BSD, patch_BSP, seen_BS = tokens.z[1 - c], tokens.patches[1 - c], tokens.visible[1 - c]
            assert z_BSD is not None
            assert patch_BSP is not None
            assert seen_BS is not None
            drawn_BN = self.head.drawn(c, z_BSD, patch_BSP, seen_BS).float()
            target_B1N = normalise(batch.target_BCN[:, c : c + 1], batch.valid_BCN[:, c : c + 1])[0]
            known_BN = batch.valid_BCN[:, c].float()
            target_BN = target_B1N[:, 0].clamp(-LARGEST, LARGEST) * known_BN
            share_B, lag_B = at_best_lag(drawn_BN, target_BN, known_BN, round(REACH_S * spec.fs_hz), TOLL)
            used_B = batch.valid_BCN.sum(-1).amin(-1) >= KNOWN_S * spec.fs_hz
            loss = shared_mean((share_B * used_B).sum(), used_B.sum())
            logs |= {f"share_{name}": loss, f"lag_s_{name}": lag_B.float().mean() / spec.fs_hz}
            losses.append(loss)
        return torch.stack(losses).sum(), logs


def train(config: AcrossTraining, store: Path, out: Path) -> Path:
    """Train or resume the head in `out`; returns the folder that holds it."""
    model = CardioFM.load(Path(config.start_from))
    torch.manual_seed(config.loop.seed)
    head = Across(config.head, model.config.encoder.width, model.config.spec)
    batches = Batches(Store(store), model.config.spec, config.batches, config.loop.seed)

    def save(folder: Path, progress: dict[str, Any]) -> None:
        made = {"config": to_dict(config) | {"start_from": here(config.start_from)}, "commit": commit()}
        head.about = {"provenance": made | progress}
        head.save(folder)

    fit(Drawing(model, head), batches, config.loop, out, save_model=save)
    return out / "last" / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config", type=Path, help="a TOML file of differences from the defaults")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as loop.steps=500")
    parser.add_argument("--store", type=Path, default=Path("store"), help="the folder that `cardiofm prepare` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the run")
    given = parser.parse_args()
    print(train(load(AcrossTraining, given.config, given.overrides), given.store, given.out))


if __name__ == "__main__":
    main()
