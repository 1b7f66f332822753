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
    worth: NDArray[np.float32]  # (B, C, S, Q) of each level of each token, never more than that of the level before it
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

    def embed(
        self,
        x_BCN: NDArray[np.float32],
        visible_BCN: NDArray[np.bool_],
        in_mv_BC: NDArray[np.bool_],
        present: tuple[int, ...] = (0, 1),
    ) -> NDArray[np.float32]:
        """Only the embeddings `(B, E)` of windows: no codes are searched."""
        ...

    def draw(self, code: Encoded, denoise: bool = False) -> NDArray[np.float32]:
        """Both waveforms `(B, C, N)` in normalised units from tokens; gaps and absent streams are filled in.

        What is seen passes unchanged, or cleaned of noise where `denoise`.
        """
        ...

    def across(self, code: Encoded) -> NDArray[np.float32] | None:
        """Waveforms `(B, C, N)` in normalised units, each channel drawn from the other one alone; flat where that is
        not seen. None for a model without a head for it."""
        ...

    def decode(
        self, codes_BCSQ: NDArray[np.int64], depth_BCS: NDArray[np.int64], coded_BCS: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Waveforms `(B, C, N)`, normalised, from the first `depth` codes of each token; 0 for an absent stream."""
        ...

    def measure(
        self,
        x_BCN: NDArray[np.float32],
        visible_BCN: NDArray[np.bool_],
        in_mv_BC: NDArray[np.bool_],
        present: tuple[int, ...] = (0, 1),
    ) -> list[NDArray[np.float32]]:
        """What the fiducial head says: waves `(B, 4, N)`, chance, reach in s and spread in s, each `(B, K, N)`."""
        ...


def depths(
    worth: NDArray[np.floating], coded: NDArray[np.bool_], mean_depth: float | NDArray[np.floating]
) -> NDArray[np.int64]:
    """Codebook levels `(…, S)` for each token, averaging at most `mean_depth` (one number, or `(…, 1)`) over the coded
    ones, from the worth `(…, S, Q)` of the levels.

    The levels of a window that are worth most are kept, as many as the budget allows (Shoham & Gersho 1988).

    >>> depths(np.array([[[3.0, 1.0], [0.1, 0.0], [-3.0, -4.0], [9.0, 9.0]]]), np.array([[True, True, True, False]]), 1)
    array([[2, 1, 0, 0]])
    """
    levels = worth.shape[-1]
    worth = np.where(coded[..., None], worth, -np.inf).astype(np.float64)
    many = worth.reshape(*coded.shape[:-1], -1)
    order = np.argsort(-many, axis=-1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(many.shape[-1]), order.shape), axis=-1)
    allowed = np.floor(np.minimum(mean_depth, levels) * coded.sum(-1, keepdims=True) + 1e-9)
    kept = (rank < allowed).reshape(worth.shape)
    return np.cumprod(kept, axis=-1).sum(-1).astype(np.int64) * coded


def shares(depth: NDArray[np.integer], group: int) -> NDArray[np.float32]:
    """Each token's share `(…, S)` of the levels spent on its block of `group` tokens.

    >>> shares(np.array([6, 0, 0, 1, 1, 1]), 3).tolist()
    [2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    """
    blocks = depth.reshape(*depth.shape[:-1], -1, group)
    return blocks.mean(-1).repeat(group, axis=-1).astype(np.float32)
