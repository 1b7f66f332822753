"""MiniRocket: 9,996 shares of a window above a threshold after simple dilated filters; the strong generic floor.

After Dempster, Schmidt and Webb, "MiniRocket: a very fast (almost) deterministic transform for time series
classification", KDD 2021. The 84 filters have 9 weights, three of them 2 and six -1; thresholds are quantiles of what
the filters give on some windows, chosen without labels. Shapes: B windows, C channels, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from cardiofm.signals import Window

_TRIPLES = tuple(combinations(range(9), 3))  # where a filter's weight is 2
_FEATURES = 9996
_DILATIONS = 32  # at most
_RATE_HZ = 100.0  # what the windows are brought to: the floors of ptb-xl are known at this rate


@dataclass(frozen=True)
class MiniRocket:
    """A fitted transform: thresholds of each channel, dilation and filter."""

    biases: tuple[tuple[tuple[int, NDArray[np.float32]], ...], ...]  # of each channel: (dilation, thresholds (84, M))

    def transform(self, x_BCN: NDArray[np.float32], batch: int = 16) -> NDArray[np.float32]:
        """Shares `(B, 9996 or so)`, 0 to 1."""
        return np.concatenate([self._batch(x_BCN[k : k + batch]) for k in range(0, len(x_BCN), batch)])

    def _batch(self, x_BCN: NDArray[np.float32]) -> NDArray[np.float32]:
        found = []
        for c, channel in enumerate(self.biases):
            for number, (dilation, bias) in enumerate(channel):
                taps = _taps(x_BCN[:, c], dilation)
                base = -taps.sum(0)
                for k, triple in enumerate(_TRIPLES):
                    filtered = _inside(_filtered(taps, base, triple), dilation, (number + k) % 2 == 0)
                    above = filtered[:, None] > bias[k, :, None]
                    counts = np.bitwise_count(np.packbits(above, axis=-1)).sum(-1, dtype=np.int64)
                    found.append(counts / np.float32(filtered.shape[-1]))
        return np.concatenate(found, axis=1).astype(np.float32)


def fit(x_BCN: NDArray[np.float32], seed: int = 0) -> MiniRocket:
    """Thresholds from windows that need no label; channels share the 9,996 features evenly."""
    rng = np.random.default_rng(seed)
    _, channels, n = x_BCN.shape
    per_filter = _FEATURES // channels // len(_TRIPLES)
    exponent = np.linspace(0, np.log2((n - 1) / 8), min(per_filter, _DILATIONS))
    dilations, counts = np.unique((2**exponent).astype(int), return_counts=True)
    share = np.maximum(1, counts * per_filter // counts.sum())
    share[: per_filter - share.sum()] += 1
    golden, used, biases = (np.sqrt(5) + 1) / 2, 0, []
    for c in range(channels):
        own = []
        usable = np.flatnonzero(np.ptp(x_BCN[:, c], axis=-1) > 0)  # a window without this channel teaches nothing
        for dilation, many in zip(dilations, share, strict=True):
            bias = np.empty((len(_TRIPLES), many), np.float32)
            for k, triple in enumerate(_TRIPLES):
                taps = _taps(x_BCN[rng.choice(usable) if len(usable) else 0, c][None], int(dilation))
                at = np.arange(used + 1, used + many + 1) * golden % 1
                bias[k], used = np.quantile(_filtered(taps, -taps.sum(0), triple), at), used + many
            own.append((int(dilation), bias))
        biases.append(tuple(own))
    return MiniRocket(tuple(biases))


def prepared(windows: list[Window], fs_hz: float, channels: tuple[int, ...]) -> NDArray[np.float32]:
    """Windows `(B, C, N)` at 100 Hz, each channel with mean 0 and spread 1 over what is known, 0 elsewhere."""
    rows = []
    for window in windows:
        row = np.zeros((len(channels), window.values.shape[1]), np.float64)
        for i, c in enumerate(channels):
            known = window.values[c][window.valid[c]].astype(np.float64)
            if len(known) and known.std() > 0:
                row[i] = window.valid[c] * (window.values[c] - known.mean()) / known.std()
        rows.append(row)
    up, down = round(_RATE_HZ), round(fs_hz)
    return resample_poly(np.stack(rows), up, down, axis=-1).astype(np.float32)


def _taps(x_BN: NDArray[np.float32], dilation: int) -> NDArray[np.float32]:
    """The nine shifted copies `(9, B, N)`, 0 beyond the ends."""
    n, reach = x_BN.shape[-1], 4 * dilation
    wide = np.pad(x_BN, ((0, 0), (reach, reach)))
    return np.stack([wide[:, k * dilation : k * dilation + n] for k in range(9)])


def _filtered(
    taps: NDArray[np.float32], base: NDArray[np.float32], triple: tuple[int, int, int]
) -> NDArray[np.float32]:
    i, j, k = triple
    return base + 3 * (taps[i] + taps[j] + taps[k])


def _inside(filtered: NDArray[np.float32], dilation: int, padded: bool) -> NDArray[np.float32]:
    """All samples, or for every other filter only those that see no sample beyond the ends."""
    reach = 4 * dilation
    return filtered if padded or 2 * reach >= filtered.shape[-1] else filtered[:, reach:-reach]
