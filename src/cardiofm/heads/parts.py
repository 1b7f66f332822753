"""What predicts, with numpy alone: a linear map, attention over windows, boosted trees, and mixtures with these.

Shapes: R records, W windows, D numbers, H hidden numbers of the attention, L outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cardiofm.heads.look import Seen
from cardiofm.measure.trees import Trees
from cardiofm.signals import CheckpointError

Floats = NDArray[np.float64]
Numbers = Literal["embedding", "hand-crafted", "both"]
NUMBERS: tuple[Numbers, ...] = ("embedding", "hand-crafted", "both")


def numbers(seen: Sequence[Seen], which: Numbers) -> Floats:
    """Numbers of the records `(R, D)`, each the mean over its windows; NaN where it could not be measured."""
    if which == "hand-crafted":
        return np.stack([s.mean_crafted() for s in seen])
    return np.stack([s.mean(both=which == "both") for s in seen])


@dataclass(frozen=True)
class Linear:
    """A linear map of numbers; a NaN counts as what is usual."""

    usual: Floats  # (D,)
    weight: Floats  # (D, L)
    bias: Floats  # (L,)

    def raw(self, x_RD: Floats) -> Floats:
        """Log-odds, or the value of a regression, `(R, L)`.

        >>> Linear(np.array([2.0]), np.array([[3.0]]), np.array([1.0])).raw(np.array([[1.0], [np.nan]])).tolist()
        [[4.0], [7.0]]
        """
        return np.where(np.isfinite(x_RD), x_RD, self.usual) @ self.weight + self.bias


@dataclass(frozen=True)
class Attention:
    """Gated attention over the windows of a record, then a linear map (Ilse, Tomczak, Welling: ICML 2018)."""

    centre: Floats  # (D,) of the embeddings that it learned from
    spread: Floats  # (D,)
    what: Floats  # (D, H)
    gate: Floats  # (D, H)
    look: Floats  # (H,)
    weight: Floats  # (D, L)
    bias: Floats  # (L,)

    def shares(self, seen: Seen) -> Floats:
        """How much of the answer each window gives, `(W,)`, sum 1."""
        score = self._scores((seen.embedding - self.centre) / self.spread) + np.log(np.maximum(seen.known, 1e-3))
        score = np.exp(score - score.max())
        return score / score.sum()

    def raw(self, seen: Sequence[Seen]) -> Floats:
        """Log-odds, or the value of a regression, `(R, L)`."""
        pooled = [self.shares(s) @ ((s.embedding - self.centre) / self.spread) for s in seen]
        return np.stack(pooled) @ self.weight + self.bias

    def _scores(self, z_WD: Floats) -> Floats:
        return (np.tanh(z_WD @ self.what) / (1 + np.exp(-z_WD @ self.gate))) @ self.look


@dataclass(frozen=True)
class Parts:
    """What a head is made of: a linear map, attention or trees; or the mean of trees and one of the others."""

    linear: Linear | None = None
    linear_of: Numbers = "embedding"
    trees: Trees | None = None
    trees_of: Numbers = "both"
    attention: Attention | None = None
    share: float = 0.0  # of the trees

    def raw(self, seen: Sequence[Seen]) -> Floats:
        """Log-odds, or the value of a regression, `(R, L)`."""
        found = []
        if self.attention is not None:
            found.append(self.attention.raw(seen))
        elif self.linear is not None:
            found.append(self.linear.raw(numbers(seen, self.linear_of)))
        if self.trees is not None:
            found.append(self.trees.totals(numbers(seen, self.trees_of)))
        if not found:
            raise CheckpointError("a head must have a linear map, trees or attention, found none; make it again")
        return found[0] if len(found) == 1 else (1 - self.share) * found[0] + self.share * found[1]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array by name, matrices in float32, to be stored."""
        out: dict[str, NDArray[Any]] = {}
        for name in ("linear", "attention"):
            if (part := getattr(self, name)) is not None:
                out |= {f"{name}.{f.name}": getattr(part, f.name).astype(np.float32) for f in fields(part)}
        return out | (self.trees.arrays("trees") if self.trees is not None else {})

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], linear_of: Numbers, trees_of: Numbers, share: float) -> Parts:
        """The parts whose arrays are there; a part that lacks one is a CheckpointError."""

        def part(name: str, kind: Any) -> Any:
            mine = {k.split(".", 1)[1]: v for k, v in arrays.items() if k.startswith(f"{name}.")}
            if not mine:
                return None
            wanted = {f.name for f in fields(kind)}
            if set(mine) != wanted:
                raise CheckpointError(
                    f"a head's {name} must have {sorted(wanted)}, found {sorted(mine)}; make it again"
                )
            return kind(**{k: v.astype(np.float64) for k, v in mine.items()})

        trees = Trees.of(arrays, "trees") if any(k.startswith("trees.") for k in arrays) else None
        return cls(part("linear", Linear), linear_of, trees, trees_of, part("attention", Attention), share)
