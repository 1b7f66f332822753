"""Light tuning of the encoder to a task, by torch: low-rank adapters everywhere, or the last blocks in full.

What is learned is a change of named weights, saved beside the head; the model's own file stays as it is. A linear
read-out learns along and is thrown away: the head is fitted afterwards, on what the tuned encoder sees.
LoRA: Hu et al., ICLR 2022. Shapes: B windows, C channels, N samples, D numbers, L outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cardiofm.data.usable import kinds, stacked, usable
from cardiofm.heads.labels import Example, Kind, parts, target
from cardiofm.heads.learn import probes
from cardiofm.heads.learn.attention import loss
from cardiofm.heads.learn.fit import probe_kind
from cardiofm.heads.look import View
from cardiofm.model.backend import TorchBackend
from cardiofm.model.cardiofm import CardioFM
from cardiofm.pipeline import Model
from cardiofm.signals import CheckpointError, SignalError, Window

RANK, LAST_BLOCKS = 4, 2
WINDOWS = 8  # of a record, spread evenly: enough to tune by
BATCH, CHECKS = 16, 5
RATE = {"lora": 1e-3, "full": 1e-4}
READ_OUT_RATE = 3e-3
DOWN, UP = ".down", ".up"  # of a low-rank change, behind the weight's name
Bags = list[tuple[list[Window], Any]]  # the windows of a record and its label


class LowRank(nn.Module):
    """A weight plus `up @ down`, which begins at 0."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(RANK, weight.shape[1]) * weight.shape[1] ** -0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], RANK))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def tuned(model: Model, changed: Mapping[str, NDArray[Any]]) -> Model:
    """The model run by torch with the changed weights in its encoder."""
    network = _network(model)
    weights = dict(network.named_parameters())
    with torch.no_grad():
        for name, array in changed.items():
            value = torch.from_numpy(np.array(array))
            if name.endswith(UP):
                continue
            if name.endswith(DOWN):
                own = name.removesuffix(DOWN)
                weights[own].add_(torch.from_numpy(np.array(changed[own + UP])) @ value)
            else:
                weights[name].copy_(value)
    return replace(model, backend=TorchBackend(network))


