"""What a good classical coder gives at the same rate: bior4.4 wavelet, dead-zone quantiser, adaptive context model.

The size is an ideal one: the code length that the adaptive context model gives to the decisions, which an arithmetic
coder reaches to within two bits a window. Mean and spread of a window are not counted, as they are not for the codes.
Shapes: N samples, K coefficients, R decisions.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pywt
from numpy.typing import NDArray
from scipy.special import betaln

from cardiofm.signals import Window

WAVELET, EDGES, LEVELS = "bior4.4", "periodization", 7
_ROUND = 0.35  # a coefficient reaches the next level this much early: below 0.5 it widens the dead zone
_CENTRE = 0.06  # within a level values lie below its middle: they are drawn this much nearer to 0
_UNARY = 14  # larger levels go on in Elias gamma
_SIZES = 9  # contexts of the neighbourhood
_SLOTS = (LEVELS + 1) * (_SIZES + _UNARY)
_PRIOR = 0.5  # Krichevsky-Trofimov: what an adaptive model starts from
_TRUST = 60.0  # at most so many training decisions a context weigh against the window's own


@dataclass(frozen=True)
class Coder:
    """What the context model expects before it has seen a window: counts of 0 and 1 in each context `(2, contexts)`."""

    counts: NDArray[np.float64]

    @staticmethod
    def empty() -> Coder:
        return Coder(np.full((2, _SLOTS), _PRIOR))

    @staticmethod
    def fitted(signals: Sequence[NDArray[np.floating]], bits: float) -> Coder:
        """The counts that `signals` leave behind when each is coded in `bits`."""
        coder = Coder.empty()
        for _ in range(2):  # the step depends on the model: once with none, once with the first one
            found = np.full((2, _SLOTS), 1e-3)
            for x_N in signals:
                slots_R, hits_R, _ = _decisions(coder.quantised(x_N, bits)[0])
                found += _counted(slots_R, hits_R)
            weight = np.minimum(1.0, _TRUST / found.sum(0))
            coder = Coder(found * weight + _PRIOR)
        return coder

    def coded(self, x_N: NDArray[np.floating], bits: float) -> NDArray[np.float64]:
        """`x_N` as it comes back from at most `bits`, in its own unit; its mean where they pay for nothing."""
        bands, step = self.quantised(x_N, bits)
        if not any(band.any() for band in bands):
            return np.full(len(x_N), np.mean(x_N, dtype=np.float64))
        spread, mean = np.std(x_N, dtype=np.float64), np.mean(x_N, dtype=np.float64)
        waves = [np.sign(q) * np.maximum(np.abs(q) + 0.5 - _ROUND - _CENTRE, 0) * step * (q != 0) for q in bands]
        return pywt.waverec(waves, WAVELET, EDGES)[: len(x_N)] * spread + mean

    def bits(self, bands: Sequence[NDArray[np.int64]]) -> float:
        """Ideal size of quantised coefficients, in bits: the adaptive code length of all decisions, and the signs.

        Within a context the length of an adaptive code depends on the final counts alone, so no loop is needed.
        """
        slots_R, hits_R, raw = _decisions(bands)
        seen = _counted(slots_R, hits_R)
        return float((betaln(*self.counts) - betaln(*(self.counts + seen))).sum() / np.log(2)) + raw

    def quantised(self, x_N: NDArray[np.floating], bits: float) -> tuple[list[NDArray[np.int64]], float]:
        """The quantised coefficients, coarse to fine, in at most `bits`, and the step: the finest that pays."""
        x = np.asarray(x_N, np.float64)
        spread = x.std()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a short signal has edges at every coefficient of the coarsest band
            waves = pywt.wavedec((x - x.mean()) / (spread if spread > 0 else 1.0), WAVELET, EDGES, LEVELS)
        low, high = 1e-4, 2 * max(float(np.abs(w).max()) for w in waves) + 1e-9
        for _ in range(16):
            step = float(np.sqrt(low * high))
            fits = self.bits(_quantise(waves, step)) <= bits
            low, high = (low, step) if fits else (step, high)
        return _quantise(waves, high), high


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


def _quantise(waves: Sequence[NDArray[np.float64]], step: float) -> list[NDArray[np.int64]]:
    return [(np.sign(w) * np.floor(np.abs(w) / step + _ROUND)).astype(np.int64) for w in waves]


def _decisions(bands: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.bool_], float]:
    """Context and outcome `(R,)` of each binary decision, and the bits that no context helps: signs, large levels.

    "Is it 0" in the context of band and neighbourhood (two before it, the coarser band's at its place); "does it go on"
    in that of band and how far it went.
    """
    slots, hits, raw = [], [], 0.0
    parent = np.zeros(1, np.int64)
    for b, band in enumerate(bands):
        size_K = np.abs(band)
        above_K = np.minimum(parent[np.arange(len(band)) * len(parent) // len(band)], 2)
        before_K = np.concatenate([[0], size_K[:-1]])
        earlier_K = np.concatenate([[0, 0], size_K[:-2]])[: len(band)]
        near_K = np.minimum((2 * before_K + np.minimum(earlier_K, 2)) // 2, 2)
        around_K = 3 * near_K + above_K
        first = b * (_SIZES + _UNARY)
        slots.append(first + around_K)
        hits.append(size_K > 0)
        some = size_K[size_K > 0]
        reached = np.arange(1, _UNARY + 1)[None, :]
        asked = some[:, None] >= reached
        slots.append((first + _SIZES + reached - 1 + 0 * some[:, None])[asked])
        hits.append((some[:, None] > reached)[asked])
        large = some[some > _UNARY] - _UNARY
        raw += len(some) + float((2 * np.floor(np.log2(large)) + 1).sum()) if len(large) else float(len(some))
        parent = size_K
    return np.concatenate(slots), np.concatenate(hits), raw


def _counted(slots_R: NDArray[np.int64], hits_R: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How often each context saw 0 and 1, `(2, contexts)`."""
    both = np.bincount(slots_R + _SLOTS * hits_R, minlength=2 * _SLOTS)
    return both.reshape(2, _SLOTS).astype(np.float64)
