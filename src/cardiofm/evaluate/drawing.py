"""Windows as the model draws them when parts of one channel are hidden: a batch of windows in, waveforms in units out.

`Model.reconstruct` hides spans of every channel at once; here one channel may stay visible. Where both can do the same
they give the same numbers (tested).
Shapes: B batch, C channels (ecg, ppg), N samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.usable import stacked
from cardiofm.model.encoded import Encoded, depths
from cardiofm.pipeline import MIN_S, Model
from cardiofm.redraw import draw_cleaned, draw_hidden
from cardiofm.signals import Window


def draw(
    model: Model, windows: Sequence[Window], visible_BCN: NDArray[np.bool_], batch: int = 16
) -> NDArray[np.float32]:
    """Both waveforms `(B, C, N)` drawn from the tokens of what is visible, each channel in its own unit.

    What is visible passes. A channel with nothing visible is put into its unit by its own true mean and spread, and by
    nothing else.
    """
    drawn = np.zeros(visible_BCN.shape, np.float32)
    for at, code in _encoded(model, windows, visible_BCN, batch):
        drawn[at] = _drawn(model, code, [windows[i] for i in at.tolist()], visible_BCN[at])
        _to_units(drawn, at, code, windows, visible_BCN)
    return drawn


def draw_by_network(
    model: Model, windows: Sequence[Window], visible_BCN: NDArray[np.bool_], batch: int = 16
) -> NDArray[np.float32]:
    """The waveforms of `draw` by the decoder of tokens alone: no usual beat, and no filter of the other channel."""
    drawn = np.zeros(visible_BCN.shape, np.float32)
    for at, code in _encoded(model, windows, visible_BCN, batch):
        drawn[at] = model.backend.draw(code)
        _to_units(drawn, at, code, windows, visible_BCN)
    return drawn


def _drawn(
    model: Model, code: Encoded, windows: Sequence[Window], visible_BCN: NDArray[np.bool_]
) -> NDArray[np.float32]:
    own = [replace(w, valid=v) for w, v in zip(windows, visible_BCN, strict=True)]
    return draw_hidden(model.backend, code, *stacked(own), model.spec.fs_hz)


def draw_encoded(
    model: Model,
    code: Encoded,
    windows: Sequence[Window],
    visible_BCN: NDArray[np.bool_],
    batch: int = 16,
    denoise: bool = False,
) -> NDArray[np.float32]:
    """The waveforms of `draw` from what `encoded` gave for the same windows; what is visible cleaned or not."""
    drawn = np.zeros(visible_BCN.shape, np.float32)
    for first in range(0, len(drawn), batch):
        at = np.arange(first, min(first + batch, len(drawn)))
        part = code.rows(at)
        if denoise:
            own = [replace(windows[i], valid=visible_BCN[i]) for i in at.tolist()]
            drawn[at] = draw_cleaned(model.backend, part, *stacked(own), model.spec.fs_hz)
        else:
            drawn[at] = _drawn(model, part, [windows[i] for i in at.tolist()], visible_BCN[at])
        _to_units(drawn, at, part, windows, visible_BCN)
    return drawn


def through_codes(
    model: Model,
    windows: Sequence[Window],
    visible_BCN: NDArray[np.bool_],
    rates: Sequence[float | None],
    batch: int = 16,
) -> list[NDArray[np.float32]]:
    """Both waveforms `(B, C, N)` from the codes, once for each rate in bit/s a channel (None: all levels)."""
    drawn = [np.zeros(visible_BCN.shape, np.float32) for _ in rates]
    for at, code in _encoded(model, windows, visible_BCN, batch):
        for out, rate in zip(drawn, rates, strict=True):
            depth_BCS = depths(code.worth, code.coded, mean_depth(model, rate))
            out[at] = model.backend.decode(code.codes, depth_BCS, code.coded)
            _to_units(out, at, code, windows, visible_BCN)
    return drawn


def encoded(model: Model, windows: Sequence[Window], visible_BCN: NDArray[np.bool_], batch: int = 16) -> Encoded:
    """The windows as one `Encoded`, in their order, for whoever draws them at many depths."""
    found = list(_encoded(model, windows, visible_BCN, batch))
    order = np.argsort(np.concatenate([at for at, _ in found]))
    return Encoded.join([code for _, code in found]).rows(order)


def decoded(model: Model, code: Encoded, depth_BCS: NDArray[np.int64], batch: int = 16) -> NDArray[np.float32]:
    """Both waveforms `(B, C, N)` from the first `depth` codes of each token, each seen channel in its own unit."""
    drawn = []
    for first in range(0, len(depth_BCS), batch):
        at = slice(first, first + batch)
        part = model.backend.decode(code.codes[at], depth_BCS[at], code.coded[at])
        drawn.append(part * code.scale[at, :, None] + code.offset[at, :, None])
    return np.concatenate(drawn)


def mean_depth(model: Model, bits_per_second: float | None) -> float:
    """Codebook levels a token that a rate in bit/s a channel pays for on average; None: all that there are."""
    if bits_per_second is None:
        return float(np.inf)
    return bits_per_second * model.spec.token_s / float(np.log2(model.config["quantizer"]["codes"]))


def flat_depths(code: Encoded, mean: NDArray[np.floating]) -> NDArray[np.int64]:
    """Codebook levels `(…, S)` that are the same for every token to within one, averaging `mean (…, 1)`."""
    level = np.arange(code.worth.shape[-1])
    return depths(_turn(code.worth.shape[-2])[:, None] - np.broadcast_to(level, code.worth.shape), code.coded, mean)


def _turn(count: int) -> NDArray[np.floating]:
    """Small numbers about 0 that never repeat and fill evenly: who of `count` equals is first."""
    return 0.02 * (np.arange(count) * 0.6180339887 % 1.0 - 0.5)


def uniform_depths(model: Model, code: Encoded, mean: NDArray[np.floating]) -> NDArray[np.int64]:
    """Codebook levels `(…, S)` that are the same for every block to within one code, averaging `mean (…, 1)`.

    Within a block the levels follow the mean worth of each place (its frequencies), so that only the adapting from
    block to block is taken away; what is left over is spread evenly over the blocks.
    """
    book = model.config["quantizer"]
    blocks = (*code.coded.shape[:-1], -1, book["group"])
    worth, coded = code.worth.reshape(*blocks, code.worth.shape[-1]), code.coded.reshape(*blocks, 1)
    place = (worth * coded).sum(-3, keepdims=True) / np.maximum(coded.sum(-3, keepdims=True), 1)
    even = (place + _turn(worth.shape[-3])[:, None, None]).reshape(code.worth.shape)
    return depths(even, code.coded, mean)


def unit(window: Window, visible_CN: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and spread `(C,)` of what is visible; of the truth for a channel that is wholly hidden; else 0 and 1."""
    offset_C, scale_C = np.zeros(2, np.float32), np.ones(2, np.float32)
    for c in range(2):
        known = window.values[c][visible_CN[c] if visible_CN[c].any() else window.valid[c]]
        if len(known) and known.std() > 0:
            offset_C[c], scale_C[c] = known.mean(dtype=np.float64), known.std(dtype=np.float64)
    return offset_C, scale_C


