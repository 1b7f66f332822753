"""What costs nothing to be beaten by: simple fillers of a gap, and an untrained network.

Shapes: B batch, C channels (ecg, ppg), N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.evaluate.drawing import unit
from cardiofm.measure import bridge
from cardiofm.measure.bridge import continued, usual_delay
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
    beat = bridge.median_beat(x_N, visible_N, own, fs_hz)
    if beat is None:
        return None
    delay = None if other_s is None else usual_delay(other_s, own)
    if other_s is None or delay is None:
        placed = continued(own, start_s, end_s)
    else:
        placed = np.asarray(other_s, np.float64) + delay
        placed = placed[(placed >= start_s - _BEFORE_GAP_S) & (placed < end_s)]
        placed = placed[np.abs(placed[:, None] - own).min(1) > _APART_S]
    return bridge.laid_in(beat, x_N, visible_N, gap, fs_hz, own, placed)


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
