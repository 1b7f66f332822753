"""How well a drawn waveform fits the true one over the same samples; a constant drawing is scored, not refused.

`cardiofm.measure.fit` gives the same PRD and r for channels; it refuses a constant drawing, which here is a floor.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.measure.bridge import matched


def prd(true_n: NDArray[np.floating], drawn_n: NDArray[np.floating]) -> float:
    """100 * rms(error) / standard deviation of the truth, in % (PRDN: the truth's mean is removed).

    Drawing the truth's own mean gives 100. NaN where the truth is constant.

    >>> round(prd(np.array([0.0, 2.0]), np.array([1.0, 1.0])), 1)
    100.0
    """
    x, y = np.asarray(true_n, np.float64), np.asarray(drawn_n, np.float64)
    spread = float(x.std()) if len(x) else 0.0
    return 100 * float(np.sqrt(np.mean((x - y) ** 2))) / spread if spread > 0 else math.nan


def r(true_n: NDArray[np.floating], drawn_n: NDArray[np.floating]) -> float:
    """Pearson correlation; 0 for a constant drawing, which says nothing of the shape; NaN where the truth is constant.

    >>> r(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0]))
    0.0
    """
    x, y = np.asarray(true_n, np.float64), np.asarray(drawn_n, np.float64)
    if len(x) < 2 or x.std() == 0:
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    spread = math.sqrt(float(x @ x) * float(y @ y))
    rounding = 1e-9 * float(np.abs(drawn_n).max()) * math.sqrt(len(x))  # of a constant, which is not exactly 0
    return float(x @ y) / spread if float(np.sqrt(y @ y)) > rounding else 0.0


def r_at_best_lag(
    true_n: NDArray[np.floating], drawn_n: NDArray[np.floating], fs_hz: float, reach_s: float = 1.0
) -> float:
    """The highest Pearson correlation when the drawing may be moved by up to `reach_s` either way; see `best_lag`.

    >>> x = np.sin(np.arange(1000) / 10)
    >>> round(r_at_best_lag(x[:-20], x[20:], 100.0), 3)
    1.0
    """
    return best_lag(true_n, drawn_n, fs_hz, reach_s)[0]


def best_lag(
    true_n: NDArray[np.floating], drawn_n: NDArray[np.floating], fs_hz: float, reach_s: float = 1.0
) -> tuple[float, float]:
    """The highest Pearson correlation of a moved drawing, and how many seconds later it is moved; NaN, 0 without truth.

    For a channel drawn from the other one where the monitor delays the PPG by an unknown, fixed time. Over a whole
    beat's reach it rises by chance too, so it only means something beside a floor that is scored in the same way.

    >>> x = np.sin(np.arange(1000) / 10)
    >>> best_lag(x[:-20], x[20:], 100.0)[1]
    0.2
    """
    reach = min(round(reach_s * fs_hz), len(true_n) // 2)
    step = max(1, round(fs_hz / 125))
    n, best, at = len(true_n), -1.0, 0
    for lag in range(-reach, reach + 1, step):
        found = r(true_n[max(0, lag) : n + min(0, lag)], drawn_n[max(0, -lag) : n - max(0, lag)])
        if found > best:
            best, at = found, lag
    return (best, at / fs_hz) if n > 1 and np.std(true_n) > 0 else (math.nan, 0.0)


def event_f1(true_s: ArrayLike, found_s: ArrayLike, tolerance_s: float) -> float:
    """F1 of 0 to 1 of events found at most `tolerance_s` from a true one, one to one; NaN where there are none at all.

    Over several windows do not average it: pool the counts with `bootstrap.ratio` of 2 * pairs to true + found.

    >>> event_f1([1.0, 2.0, 3.0], [1.04, 2.2, 3.0], 0.05)
    0.6666666666666666
    """
    events = np.size(true_s) + np.size(found_s)
    return 2 * len(matched(true_s, found_s, tolerance_s)) / events if events else math.nan