def tune(
    examples: Sequence[Example],
    kind: Kind,
    how: str,
    model: Model,
    view: View,
    steps: int,
    classes: Sequence[str] | None = None,
    tell: Any = print,
    seed: int = 0,
) -> dict[str, NDArray[np.float32]]:
    """The changed weights by name, as they were when the validation patients liked them best."""
    goal = target(examples, kind, classes)
    part = parts(examples, goal)
    bags: dict[str, Bags] = {"train": [], "valid": []}
    for k, example in enumerate(examples):
        if part[k] in bags and (windows := _windows(example, model, view)):
            bags[part[k]].append((windows, goal.y[k]))
    if not bags["train"] or not bags["valid"]:
        raise SignalError("there must be recordings to tune by, found none that can be used; see what was left out")
    torch.manual_seed(seed)
    network = _network(model)
    learning = _adapted(network, how)
    outputs = len(goal.classes) if probe_kind(goal) in ("classes", "multilabel") else 1
    labels = np.asarray([y for _, y in bags["train"]], np.float32)
    mean, unit = (float(labels.mean()), float(labels.std() + 1e-9)) if kind == "regression" else (0.0, 1.0)
    read = nn.Sequential(
        nn.BatchNorm1d(network.config.encoder.embedding), nn.Linear(network.config.encoder.embedding, outputs)
    )
    optimiser = torch.optim.AdamW(
        [{"params": learning, "lr": RATE[how]}, {"params": read.parameters(), "lr": READ_OUT_RATE}], weight_decay=1e-2
    )
    rng = np.random.default_rng(seed)
    ask = _Asked(network, read, probe_kind(goal), mean, unit)
    best, least = _changed(network, how), float("inf")
    for step in range(1, steps + 1):
        at = rng.choice(len(bags["train"]), min(BATCH, len(bags["train"])), replace=False)
        drawn = [(bags["train"][i][0][rng.integers(len(bags["train"][i][0]))], bags["train"][i][1]) for i in at]
        network.train()
        read.train()
        optimiser.zero_grad()
        ask.loss([w for w, _ in drawn], [y for _, y in drawn]).backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        if step % max(1, steps // CHECKS) == 0:
            now = ask.records(bags["valid"])
            tell(f"tuning, step {step} of {steps}: loss of validation patients {now:.4f}")
            if now < least:
                best, least = copy.deepcopy(_changed(network, how)), now
    return best


class _Asked:
    """The task put to the network: its loss over windows, and over the records of other patients."""

    def __init__(self, network: CardioFM, read: nn.Module, kind: probes.Kind, mean: float, unit: float) -> None:
        self.network, self.read, self.mean, self.unit = network, read, mean, unit
        self.kind: probes.Kind = kind

    def loss(self, windows: list[Window], labels: list[Any]) -> Tensor:
        return loss(self.out(windows), np.asarray(labels), self.kind, self.unit)

    def out(self, windows: list[Window]) -> Tensor:
        rows: list[Tensor] = []
        order: list[int] = []
        for at, kind in kinds(windows):
            x, seen, in_mv = (torch.from_numpy(a) for a in stacked([windows[i] for i in at]))
            encoder = self.network.encoder
            rows.append(encoder.embed(encoder(x, seen, in_mv, kind)))
            order += at
        out = self.read(torch.cat(rows)[torch.from_numpy(np.argsort(order))])
        return out * self.unit + self.mean if self.kind == "regression" else out

    def records(self, bags: Bags) -> float:
        """The loss of records, each the mean of its windows."""
        self.network.eval()
        self.read.eval()
        with torch.inference_mode():
            means = torch.stack([self.out(windows).mean(0) for windows, _ in bags])
            return float(loss(means, np.asarray([y for _, y in bags]), self.kind, self.unit))


def _network(model: Model) -> CardioFM:
    if model.folder is None:
        raise CheckpointError("tuning needs a model that was loaded from its folder, found one made in memory; save it")
    return CardioFM.load(model.folder)


def _adapted(network: CardioFM, how: str) -> list[nn.Parameter]:
    """The parameters that learn; all others stand still."""
    network.requires_grad_(False)
    blocks = network.encoder.blocks
    if how == "lora":
        for module in list(blocks.modules()):
            if isinstance(module, nn.Linear):
                parametrize.register_parametrization(module, "weight", LowRank(module.weight))
        found = [p for n, p in blocks.named_parameters() if n.endswith((UP, DOWN))]
    else:
        found = [*blocks[-LAST_BLOCKS:].parameters(), *network.encoder.norm.parameters()]
    for parameter in found:
        parameter.requires_grad_(True)
    return [*found, *network.encoder.pool.requires_grad_(True).parameters()]


def _changed(network: CardioFM, how: str) -> dict[str, NDArray[np.float32]]:
    """What learned, by the name of the weight that it changes."""
    found = {n: p.detach().numpy().copy() for n, p in network.named_parameters() if p.requires_grad}
    return {_plain(n): p for n, p in found.items()} if how == "lora" else found


def _plain(name: str) -> str:
    """`blocks.0.qkv.parametrizations.weight.0.up` → `blocks.0.qkv.weight.up`."""
    return name.replace("parametrizations.weight.0", "weight")


def _windows(example: Example, model: Model, view: View) -> list[Window]:
    """Some windows of a recording, [] where it cannot be used (it is told when the head reads it)."""
    try:
        found = [w for w, _ in usable(view.of(example.read()), model.spec, None)]
    except (SignalError, OSError):
        return []
    return [found[i] for i in np.unique(np.linspace(0, len(found) - 1, WINDOWS).round().astype(int))]
