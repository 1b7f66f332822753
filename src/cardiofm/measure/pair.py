"""R peaks and feet of the pulse, brought together beat by beat: which foot belongs to which R peak.

A monitor delays the pulse by a fixed time of up to 1.2 s, which may be more than a beat; on top of it the arrival time
drifts. So a course of the delay over the record is found first, the one that most feet agree with (Viterbi), and each
R peak takes the foot that lies nearest to where the course expects it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.measure.band import Floats

DELAY_S = (0.05, 1.3)  # from R peak to foot
_BIN_S = 0.01
_STEP_S = 5.0  # the course is asked for this often
_NEAR_S = 0.05  # a delay this far from the course does not count for it
_BINS_A_STEP = 3  # how fast the course can change
_CHANGE = 0.3  # what a bin of change costs, in beats
_JUMP = 12.0  # what any change costs: a sensor that was put on anew
_LATER = 0.1  # share by which a second of delay lowers what agrees: of two alike, the shorter
_ABOUT_S = (0.16, 0.12)  # of the course, then of the beats around: a foot further away is another beat's
_AROUND = 15  # beats
_FEW = 6  # steps from one beat to the next from which on they say how steady a delay is
_WILD_S = 0.1  # larger steps say no more than this


def paired(r_s: ArrayLike, foot_s: ArrayLike) -> NDArray[np.int64]:
    """For each R peak the index of its foot, −1 where it has none, `(B,)`; times in s, ascending.

    >>> r = np.cumsum([1.0, 0.8, 0.9, 1.1, 0.7, 1.0])
    >>> paired(r, np.delete(r + 1.05, 2)).tolist()
    [0, 1, -1, 2, 3, 4]
    """
    r, foot = np.asarray(r_s, np.float64), np.asarray(foot_s, np.float64)
    if len(r) == 0 or len(foot) == 0:
        return np.full(len(r), -1)
    found = _nearest(r + delay_course(r, foot), foot, _ABOUT_S[0])
    found = _steadiest(found, r, foot)
    delay = np.where(found >= 0, foot[found] - r, np.nan)
    usual = np.nanmedian(delay) if (found >= 0).any() else np.nan
    return _nearest(r + _smooth(delay, np.full(len(r), usual)), foot, _ABOUT_S[1])


def _steadiest(found: NDArray[np.int64], r_s: Floats, foot_s: Floats) -> NDArray[np.int64]:
    """The pairing, or the same one or two beats earlier or later, whose delay changes least from beat to beat.

    In an even rhythm a delay and that delay and a beat are both steady; but the second carries all that RR varies.
    """
    best, tried = found, []
    for beats in range(-2, 3):
        moved = np.full(len(found), -1)
        if beats >= 0:
            moved[: len(found) - beats] = found[beats:]
        else:
            moved[-beats:] = found[:beats]
        delay = np.where(moved >= 0, foot_s[moved] - r_s, np.nan)
        step = np.diff(delay)
        step = np.minimum(np.abs(step[np.isfinite(step)]), _WILD_S)
        if len(step) >= _FEW and DELAY_S[0] <= np.nanmedian(delay) <= DELAY_S[1]:
            tried.append((float(np.nanmedian(delay)), float(np.mean(step**2)), len(step), moved))
    least = np.inf
    for _, step2, count, moved in sorted(tried, key=lambda one: one[0]):
        if step2 < least * (1 - 0.5 / np.sqrt(count)):  # of two alike, the shorter
            least, best = step2, moved
    return best


def delay_course(r_s: Floats, foot_s: Floats) -> Floats:
    """Seconds from R peak to foot that most beats around each R peak agree with, `(B,)`.

    The most likely course over steps of 5 s, with states of 10 ms; what agrees is counted with a triangle of ±50 ms.
    """
    count_TS = _agreeing(r_s, foot_s)
    T, S = count_TS.shape
    shifts = range(-_BINS_A_STEP, _BINS_A_STEP + 1)
    total, came = count_TS[0].copy(), np.zeros((T, S), np.int16)
    padded = np.full(S + 2 * _BINS_A_STEP, -np.inf)
    for t in range(1, T):
        padded[_BINS_A_STEP : _BINS_A_STEP + S] = total
        tried = np.stack([padded[_BINS_A_STEP + d : _BINS_A_STEP + d + S] - _CHANGE * abs(d) for d in shifts])
        choice = tried.argmax(0)
        best, origin = tried[choice, np.arange(S)], np.arange(S) + choice - _BINS_A_STEP
        top = int(total.argmax())
        jump = total[top] - _JUMP > best
        came[t] = np.where(jump, top, origin)
        total = np.where(jump, total[top] - _JUMP, best) + count_TS[t]
    state = np.empty(T, np.int64)
    state[-1] = int(total.argmax())
    for t in range(T - 1, 0, -1):
        state[t - 1] = came[t, state[t]]
    middle_s = r_s[0] + (np.arange(T) + 0.5) * _STEP_S
    return np.interp(r_s, middle_s, DELAY_S[0] + (state + 0.5) * _BIN_S)


def _agreeing(r_s: Floats, foot_s: Floats) -> Floats:
    """How many beats of each step of time agree with each delay, `(T, S)`."""
    S = round((DELAY_S[1] - DELAY_S[0]) / _BIN_S)
    T = 1 + int((r_s[-1] - r_s[0]) / _STEP_S)
    first, last = np.searchsorted(foot_s, r_s + DELAY_S[0]), np.searchsorted(foot_s, r_s + DELAY_S[1])
    beat = np.repeat(np.arange(len(r_s)), last - first)
    index = np.arange(len(beat)) + np.repeat(first - np.cumsum(last - first) + (last - first), last - first)
    delay = foot_s[index] - r_s[beat]
    step = ((r_s[beat] - r_s[0]) / _STEP_S).astype(np.int64)
    state = np.clip(((delay - DELAY_S[0]) / _BIN_S).astype(np.int64), 0, S - 1)
    count = np.bincount(step * S + state, minlength=T * S).reshape(T, S).astype(np.float64)
    half = round(_NEAR_S / _BIN_S)
    kernel = 1 - np.abs(np.arange(-half, half + 1)) / (half + 1)
    near = np.stack([np.convolve(row, kernel, mode="same") for row in count])
    return near * (1 - _LATER * (DELAY_S[0] + _BIN_S * np.arange(S)))


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
    B = len(delay_s)
    index = np.arange(B)[:, None] + np.arange(-_AROUND, _AROUND + 1)
    around = np.where((index >= 0) & (index < B), delay_s[np.clip(index, 0, B - 1)], np.nan)
    some = np.isfinite(around).sum(1) >= 3
    out = course_s.copy()
    if some.any():
        out[some] = np.nanmedian(around[some], axis=1)
    return out
