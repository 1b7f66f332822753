"""What the decoded past says of the next block: stretches that followed what looked like the last 400 ms.

Hearts repeat themselves. Every place of the last seconds is compared with the end of what is known; what came after
the places that fit best is what may come now. Nothing is sent for this: the decoder has the same past. All numbers
are whole, held as float64, and every sum stays below 2^53, so the order of adding does not matter.
Shapes: J places, F numbers of a block's cosine transform, X samples of a block.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

BASIS = 4096  # whole numbers to 1 in the cosine transform
REACH = 3500  # samples that are remembered
STEP = 2  # samples between places
PLACES = 32  # that are listened to
ROOM = 2.0**20  # of the greatest weight
OCTAVE = 8  # steps of a window's spread
LOUD = 2.0**15  # samples are kept within this
SOFT = 4.0  # mean squared difference at which a place counts half as much, per UNIT^2 / 100 samples


def halvings() -> NDArray[np.float64]:
    """`ROOM` * 2^(-i / 64) for i = 0, 1, … until it is below 1, whole: by whole square roots, the same everywhere."""
    out = []
    for i in range(64 * 20):
        root = 1 << (20 * 64 - i)
        for _ in range(6):
            root = isqrt(root)
        out.append(float(root))
    return np.array([*out, 0.0])


def ratio(steps: int) -> float:
    """65536 * 2^(steps / OCTAVE), whole."""
    root = 1 << max(16 * OCTAVE + steps, 0)
    for _ in range(3):
        root = isqrt(root)
    return float(root)


POWER = halvings()


class Past:
    """The decoded samples of one channel in a chunk, in the current window's units.

    A window's units are 2^(spread / OCTAVE) of the chunk's, about a mean of `mean` of the chunk's units.
    """

    def __init__(self, basis_FX: NDArray[np.float64], unit: int) -> None:
        self.basis_FX = basis_FX
        self.block = basis_FX.shape[1]
        self.samples = np.zeros(0)
        self.soft = 64.0 / (1.39 * SOFT * unit * unit)
        self.spread, self.mean = 0, 0

    def window(self, spread: int, mean: int) -> None:
        """Go over to another window's units."""
        if (spread, mean) != (self.spread, self.mean):
            self.samples = np.clip(np.floor((self.plain(self.samples) - mean) * ratio(-spread) / 65536), -LOUD, LOUD)
            self.spread, self.mean = spread, mean

    def plain(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Samples in this window's units in those of the chunk, whole."""
        return np.floor(samples * ratio(self.spread) / 65536) + self.mean

    def add(self, latent_F: NDArray[np.float64]) -> NDArray[np.float64]:
        """One more block, from the sum of its codes; its samples `(X,)`."""
        block_X = np.clip(np.floor((latent_F @ self.basis_FX + BASIS // 2) / BASIS), -LOUD, LOUD)
        self.samples = np.append(self.samples, block_X)[-REACH:]
        return block_X

    def look(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Weights `(J,)` and transforms `(J, F)` of what may come, best first; None while too little is known."""
        n = self.block
        if len(self.samples) < 4 * n:
            return None
        view = np.lib.stride_tricks.sliding_window_view(self.samples, 2 * n)[::STEP]
        before, now = view[:, :n], self.samples[-n:]
        energy = np.concatenate([[0.0], np.cumsum(self.samples**2)])
        starts = np.arange(0, len(self.samples) - 2 * n + 1, STEP)
        apart = energy[starts + n] - energy[starts] - 2 * (before @ now) + now @ now
        best = np.argsort(apart, kind="stable")[:PLACES]
        weight = falling((apart[best] - apart[best[0]]) * self.soft)
        latent = np.floor((view[best][:, n:] @ self.basis_FX.T + BASIS // 2) / BASIS)
        return weight, latent


def falling(exponent: NDArray[np.float64]) -> NDArray[np.float64]:
    """`ROOM` * 2^(-exponent / 64), whole."""
    return POWER[np.minimum(exponent, len(POWER) - 1).astype(np.int64)]
