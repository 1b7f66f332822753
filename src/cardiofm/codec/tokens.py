"""The codes of a channel, block by block: which ones to keep at a price per bit, and their way through a coder.

Chances of a code come from two sources: how often it is used, and how near it lies to what the decoded past lets
expect (`past`). Which source to believe is learned on the way, from nothing but what the decoder knows as well.
Shapes: J places of the past, S tokens of a block, Q levels, K codes of a book, E code width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardiofm.codec.arithmetic import PRICE, Bits, Coder
from cardiofm.codec.past import ROOM, Past, falling
from cardiofm.codec.prior import UNIT, Tables

SHARE = 65536.0  # chances of one source add up to about this
WIDE = (1, 8)  # times the prior's width: one ear for close likeness, one for rough
FORGET = 1 / 32  # of the belief in a source, taken back to even after each code
LEVELS, SIZES = 5, 11  # classes of "one more level?": how deep it is, how much the past expects to be left
DEEPER = 5 * LEVELS * SIZES  # contexts
NONE = np.zeros(0)


@dataclass
class Block:
    """Codes of a block's tokens, and the sum of those used."""

    codes: NDArray[np.int64]  # (S, Q), 0 beyond the depth
    depth: NDArray[np.int64]  # (S,)
    latent: NDArray[np.float64]  # (S, E), whole numbers in 1 / UNIT
    plain: NDArray[np.float64]  # (X,) their inverse transform in the chunk's units, whole


class Blocks:
    """The blocks of one channel of a chunk, in order. One of these writes, another reads."""

    def __init__(self, tables: Tables, price_class: int) -> None:
        self.tables = tables
        self.past = Past(tables.basis, UNIT)
        self.deeper = Bits(tables.deeper[price_class])
        self.levels, _, self.codes, self.width = tables.book.shape
        self.norm = (tables.book**2).sum(-1)
        often = tables.often / tables.often.sum(-1, keepdims=True)
        self.often = np.floor(often * SHARE) + 1.0
        self.belief = np.full((self.levels, 1 + len(WIDE)), SHARE)

    def skip(self) -> NDArray[np.float64]:
        """A block without codes, as samples in the chunk's units."""
        return self.past.plain(self.past.add(np.zeros(self.tables.basis.shape[0])))

    def code(self, coder: Coder, aim_SE: NDArray[np.float64] | None = None, price: float = 0.0) -> Block:
        """The next block: read, or chosen so that squared error (in UNIT²) plus `price` a bit is small, and written."""
        group = self.tables.group
        block = Block(
            np.zeros((group, self.levels), np.int64), np.zeros(group, np.int64), np.zeros((group, self.width)), NONE
        )
        seen = self.past.look()
        hear = None if seen is None else _Heard(seen[0], seen[1].reshape(len(seen[0]), group, self.width))
        for s in range(group):
            self._token(coder, block, s, hear, None if aim_SE is None else aim_SE[s], price)
        block.plain = self.past.plain(self.past.add(block.latent.ravel()))
        return block

    def _token(
        self, coder: Coder, block: Block, s: int, hear: _Heard | None, aim_E: NDArray[np.float64] | None, price: float
    ) -> None:
        book = int(s > 0)
        for q in range(self.levels):
            left = 0 if hear is None else hear.left(s, block.latent[s])
            context = (s * LEVELS + min(q, LEVELS - 1)) * SIZES + left
            chances, value, more = None, -1, -1
            if aim_E is not None:
                ones, left_E = self.deeper.ones(context), aim_E - block.latent[s]
                cost, more = price * (PRICE[1][ones] - PRICE[0][ones]), 0
                if left_E @ left_E > cost:  # no code takes away more than all
                    chances = self._chances(hear, s, q, book, block.latent[s])
                    value, saved = self._best(chances.weights, left_E, q, book, price)
                    more = int(saved > cost)
            if not self.deeper.code(coder, context, more):
                return
            chances = chances or self._chances(hear, s, q, book, block.latent[s])
            value = coder.symbol(chances.weights, value)
            self._believe(q, chances, value)
            block.codes[s, q], block.depth[s] = value, q + 1
            block.latent[s] += self.tables.book[q, book, value]

    def _best(
        self, weights_K: NDArray[np.float64], left_E: NDArray[np.float64], q: int, book: int, price: float
    ) -> tuple[int, float]:
        """The code worth most, and by how much it lowers squared error plus price."""
        worth = 2 * (self.tables.book[q, book] @ left_E) - self.norm[q, book]
        worth -= price * (np.log2(weights_K.sum()) - np.log2(weights_K))
        best = int(worth.argmax())
        return best, float(worth[best])

    def _chances(self, hear: _Heard | None, s: int, q: int, book: int, latent_E: NDArray[np.float64]) -> _Chances:
        often_K = self.often[book, q]
        if hear is None:
            return _Chances(often_K, np.zeros((0, self.codes)), None)
        away_JE = hear.expected_JSE[:, s] - latent_E
        apart_JK = self.norm[q, book] - 2 * (away_JE @ self.tables.book[q, book].T)
        apart_JK = (apart_JK - apart_JK.min(1, keepdims=True)) * (self.tables.sharp[q] / 65536)
        sources, each = [often_K], []
        for k, wide in enumerate(WIDE):
            near_JK = falling(apart_JK / wide) * often_K
            near_JK = np.floor(near_JK * (SHARE / near_JK.sum(1, keepdims=True))) + 1.0
            each.append(near_JK)
            weight_J = hear.weight[k]
            sources.append(np.floor((weight_J @ near_JK) / weight_J.sum()) + 1.0)
        sources_NK = np.stack(sources)
        weights_K = np.floor((self.belief[q] @ sources_NK) / SHARE) + 1.0
        return _Chances(weights_K, sources_NK, (hear, each))

    def _believe(self, q: int, chances: _Chances, value: int) -> None:
        """Trust the sources and the places of the past by what they gave the code that came."""
        if chances.heard is None:
            return
        belief = self.belief[q] * chances.sources_NK[:, value]
        belief = np.floor(belief * (SHARE * len(belief) / belief.sum()))
        self.belief[q] = np.floor(belief * (1 - FORGET)) + SHARE * FORGET
        hear, each = chances.heard
        for k, near_JK in enumerate(each):
            weight = hear.weight[k] * near_JK[:, value]
            hear.weight[k] = np.floor(weight * (ROOM / weight.max())) + 1.0


@dataclass
class _Chances:
    weights: NDArray[np.float64]  # (K,) whole
    sources_NK: NDArray[np.float64]
    heard: tuple[_Heard, list[NDArray[np.float64]]] | None


class _Heard:
    """What the past expects of a block, while its codes become known."""

    def __init__(self, weight_J: NDArray[np.float64], expected_JSE: NDArray[np.float64]) -> None:
        self.weight = [weight_J + 1.0 for _ in WIDE]
        self.expected_JSE = expected_JSE

    def left(self, s: int, latent_E: NDArray[np.float64]) -> int:
        """A class, 1 to 10, of how much of token `s` the past expects beyond `latent`."""
        away_J = ((self.expected_JSE[:, s] - latent_E) ** 2).sum(-1)
        weight_J = self.weight[0]
        mean = int(np.floor((weight_J @ away_J) / weight_J.sum()))
        return 1 + min(max((mean >> 10).bit_length(), 0), SIZES - 2)
