"""The network's drawings of a record's windows: cleaned, put into the channels' units, joined on their own clocks.

Shapes: B windows, C channels (ecg, ppg), N samples, S token steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.hide import Hidden
from cardiofm.data.join import Joiner, absent_s, restore_gaps, restore_visible
from cardiofm.data.usable import MIN_S
from cardiofm.measure.bridge import bridged, levelled, stretches
from cardiofm.measure.cleaning import cleaned, kept_share
from cardiofm.measure.follow import Followed, follow
from cardiofm.model.encoded import Backend, Encoded
from cardiofm.signals import MODALITIES, InputSpec, Record, Signal, Window

SURE = 0.9  # of a channel's power that is signal: above this nothing is asked of the other channel
USUAL = 0.8  # weight of the usual beat in a gap, where beats are all alike and foretold exactly …
ERROR_S = 0.06  # … and half of it where they are this far off
MOST_SURE = 0.95  # share of the power that the usual beat can tell
BESIDE_S, KNOWN = 0.5, 0.9  # share of the other channel that must be known in a gap and so far beside it
MEET_S = 0.1  # a drawing meets what is visible beside it within this
LARGEST = 20.0  # of a drawing, in standard deviations


def draw_hidden(
    backend: Backend,
    code: Encoded,
    x_BCN: NDArray[np.float32],
    visible_BCN: NDArray[np.bool_],
    in_mv_BC: NDArray[np.bool_],
    fs_hz: float,
) -> NDArray[np.float32]:
    """Both waveforms `(B, C, N)` in normalised units: what is visible as it is, what is hidden drawn.

    A token of which something is hidden is drawn whole. In a gap the drawing is averaged with the usual beat of the
    window, the more the surer it is where beats fall and what they look like (`measure.bridge`), and with what the
    other channel says there (`measure.follow`), as far as it foretells what is visible: they err in different ways.
    """
    whole_BCS = np.logical_and(code.seen, np.all(visible_BCN.reshape(*code.patches.shape), axis=-1))
    scattered_BC1 = 2 * whole_BCS.sum(-1, keepdims=True) < code.seen.sum(-1, keepdims=True)
    whole_BCS = np.where(scattered_BC1, code.seen, whole_BCS)  # rather those tokens than nothing
    drawn_BCN = _drawn(backend, code._replace(seen=whole_BCS, patches=code.patches * whole_BCS[..., None]))
    shown_BCN = visible_BCN & np.asarray(code.seen.any(-1))[..., None]
    own_BCN = (x_BCN - code.offset[..., None]) / np.where(code.scale > 0, code.scale, 1)[..., None]
    out_BCN = np.where(shown_BCN, np.clip(own_BCN, -LARGEST, LARGEST), drawn_BCN).astype(np.float32)
    foretold = _foretold(backend, out_BCN, x_BCN, shown_BCN, in_mv_BC, fs_hz)
    for i, (drawn_CN, shown_CN) in enumerate(zip(out_BCN, shown_BCN, strict=True)):
        sure = dict[tuple[int, int], float]()
        for one in bridged(drawn_CN, shown_CN, fs_hz):
            sure[one.channel, one.gap.start] = share = one.alike / (1 + (one.error_s / ERROR_S) ** 2)
            drawn_CN[one.channel, one.gap] += USUAL * share * (one.values - drawn_CN[one.channel, one.gap])
        for c in (c for c in range(len(MODALITIES)) if (i, c) in foretold):
            for gap in _told(shown_CN, c, fs_hz):
                off, lost = 1 - MOST_SURE * sure.get((c, gap.start), 0.0), 1 - foretold[i, c].share
                value = levelled(foretold[i, c].values, drawn_CN[c], shown_CN[c], gap, fs_hz)
                drawn_CN[c, gap] += off**2 / (off**2 + lost**2) * (value - drawn_CN[c, gap])
        for drawn_N, shown_N in zip(drawn_CN, shown_CN, strict=True):
            if shown_N.any():
                _meet(drawn_N, shown_N, fs_hz)
    return out_BCN


def _meet(drawn_N: NDArray[np.float32], shown_N: NDArray[np.bool_], fs_hz: float) -> None:
    """Move what is drawn beside something visible to where that ends, by less and less away from it."""
    for gap in stretches(~shown_N):
        size = min(round(MEET_S * fs_hz), (gap.stop - gap.start) // 2)
        less = (0.5 + 0.5 * np.cos(np.pi * (np.arange(size) + 0.5) / max(size, 1))).astype(np.float32)
        if gap.start > 0:
            drawn_N[gap.start : gap.start + size] += less * (drawn_N[gap.start - 1] - drawn_N[gap.start])
        if gap.stop < len(drawn_N):
            drawn_N[gap.stop - size : gap.stop] += less[::-1] * (drawn_N[gap.stop] - drawn_N[gap.stop - 1])


def _told(shown_CN: NDArray[np.bool_], c: int, fs_hz: float) -> list[slice]:
    """The gaps of a channel that is not hidden throughout, in which and beside which the other one is known."""
    if not shown_CN[c].any():
        return []
    beside = round(BESIDE_S * fs_hz)
    around = [(gap, shown_CN[1 - c, max(0, gap.start - beside) : gap.stop + beside]) for gap in stretches(~shown_CN[c])]
    return [gap for gap, other in around if other.mean() >= KNOWN]


def _foretold(
    backend: Backend,
    out_BCN: NDArray[np.float32],
    x_BCN: NDArray[np.float32],
    shown_BCN: NDArray[np.bool_],
    in_mv_BC: NDArray[np.bool_],
    fs_hz: float,
) -> dict[tuple[int, int], Followed]:
    """By window and channel, a channel with gaps as the other one foretells it, in normalised units."""
    found = {}
    for c in range(len(MODALITIES)):
        rows = np.flatnonzero([bool(_told(shown_CN, c, fs_hz)) for shown_CN in shown_BCN])
        waves_RKN = _said_by_other(backend, x_BCN[rows], shown_BCN[rows], in_mv_BC[rows], c)
        for i, waves_KN in zip(rows.tolist(), waves_RKN, strict=True):
            found[i, c] = follow(out_BCN[i, c], shown_BCN[i, c], waves_KN, fs_hz)
    return found


def _said_by_other(
    backend: Backend, x_BCN: NDArray[np.float32], visible_BCN: NDArray[np.bool_], in_mv_BC: NDArray[np.bool_], c: int
) -> NDArray[np.float32]:
    """For each window the channel `c` drawn from the other one alone, and that one, `(B, 2, N)`; all normalised."""
    if not len(x_BCN):
        return np.empty((0, 2, x_BCN.shape[-1]), np.float32)
    lone_BCN = visible_BCN & (np.arange(len(MODALITIES)) == 1 - c)[:, None]
    code = backend.encode(np.where(lone_BCN, x_BCN, np.float32(0)), lone_BCN, in_mv_BC, (1 - c,))
    own_BN = code.patches[:, 1 - c].reshape(len(x_BCN), -1)
    return np.stack([_drawn(backend, code)[:, c], own_BN], axis=1)


def _drawn(backend: Backend, code: Encoded, denoise: bool = False) -> NDArray[np.float32]:
    """The network's drawing `(B, C, N)`; where nothing of a channel is seen, that of the head for it, if it has one."""
    drawn_BCN, seen_BC = backend.draw(code, denoise), np.asarray(code.seen.any(-1))
    across_BCN = None if seen_BC.all() else backend.across(code)
    return drawn_BCN if across_BCN is None else np.where(seen_BC[..., None], drawn_BCN, across_BCN)


