"""What the classical coder gives at the same rate on a window alone: its ideal code length, for windows in bulk.

The coder is that of `codec.wavelet`; the size is the code length that its adaptive context model gives, which an
arithmetic coder reaches to within a few bits a window. Mean and spread of a window are not counted, as they are not
for the codes.
Shapes: N samples, K coefficients, R decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardiofm.codec import wavelet
from cardiofm.codec.wavelet import SLOTS, Bands
from cardiofm.signals import Window

_PRIOR = 0.5  # Krichevsky-Trofimov: what an adaptive model starts from
_TRUST = 60.0  # at most so many training decisions a context weigh against the window's own
_PER = 16  # steps to an octave


@dataclass(frozen=True)
class Coder:
    """What the context model expects before it has seen a window: counts of 0 and 1 in each context `(2, contexts)`."""

    counts: NDArray[np.float64]

    @staticmethod
    def empty() -> Coder:
        return Coder(np.full((2, SLOTS), _PRIOR))

    @staticmethod
    def fitted(signals: Sequence[NDArray[np.floating]], bits: float) -> Coder:
        """The counts that `signals` leave behind when each is coded in `bits`."""
        coder = Coder.empty()
        for _ in range(2):  # the step depends on the model: once with none, once with the first one
            found = np.full((2, SLOTS), 1e-3)
            for x_N in signals:
                found += wavelet.counted(*wavelet.decisions(coder.quantised(x_N, bits)[0])[:2])
            weight = np.minimum(1.0, _TRUST / found.sum(0))
            coder = Coder(found * weight + _PRIOR)
        return coder

    def coded(self, x_N: NDArray[np.floating], bits: float) -> NDArray[np.float64]:
        """`x_N` as it comes back from at most `bits`, in its own unit; its mean where they pay for nothing."""
        bands, step = self.quantised(x_N, bits)
        if not any(band.any() for band in bands):
            return np.full(len(x_N), np.mean(x_N, dtype=np.float64))
        spread, mean = np.std(x_N, dtype=np.float64), np.mean(x_N, dtype=np.float64)
        return wavelet.waveform(bands, step, len(x_N)) * spread + mean

    def bits(self, bands: Bands) -> float:
        """Ideal size of quantised coefficients, in bits: the adaptive code length of all decisions, and the signs."""
        return wavelet.length(bands, 2 * self.counts)

    def quantised(self, x_N: NDArray[np.floating], bits: float) -> tuple[Bands, float]:
        """The quantised coefficients, coarse to fine, in at most `bits`, and the step: the finest that pays."""
        x = np.asarray(x_N, np.float64)
        spread = x.std()
        waves = wavelet.spectrum((x - x.mean()) / (spread if spread > 0 else 1.0))
        step, bands = wavelet.finest(waves, 2 * self.counts, bits, _PER)
        return bands, 2.0 ** (step / _PER)


def coded_windows(
    train: Sequence[Window], windows: Sequence[Window], bits_per_second: float, fs_hz: float
) -> NDArray[np.float32]:
    """The windows `(W, C, N)` as they come back at a rate per channel, each in its unit; 0 where nothing is known.

    The context model is fitted, for each channel, on the training windows that are known throughout. A window is coded
    from its first to its last known sample, gaps bridged by a line, in the bits of its known seconds.
    """
    channels, samples = windows[0].values.shape
    out = np.zeros((len(windows), channels, samples), np.float32)
    for c in range(channels):
        whole = [w.values[c] for w in train if w.valid[c].all() and w.values[c].std() > 0]
        coder = Coder.fitted(whole, bits_per_second * samples / fs_hz)
        for i, window in enumerate(windows):
            known = np.flatnonzero(window.valid[c])
            if len(known) > 1:
                part = slice(known[0], known[-1] + 1)
                line = np.interp(np.arange(part.start, part.stop), known, window.values[c][known])
                out[i, c, part] = coder.coded(line, bits_per_second * len(known) / fs_hz)
    return out
