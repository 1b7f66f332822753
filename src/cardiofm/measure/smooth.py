"""A time that changes slowly from beat to beat, each beat's value leaning on its neighbours as far as it is unsure.

A local level (a random walk) is seen through each beat's own error; the filter of Kalman forwards, the smoother of
Rauch, Tung & Striebel (AIAA Journal 3, 1965, doi:10.2514/3.3166) backwards. What a beat truly has of its own, above all
one that comes early or late, is kept as far as it was seen well; values far off the level count less (Student's t).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cardiofm.measure.band import Bools, Floats
from cardiofm.measure.running import running_median

GAP_S = 10.0  # nothing is carried across a longer one
_TAIL = 4.0  # degrees of freedom of Student's t: how heavy the tails of the errors are
_PASSES = 3  # of reweighting
_FEW = 30  # beats from which on drift and error are fitted to the record
_MANY = 2000  # beats that are enough to fit them
_DRIFTS = (0.4, 1.0, 2.5, 6.0, 12.0)  # tried multiples of the drift,
_SCALES = (0.7, 1.0, 1.6, 2.5)  # of the stated errors,
_STATED = 2.0  # how much the stated errors are believed
_OWNS = (1.0, 2.0, 3.0)  # and of what a regular beat has of its own
_AROUND = 5  # beats on each side that say how long an interval usually is


@dataclass(frozen=True)
class Course:
    """How a time changes: the level's drift, and what a beat has of its own."""

    drift_s: float  # standard deviation of the level's change in one second
    own_s: float  # standard deviation of a regular beat about the level
    early: float  # of the seconds that a beat comes early or late, the share that may show in its value


PAT = Course(drift_s=0.006, own_s=0.006, early=0.12)


def smoothed(
    at_s: Floats, value_s: Floats, sd_s: Floats, rr_s: Floats, course: Course, fill: Bools | None = None
) -> tuple[Floats, Floats]:
    """Values and their expected errors in s, both `(B,)`, of beats at `at_s` with values and expected errors `sd_s`.

    Beats without a value (NaN) stay without one, but those of `fill` get the level between their neighbours. `rr_s`:
    the interval before each beat, NaN where it is not known.

    >>> at, true = np.arange(60.0), 0.25 + 0.02 * np.sin(np.arange(60.0) / 20)
    >>> noisy = true + 0.03 * np.random.default_rng(0).normal(size=60)
    >>> got, sd = smoothed(at, noisy, np.full(60, 0.03), np.ones(60), PAT)
    >>> bool(np.abs(got - true).mean() < 0.5 * np.abs(noisy - true).mean()), bool((sd < 0.02).all())
    (True, True)
    """
    out, out_sd = value_s.astype(np.float64), sd_s.astype(np.float64)
    seen = np.flatnonzero(np.isfinite(value_s))
    if len(seen) < 3:
        return out, out_sd
    every_early = (course.early * _off_beat(rr_s)) ** 2
    early = every_early[seen]
    at, value, noise = at_s[seen], value_s[seen], np.maximum(sd_s[seen], 1e-4) ** 2
    drift, scale, own_s = _fitted(at, value, noise, early, course)
    noise, own = noise * scale**2, early + own_s**2
    level, spread = _level(at, value, noise + own, drift**2)
    stated = noise
    for _ in range(_PASSES):
        z2 = (value - level) ** 2 / (stated + own + spread)
        noise = stated * np.maximum((_TAIL + z2) / (_TAIL + 1), 1.0)
        level, spread = _level(at, value, noise + own, drift**2)
    gain = own / (own + noise)
    out[seen] = level + gain * (value - level)
    out_sd[seen] = np.sqrt(own * noise / (own + noise) + (1 - gain) ** 2 * spread)
    if fill is not None:
        blank = np.flatnonzero(fill & ~np.isfinite(value_s))
        out[blank], variance = _between(at_s[blank], at, level, spread, drift**2)
        out_sd[blank] = np.sqrt(variance + every_early[blank] + own_s**2)
    return out, out_sd


