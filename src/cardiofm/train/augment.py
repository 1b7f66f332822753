"""Augmentation of one window: pure functions of a numpy Generator. Noise changes the input, never the target.

Legend: `C` channels (ecg, ppg), `N` samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
KEPT_GAIN = 1.2  # a channel whose amplitude changed by more than this factor is no longer said to be in mV


@dataclass(frozen=True)
class AugmentConfig:
    """How often and how strongly a window is changed; a share is a probability, 0 switches the change off."""

    gain_mv: float = 1.25  # largest factor on a channel in mV; log-uniform between 1/gain and gain
    gain_nu: float = 4.0  # the same for a channel in arbitrary units
    flip_share: float = 0.1  # windows whose ECG is turned upside down
    stretch_share: float = 0.3  # windows played faster or slower
    stretch: float = 0.1  # largest change of speed
    drop_mv_share: float = 0.2  # channels in mV that are not said to be
    noise_share: float = 0.3  # channels with recorded electrode-motion, muscle or wander noise
    snr_low_db: float = -6.0  # of that noise, uniform
    snr_high_db: float = 24.0
    sensor_share: float = 0.3  # channels with white sensor noise
    sensor: float = 0.1  # its largest standard deviation, in standard deviations of the channel
    wander_share: float = 0.2  # channels with a slow sine added, 0.05-0.5 Hz
    wander: float = 1.0  # its largest amplitude, in standard deviations of the channel
    clip_share: float = 0.05  # channels that saturate at 50-95 % of their largest excursion
    gap_share: float = 0.2  # channels with one contiguous gap
    gap: float = 0.4  # its largest length, as a share of the window

    def __post_init__(self) -> None:
        shares = [(k, v) for k, v in vars(self).items() if k.endswith("_share") or k in ("gap", "stretch")]
        for name, value in shares:
            if not 0 <= value <= 1:
                raise ValueError(f"augment.{name} must lie between 0 and 1, found {value:g}")
        if min(self.gain_mv, self.gain_nu) < 1 or self.snr_low_db > self.snr_high_db or self.stretch > 0.5:
            raise ValueError("augment must have gains of at least 1, snr_low_db <= snr_high_db and stretch <= 0.5")


class Views(NamedTuple):
    """One augmented window: what the network sees, what it must say, and which samples count."""

    x: Array  # (C, N) with noise, 0 where not valid
    target: Array  # (C, N) without noise, 0 where not valid
    valid: Mask  # (C, N)
    in_mv: Mask  # (C,)


def draw_rate(rng: np.random.Generator, config: AugmentConfig) -> float:
    """Playing speed of a window: 1.0, or within 1 ± `stretch`; above 1 the heart beats faster.

    >>> draw_rate(np.random.default_rng(0), AugmentConfig(stretch_share=0))
    1.0
    """
    stretched, rate = rng.random() < config.stretch_share, rng.uniform(1 - config.stretch, 1 + config.stretch)
    return float(rate) if stretched else 1.0


def play(values: Array, valid: Mask, rate: float, samples: int) -> tuple[Array, Mask]:
    """`samples` samples (C, N) of a segment played at `rate`, by linear interpolation, in the unit of `values`.

    A sample is valid where both of its neighbours are; past the end of the segment nothing is, and it is 0.

    >>> play(np.arange(8, dtype=np.float32)[None], np.ones((1, 8), bool), 2.0, 5)[0].tolist()
    [[0.0, 2.0, 4.0, 6.0, 0.0]]
    """
    have = values.shape[1]
    if rate == 1:  # most windows: no arithmetic
        pad = ((0, 0), (0, max(0, samples - have)))
        good = np.pad(valid[:, :samples], pad)
        return np.where(good, np.pad(values[:, :samples], pad), np.float32(0)), good
    at = np.arange(samples) * rate
    left = np.minimum(np.floor(at).astype(np.int64), have - 1)
    part = (at - left).astype(np.float32)
    right = np.minimum(left + (part > 0), have - 1)
    good = valid[:, left] & valid[:, right] & (at <= have - 1)
    clean = np.where(valid, values, np.float32(0))
    out = clean[:, left] * (1 - part) + clean[:, right] * part
    return np.where(good, out, np.float32(0)).astype(np.float32), good


def augment(
    values: Array,
    valid: Mask,
    in_mv: Mask,
    rng: np.random.Generator,
    config: AugmentConfig,
    *,
    fs_hz: float,
    noise: Mapping[str, Any] | None = None,
) -> Views:
    """One augmented window (C, N) in the units of `values`; `noise` holds recordings (2, M) in mV at `fs_hz`.

    Order: gain and polarity (input and target), noise, saturation (input alone), gaps (both).
    """
    valid = valid & np.isfinite(values)
    target = np.where(valid, values, np.float32(0)).astype(np.float32)
    in_mv = in_mv.copy()
    x = np.empty_like(target)
    for c in range(len(target)):
        largest = config.gain_mv if in_mv[c] else config.gain_nu
        gain = float(np.exp(rng.uniform(-1, 1) * np.log(largest)))
        in_mv[c] &= bool(rng.random() >= config.drop_mv_share) & (1 / KEPT_GAIN <= gain <= KEPT_GAIN)
        flip = rng.random() < config.flip_share and c == 0
        target[c] *= -gain if flip else gain
        x[c] = disturb(target[c], valid[c], rng, config, fs_hz=fs_hz, noise=noise)
    valid = valid & ~gaps(valid.shape, rng, config)
    return Views(np.where(valid, x, np.float32(0)), np.where(valid, target, np.float32(0)), valid, in_mv)


def disturb(
    clean: Array,
    valid: Mask,
    rng: np.random.Generator,
    config: AugmentConfig,
    *,
    fs_hz: float,
    noise: Mapping[str, Any] | None = None,
) -> Array:
    """One channel (N,) with recorded noise, sensor noise, wander and saturation, each scaled to the channel."""
    chosen = rng.random(4) < (config.noise_share, config.sensor_share, config.wander_share, config.clip_share)
    sd = float(clean[valid].std()) if valid.any() else 0.0
    out = clean.copy()
    if sd == 0:
        return out
    if chosen[0] and noise:
        out += recorded_noise(len(clean), sd, rng.uniform(config.snr_low_db, config.snr_high_db), rng, noise)
    if chosen[1]:
        out += rng.standard_normal(len(clean), dtype=np.float32) * np.float32(sd * rng.uniform(0, config.sensor))
    if chosen[2]:
        angle = 2 * np.pi * (rng.uniform(0.05, 0.5) * np.arange(len(clean)) / fs_hz + rng.random())
        out += (sd * rng.uniform(0, config.wander) * np.sin(angle)).astype(np.float32)
    if chosen[3]:
        middle = np.median(out[valid])
        reach = rng.uniform(0.5, 0.95) * np.abs(out[valid] - middle).max()
        out = np.clip(out, middle - reach, middle + reach)
    return out


def recorded_noise(samples: int, sd: float, snr_db: float, rng: np.random.Generator, noise: Mapping[str, Any]) -> Array:
    """A random piece (N,) of a noise recording, zero-mean, `snr_db` below a signal of standard deviation `sd`."""
    kind = sorted(noise)[rng.integers(len(noise))]
    recording = noise[kind][rng.integers(len(noise[kind]))]
    start = int(rng.integers(max(1, len(recording) - samples + 1)))
    piece = np.resize(np.asarray(recording[start : start + samples], np.float32), samples)
    piece = piece - piece.mean()
    return (piece * (sd * 10 ** (-snr_db / 20) / max(float(piece.std()), 1e-9))).astype(np.float32)


def gaps(shape: tuple[int, ...], rng: np.random.Generator, config: AugmentConfig) -> Mask:
    """True (C, N) where a sample is to be hidden: at most one contiguous gap a channel."""
    hidden = np.zeros(shape, bool)
    for row in hidden:
        length = round(rng.uniform(0, config.gap) * len(row))
        start = int(rng.integers(len(row) - length + 1))
        if rng.random() < config.gap_share:
            row[start : start + length] = True
    return hidden
