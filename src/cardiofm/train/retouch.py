"""The networks that retouch decoded drawings, trained on what the codec makes of the store's training windows.

`python -m cardiofm.train.retouch FOLDER --store store` codes minutes of training patients, one channel alone, at rates
drawn at random, and writes `retouch.safetensors` into the model folder; networks of a channel that is not asked for
stay. The loss is the share of a stretch's squared error that is left. Of the looks at patients of the validation split
the best is kept. Shapes: B stretches, F features, N samples, M steps, D width.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cardiofm.codec import plan, retouch
from cardiofm.codec.recording import Codec
from cardiofm.codec.retouch import DILATION, PACK, SAID, SEEN, Stages
from cardiofm.data.store import Store
from cardiofm.model.backend import TorchBackend
from cardiofm.model.checkpoint import read_config
from cardiofm.signals import MODALITIES, InputSpec, SignalError
from cardiofm.train.prior import pieces

WIDTH, TAPS = 40, 5
RATES = (16.0, 320.0)  # bit/s, log-uniform between
LOOKED = (32.0, 64.0, 128.0)  # bit/s of the validation
TIMES = 2  # a minute, at different rates
SIZE, STRETCH = 24, 2500  # of a batch; samples of a stretch
RATE, DECAY, WARM = 3e-3, 0.01, 50
LOOK = 100  # steps between looks
MOST = 4.0  # that a stretch's share may count


class Net(nn.Module):
    """`retouch.correction`, differentiable."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(SEEN * PACK, WIDTH, TAPS, padding=TAPS // 2)
        self.said = nn.Linear(SAID, WIDTH)
        self.blocks = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, TAPS, padding=TAPS // 2 * d, dilation=d) for d in DILATION)
        self.out = nn.Conv1d(WIDTH, PACK, 3, padding=1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, seen_BFN: Tensor, said_BK: Tensor) -> Tensor:
        """What is to be added to drawings `(B, N)`, N a multiple of `PACK`."""
        h_BDM = self.first(seen_BFN.unflatten(-1, (-1, PACK)).transpose(2, 3).flatten(1, 2))
        h_BDM = h_BDM + self.said(said_BK)[..., None]
        for block in self.blocks:
            h_BDM = h_BDM + block(F.gelu(h_BDM, approximate="tanh"))
        return self.out(F.gelu(h_BDM, approximate="tanh")).transpose(1, 2).flatten(1)


@dataclass(frozen=True)
class Example:
    """A decoded minute, and what it lacks."""

    rate: float
    seen_FN: NDArray[np.float32]
    said: NDArray[np.float32]
    unit: float
    left_N: NDArray[np.float32]  # of the signal, 0 where it is not known


def coded(codec: Codec, modality: str, piece: plan.Piece, rate: float) -> Stages | None:
    """How a channel comes out at about a rate, with the most codes that are tried; None where codes say nothing.

    The price of a bit is the rate's usual one and not searched: that takes a third of the time.
    """
    share, c = plan.code_rates(rate)[0] / rate, MODALITIES.index(modality)
    given, stored, bits = plan.codes_for(piece, plan.first_price(share * rate), codec.spec)
    if stored.codes is None or not stored.codes.depth.any():
        return None
    codes = (stored.codes, None) if c == 0 else (None, stored.codes)
    levels = codec.prior.tables[c].book.shape[0]
    drawn_N = plan.drawn(codec.backend, codes, piece.clock.windows, codec.spec, levels)[c]
    return plan.finished(piece, given, stored, drawn_N, bits / share - bits if share < 1 else 0.0, True)[1]


def examples(codec: Codec, modality: str, found: Sequence[plan.Piece], rates: NDArray) -> Iterator[Example]:
    """Each piece at each of its rates `(pieces, times)`."""
    for piece, own in zip(found, rates, strict=True):
        for rate in own:
            made = coded(codec, modality, piece, float(rate))
            if made is not None:
                seen_FN, said = retouch.features(made)
                whole = len(made.last) // PACK * PACK
                left_N = np.where(made.known, piece.signal_N - made.last, 0.0)[:whole].astype(np.float32)
                yield Example(float(rate), seen_FN[:, :whole], said, made.unit, left_N)


def drawn_rates(count: int, seed: int) -> NDArray[np.float64]:
    """Rates of training pieces `(count, TIMES)`."""
    low, high = np.log(RATES)
    return np.exp(np.random.default_rng(seed).uniform(low, high, (count, TIMES)))