def _encoded(
    model: Model, windows: Sequence[Window], visible_BCN: NDArray[np.bool_], batch: int
) -> Iterator[tuple[NDArray[np.integer], Encoded]]:
    """(indices, Encoded) of batches that have the same channels to see."""
    enough_BC = visible_BCN.sum(-1) >= MIN_S * model.spec.fs_hz
    if not enough_BC.any(-1).all():
        raise ValueError("every window must have a channel with at least 1 s to see")
    for present in ((0, 1), (0,), (1,)):
        want = np.array([0 in present, 1 in present])
        rows = np.flatnonzero((enough_BC == want).all(-1))
        for first in range(0, len(rows), batch):
            at = rows[first : first + batch]
            seen = visible_BCN[at] & want[:, None]
            x = np.stack([windows[i].values for i in at])
            in_mv = np.stack([windows[i].in_mv for i in at])
            yield at, model.backend.encode(np.where(seen, x, np.float32(0)), seen, in_mv, present)


def _to_units(
    drawn: NDArray[np.float32],
    at: NDArray[np.integer],
    code: Encoded,
    windows: Sequence[Window],
    visible_BCN: NDArray[np.bool_],
) -> None:
    for row, i in enumerate(at):
        offset_C, scale_C = unit(windows[i], visible_BCN[i])
        for c in range(2):
            if code.seen[row, c].any():
                offset_C[c], scale_C[c] = code.offset[row, c], code.scale[row, c]
        drawn[i] = drawn[i] * scale_C[:, None] + offset_C[:, None]
