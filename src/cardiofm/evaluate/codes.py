"""What codes cost and how they are used: bits, share of a codebook in use, and the price of saying each token's depth.

Shapes: M tokens, S token steps, Q levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from cardiofm.pipeline import Model


def bits_per_code(model: Model) -> float:
    """Bits of one code of one level."""
    return float(np.log2(model.config["quantizer"]["codes"]))


def full_rate(model: Model) -> float:
    """Bits a second of a channel at all levels."""
    return model.config["quantizer"]["levels"] * bits_per_code(model) / model.spec.token_s


def group(model: Model) -> int:
    """How many consecutive tokens are coded as one block."""
    return int(model.config["quantizer"]["group"])


def books(model: Model, steps: int) -> NDArray[np.int64]:
    """Which codebook each of `steps` tokens has, `(S,)`: 0 for the first of a block, else 1."""
    return (np.arange(steps) % group(model) != 0).astype(np.int64)


def usage(codes_MQ: NDArray[np.integer], size: int) -> tuple[list[float], list[float]]:
    """For each level the share of its `size` codes that occur at all, and the perplexity of those that do.

    >>> usage(np.array([[0, 1], [1, 1]]), 4)
    ([0.5, 0.25], [2.0, 1.0])
    """
    used, perplexity = [], []
    for codes_M in codes_MQ.T:
        count = np.bincount(codes_M, minlength=size)
        share = count[count > 0] / count.sum()
        used.append(float((count > 0).mean()))
        perplexity.append(float(np.exp(-(share * np.log(share)).sum())))
    return used, perplexity


def depth_bits(paths: Sequence[NDArray[np.integer]], levels: int) -> float:
    """Bits that saying the depth of every token of all `paths` costs: ideal adaptive length, given the depth before it.

    One Krichevsky-Trofimov model for all, so a path that is not the first profits from those before.
    """
    count = np.zeros((levels + 2, levels + 1))  # the last context: the first token of a path
    for path in paths:
        if len(path):
            np.add.at(count, (np.concatenate([[levels + 1], path[:-1]]), path), 1)
    half = 0.5 * (levels + 1)
    each = gammaln(count.sum(-1) + half) - gammaln(half) - (gammaln(count + 0.5) - gammaln(0.5)).sum(-1)
    return float(each.sum() / np.log(2))


def block_means(bits_S: NDArray[np.floating], size: int) -> NDArray[np.float64]:
    """Bits of each token `(S,)` where `size` tokens are coded as one block: the block's, spread evenly over them.

    >>> block_means(np.array([8.0, 0.0, 16.0, 8.0, 2.0]), 2).tolist()
    [4.0, 4.0, 12.0, 12.0, 2.0]
    """
    edges = np.arange(0, len(bits_S), size)
    each = np.add.reduceat(np.asarray(bits_S, np.float64), edges) / np.diff(np.append(edges, len(bits_S)))
    return np.repeat(each, size)[: len(bits_S)]
