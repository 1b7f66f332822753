"""What the network says of a batch of windows, in numpy: the treaty between torch, ONNX Runtime and the pipeline.

Shapes: B batch, C channels (ecg, ppg), N samples, S token steps, D width, Q codebook levels. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray


class Encoded(NamedTuple):
    """A batch of windows as tokens, codes and one embedding each; zeros where a stream was not run."""

    embedding: NDArray[np.float32]  # (B, E)
    tokens: NDArray[np.float32]  # (B, C, S, D)
    patches: NDArray[np.float32]  # (B, C, S, P) each token's own samples, normalised, hidden ones 0
    seen: NDArray[np.bool_]  # (B, C, S) at least half of the token's samples are visible
    coded: NDArray[np.bool_]  # (B, C, S) any token of its block is seen
    codes: NDArray[np.int64]  # (B, C, S, Q) all levels
    worth: NDArray[np.float32]  # (B, C, S) codebook levels that the token is worth, mean 0 over the coded ones
    offset: NDArray[np.float32]  # (B, C) in the channel's unit: waveform = drawing * scale + offset
    scale: NDArray[np.float32]  # (B, C)

    def rows(self, index: slice | NDArray[np.integer]) -> Encoded:
        """Some of the windows."""
        return Encoded(*cast(Any, (field[index] for field in self)))

    @staticmethod
    def join(parts: Sequence[Encoded]) -> Encoded:
        """One batch of several."""
        return Encoded(*cast(Any, (np.concatenate(fields) for fields in zip(*parts, strict=True))))


class Backend(Protocol):
    """The network in one of its forms; the same arrays in and out whichever it is."""

    def encode(
        self,
        x_BCN: NDArray[np.float32],
        visible_BCN: NDArray[np.bool_],
        in_mv_BC: NDArray[np.bool_],
        present: tuple[int, ...] = (0, 1),
    ) -> Encoded:
        """Encode windows, running only the streams in `present`."""
        ...

    def draw(self, code: Encoded) -> NDArray[np.float32]:
        """Both waveforms `(B, C, N)` in normalised units from tokens; gaps and absent streams are filled in."""
        ...

    def decode(
        self, codes_BCSQ: NDArray[np.int64], depth_BCS: NDArray[np.int64], coded_BCS: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Waveforms `(B, C, N)`, normalised, from the first `depth` codes of each token; 0 for an absent stream."""
        ...


def depths(
    worth: NDArray[np.floating], coded: NDArray[np.bool_], mean_depth: float | NDArray[np.floating], levels: int
) -> NDArray[np.int64]:
    """Codebook levels `(…, S)` for each token, 0…levels, averaging at most `mean_depth` (one number, or `(…, 1)`) over
    the coded ones.

    Reverse water-filling (Cover & Thomas, Elements of Information Theory, 10.3) as in training: a level is used when
    clip(worth - line, 0, levels) passes its middle. The line, one per window, is the lowest that the budget allows.

    >>> depths(np.array([[3.0, 0.1, -3.0, 0.0]]), np.array([[True, True, True, False]]), 2.0, 8).tolist()
    [[4, 2, 0, 0]]
    """
    if np.all(mean_depth >= levels):
        return coded * np.int64(levels)
    worth = worth.astype(np.float64)
    budget = mean_depth * coded.sum(-1, keepdims=True) + 1e-9
    low, high = worth.min(-1, keepdims=True) - levels - 1.0, worth.max(-1, keepdims=True) + 1.0
    for _ in range(40):
        line = (low + high) / 2
        above = _rounded(worth - line, coded, levels).sum(-1, keepdims=True) > budget
        low, high = np.where(above, line, low), np.where(above, high, line)
    return _rounded(worth - high, coded, levels)


def shares(depth: NDArray[np.integer], group: int) -> NDArray[np.float32]:
    """Each token's share `(…, S)` of the levels spent on its block of `group` tokens.

    >>> shares(np.array([6, 0, 0, 1, 1, 1]), 3).tolist()
    [2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    """
    blocks = depth.reshape(*depth.shape[:-1], -1, group)
    return blocks.mean(-1).repeat(group, axis=-1).astype(np.float32)


def _rounded(depth: NDArray[np.float64], coded: NDArray[np.bool_], levels: int) -> NDArray[np.int64]:
    return np.clip(np.ceil(depth - 0.5), 0, levels).astype(np.int64) * coded
