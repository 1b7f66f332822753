"""Light tuning of the encoder to a task, by torch: low-rank adapters everywhere, or the last blocks in full.

What is learned is a change of named weights, saved beside the head; the model's own file stays as it is. A linear
read-out learns along and is thrown away: the head is fitted afterwards, on what the tuned encoder sees. Where only the
last blocks learn, what stands before them is computed once for each window.
LoRA: Hu et al., ICLR 2022. Shapes: B windows, C channels, N samples, S token steps, D numbers, L outputs.
"""

from __future__ import annotations

import copy
import math
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
from cardiofm.heads.look import View as Part
from cardiofm.model.backend import TorchBackend
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.encoder import Encoder, Tokens
from cardiofm.model.layers import View
from cardiofm.pipeline import Model
from cardiofm.signals import CheckpointError, SignalError, Window
from cardiofm.train.loop import faster_precision

RANK, LAST_BLOCKS = 4, 4
WINDOWS = 8  # of a record, spread evenly: enough to tune by
BATCH, CHECKS = 32, 5
RATE = {"lora": 1e-3, "full": 3e-4}  # the highest, after a tenth of the steps; then it falls to 0
READ_OUT_RATE, WARM_UP = 3e-3, 0.1
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
    return replace(model, backend=TorchBackend(_with(_network(model), changed)))


def _with(network: CardioFM, changed: Mapping[str, NDArray[Any]]) -> CardioFM:
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
    return network


