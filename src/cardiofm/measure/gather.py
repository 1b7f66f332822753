"""The beats of overlapping windows, joined to those of a record: each is taken from the window that holds it best.

A beat belongs to the window in whose middle its anchor lies; where a window has no neighbour it owns its edge too. So
nothing dense outlives its window, and a day of signal needs the memory of its beats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure.band import Bools, Floats
from cardiofm.measure.locate import ECG_EVENTS, FOOT, PPG, PPG_EVENTS, Points, R, located
from cardiofm.signals import HeadOutputs, SignalError

HOP_S = 8.0  # from window to window when a record is measured
SAME_S = 0.12  # two anchors closer than this, of two windows, are one beat
_SHARED_S = 0.06  # how far beyond its middle a window looks, so that no beat falls between two
_ANCHORS = (R, FOOT - PPG.start)  # columns
_EVENTS = (len(ECG_EVENTS), len(PPG_EVENTS))
_MANY = 500  # windows whose points are joined at once


@dataclass(frozen=True)
class Known:
    """Where a channel has signal: spans `(S,)` in record time, ascending and apart."""

    start_s: Floats
    end_s: Floats

    @property
    def total_s(self) -> float:
        return float((self.end_s - self.start_s).sum())

    def between_s(self, first_s: Floats, last_s: Floats) -> Floats:
        """Seconds of known signal from each `first_s` to its `last_s`.

        >>> Known(np.array([0.0, 3.0]), np.array([2.0, 4.0])).between_s(np.array([1.0]), np.array([3.5])).tolist()
        [1.5]
        """
        if len(self.start_s) == 0:
            return np.zeros(np.broadcast(first_s, last_s).shape)
        at = np.stack([self.start_s, self.end_s], axis=1).ravel()
        done = np.concatenate(([0.0], np.cumsum(np.diff(at) * (np.arange(len(at) - 1) % 2 == 0))))
        return np.interp(last_s, at, done) - np.interp(first_s, at, done)


@dataclass(frozen=True)
class Gathered:
    """What was located in a record: beats of the ECG, pulses of the PPG, in the order of their anchors."""

    ecg: Points
    ppg: Points
    known: tuple[Known, Known]  # of ecg, ppg
    window_s: NDArray[np.float64]  # (W,) starts of the windows
    quality: NDArray[np.float32]  # (W, 2)


@dataclass(frozen=True)
class _One:
    """A window that waits for its neighbour."""

    start_s: float
    end_s: float
    points: tuple[Points, Points]
    valid: Bools  # (2, N)
    fs_hz: float


class Gatherer:
    """Takes windows in the order of their start, gives the record's beats."""

    def __init__(self, hop_s: float = HOP_S) -> None:
        self.hop_s = hop_s
        self._waiting: tuple[_One, bool] | None = None  # and whether it has a neighbour before it
        self._parts: tuple[list[Points], list[Points]] = ([], [])
        self._spans: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
        self._windows: list[tuple[float, NDArray[np.float32]]] = []

    def add(self, out: HeadOutputs, quality_C: NDArray[np.float32]) -> None:
        """One more window, later than those before it."""
        one = _One(out.start_s, out.start_s + out.valid.shape[1] / out.fs_hz, located(out), out.valid.copy(), out.fs_hz)
        joined = False
        if self._waiting is not None:
            before = self._waiting[0]
            if not before.start_s < one.start_s:
                raise SignalError(f"windows must come in time order, found {one.start_s:g} after {before.start_s:g} s")
            joined = one.start_s < before.end_s
            self._settle(one.start_s if joined else None)
        self._waiting = (one, joined)
        self._windows.append((out.start_s, np.asarray(quality_C, np.float32)))

    def finish(self) -> Gathered:
        """The beats of all windows."""
        if self._waiting is not None:
            self._settle(None)
            self._waiting = None
        ecg, ppg = (_merged(parts, K, anchor) for parts, K, anchor in zip(self._parts, _EVENTS, _ANCHORS, strict=True))
        known = tuple(_spans(spans) for spans in self._spans)
        starts = np.array([s for s, _ in self._windows])
        quality = np.stack([q for _, q in self._windows]) if self._windows else np.empty((0, 2), np.float32)
        return Gathered(ecg, ppg, (known[0], known[1]), starts, quality)

    def _settle(self, next_s: float | None) -> None:
        """Keep what the waiting window owns, now that it is known whether the next one (at `next_s`) touches it."""
        assert self._waiting is not None
        one, joined = self._waiting
        margin_s = max(0.0, (one.end_s - one.start_s - self.hop_s) / 2)
        low_s = one.start_s + margin_s if joined else one.start_s
        high_s = one.end_s if next_s is None else next_s + margin_s
        for c, (points, anchor) in enumerate(zip(one.points, _ANCHORS, strict=True)):
            at_s = points.at_s[:, anchor]
            own = (at_s >= low_s - _SHARED_S * joined) & (at_s < high_s + _SHARED_S * (next_s is not None))
            self._parts[c].append(points.rows(own))
            if len(self._parts[c]) > _MANY:  # small arrays take more than what they hold
                self._parts[c][:] = [Points.join(self._parts[c], _EVENTS[c])]
            edges = np.flatnonzero(np.diff(np.concatenate(([False], one.valid[c], [False])).astype(np.int8)))
            for first_s, last_s in (edges.reshape(-1, 2) / one.fs_hz + one.start_s).clip(low_s, high_s):
                if first_s < last_s:
                    self._spans[c].append((float(first_s), float(last_s)))


def _merged(parts: list[Points], events: int, anchor: int) -> Points:
    """In time order, one of two that are the same beat: the one whose anchor stands higher. The parts are used up."""
    points = Points.join(parts, events)
    parts.clear()
    order = np.argsort(points.at_s[:, anchor], kind="stable")
    near = np.flatnonzero(np.diff(points.at_s[order, anchor]) < SAME_S)
    chance = points.chance[order, anchor]
    lower = np.where(chance[near] >= chance[near + 1], near + 1, near)
    return points.rows(np.delete(order, lower))


def _spans(spans: list[tuple[float, float]]) -> Known:
    """Touching spans made one."""
    start_s, end_s = (np.array([s[i] for s in spans], np.float64) for i in (0, 1))
    new = np.concatenate(([True], start_s[1:] > end_s[:-1] + 1e-6)) if len(spans) else np.empty(0, bool)
    last = np.concatenate((new[1:], [True])) if len(spans) else new
    return Known(start_s[new], end_s[last])
