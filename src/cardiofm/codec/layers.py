"""One channel of a chunk through a coder: gaps, mean and spread, codes, the classical layer, the exact samples.

The same lines write and read: with `given` the values are its own, without it they are what the reader finds.
Shapes: W windows, N samples of the network's grid, n samples of the channel's own clock, S token steps, Q levels,
T blocks of a window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cardiofm.codec import alike, exact, retouch, wavelet
from cardiofm.codec.arithmetic import NUMBER, STEPS, Bits, Coder, number
from cardiofm.codec.past import OCTAVE
from cardiofm.codec.prior import CLASSES, Tables
from cardiofm.codec.tokens import Blocks
from cardiofm.signals import InputSpec, SignalError

MEAN = 16  # steps of a mean to one spread of the chunk
COUNT, GAPS, SPREAD, CENTRE, WINDOW_SPREAD, WINDOW_MEAN, FINE = range(0, 7 * NUMBER, NUMBER)
SIDE = 7 * NUMBER  # contexts
SIGNAL, LEFT = 0, 1  # what the classical layer carries
_ON_GRID = 1e-4  # of a sample: closer than this two grids are the same
_MOST = 1 << 28  # of any mean
_ALIKE, _GAINS = np.ones(len(alike.CHOICES)), np.ones(len(retouch.GAINS))


@dataclass(frozen=True)
class Clock:
    """Where a channel's own samples lie beside the network's grid of a chunk."""

    fs_hz: float
    start_s: float  # of the channel's first sample
    from_s: float  # of the chunk
    windows: int

    def first(self) -> int:
        """The channel's first sample that lies in the chunk."""
        return max(0, math.ceil((self.from_s - self.start_s) * self.fs_hz - 1e-6))

    def count(self, spec: InputSpec) -> int:
        """How many samples the chunk has room for."""
        end_s = self.from_s + self.windows * spec.window_s
        return max(0, math.ceil((end_s - self.start_s) * self.fs_hz - 1e-6)) - self.first()

    def position(self, spec: InputSpec) -> NDArray[np.float64]:
        """Each grid sample `(N,)` in the channel's samples, from the chunk's first one."""
        grid = np.arange(self.windows * spec.samples, dtype=np.float64)
        return (self.from_s - self.start_s) * self.fs_hz + grid * (self.fs_hz / spec.fs_hz) - self.first()

    def known(self, known_n: NDArray[np.bool_], spec: InputSpec) -> NDArray[np.bool_]:
        """Which grid samples `(N,)` have known samples on both sides."""
        if not len(known_n):
            return np.zeros(self.windows * spec.samples, bool)
        position, last = self.position(spec), len(known_n) - 1
        before = np.floor(position + _ON_GRID).astype(np.int64)
        after = np.ceil(position - _ON_GRID).astype(np.int64)
        inside = (before >= 0) & (after <= last)
        return inside & known_n[np.clip(before, 0, last)] & known_n[np.clip(after, 0, last)]


@dataclass
class Codes:
    """Codes of a channel's windows."""

    codes: NDArray[np.int64]  # (W, S, Q)
    depth: NDArray[np.int64]  # (W, S)
    coded: NDArray[np.bool_]  # (W, S)
    spread: NDArray[np.int64]  # (W,) of a window, in 1 / OCTAVE of an octave over the chunk's
    mean: NDArray[np.int64]  # (W,) in 1 / MEAN of the chunk's spread over its mean
    plain: NDArray[np.float64]  # (N,) their inverse transform, whole, in 1 / UNIT of the chunk's spread


@dataclass
class Layers:
    """What is stored of a channel in a chunk. The chunk's spread is 2^(spread / OCTAVE), in the channel's unit."""

    known_n: NDArray[np.bool_]
    spread: int
    mean: int  # in 1 / MEAN of the spread
    codes: Codes | None = None
    bands: wavelet.Bands | None = None
    step: int = 0
    rate: int = 0  # which of `wavelet.RATES` the bands' counts start from
    alike: tuple[int, int] = (0, 0)  # of `alike.CHOICES`, of what codes draw, and of that with the bands
    gain: int = 0  # of `retouch.GAINS`, at last
    exact_n: NDArray[np.float32] | None = None

    @property
    def scale(self) -> float:
        return 2.0 ** (self.spread / OCTAVE)

    @property
    def offset(self) -> float:
        return self.mean * self.scale / MEAN


@dataclass
class Given(Layers):
    """What a writer wants stored: as `Layers`, and what the codes aim at. `price` None: no codes."""

    aims: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (W, T, S of a block, E)
    window_spread: list[int] = field(default_factory=list)
    window_mean: list[int] = field(default_factory=list)
    price: float | None = None  # of a bit, in squared error of a window's units
    price_class: int = 0