def _between(to_s: Floats, at_s: Floats, level: Floats, spread: Floats, drift: float) -> tuple[Floats, Floats]:
    """The level and its variance at times between those where it is known; NaN in a gap, and far before or after."""
    after = np.clip(np.searchsorted(at_s, to_s), 1, len(at_s) - 1)
    first, last = at_s[after - 1], at_s[after]
    beyond = np.maximum(first - to_s, to_s - last)
    free = np.where(beyond > 0, beyond, (to_s - first) * (last - to_s) / np.maximum(last - first, 1e-9))
    near = np.where(beyond > 0, beyond, last - first) <= GAP_S
    variance = np.interp(to_s, at_s, spread) + drift * free
    return np.where(near, np.interp(to_s, at_s, level), np.nan), np.where(near, variance, np.nan)


def _off_beat(rr_s: Floats) -> Floats:
    """Seconds that each interval differs from the median of those around, 0 where it is not known."""
    off = np.abs(rr_s - running_median(rr_s, _AROUND))
    return np.where(np.isfinite(off), off, 0.0)


def _fitted(at_s: Floats, value: Floats, noise: Floats, early: Floats, course: Course) -> tuple[float, float, float]:
    """Drift (s in a second), scale of the errors and a beat's own (s) under which the record is most likely."""
    if len(value) < _FEW:
        return course.drift_s, 1.0, course.own_s
    drift, scale, own = (x.ravel() for x in np.meshgrid(_DRIFTS, _SCALES, _OWNS, indexing="ij"))
    drift, own = course.drift_s * drift, course.own_s * own
    part = slice(0, _MANY)
    seen_BG = noise[part, None] * scale**2 + early[part, None] + own**2
    likely = _likelihood(at_s[part], value[part], seen_BG, drift**2)
    best = int(np.argmax(likely - _STATED * np.log(scale) ** 2))  # errors of one size cannot be told from a beat's own
    return float(drift[best]), float(scale[best]), float(own[best])


def _likelihood(at_s: Floats, value: Floats, noise_BG: Floats, drift_G: Floats) -> Floats:
    """Log likelihood `(G,)` of the values with Student's t in place of the normal, up to a constant."""
    total, level, spread = np.zeros(len(drift_G)), np.full(len(drift_G), value[0]), noise_BG[0]
    for i in range(1, len(value)):
        gap = at_s[i] - at_s[i - 1]
        if gap > GAP_S:
            level, spread = np.full(len(drift_G), value[i]), noise_BG[i]
            continue
        spread = spread + drift_G * gap
        s = spread + noise_BG[i]
        z2 = (value[i] - level) ** 2 / s
        total -= 0.5 * np.log(s) + 0.5 * (_TAIL + 1) * np.log1p(z2 / _TAIL)
        gain = spread / (s * np.maximum(1.0, (_TAIL + z2) / (_TAIL + 1)))
        level = level + gain * (value[i] - level)
        spread = spread * (1 - gain)
    return total


def _level(at_s: Floats, value: Floats, noise: Floats, drift: float) -> tuple[Floats, Floats]:
    """The level at each beat and its variance: filter forwards, smoother backwards."""
    n = len(value)
    level, spread, ahead = np.empty(n), np.empty(n), np.empty(n)
    x, p, before = 0.0, np.inf, float(at_s[0])
    for i, (t, y, r) in enumerate(zip(at_s.tolist(), value.tolist(), noise.tolist(), strict=True)):
        p = np.inf if t - before > GAP_S else p + drift * (t - before)
        ahead[i], before = p, t
        gain = 1.0 if p == np.inf else p / (p + r)
        x += gain * (y - x)
        p = r if gain == 1.0 else (1 - gain) * p
        level[i], spread[i] = x, p
    for i in range(n - 2, -1, -1):
        if ahead[i + 1] == np.inf:
            continue
        back = spread[i] / ahead[i + 1]
        level[i] += back * (level[i + 1] - level[i])
        spread[i] += back**2 * (spread[i + 1] - ahead[i + 1])
    return level, spread
