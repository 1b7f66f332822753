"""What the fiducial head says of a window, to the points of its beats in seconds, each with its expected error.

A beat is a top of the chance of its anchor (R peak; foot of the pulse). Each of its points is asked for twice: where
the chance of that point tops near the place expected (soft argmax), and how far the anchor's surroundings say it is
(reach). The two are averaged by inverse variance; how far they lie apart enters the expected error.

Shapes: B beats, K events, N samples, L places looked at around a sample.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure.band import Bools, Floats
from cardiofm.signals import EVENTS, WAVES, HeadOutputs

ECG, PPG = slice(0, 7), slice(7, 9)  # of `EVENTS`
R, FOOT = EVENTS.index("r_peak"), EVENTS.index("ppg_foot")
ECG_EVENTS, PPG_EVENTS = EVENTS[ECG], EVENTS[PPG]
BUMP_S = np.array([0.016, 0.016, 0.012, 0.010, 0.012, 0.016, 0.020, 0.016, 0.020])  # sd of a sure event's chance
LEAST_CHANCE = 0.25  # of an anchor: below it nothing is looked at
REFRACTORY_S = {R: 0.2, FOOT: 0.25}  # no two anchors of a window are closer
AROUND_S = {R: 0.04, FOOT: 0.06}  # of the anchor: where its beat's reaches are averaged
SEARCH_S = (0.04, 0.12)  # about the reach: a top counts less the further off it lies, in units between these two
FLOOR_S = 0.0015  # no estimate is believed to be better than this
_BEYOND_S = {"p_onset": -0.05, "t_end": 0.05}  # known there, or the wave may go on beyond what can be seen
_FAINT = 0.04  # a chance below it is no top
_BROADER = 0.3  # expected error per second of excess width: heads learn events weighted up, and say chances too broad


@dataclass(frozen=True)
class Points:
    """One row per beat, one column per event of a modality; times are record time, NaN where nothing can be said."""

    at_s: NDArray[np.float64]  # (B, K)
    sd_s: NDArray[np.float32]  # (B, K) expected error
    apart_s: NDArray[np.float32]  # (B, K) between the two estimates
    chance: NDArray[np.float32]  # (B, K) height of the top
    presence: NDArray[np.float32]  # (B, K) 0…1: how much of the point's wave the head sees as that wave
    cut: NDArray[np.bool_]  # (B, K) the point lies where nothing is known

    def __len__(self) -> int:
        return len(self.at_s)

    def rows(self, index: NDArray) -> Points:
        """Some of the beats."""
        return Points(*(getattr(self, f.name)[index] for f in fields(self)))

    @staticmethod
    def join(parts: list[Points], events: int) -> Points:
        """The beats of several windows, one after another."""
        if not parts:
            none = np.empty((0, events), np.float32)
            return Points(none.astype(np.float64), none, none, none, none, none.astype(bool))
        return Points(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Points)))


def located(out: HeadOutputs) -> tuple[Points, Points]:
    """The beats of a window's ECG `(B, 7)` and the pulses of its PPG `(B, 2)`, in record time (s).

    >>> n = np.arange(2500) / 250
    >>> chance = np.exp(-0.5 * ((n - 4.0) / BUMP_S[:, None]) ** 2) * np.eye(9)[R][:, None]
    >>> far = np.tile(4.0 - n, (9, 1)) + np.array([-0.2, -0.1, -0.04, 0, 0.04, 0.25, 0.35, 0, 0])[:, None]
    >>> args = (np.zeros((4, 2500)), chance, far, np.full((9, 2500), 0.004), np.ones((2, 2500), bool))
    >>> ecg, ppg = located(HeadOutputs(10.0, 250.0, *args))
    >>> ecg.at_s.round(3).tolist(), len(ppg)
    ([[13.8, 13.9, 13.96, 14.0, 14.04, 14.25, 14.35]], 0)
    """
    ecg = _points(out, ECG, R, out.valid[0])
    ppg = _points(out, PPG, FOOT, out.valid[1])
    return _with_waves(ecg, out), ppg


def tops(x_N: NDArray, least: float, apart: int) -> NDArray[np.int64]:
    """Samples of the local maxima of at least `least`, the highest first served, none closer than `apart` to another.

    >>> tops(np.array([0, 0.9, 0, 0.8, 0, 0, 0.7, 0]), 0.5, 3).tolist()
    [1, 6]
    """
    inner = np.flatnonzero((x_N[1:-1] > x_N[:-2]) & (x_N[1:-1] >= x_N[2:]) & (x_N[1:-1] >= least)) + 1
    kept: list[int] = []
    for i in inner[np.argsort(-x_N[inner], kind="stable")]:
        if all(abs(i - k) >= apart for k in kept):
            kept.append(int(i))
    return np.sort(np.array(kept, np.int64))


def _points(out: HeadOutputs, events: slice, anchor: int, valid_N: Bools) -> Points:
    """Both estimates of every point about every anchor, averaged."""
    fs_hz, K = out.fs_hz, events.stop - events.start
    at_B = tops(out.chance[anchor] * valid_N, LEAST_CHANCE, round(REFRACTORY_S[anchor] * fs_hz))
    if len(at_B) == 0:
        return Points.join([], K)
    reach_BK, sd_BK = _reached(out, events, anchor, at_B, valid_N)
    seen = [_soft_argmax(out.chance[k], reach_BK[:, i], sd_BK[:, i], BUMP_S[k], fs_hz) for i, k in _numbered(events)]
    top_BK, top_sd_BK, height_BK = (np.stack(part, axis=1) for part in zip(*seen, strict=True))
    w_BK = 1 / np.maximum(sd_BK, FLOOR_S) ** 2
    v_BK = np.where(np.isfinite(top_BK), 1 / np.maximum(top_sd_BK, FLOOR_S) ** 2, 0.0)
    share_BK = v_BK / (v_BK + w_BK)
    top_BK = np.where(np.isfinite(top_BK), top_BK, reach_BK)
    place_BK = share_BK * top_BK + (1 - share_BK) * reach_BK
    apart_BK = np.abs(top_BK - reach_BK) / fs_hz
    sd_BK = np.sqrt(1 / (v_BK + w_BK) + share_BK * (1 - share_BK) * apart_BK**2)
    return Points(
        out.start_s + place_BK / fs_hz,
        sd_BK.astype(np.float32),
        apart_BK.astype(np.float32),
        height_BK.astype(np.float32),
        height_BK.astype(np.float32),
        ~(_known(place_BK, valid_N) & _known(place_BK + _beyond_s(events) * fs_hz, valid_N)),
    )


def _numbered(events: slice) -> list[tuple[int, int]]:
    return list(enumerate(range(events.start, events.stop)))


def _reached(
    out: HeadOutputs, events: slice, anchor: int, at_B: NDArray[np.int64], valid_N: Bools
) -> tuple[Floats, Floats]:
    """Places (samples) and their expected errors (s), each `(B, K)`, by the reaches around the anchors.

    The samples around are of one mind: averaging them does not make the expected error smaller.
    """
    fs_hz, N = out.fs_hz, out.chance.shape[1]
    half = round(AROUND_S[anchor] * fs_hz)
    index_BL = at_B[:, None] + np.arange(-half, half + 1)
    inside_BL = (index_BL >= 0) & (index_BL < N)
    index_BL = np.clip(index_BL, 0, N - 1)
    weight_BL = (out.chance[anchor][index_BL] + 1e-3) * inside_BL * valid_N[index_BL]
    weight_BL /= weight_BL.sum(1, keepdims=True)
    spread_KBL = out.spread_s[events][:, index_BL].astype(np.float64)
    reach_KBL = out.reach_s[events][:, index_BL] * fs_hz + index_BL
    weight_KBL = weight_BL / spread_KBL
    weight_KBL /= weight_KBL.sum(-1, keepdims=True)
    place_KB = (weight_KBL * reach_KBL).sum(-1)
    return place_KB.T, (np.sqrt(2) * (weight_KBL * spread_KBL).sum(-1)).T  # a Laplace scale to a standard deviation


def _soft_argmax(
    chance_N: NDArray, about_B: Floats, sd_B: Floats, bump_s: float, fs_hz: float
) -> tuple[Floats, Floats, Floats]:
    """Place of the top (samples, NaN: none), its expected error (s) and its height near each place, all `(B,)`.

    The error is how much broader the chance is there than that of a sure event, and more where it is low.
    """
    N, half = len(chance_N), round(SEARCH_S[1] * fs_hz)
    centre_B = np.rint(np.clip(about_B, -half, N + half)).astype(np.int64)
    index_BL = centre_B[:, None] + np.arange(-half, half + 1)
    inside_BL = (index_BL >= 0) & (index_BL < N)
    chance_BL = np.where(inside_BL, chance_N[np.clip(index_BL, 0, N - 1)], 0.0).astype(np.float64)
    far_BL = (index_BL - about_B[:, None]) / (fs_hz * np.clip(3 * sd_B, *SEARCH_S)[:, None])
    top_B = index_BL[np.arange(len(index_BL)), (chance_BL * np.exp(-0.5 * far_BL**2)).argmax(1)]
    near_BL = np.abs(index_BL - top_B[:, None]) <= 1.5 * bump_s * fs_hz  # the top itself may lie a little further off
    top_B = index_BL[np.arange(len(index_BL)), (chance_BL * near_BL).argmax(1)]
    narrow_BL = np.abs(index_BL - top_B[:, None]) <= 1.5 * bump_s * fs_hz
    height_B = (chance_BL * narrow_BL).max(1)
    core_BL = np.maximum(chance_BL - 0.25 * height_B[:, None], 0) * narrow_BL
    total_B = np.maximum(core_BL.sum(1), 1e-12)
    place_B = (core_BL * index_BL).sum(1) / total_B
    around_BL = np.maximum(chance_BL - 0.02, 0) * (np.abs(far_BL) <= 2)
    weight_B = np.maximum(around_BL.sum(1), 1e-12)
    width_B = (around_BL * (index_BL - place_B[:, None]) ** 2).sum(1) / weight_B / fs_hz**2
    sd_B = np.sqrt(_BROADER**2 * np.maximum(width_B - bump_s**2, 0) + FLOOR_S**2) / np.clip(height_B, 0.05, 1)
    place_B = np.where(height_B > _FAINT, place_B, np.nan)
    return place_B, sd_B, height_B


def _beyond_s(events: slice) -> Floats:
    """How far beyond each event the signal must be known, in s, `(K,)`."""
    return np.array([_BEYOND_S.get(name, 0.0) for name in EVENTS[events]])


def _known(place_BK: Floats, valid_N: Bools) -> Bools:
    """Whether the samples on both sides of a place are known."""
    N = len(valid_N)
    before, after = np.floor(place_BK).astype(np.int64), np.ceil(place_BK).astype(np.int64)
    inside = (before >= 0) & (after < N)
    return inside & valid_N[np.clip(before, 0, N - 1)] & valid_N[np.clip(after, 0, N - 1)]


def _with_waves(points: Points, out: HeadOutputs) -> Points:
    """The points with the presence of their wave: the mean probability of P, QRS or T where that wave should be."""
    if len(points) == 0:
        return points
    place_BK = (points.at_s - out.start_s) * out.fs_hz
    p_on, p_off, q_on, _, q_off, t_peak, t_end = place_BK.T
    spans = {"p": (p_on, p_off), "qrs": (q_on, q_off), "t": (t_peak - 0.3 * (t_peak - q_off), t_end)}
    presence_BK = points.presence.copy()
    for wave, columns in (("p", slice(0, 2)), ("qrs", slice(2, 5)), ("t", slice(5, 7))):
        total = np.concatenate(([0.0], np.cumsum(out.waves[WAVES.index(wave)], dtype=np.float64)))
        low, high = (np.clip(np.rint(x).astype(np.int64), 0, len(total) - 1) for x in spans[wave])
        high = np.maximum(high, low + 1).clip(max=len(total) - 1)
        presence_BK[:, columns] = ((total[high] - total[low]) / np.maximum(high - low, 1))[:, None]
    return Points(points.at_s, points.sd_s, points.apart_s, points.chance, presence_BK, points.cut)
