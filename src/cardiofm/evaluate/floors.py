"""What costs nothing to be beaten by: simple fillers of a gap, and an untrained network.

Shapes: B batch, C channels (ecg, ppg), N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.evaluate.drawing import unit
from cardiofm.evaluate.metrics import matched
from cardiofm.pipeline import Model
from cardiofm.signals import Window

_BEFORE_GAP_S = 0.6  # a beat so long before a gap still reaches into it
_APART_S = 0.25  # no two beats are closer


def mean_window(windows: Sequence[Window]) -> NDArray[np.float32]:
    """The mean of normalised training windows `(C, N)`, spread about 0: what is known before anything is seen."""
    total, count = np.zeros(windows[0].values.shape), np.zeros(windows[0].values.shape)
    for window in windows:
        offset_C, scale_C = unit(window, window.valid)
        total += window.valid * (window.values - offset_C[:, None]) / scale_C[:, None]
        count += window.valid
    return (total / np.maximum(count, 1)).astype(np.float32)


def straight_line(x_N: NDArray[np.float32], visible_N: NDArray[np.bool_]) -> NDArray[np.float32]:
    """`x_N` with what is not visible replaced by lines between the visible neighbours, in the unit of x.

    >>> straight_line(np.float32([0, 9, 9, 3]), np.array([True, False, False, True])).tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    at = np.arange(len(x_N))
    return np.interp(at, at[visible_N], x_N[visible_N]).astype(np.float32)


def best_match(
    x_N: NDArray[np.float32], visible_N: NDArray[np.bool_], gap: slice, fs_hz: float, context_s: float = 0.5
) -> NDArray[np.float32] | None:
    """The gap filled by the visible stretch whose surroundings correlate best with the gap's own, in the unit of x.

    The stretch is moved to the gap's level by the mean of the surroundings. A beat fills a beat without anybody having
    to detect one. None where no stretch of that length with its surroundings is visible.
    """
    context = round(context_s * fs_hz)
    first, last = gap.start - context, gap.stop + context
    near = np.arange(first, last)
    near = near[((near < gap.start) | (near >= gap.stop)) & (near >= 0) & (near < len(x_N))]
    near = near[visible_N[near]]
    if len(near) < context:
        return None
    target = x_N[near] - x_N[near].mean()
    span = np.concatenate([near, np.arange(gap.start, gap.stop)])
    shifts = np.arange(-span.min(), len(x_N) - span.max())
    shifts = shifts[visible_N[span[None, :] + shifts[:, None]].all(1)]
    if not len(shifts):
        return None
    around = x_N[near[None, :] + shifts[:, None]]
    level = around.mean(1, keepdims=True)
    spread = np.linalg.norm(around - level, axis=1)
    score = (around - level) @ target / np.where(spread > 0, spread, np.inf)
    best = int(np.argmax(score))
    out = x_N.copy()
    out[gap] = x_N[gap.start + shifts[best] : gap.stop + shifts[best]] - level[best] + x_N[near].mean()
    return out


@dataclass(frozen=True)
class Beat:
    """The usual beat of a channel: `values (L,)` in its unit about its level, the event at sample `anchor`."""

    values: NDArray[np.float32]
    anchor: int

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
    x_N: NDArray[np.float32],
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
    values_L = np.interp(offset_L, offset_L[known_L], np.nanmedian(beats_EL[:, known_L], axis=0))
    return Beat(values_L.astype(np.float32), anchor)


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


def continued(events_s: ArrayLike, start_s: float, end_s: float) -> NDArray[np.float64]:
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


def beat_template(
    x_N: NDArray[np.float32],
    visible_N: NDArray[np.bool_],
    gap: slice,
    fs_hz: float,
    own_s: ArrayLike,
    other_s: ArrayLike | None = None,
) -> NDArray[np.float32] | None:
    """The gap filled by the median beat of the visible part, in the unit of x; None where fewer than three are visible.

    `own_s`: the channel's visible events. The beats stand where its rhythm goes on or, given the events of the other
    channel, at those moved by their usual delay. The level follows a line between the two edges of the gap.
    """
    own = np.asarray(own_s, np.float64)
    start_s, end_s = gap.start / fs_hz, gap.stop / fs_hz
    own = own[(own < start_s) | (own >= end_s)]
    beat = median_beat(x_N, visible_N, own, fs_hz)
    if beat is None:
        return None
    delay = None if other_s is None else usual_delay(other_s, own)
    if other_s is None or delay is None:
        placed = continued(own, start_s, end_s)
    else:
        placed = np.asarray(other_s, np.float64) + delay
        placed = placed[(placed >= start_s - _BEFORE_GAP_S) & (placed < end_s)]
        placed = placed[np.abs(placed[:, None] - own).min(1) > _APART_S]
    made = beat.laid(np.concatenate([own, placed]), len(x_N), fs_hz)
    near = np.flatnonzero(visible_N)
    near = near[(near >= gap.start - round(0.2 * fs_hz)) & (near < gap.stop + round(0.2 * fs_hz))]
    out = x_N.copy()
    line = np.zeros(gap.stop - gap.start)
    if len(near):
        sides = [side for side in (near[near < gap.start], near[near >= gap.stop]) if len(side)]
        level = [float(np.mean(x_N[side] - made[side])) for side in sides]
        line = np.interp(np.arange(gap.start, gap.stop), [float(side.mean()) for side in sides], level)
    out[gap] = made[gap] + line
    return out


def untrained(model: Model, windows: Sequence[Window], seed: int = 0) -> Model:
    """The same network before training, its codebooks k-means of its own latents of `windows`. Needs torch."""
    import torch

    from cardiofm.config import from_dict
    from cardiofm.model.backend import TorchBackend
    from cardiofm.model.cardiofm import CardioFM, ModelConfig

    torch.manual_seed(seed)
    network = CardioFM(from_dict(ModelConfig, model.config))
    arrays = (np.stack([getattr(w, name) for w in windows]) for name in ("values", "valid", "in_mv"))
    x, seen, in_mv = (torch.from_numpy(array) for array in arrays)
    with torch.no_grad():
        tokens = network.encoder(torch.where(seen, x, 0.0), seen, in_mv, (0, 1))
        network.train()
        network.quantize(tokens, torch.full((len(windows),), float(network.config.quantizer.levels)))
    return replace(model, name=f"untrained {model.name}", backend=TorchBackend(network))