def tune(
    examples: Sequence[Example],
    kind: Kind,
    how: str,
    model: Model,
    view: Part,
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
    outputs = len(goal.classes) if probe_kind(goal) in ("classes", "multilabel") else 1
    return by_windows(bags, probe_kind(goal), outputs, how, model, steps, tell, seed)


def by_windows(
    bags: Mapping[str, Bags],
    kind: probes.Kind,
    outputs: int,
    how: str,
    model: Model,
    steps: int,
    tell: Any = print,
    seed: int = 0,
    still: Still | None = None,
) -> dict[str, NDArray[np.float32]]:
    """The same from windows: `bags` has those of the "train" and of the "valid" patients.

    `still`: what is kept of these windows, where another tuning of the same model has asked for them.
    """
    torch.manual_seed(seed)
    network = _network(model)
    learning = _adapted(network, how)
    labels = np.asarray([y for _, y in bags["train"]], np.float32)
    mean, unit = (float(labels.mean()), float(labels.std() + 1e-9)) if kind == "regression" else (0.0, 1.0)
    read = nn.Sequential(
        nn.BatchNorm1d(network.config.encoder.embedding), nn.Linear(network.config.encoder.embedding, outputs)
    )
    optimiser = torch.optim.AdamW(
        [{"params": learning, "lr": RATE[how]}, {"params": read.parameters(), "lr": READ_OUT_RATE}], weight_decay=1e-2
    )
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share(step, steps))
    rng = np.random.default_rng(seed)
    ask = _Asked(network, read, kind, mean, unit, still or Still(model, how))
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
        falling.step()
        if step % max(1, steps // CHECKS) == 0:
            now = ask.records(bags["valid"])
            tell(f"tuning, step {step} of {steps}: loss of validation patients {now:.4f}")
            if now < least:
                best, least = copy.deepcopy(_changed(network, how)), now
    return best


def _share(step: int, steps: int) -> float:
    """Of the highest rate: rising at first, then half a cosine."""
    return min(1.0, (step + 1) / (WARM_UP * steps)) * (1 + math.cos(math.pi * step / steps)) / 2


class Still:
    """The first blocks, which do not learn: the tokens behind them are kept, so that a window runs through them once.

    They are kept by the window's id: whoever asks holds the windows.
    """

    def __init__(self, model: Model, how: str = "full") -> None:
        depth = int(model.config["encoder"]["depth"])
        self.blocks = max(0, depth - LAST_BLOCKS) if how == "full" else 0
        self.kept: dict[int, Tokens] = {}

    def embed(self, encoder: Encoder, windows: list[Window], kind: tuple[int, ...]) -> Tensor:
        """The embedding `(B, D)` of windows that have the channels `kind`."""
        if not self.blocks:
            return encoder.embed(encoder(*_tensors(windows), kind))
        new = [w for w in windows if id(w) not in self.kept]
        if new:
            with torch.no_grad(), torch.autocast("cpu", enabled=False):
                made = encoder(*_tensors(new), kind, blocks=self.blocks)
            self.kept |= {id(w): _part(made, slice(k, k + 1)) for k, w in enumerate(new)}
        return encoder.embed(_behind(encoder, _joined([self.kept[id(w)] for w in windows]), self.blocks))


def embeddings(
    model: Model, changed: Mapping[str, NDArray[Any]], windows: list[Window], still: Still
) -> NDArray[np.float32]:
    """What the encoder with the changed weights gives for each window `(W, D)`."""
    network = _with(_network(model), changed).eval()
    out = np.zeros((len(windows), network.config.encoder.embedding), np.float32)
    with torch.inference_mode():
        for at, kind in kinds(windows):
            for k in range(0, len(at), BATCH):
                some = at[k : k + BATCH]
                out[some] = still.embed(network.encoder, [windows[i] for i in some], kind).numpy()
    return out


class _Asked:
    """The task put to the network: its loss over windows, and over the records of other patients."""

    def __init__(
        self, network: CardioFM, read: nn.Module, kind: probes.Kind, mean: float, unit: float, still: Still
    ) -> None:
        self.network, self.read, self.mean, self.unit, self.still = network, read, mean, unit, still
        self.kind: probes.Kind = kind
        self.autocast = faster_precision(torch.device("cpu")) == "bf16"

    def loss(self, windows: list[Window], labels: list[Any]) -> Tensor:
        return loss(self.out(windows), np.asarray(labels), self.kind, self.unit)

    def out(self, windows: list[Window]) -> Tensor:
        rows: list[Tensor] = []
        order: list[int] = []
        for at, kind in kinds(windows):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
                rows.append(self.still.embed(self.network.encoder, [windows[i] for i in at], kind).float())
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


def _tensors(windows: list[Window]) -> tuple[Tensor, Tensor, Tensor]:
    x, seen, in_mv = (torch.from_numpy(a) for a in stacked(windows))
    return x, seen, in_mv


def _part(tokens: Tokens, rows: slice) -> Tokens:
    """Some windows of a batch, in half precision, without what only drawing needs."""
    z = [None if t is None else t[rows].half() for t in tokens.z]
    visible = [None if t is None else t[rows] for t in tokens.visible]
    return Tokens(z, tokens.time, visible, tokens.offset_BC[rows], tokens.scale_BC[rows])


def _joined(parts: list[Tokens]) -> Tokens:
    single = [replace(p, z=[None if t is None else t.float() for t in p.z]) for p in parts]  # autocast joins no halves

    def joined(name: str) -> list[Tensor | None]:
        streams = [[t for p in single if (t := getattr(p, name)[c]) is not None] for c in range(2)]
        return [torch.cat(one) if one else None for one in streams]

    offset_BC, scale_BC = (torch.cat([getattr(p, name) for p in parts]) for name in ("offset_BC", "scale_BC"))
    return Tokens(joined("z"), parts[0].time, joined("visible"), offset_BC, scale_BC)


def _behind(encoder: Encoder, tokens: Tokens, still: int) -> Tokens:
    """What the blocks after the first `still` make of their tokens, normalised."""
    view = View(encoder.rotary, tokens.time, tokens.visible, encoder.spec.token_s)
    z = tokens.z
    for block in encoder.blocks[still:]:
        z = block(z, view)
    return replace(tokens, z=[None if t is None else encoder.norm[c](t) for c, t in enumerate(z)])


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


def _windows(example: Example, model: Model, view: Part) -> list[Window]:
    """Some windows of a recording, [] where it cannot be used (it is told when the head reads it)."""
    try:
        found = [w for w, _ in usable(view.of(example.read()), model.spec, None)]
    except (SignalError, OSError):
        return []
    return [found[i] for i in np.unique(np.linspace(0, len(found) - 1, WINDOWS).round().astype(int))]
