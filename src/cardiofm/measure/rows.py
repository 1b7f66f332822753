"""Which beats a record has: R peaks that are sure enough, each with its pulse, and pulses whose R peak was not seen.

Noise makes a top that looks like a beat now and then, a heart makes nothing else: tops are given where their company is
beyond doubt that of beats, and less certain ones where such a stretch is near. What looks strange there where a beat is
missing is a strange beat, such as a ventricular one.

Shapes: B rows, one per beat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure.band import Bools, Floats
from cardiofm.measure.company import COMPANY_S, around, company, within
from cardiofm.measure.confidence import Calibration, features
from cardiofm.measure.dicrotic import dicrotic
from cardiofm.measure.gather import Gathered, Known
from cardiofm.measure.locate import ECG_EVENTS, FOOT, PPG, PPG_EVENTS, Points, R
from cardiofm.measure.lone import lone
from cardiofm.measure.pair import DELAY_S, paired
from cardiofm.signals import REASONS

CODE = {reason: code for code, reason in enumerate(REASONS)}
_PAIRED_FROM = 0.1  # confidence of a foot that may be averaged with its neighbours, though not given alone
_DOUBTFUL = 0.5  # share of the confidence of a beat from which on a top may be one
_OWN_S = 0.25  # a foot this far from where an R peak would send it is of a beat whose R peak was not seen
_AMONG_R, _AMONG_FEET = 0.75, 0.45  # least median confidence of the tops around, where a heart is known to beat
_FILLS_FROM, _FILLS_AMONG = 0.2, 3.0  # confidence, and log odds of the company, of a top that may be a missing beat …
_HOLE = 1.4  # … in an interval so many times the usual one, …
_CLEAR_S = 0.25  # … and so far from the beats on both sides
_AROUND_S = 0.15  # of an expected foot: signal must be known here, or it is no wonder that there is none


@dataclass(frozen=True)
class Rows:
    """The beats: indices into the located points, −1 where there is none, `(B,)` each."""

    ecg: NDArray[np.int64]
    ppg: NDArray[np.int64]
    no_ecg: NDArray[np.uint8]  # why there is no R peak, code of `REASONS`; 0 where there is one
    no_ppg: NDArray[np.uint8]  # why there is no pulse
    doubtful_s: Floats  # R peaks that were not sure enough for a row
    paired: float  # probability that the pulses are not those of the beat before or after; NaN without

    def __len__(self) -> int:
        return len(self.ecg)

    def part(self, first: int, stop: int) -> Rows:
        """The beats from `first` to before `stop`, known by the same points."""
        own = slice(first, stop)
        return replace(self, ecg=self.ecg[own], ppg=self.ppg[own], no_ecg=self.no_ecg[own], no_ppg=self.no_ppg[own])


def confidences(points: Points, events: tuple[str, ...], calibration: Calibration) -> NDArray[np.float32]:
    """How sure each point is, `(B, K)`."""
    out = np.zeros(points.at_s.shape, np.float32)
    for k, event in enumerate(events):
        seen = (points.sd_s[:, k], points.apart_s[:, k], points.chance[:, k], points.presence[:, k])
        out[:, k] = calibration.confidence(event, features(event, *seen))
    return out


def rows(found: Gathered, present: tuple[bool, bool], calibration: Calibration) -> Rows:
    """The beats of a record in time order; `present`: whether it has an ECG, a PPG."""
    r_sure = confidences(found.ecg, ECG_EVENTS, calibration)[:, R]
    sure_r = (r_sure >= calibration.given_from("r_peak")) & ~found.ecg.cut[:, R]
    foot = confidences(found.ppg, PPG_EVENTS, calibration)[:, FOOT - PPG.start]
    foot = np.where(dicrotic(found.ppg), 0, foot)
    r_s, foot_s = found.ecg.at_s[:, R], found.ppg.at_s[:, FOOT - PPG.start]
    beside = company(found.ppg, "ppg")
    odds = calibration.heart_odds("ppg", beside)
    r_odds = calibration.heart_odds("ecg", company(found.ecg, "ecg"))
    heart_r = sure_r & (r_odds >= 0)
    heart_foot = (foot >= calibration.given_from("ppg_foot")) & (odds >= 0)
    heart_s = np.sort(np.concatenate([r_s[heart_r], foot_s[heart_foot]]))
    sure_r &= heart_r | ((around(r_s, r_sure) >= _AMONG_R) & within(r_s, heart_s))
    sure_r |= missing(r_s, sure_r, np.where((r_odds >= _FILLS_AMONG) & ~found.ecg.cut[:, R], r_sure, 0))
    beat, pulse = np.flatnonzero(sure_r), np.flatnonzero(foot >= _PAIRED_FROM)  # of an R peak, no other company needed
    foot = np.where(heart_foot | ((around(foot_s, foot) >= _AMONG_FEET) & within(foot_s, heart_s)), foot, 0)
    match, sure_pair = paired(r_s[beat], foot_s[pulse])
    own = np.where(match >= 0, pulse[match] if len(pulse) else -1, -1)
    delay_s = foot_s[own[own >= 0]] - r_s[beat[own >= 0]]
    alone = np.flatnonzero(foot >= calibration.given_from("ppg_foot"))
    alone = alone[calibration.pulse_odds(lone(found.ppg, beside, alone)) >= 0]
    alone = np.setdiff1d(alone, own)
    expected_s = foot_s[alone] - _interp(foot_s[alone], foot_s[own[own >= 0]], delay_s)
    lonely = _apart(expected_s, r_s[beat], _OWN_S)
    alone, expected_s = alone[lonely], expected_s[lonely]
    order = np.argsort(np.concatenate([r_s[beat], expected_s]), kind="stable")
    no_ppg = _no_pulse(r_s[beat], own, delay_s, found, present[1])
    no_ecg = _no_beat(expected_s, found.known[0], present[0])
    return Rows(
        np.concatenate([beat, np.full(len(alone), -1)])[order],
        np.concatenate([own, alone])[order],
        np.concatenate([np.zeros(len(beat), np.uint8), no_ecg])[order],
        np.concatenate([no_ppg, np.zeros(len(alone), np.uint8)])[order],
        r_s[~sure_r & (r_sure >= _DOUBTFUL * calibration.given_from("r_peak"))],
        sure_pair,
    )


def missing(at_s: Floats, given: Bools, sure: NDArray[np.floating]) -> Bools:
    """Which of the ascending tops that are not `given` are beats because one is missing there, `(n,)`.

    >>> at_s, given = np.array([0.0, 1.0, 1.5, 2.0, 2.6, 3.0, 4.0, 4.8, 6.0]), np.ones(9, bool)
    >>> given[[2, 4, 7]] = False  # two amid usual intervals, one amid an interval of two
    >>> missing(at_s, given, np.full(9, 0.3)).nonzero()[0].tolist()
    [7]
    """
    out, own, beat_s = given.copy(), np.flatnonzero(given), at_s[given]
    interval_s, middle_s = np.diff(beat_s), (beat_s[1:] + beat_s[:-1]) / 2
    candidates = np.flatnonzero(~given & (sure >= _FILLS_FROM))
    for k in candidates[np.argsort(-sure[candidates], kind="stable")]:
        last = int(np.searchsorted(own, k)) - 1
        near = slice(*np.searchsorted(middle_s, (at_s[k] - COMPANY_S, at_s[k] + COMPANY_S)))
        beside = slice(*np.searchsorted(at_s, (at_s[k] - _CLEAR_S, at_s[k] + _CLEAR_S)))
        if 0 <= last < len(interval_s) and not out[beside].any() and near.start < near.stop:
            out[k] = interval_s[last] >= _HOLE * np.median(interval_s[near])
    return out & ~given


def _interp(at: Floats, known_at: Floats, value: Floats) -> Floats:
    return np.interp(at, known_at, value) if len(value) else np.zeros(len(at))


def _apart(at_s: Floats, from_s: Floats, least_s: float) -> Bools:
    """Which of `at_s` have none of the ascending `from_s` within `least_s`."""
    return np.searchsorted(from_s, at_s - least_s) == np.searchsorted(from_s, at_s + least_s)


def _no_beat(expected_s: Floats, known: Known, present: bool) -> NDArray[np.uint8]:
    """Why a pulse has no R peak."""
    if not present:
        return np.full(len(expected_s), CODE["no ECG"], np.uint8)
    seen = known.between_s(expected_s - _AROUND_S, expected_s + _AROUND_S) > _AROUND_S
    out = np.where(seen, CODE["noise"], CODE["no signal"])
    if len(known.start_s):
        before_s = known.start_s[0] - expected_s
        out[(before_s > -_AROUND_S) & (before_s < DELAY_S[1])] = CODE["cut by an edge"]
    return out.astype(np.uint8)


def _no_pulse(
    r_s: Floats, own: NDArray[np.int64], delay_s: Floats, found: Gathered, present: bool
) -> NDArray[np.uint8]:
    """Why an R peak has no pulse, 0 where it has one."""
    if not present:
        return np.full(len(r_s), CODE["no PPG"], np.uint8)
    known, foot_s = found.known[1], found.ppg.at_s[:, FOOT - PPG.start]
    usual_s = float(np.median(delay_s)) if len(delay_s) else 0.3
    due_s = r_s + usual_s
    out = np.full(len(r_s), CODE["no pulse follows"], np.uint8)
    out[~_apart(due_s, foot_s, _AROUND_S)] = CODE["noise"]  # a foot that was too doubtful, or is another beat's
    out[known.between_s(due_s - _AROUND_S, due_s + _AROUND_S) < _AROUND_S] = CODE["no signal"]
    if len(known.end_s):
        out[due_s + _AROUND_S > known.end_s[-1]] = CODE["cut by an edge"]
    return np.where(own >= 0, 0, out).astype(np.uint8)
