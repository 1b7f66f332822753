"""A gap bridged by the usual beat of what is visible, where the rhythm and the other channel say that beats fall.

The rhythm goes on evenly between the beats on both sides; the other channel's beats, moved by the delay that they have
just before and after, say the same independently. How well either foretells the visible beats is measured, and they
are weighed by it. Shapes: N samples, L samples of a beat, E events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.measure.band import Floats
from cardiofm.measure.beats import ppg_feet, r_peaks

_BEFORE_GAP_S = 0.6  # a beat so long before a gap still reaches into it
_APART_S = 0.25  # no two beats are closer
_NEAR_S = 0.12  # a delay changes less than this from beat to beat
_LOST_S = 0.2  # an error that says nothing any more, and what a beat without a partner counts as
_SURE_S = 0.004  # no beat is placed better than this
_SAME_S = 0.15  # two ways that differ by more do not mean the same beat
_LEVEL_S = 0.2  # of both sides of a gap give its level


@dataclass(frozen=True)
class Beat:
    """The usual beat of a channel: `values (L,)` in its unit about its level, the event at sample `anchor`.

    `alike`: the share of power that the beats have in common, 0 to 1; every other one upside down, it is near 0.
    """

    values: NDArray[np.float32]
    anchor: int
    alike: float = 1.0

    def laid(self, events_s: ArrayLike, samples: int, fs_hz: float) -> NDArray[np.float32]:
        """A waveform `(N,)` about 0 with this beat at each event; each sample is of the beat that began last."""
        events = np.sort(np.asarray(events_s, np.float64)) * fs_hz
        out = np.zeros(samples, np.float32)
        if not len(events):
            return out
        at_N = np.arange(samples)
        own = events[np.maximum(np.searchsorted(events - self.anchor, at_N, side="right") - 1, 0)]
        place_N = at_N - own + self.anchor
        return np.interp(place_N, np.arange(len(self.values)), self.values).astype(np.float32)


def median_beat(
    x_N: NDArray[np.floating],
    visible_N: NDArray[np.bool_],
    events_s: ArrayLike,
    fs_hz: float,
    before: float = 0.35,
    after: float = 1.0,
) -> Beat | None:
    """The median over the visible beats from `before` to `after` times their median distance about each event.

    A channel's own level (the mean of each beat's visible samples) is taken out. None for fewer than three events.
    """
    events = np.sort(np.asarray(events_s, np.float64))
    if len(events) < 3:
        return None
    rr = float(np.median(np.diff(events))) * fs_hz
    anchor = round(before * rr)
    offset_L = np.arange(-anchor, max(1, round(after * rr)))
    at_EL = np.round(events * fs_hz).astype(int)[:, None] + offset_L
    inside_EL = (at_EL >= 0) & (at_EL < len(x_N))
    at_EL = np.clip(at_EL, 0, len(x_N) - 1)
    beats_EL = np.where(inside_EL & visible_N[at_EL], x_N[at_EL].astype(np.float64), np.nan)
    beats_EL = beats_EL[np.isfinite(beats_EL).mean(-1) >= 0.5]
    if len(beats_EL) < 2:
        return None
    beats_EL -= np.nanmean(beats_EL, axis=-1, keepdims=True)
    known_L = np.isfinite(beats_EL).any(0)
    usual_K = np.nanmedian(beats_EL[:, known_L], axis=0)
    common, other = float(np.mean(usual_K**2)), float(np.nanmean((beats_EL[:, known_L] - usual_K) ** 2))
    values_L = np.interp(offset_L, offset_L[known_L], usual_K)
    return Beat(values_L.astype(np.float32), anchor, common / (common + other) if common > 0 else 0.0)


def matched(true_s: ArrayLike, found_s: ArrayLike, tolerance_s: float) -> list[tuple[int, int]]:
    """Pairs (index into true, index into found) at most `tolerance_s` apart, each event in one pair at most.

    Both in rising order. There is no other pairing with more pairs: in time order, whatever can be paired is.

    >>> matched([1.0, 2.0, 3.0], [1.04, 2.2, 3.0], 0.05)
    [(0, 0), (2, 2)]
    """
    true, found = np.asarray(true_s, np.float64), np.asarray(found_s, np.float64)
    pairs, i, j = [], 0, 0
    while i < len(true) and j < len(found):
        if abs(true[i] - found[j]) <= tolerance_s + 1e-9:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif true[i] < found[j]:
            i += 1
        else:
            j += 1
    return pairs


def usual_delay(from_s: ArrayLike, to_s: ArrayLike, reach_s: float = 1.5, tolerance_s: float = 0.05) -> float | None:
    """Median seconds from an event of one channel to its event in the other, -reach to reach; None where none fits.

    Of all delays seen between two events the one that pairs most; in a regular rhythm it may be off by a whole beat,
    which places beats just as well.

    >>> round(usual_delay([1.0, 2.0, 2.8], [1.3, 2.3, 3.1]), 3)
    0.3
    """
    origin, goal = np.asarray(from_s, np.float64), np.asarray(to_s, np.float64)
    apart = (goal[None, :] - origin[:, None]).ravel()
    best, most = None, 0
    for delay in sorted(apart[np.abs(apart) <= reach_s], key=abs):
        pairs = matched(origin + delay, goal, tolerance_s)
        if len(pairs) > most:
            most, best = len(pairs), float(np.median([goal[j] - origin[i] for i, j in pairs]))
    return best


def continued(events_s: ArrayLike, start_s: float, end_s: float) -> Floats:
    """Seconds of the events of a gap from `start_s` to `end_s` if the visible rhythm went on through it.

    Between the last event before and the first one after as many as the median distance asks for, evenly; where one
    side has none, at the median distance from the other. The first may lie just before the gap: a beat whose event can
    not be seen for the gap behind it.

    >>> continued([0.0, 1.0, 2.0, 5.0, 6.0], 2.5, 4.5).tolist()
    [3.0, 4.0]
    """
    events = np.sort(np.asarray(events_s, np.float64))
    if len(events) < 2:
        return np.empty(0)
    left, right = events[events < start_s], events[events >= end_s]
    steps = np.concatenate([np.diff(left), np.diff(right)])
    rr = float(np.median(steps if len(steps) else np.diff(events)))
    if len(left) and len(right):
        return np.linspace(left[-1], right[0], max(1, round((right[0] - left[-1]) / rr)) + 1)[1:-1]
    if len(left):
        return np.arange(left[-1] + rr, end_s, rr)
    return np.arange(right[0] - rr, start_s - rr, -rr)[::-1]


def foretold(
    own_s: Floats, other_s: Floats, start_s: float, end_s: float, known_s: Sequence[tuple[float, float]]
) -> tuple[Floats, float]:
    """The events of a gap in s, from the visible ones of the channel and those of the other, and their error in s.

    `known_s`: the spans in which the other channel is visible; it says something of the gap where it is visible
    throughout, a delay earlier or later. The error is that (rms) with which each visible event is foretold from the
    others in the same way.
    """
    rhythm = continued(own_s, start_s, end_s)
    middle, apart = (own_s[:-2] + own_s[2:]) / 2, own_s[2:] - own_s[:-2]
    follows = apart < 2.6 * np.median(np.diff(own_s)) if len(own_s) > 2 else np.zeros(0, bool)
    rhythm_error_s = _rms((own_s[1:-1] - middle)[follows]) * max(1, len(rhythm)) ** 0.5
    delay_s = usual_delay(other_s, own_s)
    if delay_s is None or not any(a <= start_s - delay_s and end_s - delay_s <= b for a, b in known_s):
        return rhythm, rhythm_error_s
    pairs = np.array(matched(other_s + delay_s, own_s, _NEAR_S)).reshape(-1, 2)
    if len(pairs) < 4:
        return rhythm, rhythm_error_s
    from_s = other_s[pairs[:, 0]]
    delay_E = own_s[pairs[:, 1]] - from_s
    partner = other_s[(other_s + delay_s >= start_s - _BEFORE_GAP_S) & (other_s + delay_s < end_s + _NEAR_S)]
    partner = partner + np.interp(partner, from_s, delay_E)
    partner = partner[(partner >= start_s - _BEFORE_GAP_S) & (partner < end_s)]
    partner = partner[np.abs(partner[:, None] - own_s).min(1) > _APART_S]
    within = (own_s > other_s[0] + delay_s - _NEAR_S) & (own_s < other_s[-1] + delay_s + _NEAR_S)
    missed = [np.interp(from_s[k], np.delete(from_s, k), np.delete(delay_E, k)) for k in range(1, len(pairs) - 1)]
    alone = max(0, int(within.sum()) - len(pairs))
    partner_error_s = _rms(np.concatenate([delay_E[1:-1] - missed, np.full(alone, _LOST_S)]))
    weight = 1 / (rhythm_error_s**2 + _SURE_S**2), 1 / (partner_error_s**2 + _SURE_S**2)
    if len(partner) == len(rhythm) > 0 and np.abs(partner - rhythm).max() < _SAME_S:
        return np.average([rhythm, partner], axis=0, weights=weight), float(sum(weight) ** -0.5)
    return (partner, partner_error_s) if 2 * weight[1] > weight[0] else (rhythm, rhythm_error_s)


def _rms(error_s: Floats) -> float:
    """Root mean square of errors, none counted as more than one that says nothing; without any, that."""
    return float(np.sqrt(np.mean(np.minimum(np.abs(error_s), _LOST_S) ** 2))) if len(error_s) else _LOST_S


def laid_in(
    beat: Beat,
    x_N: NDArray[np.floating],
    visible_N: NDArray[np.bool_],
    gap: slice,
    fs_hz: float,
    own_s: ArrayLike,
    placed_s: ArrayLike,
) -> NDArray[np.float32]:
    """`x_N` with the gap filled by the usual beat, in the unit of x.

    `own_s`: the channel's visible events; `placed_s`: those of the gap. The level follows a line between the two edges
    of the gap.
    """
    made = beat.laid(np.concatenate([np.asarray(own_s, np.float64), placed_s]), len(x_N), fs_hz)
    out = np.array(x_N, np.float32)
    out[gap] = levelled(made, x_N, visible_N, gap, fs_hz)
    return out


def levelled(
    made_N: NDArray[np.floating],
    x_N: NDArray[np.floating],
    visible_N: NDArray[np.bool_],
    gap: slice,
    fs_hz: float,
) -> NDArray[np.float64]:
    """What was made for the gap, moved so that it meets what is visible on both sides, by a line between them."""
    near = np.flatnonzero(visible_N)
    near = near[(near >= gap.start - round(_LEVEL_S * fs_hz)) & (near < gap.stop + round(_LEVEL_S * fs_hz))]
    if not len(near):
        return np.asarray(made_N[gap], np.float64)
    sides = [side for side in (near[near < gap.start], near[near >= gap.stop]) if len(side)]
    level = [float(np.mean(x_N[side] - made_N[side])) for side in sides]
    return made_N[gap] + np.interp(np.arange(gap.start, gap.stop), [float(side.mean()) for side in sides], level)


@dataclass(frozen=True)
class Bridge:
    """A hidden stretch of a channel filled by its usual beat: `values` of the samples `gap`, in the channel's unit."""

    channel: int
    gap: slice
    values: NDArray[np.float32]
    error_s: float  # how far off the beats may be
    alike: float  # of the beats, 0 to 1


