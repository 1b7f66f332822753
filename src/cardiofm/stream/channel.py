"""Packets of one sensor, put in their places: in order, late, twice, or never; what never came is a gap (NaN).

Samples are numbered from the first one. What lies before `front` is decided: it has come, or it is given up.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardiofm.signals import Signal
from cardiofm.stream.clock import MOST_S, Clock, Line

_STEPS = 100  # between packets, that say what rate the stamps speak of
_GROSS = 0.2  # a rate this share off is no drift: the packets do not fit their places
_NOTED = 0.005  # a rate this share off is told
_ENOUGH_S = 10.0  # of stamps, before anything is told


class Buffer:
    """The last samples of a channel by their number; those that are gone, or never came, are NaN."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._base, self._end = 0, 0
        self._values = np.full(2 * capacity, np.nan, np.float32)
        self._came = np.zeros(2 * capacity, bool)

    def __len__(self) -> int:
        return self._end

    def __getitem__(self, index: slice, /) -> NDArray[np.float32]:
        first, last = index.start or 0, self._end if index.stop is None else min(index.stop, self._end)
        kept = self._values[max(first - self._base, 0) : max(last - self._base, 0)]
        missing = max(0, min(last, self._base) - first)
        return np.concatenate((np.full(missing, np.nan, np.float32), kept)) if missing else kept.copy()

    def came(self, first: int, last: int) -> NDArray[np.bool_]:
        """Which samples came, `(last − first,)`; of those no longer kept, none."""
        out = np.zeros(max(0, last - first), bool)
        low, high = max(first, self._base), min(last, self._end)
        if low < high:
            out[low - first : high - first] = self._came[low - self._base : high - self._base]
        return out

    def write(self, first: int, values_n: NDArray[np.float32]) -> int:
        """Put samples where none came yet; how many were new."""
        values_n, first = values_n[max(0, self._base - first) :], max(first, self._base)
        last = first + len(values_n)
        if last - self._base > len(self._values):
            self._slide(last - self.capacity)
        values_n, first = values_n[max(0, self._base - first) :], max(first, self._base)
        at = slice(first - self._base, last - self._base)
        new = ~self._came[at]
        self._values[at][new] = values_n[new]
        self._came[at] = True
        self._end = max(self._end, last)
        return int(new.sum())

    def _slide(self, base: int) -> None:
        """Forget what lies before `base`."""
        for array, empty in ((self._values, np.nan), (self._came, False)):
            kept = array[base - self._base : self._end - self._base].copy()
            array[:] = empty
            array[: len(kept)] = kept
        self._base = base


@dataclass(frozen=True)
class Packet:
    """Samples whose place is known."""

    channel: Channel
    first: int
    values: NDArray[np.float32]

    def pieces(self, most_s: float) -> list[Packet]:
        size = max(1, round(most_s * self.channel.fs_hz))
        starts = range(0, len(self.values), size)
        return [Packet(self.channel, self.first + i, self.values[i : i + size]) for i in starts]

    @property
    def end_s(self) -> float:
        return self.channel.line.time_s(self.first + len(self.values))


