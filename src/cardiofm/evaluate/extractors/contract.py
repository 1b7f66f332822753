"""What another network wants to be given: one channel, its rate, its window, its band, its leads; and windows made so.

Shapes: W windows, N samples at 250 Hz, P pieces of a window, L leads, n samples at the network's rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfiltfilt

from cardiofm.signals import MODALITIES, InputSpec, Window

Array = NDArray[np.float64]
_BATCH = 16


@dataclass(frozen=True)
class Contract:
    """The input of a network, in standard deviations of the window about its mean (no peer here reads mV)."""

    modality: str  # "ecg" or "ppg"
    fs_hz: float
    piece_s: float  # a window is cut into pieces of this length, whose numbers are averaged
    clean: Callable[[Array, float], Array] | None = None  # what is done first to the known part, at its rate in Hz
    leads: int = 1  # of the network; the other leads are 0
    lead: int = 0  # which of them the channel is given as

    @property
    def channel(self) -> int:
        return MODALITIES.index(self.modality)

    def prepared(self, windows: list[Window], spec: InputSpec) -> NDArray[np.float32]:
        """Windows `(W, P, L, n)`: gaps bridged by lines, cleaned, mean 0 and spread 1; 0 beyond the known ends."""
        x_WN = np.stack([self._whole(w, spec.fs_hz) for w in windows])
        ratio = Fraction(self.fs_hz / spec.fs_hz).limit_denominator(1000)
        x_WN = resample_poly(x_WN, ratio.numerator, ratio.denominator, axis=-1)
        n = round(self.piece_s * self.fs_hz)
        pieces = x_WN.shape[-1] // n
        out = np.zeros((len(windows), pieces, self.leads, n), np.float32)
        out[:, :, self.lead] = x_WN[:, : pieces * n].reshape(len(windows), pieces, n)
        return out

    def _whole(self, window: Window, fs_hz: float) -> NDArray[np.float64]:
        known = np.flatnonzero(window.valid[self.channel])
        out = np.zeros(window.values.shape[-1])
        if not len(known):
            return out
        part = slice(known[0], known[-1] + 1)
        x = np.interp(np.arange(part.start, part.stop), known, window.values[self.channel][known].astype(np.float64))
        rounding = 1e-6 * np.abs(x).max()
        if self.clean is not None:
            x = self.clean(x, fs_hz)
        spread = x.std()
        if spread > rounding:
            out[part] = (x - x.mean()) / spread
        return out


def band(low_hz: float, high_hz: float, order: int) -> Callable[[Array, float], Array]:
    """A Butterworth band pass, forwards and backwards."""

    def passed(x: Array, fs_hz: float) -> Array:
        sos: Any = butter(order, (low_hz, high_hz), "bandpass", fs=fs_hz, output="sos")
        return twice(sos, x)

    return passed


def twice(sos: Array, x: Array) -> Array:
    """Filtered forwards and backwards; a part shorter than the usual padding is padded by what it has."""
    return sosfiltfilt(sos, x, padlen=min(len(x) - 1, 3 * (2 * len(sos) + 1)))


def averaged(
    run: Callable[[Any], Any], contract: Contract, windows: list[Window], spec: InputSpec
) -> NDArray[np.float32]:
    """What a torch network gives for `(B, L, n)`, averaged over the pieces of a window that hold signal, `(W, D)`."""
    import torch

    found = []
    for k in range(0, len(windows), _BATCH):
        x = contract.prepared(windows[k : k + _BATCH], spec)
        with torch.inference_mode():
            out = run(torch.from_numpy(x.reshape(-1, *x.shape[2:])))
        out_WPD, held_WP = out.float().numpy().reshape(*x.shape[:2], -1), (x != 0).any((2, 3))
        found.append((out_WPD * held_WP[..., None]).sum(1) / np.maximum(held_WP.sum(1), 1)[:, None])
    return np.concatenate(found)


def both(
    run: Callable[[Any], Any], contracts: tuple[Contract, ...], windows: list[Window], spec: InputSpec, width: int
) -> NDArray[np.float32]:
    """What a network of one series `(B, n)` gives for each channel, side by side; NaN for a channel that is absent."""
    out = np.full((len(windows), len(contracts), width), np.nan, np.float32)
    for c, contract in enumerate(contracts):
        at = [i for i, w in enumerate(windows) if w.valid[contract.channel].any()]
        if at:
            out[at, c] = averaged(lambda x_BLn: run(x_BLn[:, 0]), contract, [windows[i] for i in at], spec)
    return out.reshape(len(windows), -1)