def bridged(x_CN: NDArray[np.floating], visible_CN: NDArray[np.bool_], fs_hz: float) -> list[Bridge]:
    """Every stretch of a channel that is hidden beside something visible.

    `x_CN` has some drawing where nothing is visible, so that beats are looked for without false edges. Channels with
    fewer than three visible beats are left out.
    """
    find = (r_peaks, ppg_feet)
    events = [np.empty(0), np.empty(0)]
    for c in range(2):
        if visible_CN[c].any():
            found_s = find[c](x_CN[c], fs_hz)
            at = np.clip(np.round(found_s * fs_hz).astype(int), 0, x_CN.shape[1] - 1)
            events[c] = found_s[visible_CN[c, at]]
    out = []
    for c, own_s in enumerate(events):
        beat = None if visible_CN[c].all() else median_beat(x_CN[c], visible_CN[c], own_s, fs_hz)
        if beat is None:
            continue
        known_s = [(part.start / fs_hz, part.stop / fs_hz) for part in stretches(visible_CN[1 - c])]
        for gap in stretches(~visible_CN[c]):
            placed_s, error_s = foretold(own_s, events[1 - c], gap.start / fs_hz, gap.stop / fs_hz, known_s)
            made_N = laid_in(beat, x_CN[c], visible_CN[c], gap, fs_hz, own_s, placed_s)
            out.append(Bridge(c, gap, made_N[gap], error_s, beat.alike))
    return out


def stretches(true_N: NDArray[np.bool_]) -> list[slice]:
    """Where it is true without a break.

    >>> stretches(np.array([True, False, False, True]))
    [slice(0, 1, None), slice(3, 4, None)]
    """
    edge = np.flatnonzero(np.diff(np.concatenate([[False], true_N, [False]]).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in edge.reshape(-1, 2)]