class Channel:
    """One sensor: where its packets belong, what of it is decided, what came too late or twice (`counts`)."""

    def __init__(self, modality: str, fs_hz: float, unit: str, capacity_s: float) -> None:
        self.modality, self.fs_hz, self.unit = modality, fs_hz, unit
        self.buffer = Buffer(math.ceil(capacity_s * fs_hz))
        self.front = 0
        self.counts: Counter[str] = Counter()
        self.notices: list[str] = []
        self._clock: Clock | None = None
        self._length: int | None = None  # of every packet so far; 0: they differ
        self._stamp: tuple[float, int] | None = None  # of the newest packet, and its length
        self._first_s = math.nan
        self._steps: list[float] = []
        self._told: set[str] = set()
        Signal(np.zeros(1), fs_hz, unit, modality)  # the rate must be one that a signal may have

    @property
    def line(self) -> Line:
        return self._clock.line if self._clock else Line(0, 0.0, self.fs_hz)

    @property
    def end_s(self) -> float:
        """Time of the sample after the newest; −∞ before the first."""
        return self.line.time_s(len(self.buffer)) if self._clock else -math.inf

    @property
    def front_s(self) -> float:
        return self.line.time_s(self.front) if self._clock else -math.inf

    def signal(self) -> Signal | None:
        """All samples by their number, as far as they are kept; None before the first."""
        if not len(self.buffer):
            return None
        return Signal(self.buffer, self.line.fs_hz, self.unit, self.modality, self.line.start_s)

    def decide(self, deadline_s: float) -> None:
        """What has not come by `deadline_s` is given up, on the stream's clock."""
        waiting = self.buffer.came(self.front, len(self.buffer))
        self.front += len(waiting) if waiting.all() else int(waiting.argmin())
        if self._clock and deadline_s > self.front_s:
            self.front = max(self.front, math.floor(min(self.line.index(deadline_s), 1e15)))
            self.decide(-math.inf)

    def known_from(self, t_s: float) -> float:
        """When the first sample that came at `t_s` or later was taken; ∞: none."""
        first = max(0, math.ceil(self.line.index(t_s) - 1e-6))
        came = self.buffer.came(first, len(self.buffer))
        return self.line.time_s(first + int(came.argmax())) if came.any() else math.inf

    def place(self, t_s: float | None, values_n: NDArray[np.float32], now_s: float, deadline_s: float) -> Packet:
        """Where a packet belongs, by its stamp or behind what came before.

        `now_s`: newest sample of the stream; what was due before `deadline_s` is given up.
        """
        end, length = len(self.buffer), len(values_n)
        if self._clock is None:
            start_s = now_s - length / self.fs_hz if deadline_s > 0 else 0.0
            self._clock = Clock(self.fs_hz, start_s if t_s is None else t_s)
            self._first_s = self._clock.line.at_s
        if t_s is None:
            first = end
            if self.front > end:
                first = max(self.front, round(self.line.index(now_s)) - length)
                self._tell("silent", "no samples and no time stamps for a while: it goes on where the other channel is")
        else:
            first = self._by_stamp(self._clock, t_s, end, length)
            if first >= end:
                self._clock.see(first, t_s)
            self._compare(t_s, length)
            self._length = length if self._length in (None, length) else 0
        return Packet(self, first, values_n)

    def write(self, packet: Packet) -> None:
        """Keep a packet, or a piece of one; what comes twice or too late is counted and left out."""
        first, last = packet.first, packet.first + len(packet.values)
        came_n = self.buffer.came(first, last)
        begin = min(max(0, self.front - first), last - first)  # what is before is decided
        twice, late = int(came_n.sum()), begin - int(came_n[:begin].sum())
        if twice:
            self.counts["samples twice"] += twice
        if late:
            self.counts["samples too late"] += late
            self._tell("too late", "packets came too late and are left out; a larger late_s waits for them")
        if begin < last - first:
            self.buffer.write(first + begin, packet.values[begin:])

    def _by_stamp(self, clock: Clock, t_s: float, end: int, length: int) -> int:
        """The number of a packet's first sample: lost packets are counted whole where all have one length."""
        off_s, tolerance_s = t_s - clock.due_s(end), clock.tolerance_s(end)
        if abs(off_s) <= tolerance_s:
            return end
        if self._length == length:
            whole = length * round(off_s * clock.rate_hz / length)
            if abs(off_s - whole / clock.rate_hz) <= tolerance_s:
                return end + whole
        return end + round(off_s * clock.rate_hz)

    def _compare(self, t_s: float, length: int) -> None:
        """Tell once that the stamps speak of another rate."""
        if self._stamp is not None and t_s <= self._stamp[0]:
            return
        if self._stamp is not None and len(self._steps) < _STEPS:
            self._steps.append((t_s - self._stamp[0]) / self._stamp[1])
        self._stamp = (t_s, length)
        if t_s - self._first_s < _ENOUGH_S or "rate" in self._told:
            return
        step_s, clock = float(np.median(self._steps)), self._clock
        off = abs(step_s * self.fs_hz - 1)
        if off > _GROSS or off * length / self.fs_hz > MOST_S:
            self._tell("rate", f"the time stamps say {1 / step_s:.4g} Hz, not {self.fs_hz:g}: give that rate")
        elif clock and clock.sure and abs(clock.rate_hz / self.fs_hz - 1) > _NOTED:
            self._tell("rate", f"the time stamps say {clock.rate_hz:.5g} Hz, not {self.fs_hz:g}: theirs is used")

    def _tell(self, what: str, text: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self.notices.append(f"{self.modality}: {text}")
