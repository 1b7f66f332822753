"""Recorded noise on a channel at a known signal-to-noise ratio, from the ten minutes of nstdb kept from training.

What a reader is taught with comes from the twenty minutes before (`heard`), what is scored never does.

Both powers are taken in the channel's own band (0.5-40 Hz ECG, 0.5-8 Hz PPG); the noise itself is added as it was
recorded, drift and all. Electrode motion and muscle noise for an ECG, electrode motion for a PPG: the recordings of
baseline wander have 2 % of their power in band, so a ratio in band would drown the signal in drift.
Shapes: C channels (ecg, ppg), N samples, M samples of a noise recording.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.data import catalog
from cardiofm.data.prepare import NOISE_S
from cardiofm.data.windows import window_at
from cardiofm.measure.band import power_in_band
from cardiofm.signals import MODALITIES, InputSpec, SignalError, Window

KINDS = {"ecg": ("em", "ma"), "ppg": ("em",)}  # of the recordings, for each channel
HELD_S = 600.0  # what lies behind the part that training may hear

Noise = Mapping[str, NDArray[np.float32]]  # "em-1" → (M,)


def held_out(data_root: Path, fs_hz: float) -> dict[str, NDArray[np.float32]]:
    """The last ten minutes of the recordings of electrode motion and muscle noise, `(M,)` in mV at `fs_hz`."""
    return _stretch(data_root, fs_hz, NOISE_S, HELD_S)


def heard(data_root: Path, fs_hz: float) -> dict[str, NDArray[np.float32]]:
    """The first twenty minutes of the same recordings, which training may hear."""
    return _stretch(data_root, fs_hz, 0.0, NOISE_S)


def _stretch(data_root: Path, fs_hz: float, start_s: float, length_s: float) -> dict[str, NDArray[np.float32]]:
    spec = InputSpec(fs_hz=fs_hz, window_s=length_s, patch=round(fs_hz))
    found = {}
    for entry in catalog.entries("nstdb", data_root):
        if entry.labels["kind"] in KINDS["ecg"]:
            window = window_at(catalog.load(entry, data_root), spec, start_s)
            found[entry.record] = window.values[0][window.valid[0]]
    return found


def noisy(window: Window, channel: int, snr_db: float, fs_hz: float, noise: Noise, name: str) -> Window:
    """The window with noise on one channel, `snr_db` below its signal in band; what is not valid stays 0.

    `name` alone decides which piece of which recording: the same at every ratio. Raises SignalError where the channel
    has nothing in its band.
    """
    modality, valid_N = MODALITIES[channel], window.valid[channel]
    piece_N = _piece(noise, KINDS[modality], len(valid_N), f"{name} {modality}")
    signal = power_in_band(window.values[channel], valid_N, fs_hz, modality)
    unwanted = power_in_band(piece_N, valid_N, fs_hz, modality)
    if not (signal > 0 and unwanted > 0):
        raise SignalError(f"{name}: the {modality} must have power in band to set a ratio, found none; leave it out")
    gain = np.sqrt(signal / unwanted * 10 ** (-snr_db / 10))
    values_CN = window.values.copy()
    values_CN[channel] += np.where(valid_N, gain * piece_N, 0).astype(np.float32)
    return replace(window, values=values_CN)


def _piece(noise: Noise, kinds: tuple[str, ...], samples: int, name: str) -> NDArray[np.float32]:
    """`samples` samples of one of the recordings, about zero, at a place that the name decides."""
    names = sorted(n for n in noise if n.startswith(kinds))
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    recording = noise[names[number % len(names)]]
    start = number // len(names) % (len(recording) - samples + 1)
    piece = recording[start : start + samples]
    return piece - piece.mean(dtype=np.float64).astype(np.float32)
