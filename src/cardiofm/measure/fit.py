"""How well a drawn channel fits the true one, piece by piece."""

from __future__ import annotations

import math

import numpy as np

from cardiofm.signals import Signal

_PIECE_S = 60.0


def fit(true: Signal, drawn: Signal) -> tuple[float, float]:
    """PRD in % and Pearson r of `drawn` against `true`, two channels on one clock, over the samples that both have.

    PRD is 100 * rms(error) / standard deviation: the mean is removed (PRDN), so that an offset flatters nobody.
    NaN where fewer than two samples are shared, or where one of the two is constant.

    >>> x = np.sin(np.arange(1000) / 10)
    >>> prd, r = fit(Signal(x, 100.0, "mV", "a"), Signal(0.9 * x, 100.0, "mV", "b"))
    >>> round(prd, 3), round(r, 3)
    (10.0, 1.0)
    """
    shift, sums, count = math.nan, np.zeros(6), 0
    step = round(_PIECE_S * true.fs_hz)
    for first in range(0, len(true.samples), step):
        span_s = (true.start_s + first / true.fs_hz, true.start_s + (first + step) / true.fs_hz)
        x, y = (s.read(*span_s).astype(np.float64) for s in (true, drawn))
        both = np.isfinite(x) & np.isfinite(y)
        if not both.any():
            continue
        shift = x[both][0] if math.isnan(shift) else shift
        x, y = x[both] - shift, y[both] - shift
        sums += [x.sum(), y.sum(), x @ x, y @ y, x @ y, (x - y) @ (x - y)]
        count += len(x)
    if count == 0:
        return math.nan, math.nan
    sx, sy, xx, yy, xy, error = (sums / count).tolist()
    spread_x, spread_y = math.sqrt(max(xx - sx * sx, 0.0)), math.sqrt(max(yy - sy * sy, 0.0))
    if spread_x == 0 or spread_y == 0:
        return math.nan, math.nan
    return 100 * math.sqrt(error) / spread_x, (xy - sx * sy) / (spread_x * spread_y)