def layers(
    coder: Coder, tables: Tables, clock: Clock, spec: InputSpec, given: Given | None, retouched: bool = False
) -> Layers:
    """Write a channel, or read it; `retouched`: the file says how far what codes draw is retouched."""
    side = Bits(tables.side)
    count = clock.count(spec) - number(
        coder, side, COUNT, 0 if given is None else clock.count(spec) - len(given.known_n)
    )
    if not 0 <= count <= clock.count(spec):
        raise SignalError("a chunk must hold as many samples as it has room for, and does not; encode the file again")
    known_n = gaps(coder, side, count, None if given is None else given.known_n)
    spread = number(coder, side, SPREAD, 0 if given is None else given.spread)
    mean = number(coder, side, CENTRE, 0 if given is None else given.mean)
    if not (abs(spread) < 100 * OCTAVE and abs(mean) < _MOST):
        raise SignalError("a chunk must hold a spread and a mean that can be, and does not; encode the file again")
    out = Layers(known_n, spread, mean)
    if coder.step(STEPS // 2, int(given is not None and given.price is not None)):
        price_class = coder.symbol(np.ones(CLASSES), -1 if given is None else given.price_class)
        out.codes = code_windows(coder, Blocks(tables, price_class), side, clock.known(known_n, spec), spec, given)
    if coder.step(STEPS // 2, int(given is not None and given.bands is not None)):
        out.rate = coder.symbol(np.ones(len(wavelet.RATES)), -1 if given is None else given.rate)
        waves = Bits(tables.waves[SIGNAL if out.codes is None else LEFT, out.rate])
        step = 0 if given is None else given.step
        out.step = 4 * number(coder, side, FINE, step // 4) + coder.symbol(np.ones(4), step % 4)
        if abs(out.step) > 120 * OCTAVE:
            raise SignalError("a chunk must hold a step that can be, and does not; encode the file again")
        samples = clock.windows * spec.samples
        out.bands = wavelet.code(coder, waves, samples, None if given is None else given.bands)
    if coder.step(STEPS // 2, int(given is not None and any(given.alike))):
        ways = (-1, -1) if given is None else given.alike
        out.alike = (coder.symbol(_ALIKE, ways[0]), coder.symbol(_ALIKE, ways[1]))
    if retouched and out.codes is not None:
        out.gain = coder.symbol(_GAINS, -1 if given is None else given.gain)
    if coder.step(STEPS // 2, int(given is not None and given.exact_n is not None)):
        values = None if given is None or given.exact_n is None else given.exact_n[known_n]
        out.exact_n = np.full(count, np.nan, np.float32)
        out.exact_n[known_n] = exact.code(coder, int(known_n.sum()), values)
    return out


def gaps(coder: Coder, side: Bits, count: int, known_n: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Which of `count` samples are known, as runs."""
    edges = np.zeros(0, np.int64) if known_n is None else np.flatnonzero(np.diff(known_n, prepend=True, append=True))
    runs = number(coder, side, GAPS, len(edges) // 2)
    out, at = np.ones(count, bool), 0
    for k in range(runs):
        begin, end = (int(e) for e in edges[2 * k : 2 * k + 2]) if known_n is not None else (0, 0)
        begin = at + number(coder, side, GAPS, begin - at)
        end = begin + number(coder, side, GAPS, end - begin)
        if not at <= begin <= end <= count:
            raise SignalError("a chunk must hold gaps within itself, and does not; encode the file again")
        out[begin:end], at = False, end
    return out


def code_windows(
    coder: Coder,
    blocks: Blocks,
    side: Bits,
    known_N: NDArray[np.bool_],
    spec: InputSpec,
    given: Given | None,
) -> Codes:
    """The codes of a channel's windows, each after its mean and spread."""
    group, levels = blocks.tables.group, blocks.levels
    known_WTX = known_N.reshape(-1, spec.tokens // group, group * spec.patch)
    coded_WT = np.asarray(known_WTX.any(-1), bool)
    windows, spread, mean = len(coded_WT), 0, 0
    codes = np.zeros((*coded_WT.shape, group, levels), np.int64)
    depth, plain = np.zeros(codes.shape[:-1], np.int64), np.zeros(known_WTX.shape)
    spreads, means = np.zeros(windows, np.int64), np.zeros(windows, np.int64)
    for w in range(windows):
        if coded_WT[w].any():
            spread += number(coder, side, WINDOW_SPREAD, 0 if given is None else given.window_spread[w] - spread)
            mean += number(coder, side, WINDOW_MEAN, 0 if given is None else given.window_mean[w] - mean)
            if not (abs(spread) <= 24 * OCTAVE and abs(mean) <= _MOST):
                raise SignalError("a window must have a spread and a mean that can be, found none; encode again")
        spreads[w], means[w] = spread, mean
        blocks.past.window(spread, 16 * mean)
        for t in range(coded_WT.shape[1]):
            if coded_WT[w, t]:
                aim = None if given is None else given.aims[w, t]
                block = blocks.code(coder, aim, 0.0 if given is None or given.price is None else given.price)
                codes[w, t], depth[w, t], plain[w, t] = block.codes, block.depth, block.plain
            else:
                plain[w, t] = blocks.skip()
    coded_WS = coded_WT.repeat(group, axis=1)
    return Codes(
        codes.reshape(windows, spec.tokens, levels), depth.reshape(windows, -1), coded_WS, spreads, means, plain.ravel()
    )
