"""The encoder's blocks in ONNX Runtime's own operators: half the nodes of a graph that embeds, the same weights.

`MultiHeadAttention` takes the lag's bias and which keys are visible, and splits and joins the heads itself;
`RotaryEmbedding` turns all heads at once. Shapes: B batch, S token steps (T of the other stream), D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiofm.model.layers import TwoStreamBlock, View

Angles = tuple[Tensor, Tensor]  # cos and sin `(S, F/2)`


@contextmanager
def fused() -> Iterator[None]:
    """While it lasts, blocks that are exported are written so; one without lags or a side of the crossing is not."""
    plain = TwoStreamBlock.forward
    angles: dict[View, list[Angles | None]] = {}  # one copy in the graph for all blocks

    def forward(self: TwoStreamBlock, x: list[Tensor | None], view: View) -> list[Tensor | None]:
        parts = [*self.own, *self.cross.values()]
        if len(self.cross) < 2 or any(part.lag_bias is None for part in parts):
            return plain(self, x, view)
        if view not in angles:
            angles[view] = [None if both is None else (both[0][0, 0], both[1][0, 0]) for both in view.rotary]
        seen = [None if bias is None else (bias[:, 0, 0] == 0).to(torch.int32) for bias in view.key_bias]
        x = [
            None if t is None else t + _own(self.own[c], t, angles[view][c], view.own_lag[c], seen[c])
            for c, t in enumerate(x)
        ]
        x = [
            None if t is None else t + _cross(self.cross[str(c)], t, x[1 - c], view, c, seen[1 - c])
            for c, t in enumerate(x)
        ]
        return [None if t is None else t + self.ffn[c](t) for c, t in enumerate(x)]

    TwoStreamBlock.forward = forward
    try:
        yield
    finally:
        TwoStreamBlock.forward = plain


def _own(part: Any, x_BSD: Tensor, angles: Angles | None, lag_1SS: Tensor | None, seen_BS: Tensor | None) -> Tensor:
    q, k, v = part.qkv(part.norm(x_BSD)).chunk(3, dim=-1)
    q, k = _turned(q, angles), _turned(k, angles)
    return part.out(_attention(part, q, k, v, seen_BS, _lag_bias(part, lag_1SS)))


def _cross(part: Any, x_BSD: Tensor, other_BTD: Tensor | None, view: View, c: int, seen_BT: Tensor | None) -> Tensor:
    if other_BTD is None or seen_BT is None:
        return part(x_BSD, None, view, c)
    null_12D = torch.cat([part.null_k.reshape(1, 1, -1), part.null_v.reshape(1, 1, -1)], dim=-1)
    kv = torch.cat([null_12D.expand(x_BSD.shape[0], -1, -1), part.kv(part.norm_other(other_BTD))], dim=1)
    k, v = kv.chunk(2, dim=-1)
    bias = F.pad(_lag_bias(part, view.lag[c]), (1, 0))
    return part.out(_attention(part, part.q(part.norm(x_BSD)), k, v, F.pad(seen_BT, (1, 0), value=1), bias))


def _lag_bias(part: Any, lag_1ST: Tensor | None) -> Tensor:
    """`(1, H, S, T)`; all windows share the grid, so it is folded when the graph is loaded."""
    assert lag_1ST is not None
    return part.lag_bias.T[:, lag_1ST.flatten()].reshape(1, part.heads, *lag_1ST.shape[1:])


def _attention(part: Any, q: Tensor, k: Tensor, v: Tensor, *where: Tensor | None) -> Tensor:
    inputs, how = (q, k, v, None, *where), dict[str, Any](num_heads=part.heads)
    return torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention", inputs, how, dtype=q.dtype, shape=q.shape, version=1
    )


def _turned(x_BSD: Tensor, angles: Angles | None) -> Tensor:
    assert angles is not None
    inputs, how = (x_BSD, torch.zeros(1, dtype=torch.int64), *angles), dict[str, Any](interleaved=0)
    return torch.onnx.ops.symbolic(
        "com.microsoft::RotaryEmbedding", inputs, how, dtype=x_BSD.dtype, shape=x_BSD.shape, version=1
    )
