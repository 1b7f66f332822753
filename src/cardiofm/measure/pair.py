"""R peaks and feet of the pulse, brought together beat by beat: which foot belongs to which R peak.

A monitor delays the pulse by a fixed time of up to 1.2 s, which may be more than a beat; on top of it the arrival time
drifts. So a course of the delay over the record is found first, the one that most feet agree with (Viterbi), and each
R peak takes the foot that lies nearest to where the course expects it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.measure.band import Floats
from cardiofm.measure.running import running_median

DELAY_S = (0.1, 1.3)  # from R peak to foot
_BIN_S = 0.01
_STEP_S = 5.0  # the course is asked for this often
_NEAR_S = 0.05  # a delay this far from the course does not count for it
_BINS_A_STEP = 3  # how fast the course can change
_CHANGE = 0.3  # what a bin of change costs, in beats
_JUMP = 12.0  # what any change costs: a sensor that was put on anew
_LATER = 0.1  # share by which a second of delay lowers what agrees: of two alike, the shorter
_ABOUT_S = (0.16, 0.12)  # of the course, then of the beats around: a foot further away is another beat's
_AROUND = 15  # beats
_USUAL_S = ((0.5, 0.27, 0.06), (0.4, 0.52, 0.07), (0.1, 1.1, 0.08))  # weight, delay, spread: as it is; monitors
_UNUSUAL = 0.05  # density of any other
_FEW = 20  # beats from which on they say which of two delays is the easier to foretell
_BEFORE = 6  # beats that a delay is foretold from
_WILD_S = 0.15  # deviations beyond it are errors
_MISSED = 0.6  # of an RR: where beats are farther apart, one between them is missing
_WANDER_S = 0.05  # how far a delay wanders over a record
_RIDGE, _TAIL, _LEAST_S, _PASSES = 0.01, 4.0, 0.001, 4  # of the fit


class Paired(NamedTuple):
    """Which foot belongs to which R peak, and how sure it is that it is not the beat before or after that sent it."""

    foot: NDArray[np.int64]  # (B,) index of each R peak's foot, -1 where it has none
    sure: float  # probability that no other beat of the same rhythm did; NaN without pairs


def paired(r_s: ArrayLike, foot_s: ArrayLike) -> Paired:
    """The foot of each R peak; times in s, ascending.

    >>> r = np.cumsum([1.0, 0.8, 0.9, 1.1, 0.7, 1.0])
    >>> paired(r, np.delete(r + 0.45, 2)).foot.tolist()
    [0, 1, -1, 2, 3, 4]
    """
    r, foot = np.asarray(r_s, np.float64), np.asarray(foot_s, np.float64)
    if len(r) == 0 or len(foot) == 0:
        return Paired(np.full(len(r), -1), math.nan)
    found, sure = likeliest(_nearest(r + delay_course(r, foot), foot, _ABOUT_S[0]), r, foot)
    delay = np.where(found >= 0, foot[found] - r, np.nan)
    usual = np.nanmedian(delay) if (found >= 0).any() else np.nan
    return Paired(_nearest(r + _smooth(delay, np.full(len(r), usual)), foot, _ABOUT_S[1]), sure)


def usual(delay_s: float) -> float:
    """Log of how usual a delay is: of a pulse as it is, or as a monitor gives it."""
    density = sum(w * math.exp(-0.5 * ((delay_s - at_s) / sd_s) ** 2) / sd_s for w, at_s, sd_s in _USUAL_S)
    return math.log(density + _UNUSUAL)


def likeliest(
    found: NDArray[np.int64], r_s: Floats, foot_s: Floats, prior: Callable[[float], float] = usual
) -> tuple[NDArray[np.int64], float]:
    """The pairing, or the same one or two beats earlier or later, whichever is likeliest, and its probability.

    In an even rhythm a delay and that delay and a beat are both steady, but the second carries what each RR has of its
    own: it is harder to foretell. Two pairings are compared beat by beat; the sum of the differences counts in its own
    standard errors, for what a rhythm and a pulse have in common (breathing) may mislead. Nor does a delay follow the
    heart rate as far as RR does. `prior`: log of how usual a delay is.
    """
    tried: list[tuple[NDArray[np.int64], float, Floats]] = []
    for beats in range(-2, 3):
        moved = _moved(found, r_s, beats)
        delay = np.where(moved >= 0, foot_s[moved] - r_s, np.nan)
        usual_s = float(np.nanmedian(delay)) if np.isfinite(delay).any() else math.nan
        if DELAY_S[0] <= usual_s <= DELAY_S[1]:
            course = _smooth(delay, np.full(len(delay), np.nan))
            tried.append((moved, prior(usual_s) + _constant(course), _foretold(delay - course)))
    if not tried:
        return found, math.nan
    against = [[a - b + _errors(x - y) for _, b, y in tried] for _, a, x in tried]
    best = max(range(len(tried)), key=lambda i: min(against[i]))
    return tried[best][0], 1 / sum(math.exp(min(-odds, 50.0)) for odds in against[best])


def _moved(found: NDArray[np.int64], r_s: Floats, beats: int) -> NDArray[np.int64]:
    """The pairing in which each R peak has the foot of that many beats later, -1 where beats between are missing."""
    if beats == 0 or len(found) <= abs(beats):
        return found if beats == 0 else np.full(len(found), -1)
    later = np.arange(len(found)) + beats
    other = np.clip(later, 0, len(found) - 1)
    rr_s = float(np.quantile(np.diff(r_s), 0.25))
    near = (later == other) & (np.abs(r_s[other] - r_s) < (abs(beats) + _MISSED) * rr_s)
    return np.where(near, found[other], -1)


def _constant(course: Floats) -> float:
    """Log of how likely a delay wanders so far, of its course over the record in s (Student's t, up to a constant)."""
    known = course[np.isfinite(course)]
    return -0.5 * (_TAIL + 1) * math.log1p((known.std() / _WANDER_S) ** 2 / _TAIL) if len(known) >= _FEW else 0.0


def _foretold(x: Floats) -> Floats:
    """Log likelihood of each delay, less the delays around it, after those of the beats before, `(B,)`; NaN: not known.

    Each is foretold from the last six (least squares, Student's t).
    """
    known = np.isfinite(x) & (np.abs(x) < _WILD_S)
    out = np.full(len(x), np.nan)
    if known.sum() < _FEW:
        return out
    x = np.where(known, x, 0.0)
    before = np.stack([np.concatenate((np.zeros(lag), x[:-lag])) for lag in range(1, _BEFORE + 1)], axis=1)[known]
    weight, error, variance = np.ones(len(before)), x[known], 1.0
    for _ in range(_PASSES):
        weighted = before * weight[:, None]
        power = weighted.T @ before
        ridge = _RIDGE * np.trace(power) / _BEFORE * np.eye(_BEFORE)
        error = x[known] - before @ np.linalg.solve(power + ridge, weighted.T @ x[known])
        variance = float(np.mean(weight * error**2)) + _LEAST_S**2
        weight = (_TAIL + 1) / (_TAIL + error**2 / variance)
    out[known] = -0.5 * math.log(variance) - 0.5 * (_TAIL + 1) * np.log1p(error**2 / variance / _TAIL)
    return out


def _errors(gain: Floats) -> float:
    """The mean of what is known of `gain` in its standard errors, 0 where too little is."""
    gain = gain[np.isfinite(gain)]
    if len(gain) < _FEW:
        return 0.0
    return float(gain.mean() / max(gain.std() / math.sqrt(len(gain)), 1e-9)) if gain.any() else 0.0


def delay_course(r_s: Floats, foot_s: Floats) -> Floats:
    """Seconds from R peak to foot that most beats around each R peak agree with, `(B,)`.

    The most likely course over steps of 5 s, with states of 10 ms; what agrees is counted with a triangle of ±50 ms.
    """
    T, S = 1 + int((r_s[-1] - r_s[0]) / _STEP_S), round((DELAY_S[1] - DELAY_S[0]) / _BIN_S)
    counts = _agreeing(r_s, foot_s, T, S)
    shifts = range(-_BINS_A_STEP, _BINS_A_STEP + 1)
    total, came = next(counts), np.zeros((T, S), np.int16)
    padded = np.full(S + 2 * _BINS_A_STEP, -np.inf)
    for t, count_S in enumerate(counts, start=1):
        padded[_BINS_A_STEP : _BINS_A_STEP + S] = total
        tried = np.stack([padded[_BINS_A_STEP + d : _BINS_A_STEP + d + S] - _CHANGE * abs(d) for d in shifts])
        choice = tried.argmax(0)
        best, origin = tried[choice, np.arange(S)], np.arange(S) + choice - _BINS_A_STEP
        top = int(total.argmax())
        jump = total[top] - _JUMP > best
        came[t] = np.where(jump, top, origin)
        total = np.where(jump, total[top] - _JUMP, best) + count_S
    state = np.empty(T, np.int64)
    state[-1] = int(total.argmax())
    for t in range(T - 1, 0, -1):
        state[t - 1] = came[t, state[t]]
    middle_s = r_s[0] + (np.arange(T) + 0.5) * _STEP_S
    return np.interp(r_s, middle_s, DELAY_S[0] + (state + 0.5) * _BIN_S)


def _agreeing(r_s: Floats, foot_s: Floats, T: int, S: int) -> Iterator[Floats]:
    """How many beats agree with each delay `(S,)`, of one step of time after the other, `T` of them."""
    first, last = np.searchsorted(foot_s, r_s + DELAY_S[0]), np.searchsorted(foot_s, r_s + DELAY_S[1])
    beat = np.repeat(np.arange(len(r_s)), last - first)
    index = np.arange(len(beat)) + np.repeat(first - np.cumsum(last - first) + (last - first), last - first)
    state = np.clip(((foot_s[index] - r_s[beat] - DELAY_S[0]) / _BIN_S).astype(np.int64), 0, S - 1)
    edge = np.searchsorted(((r_s[beat] - r_s[0]) / _STEP_S).astype(np.int64), np.arange(T + 1))
    half = round(_NEAR_S / _BIN_S)
    kernel = 1 - np.abs(np.arange(-half, half + 1)) / (half + 1)
    worth = 1 - _LATER * (DELAY_S[0] + _BIN_S * np.arange(S))
    for a, b in pairwise(edge):
        yield np.convolve(np.bincount(state[a:b], minlength=S).astype(np.float64), kernel, mode="same") * worth


def _nearest(expected_s: Floats, foot_s: Floats, tolerance_s: float) -> NDArray[np.int64]:
    """The foot nearest to each expected time, if that time is also the nearest to the foot, else −1."""
    at = _closest(expected_s, foot_s)
    mutual = _closest(foot_s, expected_s)[at] == np.arange(len(expected_s))
    return np.where(mutual & (np.abs(foot_s[at] - expected_s) <= tolerance_s), at, -1)


def _closest(to_s: Floats, among_s: Floats) -> NDArray[np.int64]:
    """Index of the nearest of `among_s` (need not ascend strictly) for each of `to_s`."""
    order = np.argsort(among_s, kind="stable")
    ascending = among_s[order]
    after = np.clip(np.searchsorted(ascending, to_s), 1, max(1, len(among_s) - 1))
    after = np.minimum(after, len(among_s) - 1)
    before = np.maximum(after - 1, 0)
    return order[np.where(to_s - ascending[before] <= ascending[after] - to_s, before, after)]


def _smooth(delay_s: Floats, course_s: Floats) -> Floats:
    """The running median of the delays over the beats around, the course where there are none."""
    usual_s = running_median(delay_s, _AROUND, least=3)
    return np.where(np.isfinite(usual_s), usual_s, course_s)
