"""The stage that trains the head which draws one channel from the other, from an encoder that stands still.

`python -m cardiofm.train.across configs/across.toml start_from=MODEL --store DIR --out OUT` uses the one training loop
and writes `OUT/last/model/across.json` and `.safetensors`; it goes on from the head in MODEL, if there is one. What is
drawn is compared with the truth at the lag that suits it best, for the delay of a monitor is not to be seen in one
signal; a lag costs a little, so that it falls about where most recordings have it, and at last a constant moves all
drawings to where they are most like the truth. Of some windows a stretch alone is shown, as of a short recording.

Shapes: B windows, C channels, N samples.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cardiofm.config import ConfigError, load, to_dict
from cardiofm.data.store import MANIFEST, Store, file_hash
from cardiofm.model.across import Across, AcrossConfig
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.checkpoint import ACROSS
from cardiofm.model.tokenizer import normalise
from cardiofm.train.batches import Batch, BatchConfig, Batches
from cardiofm.train.loop import LoopConfig, fit
from cardiofm.train.losses import at_best_lag, by_lag
from cardiofm.train.part import channels
from cardiofm.train.pretrain import commit, here
from cardiofm.train.processes import place, shared_mean
from cardiofm.train.settle import PLAIN

REACH_S = 0.75  # lags that are tried, to both sides
TOLL = 0.5  # of the furthest lag, as a share of the target's power
LARGEST = 8.0  # of a target, in standard deviations
SHIFT_S, SHIFT_BATCHES = 0.2, 40  # the constant is at most this, and from so many batches of training windows
SHORT_SHARE, SHORT_S = 0.35, (1.5, 8.0)  # of the windows show that much in one stretch: short recordings, long gaps
KNOWN_S = 1.0  # of both channels, or the window teaches nothing


@dataclass(frozen=True)
class AcrossTraining:
    """One training of the head."""

    start_from: str = ""  # the model folder whose encoder is read
    head: AcrossConfig = field(default_factory=AcrossConfig)
    batches: BatchConfig = field(
        default_factory=BatchConfig
    )  # of recordings of both signals, whatever paired_share says
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if not self.start_from:
            raise ConfigError("a head must have a model to read; set start_from to its folder")


class Drawing(nn.Module):
    """The objective of the head: `(batch, step)` to a loss and its parts; only the head learns."""

    def __init__(self, model: CardioFM, head: Across, seed: int = 0) -> None:
        super().__init__()
        self.model, self.head, self.seed = model, head, seed
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
        batch = replace(batch, valid_BCN=batch.valid_BCN & self._shown(len(batch.x_BCN), step).to(batch.x_BCN.device))
        fs_hz, losses, logs = self.model.config.spec.fs_hz, [], {}
        for c, name in own.items():
            drawn_BN, target_BN, used_B = self.pair(batch, c)
            known_BN = batch.valid_BCN[:, c].float()
            share_B, lag_B = at_best_lag(drawn_BN, target_BN, known_BN, round(REACH_S * fs_hz), TOLL)
            loss = shared_mean((share_B * used_B).sum(), used_B.sum())
            logs |= {f"share_{name}": loss, f"lag_s_{name}": lag_B.float().mean() / fs_hz}
            losses.append(loss)
        return torch.stack(losses).sum(), logs

    def _shown(self, B: int, step: int) -> Tensor:
        """What may be shown of both channels, `(B, 1, N)`: all, or one stretch."""
        spec, (rank, world) = self.model.config.spec, place()
        draw = np.random.default_rng((self.seed, step, 17))
        short_G, length_G, at_G = draw.random(B * world), draw.uniform(*SHORT_S, B * world), draw.random(B * world)
        shown_B1N = torch.ones(B, 1, spec.samples, dtype=torch.bool)
        for b, g in enumerate(range(rank * B, (rank + 1) * B)):
            if short_G[g] < SHORT_SHARE:
                size = min(round(length_G[g] * spec.fs_hz), spec.samples)
                first = round(at_G[g] * (spec.samples - size))
                shown_B1N[b, :, :first] = shown_B1N[b, :, first + size :] = False
        return shown_B1N

    def pair(self, batch: Batch, c: int) -> tuple[Tensor, Tensor, Tensor]:
        """A channel as it is drawn and as it is, `(B, N)` in normalised units, and which windows teach, `(B,)`."""
        with torch.no_grad():
            tokens = self.model.encoder(batch.x_BCN, batch.valid_BCN, batch.in_mv_BC, (1 - c,))
        z_BSD, patch_BSP, seen_BS = tokens.z[1 - c], tokens.patches[1 - c], tokens.visible[1 - c]
        assert z_BSD is not None
        assert patch_BSP is not None
        assert seen_BS is not None
        drawn_BN = self.head.drawn(c, z_BSD, patch_BSP, seen_BS).float()
        target_B1N = normalise(batch.target_BCN[:, c : c + 1], batch.valid_BCN[:, c : c + 1])[0]
        target_BN = target_B1N[:, 0].clamp(-LARGEST, LARGEST) * batch.valid_BCN[:, c]
        return drawn_BN, target_BN, batch.valid_BCN.sum(-1).amin(-1) >= KNOWN_S * self.model.config.spec.fs_hz

    @torch.no_grad()
    def later(self, batches: Callable[[int], Batch], steps: int) -> tuple[int, ...]:
        """Samples by which drawings of each channel have to be moved later to be most like the truth, on average."""
        reach, device = round(SHIFT_S * self.model.config.spec.fs_hz), next(self.model.parameters()).device
        alike = torch.zeros(2, 2 * reach + 1, device=device)
        self.head.eval()
        for step in range(steps):
            batch = batches(step).to(device)
            for c in channels(batch):
                drawn_BN, target_BN, used_B = self.pair(batch, c)
                size_B1 = (drawn_BN.square().sum(-1) * target_BN.square().sum(-1)).sqrt()[:, None] + 1e-6
                alike[c] += ((by_lag(target_BN, drawn_BN, reach) / size_B1) * used_B[:, None]).sum(0)
        return tuple(reach - int(best) for best in alike.argmax(-1))


def train(config: AcrossTraining, store: Path, out: Path) -> Path:
    """Train or resume the head in `out`; returns the folder that holds it."""
    model = CardioFM.load(Path(config.start_from))
    torch.manual_seed(config.loop.seed)
    start = Path(config.start_from)
    if (start / ACROSS).is_file():
        head = Across.load(start, model)
        head.config = replace(head.config, later=config.head.later)
    else:
        head = Across(config.head, model.config.encoder.width, model.config.spec)
    paired = replace(config.batches, paired_share=1.0)
    batches = Batches(Store(store), model.config.spec, paired, config.loop.seed)

    before = head.about.get("provenance")

    def save(folder: Path, progress: dict[str, Any]) -> None:
        made: dict[str, Any] = {"config": to_dict(config) | {"start_from": here(config.start_from)}, "commit": commit()}
        made |= {"manifest_sha256": file_hash(store / MANIFEST)} | progress | {"before": before}
        head.about = {"provenance": made}
        head.save(folder)

    fit(Drawing(model, head, config.loop.seed), batches, config.loop, out, save_model=save)
    folder = out / "last" / "model"
    if place()[0] == 0:
        plain = Batches(batches.store, model.config.spec, replace(paired, augment=PLAIN), config.loop.seed + 1)
        done = Across.load(folder, model).to(next(model.parameters()).device)
        done.config = replace(done.config, later=Drawing(model, done).later(plain, SHIFT_BATCHES))
        done.save(folder)
    return folder


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
