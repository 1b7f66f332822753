"""A drawing made calmer by what looks alike in it: hearts repeat themselves, errors of codes less so.

Each stretch of 560 ms is compared with every other of the chunk; the likeliest are averaged, and the average is blended
in as far as the writer found it to help: one of `CHOICES`, which is all that is sent.
Shapes: N samples of a chunk's grid, X samples of a stretch, M places, T stretches.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

LENGTH, STEP = 140, 20  # samples of a stretch, and to the next one
PLACES = 2  # samples between places that are compared
KEPT = 24  # places that are averaged
NEAR = 20  # samples: closer than this a stretch is itself
SOFT = (0.01, 0.1)  # mean squared difference, of a drawing of spread 1, at which a place counts 1/e
SHARES = (0.3, 0.6, 0.9)  # of the average
CHOICES = ((0.0, 0), *product(SHARES, range(len(SOFT))))
OWN = 0.01  # what a stretch itself counts, so that where nothing is alike it stays
_AT_ONCE = 128


def blended(
    drawn_N: NDArray[np.float64], choice: int, average: list[NDArray[np.float64]] | None = None
) -> NDArray[np.float64]:
    """The drawing with its average blended in; `average` where `averages` are at hand."""
    share, soft = CHOICES[choice]
    if share == 0:
        return drawn_N
    return drawn_N + share * ((averages(drawn_N) if average is None else average)[soft] - drawn_N)


def best(
    drawn_N: NDArray[np.float64],
    true_N: NDArray[np.float64],
    known_N: NDArray[np.bool_],
    average: list[NDArray[np.float64]] | None = None,
) -> tuple[int, NDArray[np.float64]]:
    """The choice that brings a drawing nearest to the signal, and that drawing."""
    average = averages(drawn_N) if average is None else average
    made = [blended(drawn_N, choice, average) for choice in range(len(CHOICES))]
    choice = int(np.argmin([((true_N - one_N)[known_N] ** 2).sum() for one_N in made]))
    return choice, made[choice]


def averages(drawn_N: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """For each of `SOFT` the averages `(N,)` of what looks alike; the drawing itself where nothing does."""
    spread = float(drawn_N.std())
    if len(drawn_N) < 4 * LENGTH or spread == 0:
        return [drawn_N for _ in SOFT]
    x_N = ((drawn_N - drawn_N.mean()) / spread).astype(np.float32)
    every = np.lib.stride_tricks.sliding_window_view(x_N, LENGTH)
    places_MX, starts = np.ascontiguousarray(every[::PLACES]), np.arange(0, len(every), STEP)
    at = np.arange(0, len(every), PLACES)
    energy = (places_MX**2).sum(1)
    taper = np.sin(np.pi * (np.arange(LENGTH) + 0.5) / LENGTH) ** 2
    total, weight = np.zeros((len(SOFT), len(x_N))), np.full(len(x_N), 1e-9)
    for first in range(0, len(starts), _AT_ONCE):
        some = starts[first : first + _AT_ONCE]
        own = every[some]
        apart = np.maximum((own**2).sum(1)[:, None] + energy - 2 * (own @ places_MX.T), 0) / LENGTH
        apart[np.abs(some[:, None] - at) < NEAR] = np.inf
        likest = np.argpartition(apart, KEPT, axis=1)[:, :KEPT]
        apart = np.take_along_axis(apart, likest, 1)
        for k, soft in enumerate(SOFT):
            heard = np.exp(-apart / soft)
            average = np.einsum("tk,tkx->tx", heard, places_MX[likest]) + OWN * own
            average /= heard.sum(1, keepdims=True) + OWN
            for begin, stretch_X in zip(some, average, strict=True):
                total[k, begin : begin + LENGTH] += taper * stretch_X
        for begin in some:
            weight[begin : begin + LENGTH] += taper
    mean = float(drawn_N.mean())
    return [np.where(weight > 1e-6, part / weight, x_N) * spread + mean for part in total]