def draw_cleaned(
    backend: Backend,
    code: Encoded,
    x_BCN: NDArray[np.float32],
    visible_BCN: NDArray[np.bool_],
    in_mv_BC: NDArray[np.bool_],
    fs_hz: float,
) -> NDArray[np.float32]:
    """Both waveforms `(B, C, N)` in normalised units with what is seen cleaned of noise.

    The network weighs each sample against its own drawing; then each band of frequencies is kept as far as it is
    signal. Where much is taken away and there is another channel, what that one foretells of this one stands in its
    place (`measure.follow`), so that a bad channel is no worse than none.
    """
    drawn_BCN, seen_BC = _drawn(backend, code, denoise=True), np.asarray(code.seen.any(-1))
    gaps = not visible_BCN[seen_BC].all()
    out_BCN = draw_hidden(backend, code, x_BCN, visible_BCN, in_mv_BC, fs_hz) if gaps else drawn_BCN.copy()
    for c, modality in enumerate(MODALITIES):
        rows = np.flatnonzero(seen_BC[:, c])
        if not len(rows):
            continue
        instead_BN = np.zeros_like(drawn_BCN[:, c])
        doubted = rows[kept_share(drawn_BCN[rows, c], fs_hz, modality) < SURE]
        doubted = doubted[seen_BC[doubted, 1 - c]]
        waves_RKN = _said_by_other(backend, x_BCN[doubted], visible_BCN[doubted], in_mv_BC[doubted], c)
        for i, waves_KN in zip(doubted.tolist(), waves_RKN, strict=True):
            instead_BN[i] = follow(drawn_BCN[i, c], visible_BCN[i, c], waves_KN, fs_hz).values
        made_BN = cleaned(drawn_BCN[rows, c], fs_hz, modality, instead_BN[rows])
        out_BCN[rows, c] = np.where(visible_BCN[rows, c], made_BN, out_BCN[rows, c])
    return out_BCN


