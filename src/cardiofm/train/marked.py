"""Batches for the fiducial head: takes cut, stretched, disturbed, and their events as dense targets.

Shapes: B windows, C channels (ecg, ppg), N samples, E beats, K events.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiofm.data.store import Store
from cardiofm.measure.band import power_in_band
from cardiofm.measure.locate import BUMP_S
from cardiofm.signals import MODALITIES, InputSpec, SignalError
from cardiofm.train import annotated
from cardiofm.train.annotated import ECG, FOOT, R, Take
from cardiofm.train.augment import AugmentConfig, augment, play
from cardiofm.train.batches import Batch

REACH_S = (0.06, 0.1)  # about the R peak, about the foot: where the reach is asked for
KINDS = ("ludb", "qtdb", "mitdb", "both", "simulated", "nothing")


@dataclass(frozen=True)
class MarkedConfig:
    """Which takes, how often, and how they are disturbed."""

    size: int = 24
    shares: tuple[float, ...] = (0.26, 0.28, 0.1, 0.22, 0.08, 0.06)  # of `KINDS`
    stretch_share: float = 0.5
    stretch: float = 0.25  # largest change of speed
    shift_share: float = 0.3  # windows that begin before or end behind what was recorded
    absent_share: float = 0.2  # of windows with both signals show one
    noise_share: float = 0.6  # channels with recorded noise, at a ratio in the channel's band; half with marks by hand
    snr_db: tuple[float, ...] = (-9.0, 30.0)  # uniform; marks by hand get the upper half
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(noise_share=0.0, stretch_share=0.0, gap_share=0.1, gain_mv=2.0)
    )


@dataclass(frozen=True)
class MarkedBatch(Batch):
    """Windows with dense targets; NaN and −1 where nothing is known."""

    chance_BKN: Tensor | None = None  # float32, 1 at an event
    reach_BKN: Tensor | None = None  # float32, seconds to the event of the beat at hand
    wave_BN: Tensor | None = None  # int64, index into WAVES
    fold_B: Tensor | None = None  # int64, see `annotated.fold_of`


class MarkedBatches:
    """`batches(step)` is a pure function of (seed, step), as the loop wants it."""

    def __init__(self, data_root: Path, store: Store, spec: InputSpec, config: MarkedConfig, seed: int) -> None:
        self.spec, self.config, self.seed, self.store = spec, config, seed, store
        takes = list(annotated.manual(data_root, spec))
        self.takes = {kind: [t for t in takes if t.kind == kind] for kind in KINDS[:3]}
        rows = store.rows
        names = ("has_ecg", "has_ppg")
        self.pairs = np.flatnonzero(np.all([rows[n] for n in names], axis=0) & (rows["split"] == "train"))
        if not len(self.pairs):
            raise SignalError("the store must hold segments of ECG and PPG, found none; prepare challenge-2015")
        self.noise = store.noise if store.manifest.get("noise") else {}
        self.seen: dict[int, Take | None] = {}

    def __call__(self, step: int, rank: int = 0, world: int = 1) -> MarkedBatch:
        """That rank's share of the batch of `step`."""
        if self.config.size % world:
            raise SignalError(f"marked.size must be a multiple of {world} processes, found {self.config.size}")
        share = self.config.size // world
        made = [self._one(np.random.default_rng([self.seed, step, i])) for i in range(rank * share, (rank + 1) * share)]
        x, target, valid, in_mv, chance, reach, wave, fold = (
            torch.from_numpy(np.stack(part)) for part in zip(*made, strict=True)
        )
        hours = share * self.spec.window_s / 3600
        dense: dict[str, Any] = {"chance_BKN": chance, "reach_BKN": reach, "wave_BN": wave, "fold_B": fold}
        return MarkedBatch(x, target, valid, in_mv, MODALITIES, hours, **dense)

    def _one(self, rng: np.random.Generator) -> tuple[NDArray, ...]:
        kind = str(rng.choice(KINDS, p=np.array(self.config.shares) / sum(self.config.shares)))
        take = self._take(kind, rng)
        values, valid, beats_s, looked, in_mv = self._cut(take, rng)
        if kind in ("both", "simulated") and rng.random() < self.config.absent_share:
            valid[int(rng.integers(2))] = False
        clean = replace(
            self.config.augment, **({"sensor_share": 0.0, "wander_share": 0.0} if kind == "nothing" else {})
        )
        views = augment(values, valid, in_mv, rng, clean, fs_hz=self.spec.fs_hz)
        x = views.x
        if kind != "nothing":
            for c in range(2):
                if rng.random() < self.config.noise_share * (0.5 if kind in KINDS[:2] else 1.0):
                    x[c] += self._noise(views.target[c], views.valid[c], rng, c, kind in KINDS[:2])
        dense = targets(beats_s, looked, views.valid, self.spec.fs_hz, kind in KINDS[:2])
        shown = np.where(views.valid, x, 0).astype(np.float32)
        return shown, views.target, views.valid, views.in_mv, *dense, np.array(take.fold)

    def _take(self, kind: str, rng: np.random.Generator) -> Take:
        if kind in self.takes:
            own = self.takes[kind]
            return own[int(rng.integers(len(own)))]
        if kind == "simulated":
            return annotated.simulated(self.spec, rng)
        if kind == "nothing":
            return annotated.nothing(self.spec, rng, self.noise)
        while True:
            row = int(self.pairs[rng.integers(len(self.pairs))])
            if row not in self.seen:
                self.seen[row] = annotated.both(self.store, self.spec, row)
            if (take := self.seen[row]) is not None:
                return take

    def _cut(self, take: Take, rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
        """A window of the take, perhaps played at another speed and beyond its ends."""
        N, M = self.spec.samples, take.values.shape[1]
        rate = 1.0
        if take.kind != "nothing" and rng.random() < self.config.stretch_share:
            rate = float(np.exp(rng.uniform(-1, 1) * np.log1p(self.config.stretch)))
        need = int(np.ceil(N * rate)) + 1
        start = self._start(take, M, need, rng)
        index = np.arange(start, start + need)
        inside = (index >= 0) & (index < M)
        index = np.clip(index, 0, M - 1)
        values, valid = take.values[:, index], take.valid[:, index] & inside
        cut, mask = play(values, valid, rate, N)
        looked = take.looked[:, index] & inside
        at = np.minimum(np.rint(np.arange(N) * rate).astype(np.int64), need - 1)
        beats_s = (take.beats_s - start / self.spec.fs_hz) / rate
        return cut, mask.copy(), beats_s, looked[:, at], take.in_mv.copy()

    def _start(self, take: Take, M: int, need: int, rng: np.random.Generator) -> int:
        low, high = min(0, M - need), max(0, M - need)
        if take.kind == "qtdb":  # a window with marks in it
            first, last = (int(t * self.spec.fs_hz) for t in (np.nanmin(take.beats_s), np.nanmax(take.beats_s)))
            low, high = max(low, first - need // 2), max(max(low, first - need // 2), min(high, last - need // 2))
        if rng.random() < self.config.shift_share:
            low, high = low - need // 3, high + need // 3
        elif need > M:
            low = high = 0
        return int(rng.integers(low, high + 1))

    def _noise(
        self, clean: NDArray, valid: NDArray, rng: np.random.Generator, channel: int, by_hand: bool
    ) -> NDArray[np.float32]:
        low, high = self.config.snr_db
        snr_db = rng.uniform((low + high) / 2 if by_hand else low, high)
        return recorded(clean, valid, snr_db, self.noise, channel, self.spec.fs_hz, rng)


def recorded(
    clean: NDArray,
    valid: NDArray,
    snr_db: float,
    noise: dict[str, NDArray[np.float32]],
    channel: int,
    fs_hz: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """A piece `(N,)` of recorded noise, `snr_db` below the signal in the channel's band; 0 where nothing can set it."""
    kinds = [k for k in sorted(noise) if channel == 0 or k != "ma"]
    recording = noise[kinds[rng.integers(len(kinds))]] if kinds else np.zeros((1, len(clean)), np.float32)
    recording = recording[rng.integers(len(recording))]
    start = int(rng.integers(len(recording) - len(clean) + 1))
    piece = recording[start : start + len(clean)]
    modality = MODALITIES[channel]
    signal, unwanted = power_in_band(clean, valid, fs_hz, modality), power_in_band(piece, valid, fs_hz, modality)
    if not (signal > 0 and unwanted > 0):
        return np.zeros(len(clean), np.float32)
    gain = min(np.sqrt(signal / unwanted * 10 ** (-snr_db / 10)), 20 * clean[valid].std() / max(piece.std(), 1e-12))
    return (gain * (piece - piece.mean())).astype(np.float32)


def targets(
    beats_s: NDArray[np.float64], looked: NDArray[np.bool_], valid: NDArray[np.bool_], fs_hz: float, waves: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Dense targets of a window: chance and reach `(K, N)`, NaN where not known, and the wave `(N,)`, −1 likewise."""
    K, N = looked.shape
    chance, reach = np.zeros((K, N), np.float32), np.full((K, N), np.nan, np.float32)
    wave = np.where(looked[:7].all(0) & valid[0], 0, -1) if waves else np.full(N, -1)
    n = np.arange(N)
    beats_s = beats_s[((beats_s > -1) & (beats_s < N / fs_hz + 1)).any(1)]
    for beat_s in beats_s:
        for k in np.flatnonzero(np.isfinite(beat_s)):
            low, high = (int(np.clip((beat_s[k] + s * 4 * BUMP_S[k]) * fs_hz, 0, N)) for s in (-1, 1))
            bump = np.exp(-0.5 * ((n[low:high] / fs_hz - beat_s[k]) / BUMP_S[k]) ** 2)
            chance[k, low:high] = np.maximum(chance[k, low:high], bump)
        for anchor, own, reach_s in ((R, ECG, REACH_S[0]), (FOOT, slice(ECG.stop, None), REACH_S[1])):
            if np.isfinite(beat_s[anchor]):
                low, high = (int(np.clip(np.rint((beat_s[anchor] + s * reach_s) * fs_hz), 0, N)) for s in (-1, 1))
                reach[own, low:high] = beat_s[own, None] - n[low:high] / fs_hz
        if waves:
            for w, (a, b) in enumerate(((0, 1), (2, 4), (4, 6)), start=1):
                if np.isfinite(beat_s[[a, b]]).all():
                    low, high = (int(np.clip(np.ceil(beat_s[i] * fs_hz), 0, N)) for i in (a, b))
                    if w < 3:
                        wave[low:high] = np.where(wave[low:high] >= 0, w, -1)
                    else:  # the T wave's onset is seldom marked: from half way between QRS and T peak
                        low = int(np.clip(np.ceil((beat_s[4] + beat_s[5]) / 2 * fs_hz), 0, N))
                        wave[low:high] = np.where(wave[low:high] >= 0, w, -1)
    seen = np.concatenate([np.broadcast_to(valid[0], (ECG.stop, N)), np.broadcast_to(valid[1], (K - ECG.stop, N))])
    return np.where(looked & seen, chance, np.nan), reach, wave.astype(np.int64)
