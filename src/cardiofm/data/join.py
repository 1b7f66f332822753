"""Drawn windows back to one channel on its own clock: cross-faded, resampled piece by piece, gaps restored."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.windows import FLAT_S, MARGIN, flat, resample
from cardiofm.signals import InputSpec, Signal

_PIECE_S = 120.0  # read at a time when gaps are restored


class Joiner:
    """Overlapping windows at `spec.fs_hz` to `out (n,)` float32 at `fs_hz`; NaN where no window was drawn.

    Windows are added in order of time; those that overlap are cross-faded linearly over `fade_s`. Only a few windows
    are held beside the output.

    >>> spec, x = InputSpec(), np.sin(np.arange(5000) / 40).astype(np.float32)
    >>> join = Joiner(spec, start_s=0.0, fs_hz=250.0, n=5000, origin_s=0.0, fade_s=1.0)
    >>> for first in (0, 2250, 2500): join.add(first, x[first : first + 2500])
    >>> bool(np.abs(join.finish() - x).max() < 1e-6)
    True
    """

    def __init__(
        self, spec: InputSpec, *, start_s: float, fs_hz: float, n: int, origin_s: float, fade_s: float
    ) -> None:
        self.out = np.full(n, np.nan, np.float32)
        self.start_s, self.fs_hz = start_s, fs_hz  # of the output
        self.origin_s, self.grid_hz = origin_s, spec.fs_hz  # of the windows' grid
        self.margin = math.ceil(MARGIN / min(fs_hz, spec.fs_hz) * spec.fs_hz) + 1  # grid samples that a filter needs
        edge = np.minimum(1.0, (np.arange(spec.samples) + 0.5) / max(1.0, fade_s * spec.fs_hz))
        self.fade_N = np.minimum(edge, edge[::-1])
        self.first, self.done = 0, 0  # grid index of the first held sample; outputs written
        self.sum, self.weight = np.zeros(0), np.zeros(0)

    def add(self, first: int, drawn_N: NDArray[np.float32]) -> None:
        """Add the window whose sample 0 has grid index `first` (not before the last one's); NaN is not drawn."""
        if first > self.first + len(self.sum):  # a stretch with no window between
            self._write(self.first + len(self.sum), last=True)
            self.first, self.sum, self.weight = first, np.zeros(0), np.zeros(0)
        else:
            self._write(first, last=False)
        more = np.zeros(max(0, first + len(drawn_N) - self.first - len(self.sum)))
        self.sum, self.weight = np.concatenate([self.sum, more]), np.concatenate([self.weight, more])
        part = slice(first - self.first, first - self.first + len(drawn_N))
        fade_N = np.where(np.isfinite(drawn_N), self.fade_N, 0.0)
        self.sum[part] += np.where(fade_N > 0, drawn_N, 0.0) * fade_N
        self.weight[part] += fade_N

    def finish(self) -> NDArray[np.float32]:
        """The whole channel `(n,)`."""
        self._write(self.first + len(self.sum), last=True)
        return self.out

    def _write(self, final: int, last: bool) -> None:
        """Write the outputs before grid index `final`, which no later window changes, and forget what they needed."""
        held = final - self.first
        if held <= 0:
            return
        with np.errstate(invalid="ignore", divide="ignore"):
            grid = (self.sum[:held] / self.weight[:held]).astype(np.float32)
        reach = final if last else final - self.margin
        begin_s = self.origin_s + self.first / self.grid_hz
        from_n, to_n = (math.ceil((self.origin_s + g / self.grid_hz - self.start_s) * self.fs_hz - 1e-6)
                        for g in (self.first, reach))  # fmt: skip
        from_n, to_n = max(self.done, from_n, 0), min(to_n, len(self.out))
        if to_n > from_n:
            held_end = np.append(grid, np.repeat(grid[-1:], 2)) if last else grid  # the last sample's right neighbour
            at_s = self.start_s + from_n / self.fs_hz
            y, ok = resample(held_end, self.grid_hz, begin_s, self.fs_hz, at_s, to_n - from_n)
            self.out[from_n:to_n] = np.where(ok, y, np.float32(np.nan))
            self.done = to_n
        drop = max(0, min(held, reach - self.margin - self.first))
        self.first, self.sum, self.weight = self.first + drop, self.sum[drop:], self.weight[drop:]


def restore_visible(out_n: NDArray[np.float32], signal: Signal, drawn_s: Sequence[tuple[float, float]]) -> None:
    """Set `out_n`, on the clock of `signal`, to its own samples where it has some, except in `drawn_s`."""
    step = round(_PIECE_S * signal.fs_hz)
    for first in range(0, len(out_n), step):
        last = min(len(out_n), first + step)
        own_n = np.asarray(signal.samples[first:last], np.float32) * (-1 if signal.inverted else 1)
        known = np.isfinite(own_n) & ~within(signal, first, last, drawn_s)
        out_n[first:last][known] = own_n[known]


def within(signal: Signal, first: int, last: int, spans_s: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    """Which of the samples first … last-1 of a channel lie in one of the spans, `(last - first,)`."""
    t_n = signal.start_s + np.arange(first, last) / signal.fs_hz + 1e-6 / signal.fs_hz
    found = np.zeros(last - first, bool)
    for begin_s, end_s in spans_s:
        found |= (t_n >= begin_s) & (t_n < end_s)
    return found


def absent_s(signal: Signal, spans_s: Sequence[tuple[float, float]]) -> float:
    """Seconds of a channel within the spans that hold no sample."""
    step, lost = round(_PIECE_S * signal.fs_hz), 0
    for first in range(0, len(signal.samples), step):
        last = min(len(signal.samples), first + step)
        lost += int((np.isnan(signal.samples[first:last]) & within(signal, first, last, spans_s)).sum())
    return lost / signal.fs_hz


def restore_gaps(out_n: NDArray[np.float32], signal: Signal, drawn_s: Sequence[tuple[float, float]]) -> None:
    """Set `out_n`, on the clock of `signal`, to NaN where that is absent or flat for 2 s, except in `drawn_s`."""
    fs_hz = signal.fs_hz
    step, margin = round(_PIECE_S * fs_hz), math.ceil(FLAT_S * fs_hz)
    for first in range(0, len(out_n), step):
        last = min(len(out_n), first + step)
        low, high = max(0, first - margin), min(len(out_n), last + margin)
        part = np.asarray(signal.samples[low:high], np.float32)
        absent = (~np.isfinite(part) | flat(part, fs_hz))[first - low : last - low]
        absent &= ~within(signal, first, last, drawn_s)
        out_n[first:last][absent] = np.nan