@dataclass(frozen=True)
class Drawn:
    """One window of a record with what the network made of it."""

    window: Window  # as the network saw it: what is hidden is not valid
    code: Encoded  # a batch of one
    depth_CS: NDArray[np.int64]
    drawn_CN: NDArray[np.float32]  # in the channels' units, NaN where nothing may be drawn


class Redrawing:
    """A record that is being drawn, window by window."""

    def __init__(self, record: Record, hidden: Hidden, spec: InputSpec, overlap_s: float, passes: bool = False) -> None:
        self.record, self.hidden, self.spec, self.passes = record, hidden, spec, passes  # what is visible: as it was
        self.joins = self._joiners(overlap_s)

    def unit(self, window: Window, whole: Window, code: Encoded) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Offset and scale `(C,)` that put a drawing into the channels' units; NaN for one that may not be drawn."""
        offset_C, scale_C = code.offset[0].copy(), code.scale[0].copy()
        for c, modality in enumerate(MODALITIES):
            if window.valid[c].any():
                continue
            own = whole.values[c][whole.valid[c]]
            if not self.hidden.touches(modality, window.start_s, window.start_s + self.spec.window_s):
                offset_C[c] = scale_C[c] = np.nan
            elif self.record.signal(modality) is None:
                offset_C[c], scale_C[c] = 0.0, 1.0
            elif len(own) >= MIN_S * self.spec.fs_hz:
                offset_C[c], scale_C[c] = own.mean(dtype=np.float64), own.std(dtype=np.float64)
            else:
                offset_C[c] = scale_C[c] = np.nan
        return offset_C, scale_C

    def add(self, drawn: Drawn) -> None:
        """Join one more window, later than those before it."""
        first = round((drawn.window.start_s - self.record.start_s) * self.spec.fs_hz)
        for modality, join in self.joins.items():
            join.add(first, drawn.drawn_CN[MODALITIES.index(modality)])

    def finish(self, note: str) -> Record:
        """The joined channels as a record on the original clocks, with a note of what they are."""
        record, made = self.record, dict[str, Signal]()
        for modality, join in self.joins.items():
            values, signal = join.finish(), record.signal(modality)
            if signal is None:
                made[modality] = Signal(values, join.fs_hz, "z", modality, join.start_s)
                continue
            if modality != self.hidden.modality:
                if self.passes:
                    restore_visible(values, signal, self.hidden.spans_s)
                restore_gaps(values, signal, self.hidden.spans_s)
            made[modality] = replace(signal, samples=values, inverted=False)
        notes = [*record.notes, note, *self._not_drawn(made)]
        if record.duration_s < self.spec.window_s:
            notes.append(f"lasts {record.duration_s:.3g} s, shorter than the window of {self.spec.window_s:g} s")
        return Record(record.name, made.get("ecg"), made.get("ppg"), record.patient, tuple(notes))

    def _not_drawn(self, made: dict[str, Signal]) -> list[str]:
        """A note for each channel of which something hidden could not be drawn."""
        notes = []
        for modality, signal in made.items():
            spans_s = self.hidden.spans_s
            if modality == self.hidden.modality:
                spans_s = ((signal.start_s, signal.end_s),)
            lost = absent_s(signal, spans_s)
            if lost > 0:
                notes.append(
                    f"{lost:.3g} hidden s of the {modality} are not drawn: their windows of {self.spec.window_s:g} s "
                    f"hold less than {MIN_S:g} s to draw from"
                )
        return notes

    def _joiners(self, overlap_s: float) -> dict[str, Joiner]:
        """One for each channel of the record, and one for a channel that is hidden without being there."""
        record, out = self.record, {}
        for modality in MODALITIES:
            signal = record.signal(modality)
            if signal is not None:
                start_s, fs_hz, n = signal.start_s, signal.fs_hz, len(signal.samples)
            elif modality == self.hidden.modality:
                start_s, fs_hz = record.start_s, self.spec.fs_hz
                n = max(1, math.ceil(record.duration_s * fs_hz - 1e-6))
            else:
                continue
            out[modality] = Joiner(
                self.spec, start_s=start_s, fs_hz=fs_hz, n=n, origin_s=record.start_s, fade_s=overlap_s
            )
        return out
