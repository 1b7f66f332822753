"""The beats of a stream: final ones, as a whole recording would give them, and provisional ones of its newest seconds.

Final: each is located in the same window as it would be in the recording. Which tops are beats depends on the two
minutes on both sides, and a PAT on its neighbours: a row is given once those are there. Points of five minutes are
kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure.company import COMPANY_S, HEART_S
from cardiofm.measure.confidence import Calibration
from cardiofm.measure.gather import HOP_S, Gathered, Gatherer, Known
from cardiofm.measure.intervals import AROUND_S as JUDGED_WITH_S
from cardiofm.measure.intervals import Table, beat_table
from cardiofm.measure.locate import ECG_EVENTS, FOOT, PPG, PPG_EVENTS, Points, R
from cardiofm.measure.rows import rows
from cardiofm.signals import MEASURES, REASONS, HeadOutputs

AROUND_S = HEART_S + 2 * COMPANY_S + JUDGED_WITH_S + 1.0  # on both sides: what decides whether a beat, or its P, is one
AT_ONCE_S = 30.0  # of final beats are judged together
LIVE_S = 120.0  # of points that provisional beats are judged with
APART_S = 0.2  # two beats are not closer
_ANCHORS = (R, FOOT - PPG.start)  # columns
_NO_QUALITY = np.empty((0, 2), np.float32)


@dataclass(frozen=True)
class Beat:
    """One row of a table of beats."""

    at_s: float  # R peak, or foot of the pulse
    values: dict[str, float]
    confidence: dict[str, float]
    reason: dict[str, str]
    pat_own_beat: float | None


@dataclass(frozen=True)
class _Part:
    """Points of both channels, and the spans where each is known."""

    points: tuple[Points, Points]
    spans: tuple[NDArray[np.float64], NDArray[np.float64]]  # (S, 2) each

    @staticmethod
    def of(windows: list[tuple[HeadOutputs, NDArray[np.float32]]]) -> _Part:
        gatherer = Gatherer(HOP_S)
        for out, quality_C in windows:
            gatherer.add(out, quality_C)
        found = gatherer.finish()
        spans = [np.stack([k.start_s, k.end_s], axis=1) for k in found.known]
        return _Part((found.ecg, found.ppg), (spans[0], spans[1]))

    def between(self, low_s: float, high_s: float) -> _Part:
        """What lies at `low_s` or later, before `high_s`."""
        points, spans = [], []
        for some, span, anchor in zip(self.points, self.spans, _ANCHORS, strict=True):
            at_s = some.at_s[:, anchor]
            points.append(some.rows((at_s >= low_s) & (at_s < high_s)))
            clipped = span.clip(low_s, high_s)
            spans.append(clipped[clipped[:, 0] < clipped[:, 1]])
        return _Part((points[0], points[1]), (spans[0], spans[1]))

    def then(self, later: _Part) -> _Part:
        """Followed by another."""
        ecg, ppg = (
            Points.join([a, b], len(events))
            for a, b, events in zip(self.points, later.points, (ECG_EVENTS, PPG_EVENTS), strict=True)
        )
        return _Part((ecg, ppg), (_joined(self.spans[0], later.spans[0]), _joined(self.spans[1], later.spans[1])))

    def beats(
        self, present: tuple[bool, bool], calibration: Calibration
    ) -> tuple[NDArray[np.float64], Table, float | None]:
        """When each row's beat is (R peak, or foot), the rows, and how sure their pairing is."""
        ecg, ppg = self.points
        known = Known(*self.spans[0].T), Known(*self.spans[1].T)
        found = Gathered(ecg, ppg, known, np.empty(0), _NO_QUALITY)
        chosen = rows(found, present, calibration)
        at_s = np.full(len(chosen), np.nan)
        for index, points, anchor in ((chosen.ppg, ppg, _ANCHORS[1]), (chosen.ecg, ecg, _ANCHORS[0])):
            at_s[index >= 0] = points.at_s[index[index >= 0], anchor]
        return at_s, beat_table(found, chosen, calibration), chosen.paired if np.isfinite(chosen.paired) else None


class Beats:
    """Takes the outputs of final windows in the order of their start, gives final beats, and provisional ones."""

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration
        self._windows: deque[tuple[HeadOutputs, NDArray[np.float32]]] = deque(maxlen=3)
        self._past = _Part.of([])
        self._done_s = self._given_s = self._live_s = -np.inf

    def add(self, out: HeadOutputs, quality_C: NDArray[np.float32]) -> None:
        """One more window, later than those before it."""
        self._windows.append((out, quality_C))
        if len(self._windows) > 1:
            before = self._windows[-2][0]
            end_s = before.start_s + before.valid.shape[1] / before.fs_hz
            overlap_s = max(0.0, end_s - out.start_s)
            self._settle(out.start_s + overlap_s / 2)

    def final(self, present: tuple[bool, bool], at_end: bool = False) -> list[Beat]:
        """The beats that nothing can change any more; all that are left `at_end`."""
        if at_end and self._windows:
            self._settle(np.inf)
        upto_s = self._done_s if at_end else self._done_s - AROUND_S
        if not at_end and upto_s < max(self._given_s, self._first_s) + AT_ONCE_S:
            return []
        at_s, table, own = self._past.beats(present, self.calibration)
        new = np.flatnonzero((at_s >= self._given_s) & (at_s < upto_s))
        self._given_s = upto_s
        self._past = self._past.between(upto_s - AROUND_S, np.inf)
        return _beats(at_s, table, own, new)

    def live(
        self, out: HeadOutputs, quality_C: NDArray[np.float32], present: tuple[bool, bool], low_s: float, high_s: float
    ) -> list[Beat]:
        """Those beats from `low_s` to `high_s` that were not given yet, by the newest window, not kept."""
        last = [w for w in list(self._windows)[-1:] if w[0].start_s < out.start_s]
        newest = _Part.of([*last, (out, quality_C)]).between(self._done_s, np.inf)
        part = self._past.between(out.start_s - LIVE_S, np.inf).then(newest)
        at_s, table, own = part.beats(present, self.calibration)
        new = np.flatnonzero((at_s >= max(low_s, self._live_s + APART_S)) & (at_s < high_s))
        if len(new):
            self._live_s = float(at_s[new].max())
        return _beats(at_s, table, own, new)

    @property
    def _first_s(self) -> float:
        """When the points that are kept begin."""
        starts = [float(s[0, 0]) for s in self._past.spans if len(s)]
        return min(starts, default=np.inf)

    def _settle(self, edge_s: float) -> None:
        """What lies before the middle of what two windows share is theirs for good."""
        new = _Part.of(list(self._windows)).between(self._done_s, edge_s)
        self._past, self._done_s = self._past.then(new), edge_s


def _joined(early: NDArray[np.float64], late: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spans after spans, two that touch made one."""
    if len(early) and len(late) and late[0, 0] <= early[-1, 1] + 1e-6:
        touching = np.array([[early[-1, 0], late[0, 1]]])
        return np.concatenate((early[:-1], touching, late[1:]))
    return np.concatenate((early, late))


def _beats(at_s: NDArray[np.float64], table: Table, own: float | None, which: NDArray[np.int64]) -> list[Beat]:
    out = []
    for i in which:
        given = [c for c in MEASURES if table.reason[c][i] == 0]
        out.append(
            Beat(
                float(at_s[i]),
                {c: float(table.values[c][i]) for c in given},
                {c: float(table.confidence[c][i]) for c in given},
                {c: REASONS[table.reason[c][i]] for c in MEASURES if table.reason[c][i]},
                own,
            )
        )
    return out
