"""Arithmetic and memory traffic of a network, counted on the operators that torch runs.

An operation is a multiplication or an addition; only those of matrix products and convolutions count, as usual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Of one window."""

    operations: int  # multiplications and additions of products and convolutions
    weight_bytes: int  # read once each, in float32
    traffic_bytes: int  # what operators read and write beside weights, in float32, nothing kept in a cache


class _Traffic(TorchDispatchMode):
    """Sums what operators read and write; a view moves nothing."""

    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.weights, self.bytes = weights, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        made = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        read = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        held = {t.untyped_storage().data_ptr() for t in read}
        if any(t.untyped_storage().data_ptr() not in held for t in made):
            moved = [t for t in read if t.untyped_storage().data_ptr() not in self.weights]
            self.bytes += sum(t.numel() * t.element_size() for t in (*made, *moved))
        return out


def cost(module: nn.Module, *windows: Tensor) -> Cost:
    """What the module does for a batch of one window.

    >>> cost(nn.Linear(3, 5), torch.zeros(7, 3)).operations == 2 * 7 * 3 * 5
    True
    """
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as counter:
            module(*windows)
        with _Traffic(weights) as traffic:
            module(*windows)
    return Cost(counter.get_total_flops(), _read(module, windows), traffic.bytes)


def _read(module: nn.Module, windows: tuple[Tensor, ...]) -> int:
    """Bytes of the parameters that the module uses for these windows: those of other parts do not count."""
    with torch.enable_grad():
        out = module(*windows)
        first = out[0] if isinstance(out, tuple) else out
        used = [p for p in module.parameters() if p.requires_grad]
        grads = torch.autograd.grad(first.sum(), used, allow_unused=True)
    return sum(4 * p.numel() for p, g in zip(used, grads, strict=True) if g is not None)
