"""Located beats to the table of beats: points in s, intervals in ms, each with its confidence, or the reason why not.

An interval is judged by its own error, and given only where its points are; but PAT is smoothed, and beats can give
together what one alone could not. QT is not: its errors are a person's rather than a beat's, and so its expected error
and disagreement are those of the beats around.
Shapes: B rows, one per beat.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure import smooth
from cardiofm.measure.band import Bools, Floats
from cardiofm.measure.confidence import TOLERANCE_S, Calibration, features
from cardiofm.measure.gather import Gathered
from cardiofm.measure.locate import ECG_EVENTS, FOOT, PPG, PPG_EVENTS, Points, R
from cardiofm.measure.rows import CODE, Rows
from cardiofm.signals import MEASURES

AROUND_S = 15.0  # on both sides of a beat: what its P wave and the error of its QT are judged with
P_LEAST = 0.4  # where fewer than this share of the beats there has a P wave, what looks like one is no atrium's
ABSENT = 0.25  # a P or T wave whose presence and chance stay below this was not there
_MERGE_S = 0.02  # a T wave may overlap the next P by this much
_GAP_S = 0.1  # an interval with more unknown signal inside may hide a beat
_ENDS = {"pr": ("p_onset", "qrs_onset"), "qrs": ("qrs_onset", "qrs_offset"), "qt": ("qrs_onset", "t_end")}
_ORDER = ("p_onset", "p_offset", "qrs_onset", "r_peak", "qrs_offset", "t_peak", "t_end")
_PART = 4096  # beats of which the table is made at once,
_MARGIN = 256  # beside as many on both sides; `AROUND_S` holds fewer, the refractory time sees to that
Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Seen:
    """A point or an interval of every beat, `(B,)` each; `why`: the code of a reason that no averaging can mend."""

    value_s: Floats
    sd_s: Floats
    apart_s: Floats
    chance: Floats
    presence: Floats
    why: Codes

    def but(self, where: Bools, reason: str) -> Seen:
        """With a reason where there was none yet."""
        return replace(self, why=np.where(where & (self.why == 0), CODE[reason], self.why).astype(np.uint8))

    def part(self, first: int, stop: int) -> Seen:
        """Of the beats from `first` to before `stop`."""
        return replace(self, **{f.name: getattr(self, f.name)[first:stop] for f in fields(self)})

    def features(self, name: str) -> Floats:
        """What the confidence is made of, `(B, F)`; NaN where there is no value."""
        x = features(name, self.sd_s, self.apart_s, self.chance, self.presence)
        return np.where((self.why == 0)[:, None], x, np.nan)


@dataclass(frozen=True)
class Table:
    """Columns of `MEASURES`: values, confidences and codes of reasons, `(B,)` each."""

    values: dict[str, Floats]
    confidence: dict[str, NDArray[np.float32]]
    reason: dict[str, Codes]


def seen_points(found: Gathered, rows: Rows) -> dict[str, Seen]:
    """Every point of every beat, checked for what must hold: it lies where signal is, and its wave is there."""
    out = {e: _seen(found.ecg, rows.ecg, k, rows.no_ecg) for k, e in enumerate(ECG_EVENTS)}
    out |= {e: _seen(found.ppg, rows.ppg, k, rows.no_ppg) for k, e in enumerate(PPG_EVENTS)}
    for on, off, reason in (("p_onset", "p_offset", "no P wave seen"), ("t_peak", "t_end", "no T wave seen")):
        height = (out[on].chance + out[off].chance) / 2
        absent = np.maximum(out[on].presence, height) < ABSENT
        out[on], out[off] = out[on].but(absent, reason), out[off].but(absent, reason)
    t, q = out["t_end"], out["qrs_onset"]
    following = np.append(np.where(q.why == 0, q.value_s - q.sd_s, np.inf)[1:], np.inf)[: len(q.why)]
    out["t_end"] = t.but((t.why == 0) & (t.value_s - t.sd_s > following), "runs into the next beat")
    return out


def seen_intervals(points: dict[str, Seen], found: Gathered, rows: Rows, smoothed: bool) -> dict[str, Seen]:
    """RR, PR, QRS, QT and PAT of every beat."""
    rr = _rr(points["r_peak"], found, rows)
    out = {"rr": rr} | {name: _between(points[first], points[last]) for name, (first, last) in _ENDS.items()}
    t_chance = np.minimum(out["qt"].chance, points["t_peak"].chance)  # a T wave that is seen ill has an end that is
    out["qt"] = _as_around(replace(out["qt"], chance=t_chance), points["r_peak"].value_s)
    out["pat"] = _pat(points["r_peak"], points["ppg_foot"], rr, smoothed)
    return out


def beat_table(found: Gathered, rows: Rows, calibration: Calibration, smoothed: bool = True) -> Table:
    """The table of a record's beats, made in parts: but for its own columns a day takes no more than an hour.

    Only a smoothed PAT knows of beats that are further away than `_MARGIN`.
    """
    r, foot = _seen(found.ecg, rows.ecg, R, rows.no_ecg), _seen(found.ppg, rows.ppg, FOOT - PPG.start, rows.no_ppg)
    pat = _pat(r, foot, _rr(r, found, rows), smoothed)
    B = len(rows)
    table = Table(
        {c: np.empty(B) for c in MEASURES},
        {c: np.empty(B, np.float32) for c in MEASURES},
        {c: np.empty(B, np.uint8) for c in MEASURES},
    )
    for first in range(0, B, _PART):
        low, high = max(0, first - _MARGIN), min(B, first + _PART + _MARGIN)
        part = _part(found, rows.part(low, high), pat.part(low, high), calibration)
        for f in fields(Table):
            for column, values in getattr(table, f.name).items():
                values[first : first + _PART] = getattr(part, f.name)[column][first - low :][:_PART]
    return table


def _part(found: Gathered, rows: Rows, pat: Seen, calibration: Calibration) -> Table:
    """The table of a few beats that follow each other; right but for those at its ends, whose company is not here."""
    points = seen_points(found, rows)
    intervals = seen_intervals(points, found, rows, smoothed=False) | {"pat": pat}
    sure = {n: calibration.confidence(n, s.features(n)) for n, s in (points | intervals).items()}
    points, intervals = (
        {name: _judged(seen, name, sure[name], calibration) for name, seen in part.items()}
        for part in (points, intervals)
    )
    _accompanied(points)
    _in_order(points)
    for name, ends in _ENDS.items():
        intervals[name] = _between_given(intervals[name], *(points[end] for end in ends))
    table = Table({}, {}, {})
    for name, seen in (points | intervals).items():
        column, unit = (f"{name}_s", 1.0) if name in points else (f"{name}_ms", 1000.0)
        _put(table, column, seen.value_s * unit, sure[name], seen.why)
    _corrected(table)
    return table


def _judged(seen: Seen, name: str, sure: NDArray[np.float32], calibration: Calibration) -> Seen:
    """With the reason why an unsure value is not given; which R peaks are given `rows` has said."""
    if name == "r_peak":
        return seen
    unsure = sure < calibration.given_from(name)
    at_odds = seen.apart_s > np.maximum(TOLERANCE_S[name], 1.2 * seen.sd_s)
    return seen.but(unsure & at_odds, "estimates disagree").but(unsure, "noise")


def _put(table: Table, column: str, value: Floats, sure: NDArray, why: NDArray) -> None:
    given = why == 0
    table.values[column] = np.where(given, value, np.nan)
    table.confidence[column] = np.where(given, sure, 0).astype(np.float32)
    table.reason[column] = why.astype(np.uint8)


def _seen(points: Points, index: NDArray[np.int64], k: int, absent: Codes) -> Seen:
    """One event of every row."""
    if len(points) == 0:
        none = np.full(len(index), np.nan)
        return Seen(none, none, none, none, none, absent)
    there = index >= 0
    columns = (points.at_s, points.sd_s, points.apart_s, points.chance, points.presence)
    values = [np.where(there, c[index, k], np.nan).astype(np.float64) for c in columns]
    return Seen(*values, why=absent).but(there & points.cut[index, k], "cut by an edge")


def _accompanied(points: dict[str, Seen]) -> None:
    """P waves are given where the beats around have them too: an atrium that beats does so before most of them."""
    r_s = np.where(points["r_peak"].why == 0, points["r_peak"].value_s, np.nan)
    own, why = np.flatnonzero(np.isfinite(r_s)), points["p_onset"].why
    if not len(own):
        return
    told = ~np.isin(why[own], [CODE["cut by an edge"], CODE["no signal"]])
    first, stop = (np.searchsorted(r_s[own], r_s[own] + side * AROUND_S) for side in (-1, 1))
    seen, asked = (np.append(0, np.cumsum(x)) for x in (told & (why[own] == 0), told))
    lonely = np.zeros(len(r_s), bool)
    lonely[own] = seen[stop] - seen[first] < P_LEAST * (asked[stop] - asked[first])
    for name in ("p_onset", "p_offset"):
        points[name] = points[name].but(lonely, "no P wave seen")


def _in_order(points: dict[str, Seen]) -> None:
    """Of two given points in the wrong order the less sure one is not given; a P wave begins after the T before it."""
    for early, late in combinations(_ORDER, 2):
        a, b = points[early], points[late]
        slack_s = 0.004 if (early, late) == ("p_offset", "qrs_onset") else 0.0  # a P wave may run into the QRS
        wrong = (a.why == 0) & (b.why == 0) & ~(a.value_s - slack_s < b.value_s)
        first = (a.sd_s > b.sd_s) | (late == "r_peak") if early != "r_peak" else np.zeros(len(a.why), bool)
        points[early] = a.but(wrong & first, "waves out of order")
        points[late] = b.but(wrong & ~first, "waves out of order")
    t, p = points["t_end"], points["p_onset"]
    before = np.concatenate(([-np.inf], np.where(t.why == 0, t.value_s, -np.inf)[:-1]))[: len(p.why)]
    points["p_onset"] = p.but((p.why == 0) & (p.value_s < before - _MERGE_S), "waves out of order")


def _between(first: Seen, last: Seen) -> Seen:
    """From one point to another, with the errors of both."""
    return Seen(
        last.value_s - first.value_s,
        np.hypot(first.sd_s, last.sd_s),
        np.maximum(first.apart_s, last.apart_s),
        np.minimum(first.chance, last.chance),
        np.minimum(first.presence, last.presence),
        np.where(first.why > 0, first.why, last.why).astype(np.uint8),
    )


def _between_given(interval: Seen, first: Seen, last: Seen) -> Seen:
    """Refused where one of its points is, for that reason: a PR without its P would be a point by the back door."""
    why = np.where(first.why > 0, first.why, last.why)
    return replace(interval, why=np.where(interval.why > 0, interval.why, why).astype(np.uint8))


def _rr(r: Seen, found: Gathered, rows: Rows) -> Seen:
    """From the R peak before to this one, where nothing between them is missing or in doubt."""
    columns = (r.value_s, r.sd_s, r.apart_s, r.chance, r.presence)
    before = Seen(*(np.concatenate(([np.nan], c[:-1]))[: len(r.why)] for c in columns), why=_shifted(r.why))
    rr = replace(_between(before, r), why=np.where(r.why > 0, r.why, before.why).astype(np.uint8))
    if len(r.why) == 0:
        return rr
    first, last = np.nan_to_num(before.value_s), np.nan_to_num(r.value_s)
    gap = (last - first) - found.known[0].between_s(first, last) > _GAP_S
    doubtful = np.searchsorted(rows.doubtful_s, first) < np.searchsorted(rows.doubtful_s, last)
    return rr.but(gap, "no signal").but(doubtful, "noise")


def _as_around(seen: Seen, at_s: Floats) -> Seen:
    """With the median expected error and disagreement of the beats within `AROUND_S` that have a value."""
    own = np.flatnonzero(np.isfinite(at_s) & (seen.why == 0))
    first, stop = (np.searchsorted(at_s[own], at_s[own] + side * AROUND_S) for side in (-1, 1))
    usual = [seen.sd_s.copy(), seen.apart_s.copy()]
    for part in usual:
        each = part[own]
        part[own] = [np.median(each[a:b]) for a, b in zip(first, stop, strict=True)]
    return replace(seen, sd_s=usual[0], apart_s=usual[1])


def _shifted(why: Codes) -> Codes:
    return np.concatenate(([CODE["no beat before"]], why[:-1])).astype(np.uint8)[: len(why)]


def _pat(r: Seen, foot: Seen, rr: Seen, smoothed: bool) -> Seen:
    seen = _between(r, foot)
    if not smoothed:
        return seen
    return _smoothed(seen, r.value_s, np.where(rr.why == 0, rr.value_s, np.nan), smooth.PAT)


def _smoothed(seen: Seen, at_s: Floats, rr_s: Floats, course: smooth.Course) -> Seen:
    """Each beat's value leaning on its neighbours; what the two estimates are apart shrinks with the error.

    A beat whose pulse is lost in noise leans on them alone: its chance and presence are 0.
    """
    value_s = np.where(seen.why == 0, seen.value_s, np.nan)
    lost = (seen.why == CODE["noise"]) & np.isfinite(at_s)
    value_s, sd_s = smooth.smoothed(at_s, value_s, seen.sd_s, rr_s, course, lost)
    lost &= np.isfinite(value_s)
    with np.errstate(invalid="ignore"):
        apart_s = np.where(lost, 0.0, seen.apart_s * np.minimum(sd_s / seen.sd_s, 1.0))
    chance, presence = np.where(lost, 0.0, seen.chance), np.where(lost, 0.0, seen.presence)
    return Seen(value_s, sd_s, apart_s, chance, presence, np.where(lost, 0, seen.why).astype(np.uint8))


def _corrected(table: Table) -> None:
    """QT corrected for the interval before the beat.

    Fridericia 1920 (QT / RR^(1/3)), Bazett 1920 (QT / RR^(1/2)), Framingham: Sagie et al., Am J Cardiol 70, 1992,
    doi:10.1016/0002-9149(92)90562-D (QT + 0.154 (1 − RR)); RR in seconds.
    """
    qt, rr_s = table.values["qt_ms"], table.values["rr_ms"] / 1000
    why = np.where(table.reason["qt_ms"] > 0, table.reason["qt_ms"], table.reason["rr_ms"])
    sure = table.confidence["qt_ms"] * table.confidence["rr_ms"]
    _put(table, "qtc_fridericia_ms", qt / np.cbrt(rr_s), sure, why)
    _put(table, "qtc_bazett_ms", qt / np.sqrt(rr_s), sure, why)
    _put(table, "qtc_framingham_ms", qt + 154 * (1 - rr_s), sure, why)
