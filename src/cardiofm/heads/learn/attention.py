"""Gated attention over a record's windows, learned by torch from windows whose record alone has a label.

It begins as the linear head on the mean of the windows, and stops where the validation patients like it best.
Shapes: B records of a batch, W windows, D numbers, H hidden numbers, L outputs.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cardiofm.heads.learn import probes
from cardiofm.heads.learn.fit import Data
from cardiofm.heads.look import Seen
from cardiofm.heads.parts import Attention, Linear

HIDDEN = 32  # H
WINDOWS = 64  # of a record in one step; of a longer one as many are drawn
EPOCHS, PATIENCE, BATCH = 60, 10, 32
RATE, MAP_RATE, DECAY = 3e-3, 1e-4, 0.1  # the linear map, fitted already, moves slowly


class Gated(nn.Module):
    """Standardised embeddings `(B, W, D)` with the share of each that is known `(B, W)` to outputs `(B, L)`."""

    def __init__(self, start: Linear, centre: NDArray[Any], spread: NDArray[Any]) -> None:
        super().__init__()
        weight, bias = start.weight * spread[:, None], start.bias + centre @ start.weight
        self.weight = nn.Parameter(torch.from_numpy(weight).float())
        self.bias = nn.Parameter(torch.from_numpy(bias).float())
        self.what, self.gate = (nn.Parameter(torch.randn(len(centre), HIDDEN) * len(centre) ** -0.5) for _ in range(2))
        self.look = nn.Parameter(torch.zeros(HIDDEN))

    def forward(self, z_BWD: Tensor, known_BW: Tensor) -> Tensor:
        score_BW = (torch.tanh(z_BWD @ self.what) * torch.sigmoid(z_BWD @ self.gate)) @ self.look
        share_BW = torch.softmax(score_BW + known_BW.clamp_min(1e-9).log(), dim=1)
        pooled_BD = (share_BW[..., None] * z_BWD).sum(1)
        return pooled_BD @ self.weight + self.bias


def attention(data: Data, kind: probes.Kind, start: Linear, seed: int = 0) -> Attention:
    """Fitted on the training records of all windows, kept as it was when the validation loss was least."""
    (train, y_train), (valid, y_valid) = data.rows("train"), data.rows("valid")
    every = np.concatenate([s.embedding for s in train]).astype(np.float64)
    centre, spread = every.mean(0), every.std(0) + 1e-6
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    unit = max(float(np.std(y_train)), 1e-9) if kind == "regression" else 1.0
    net = Gated(start, centre, spread)
    groups = [
        {"params": [net.what, net.gate, net.look], "lr": RATE},
        {"params": [net.weight, net.bias], "lr": MAP_RATE},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=DECAY)
    best, least, waited = copy.deepcopy(net.state_dict()), _valid(net, valid, y_valid, kind, centre, spread, unit), 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(train))
        net.train()
        for k in range(0, len(order), BATCH):
            at = order[k : k + BATCH]
            out = net(*_bags([train[i] for i in at], centre, spread, rng))
            optimiser.zero_grad()
            loss(out, y_train[at], kind, unit).backward()
            optimiser.step()
        now = _valid(net, valid, y_valid, kind, centre, spread, unit)
        waited = 0 if now < least else waited + 1
        if waited == 0:
            best, least = copy.deepcopy(net.state_dict()), now
        elif waited == PATIENCE:
            break
    arrays = {name: tensor.double().numpy() for name, tensor in best.items()}
    return Attention(centre, spread, **arrays)


def loss(out_BL: Tensor, y: NDArray[Any], kind: probes.Kind, unit: float = 1.0) -> Tensor:
    """Mean log loss of log-odds, or mean squared error in units of `unit`."""
    if kind == "classes":
        return F.cross_entropy(out_BL, torch.from_numpy(np.asarray(y, np.int64)))
    truth = torch.from_numpy(np.asarray(y, np.float32)).reshape(out_BL.shape)
    if kind == "regression":
        return (((out_BL - truth) / unit) ** 2).mean()
    return F.binary_cross_entropy_with_logits(out_BL, truth)


def _valid(
    net: Gated, seen: list[Seen], y: NDArray[Any], kind: probes.Kind, centre: Any, spread: Any, unit: float
) -> float:
    net.eval()
    with torch.inference_mode():
        rows = [net(*_bags([s], centre, spread)) for s in seen]
        return float(loss(torch.cat(rows), y, kind, unit))


def _bags(
    seen: list[Seen], centre: NDArray[Any], spread: NDArray[Any], rng: np.random.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Records padded to the longest, a padded window known by nothing; with `rng` some windows of long ones."""
    rows = [np.arange(len(s.known)) for s in seen]
    if rng is not None:
        rows = [r if len(r) <= WINDOWS else np.sort(rng.choice(r, WINDOWS, replace=False)) for r in rows]
    most = max(map(len, rows))
    z, known = np.zeros((len(seen), most, len(centre)), np.float32), np.zeros((len(seen), most), np.float32)
    for b, (s, r) in enumerate(zip(seen, rows, strict=True)):
        z[b, : len(r)] = (s.embedding[r] - centre) / spread
        known[b, : len(r)] = np.maximum(s.known[r], 1e-3)
    return torch.from_numpy(z), torch.from_numpy(known)