def batch(found: Sequence[Example], seed: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features `(B, F, N)`, numbers `(B, K)` and what is lacking `(B, N)`, in units; half are upside down."""
    rng = np.random.default_rng((seed, step))
    seen, said, left = [], [], []
    for i in rng.integers(0, len(found), SIZE):
        one = found[i]
        at = rng.integers(0, one.seen_FN.shape[1] - STRETCH + 1)
        sign = 1.0 if rng.random() < 0.5 else -1.0
        seen.append(sign * one.seen_FN[:, at : at + STRETCH])
        left.append(sign * one.left_N[at : at + STRETCH] / one.unit)
        said.append(one.said)
    seen_BFN, said_BK, left_BN = (torch.tensor(np.stack(part), dtype=torch.float32) for part in (seen, said, left))
    return seen_BFN, said_BK, left_BN


def looked(net: Net, found: Sequence[Example]) -> dict[str, float]:
    """PRD after to PRD before at each rate, geometric mean; a drawing that is worse afterwards counts as it was."""
    logs: dict[str, list[float]] = {}
    with torch.no_grad():
        for one in found:
            added_N = net(torch.tensor(one.seen_FN)[None], torch.tensor(one.said)[None])[0].numpy() * one.unit
            share = float(((one.left_N - added_N) ** 2).sum() / max((one.left_N**2).sum(), 1e-12))
            logs.setdefault(f"{one.rate:g}", []).append(0.5 * np.log(min(share, 1.0)))
    return {rate: round(float(np.exp(np.mean(own))), 4) for rate, own in logs.items()}


def fit(train: Sequence[Example], valid: Sequence[Example], steps: int, seed: int) -> tuple[Net, dict[str, float]]:
    """The best network, and what it leaves of the PRD of validation patients."""
    torch.manual_seed(seed)
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    best: tuple[float, dict[str, Tensor], dict[str, float]] | None = None
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM) * (1 - step / steps) ** 0.7
        seen_BFN, said_BK, left_BN = batch(train, seed, step)
        after_B = (left_BN - net(seen_BFN, said_BK)).square().sum(1)
        loss = (after_B / (left_BN.square().sum(1) + 1e-6)).clamp(max=MOST).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % LOOK == 0 or step + 1 == steps:
            score = looked(net, valid)
            mean = float(np.mean(list(score.values())))
            print(f"step {step + 1}: {score}", flush=True)
            if best is None or mean < best[0]:
                best = mean, {k: v.clone() for k, v in net.state_dict().items()}, score
    assert best is not None
    net.load_state_dict(best[1])
    return net, best[2]


def train(folder: Path, store: Store, modality: str, limit: int, held: int, steps: int, seed: int = 0) -> None:
    """Write the network of a channel into a model folder, learned from `limit` segments, chosen by `held` others."""
    spec = InputSpec(**{k: v for k, v in read_config(folder)["spec"].items() if k != "channels"})
    codec = replace(Codec.of("", folder, spec, TorchBackend(folder, threads=1)), retouch=None)
    tables, found = codec.prior.tables[MODALITIES.index(modality)], list[list[Example]]()
    for split, count in (("train", limit), ("valid", held)):
        some, began = pieces(store, tables, spec, modality, count, seed, split), time.process_time()
        rates = drawn_rates(len(some), seed) if split == "train" else np.tile(LOOKED, (len(some), 1))
        found.append(list(examples(codec, modality, some, rates)))
        print(f"{modality} {split}: {len(found[-1])} from {len(some)}, {time.process_time() - began:.0f} s", flush=True)
    if not all(found):
        raise SignalError(f"the store must hold training and validation segments of the {modality}, found none")
    net, score = fit(found[0], found[1], steps, seed)
    told = {
        "command": f"python -m cardiofm.train.retouch --channel {modality} --limit {limit} --held {held} "
        f"--steps {steps} --seed {seed}",
        "prior": codec.prior.model,
        "examples": len(found[0]),
        "prd_after_to_before_valid": score,
    }
    save(folder, modality, net, told)


def save(folder: Path, modality: str, net: Net, told: dict) -> None:
    """Put a channel's network into the folder's file."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path, tensors, about = folder / retouch.FILE, dict[str, NDArray](), dict[str, str]()
    if path.is_file():
        with safe_open(path, "np") as file:
            about = dict(file.metadata() or {})
            others = [name for name in file.keys() if not name.startswith(f"{modality}.")]  # noqa: SIM118  # no mapping
            tensors = {name: file.get_tensor(name) for name in others}
    tensors |= {f"{modality}.{k}": np.ascontiguousarray(v.numpy()) for k, v in net.state_dict().items()}
    save_file(tensors, path, metadata=about | {modality: json.dumps(told)})
    path.chmod(0o644)


def main() -> None:
    """Train, and write into the folder."""
    parser = argparse.ArgumentParser(description="Train the networks that retouch what a model folder's codec draws.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", type=Path, default=Path("store"))
    parser.add_argument("--channel", choices=MODALITIES, help="only this one's (default: both)")
    parser.add_argument("--limit", type=int, default=180, help="segments of a minute to learn from (default: 180)")
    parser.add_argument("--held", type=int, default=15, help="validation segments (default: 15)")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for modality in MODALITIES if args.channel is None else (args.channel,):
        train(args.folder, Store(args.store), modality, args.limit, args.held, args.steps, args.seed)
    print(f"retouch: {args.folder / retouch.FILE}")


if __name__ == "__main__":
    main()
