"""A column of times to a rate, and an uneven clock (a phone camera's) to an even one."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardiofm.signals import SignalError

UNITS_S = {"s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6}
UNITS_S |= {"millisecond": 1e-3, "milliseconds": 1e-3, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9, "min": 60.0, "minutes": 60.0}
TIME_WORDS = {"time", "t", "times", "timestamp", "timestamps", "datetime", "date", "elapsed", "unix", "epoch", "clock"}
PLAUSIBLE_HZ = (20.0, 20_000.0)  # three decades, so that at most one of s, ms, µs, ns fits a step
ROUNDING_S = 1e-3  # clocks are often written in whole ms
GAP_STEPS = 3.0


@dataclass(frozen=True)
class Clock:
    """Rate and start of a signal; `times_s` is kept only where the clock is uneven and samples must be interpolated."""

    fs_hz: float
    start_s: float
    times_s: NDArray[np.float64] | None = None
    kept: NDArray[np.bool_] | None = None  # which rows `times_s` has: repeated times are left out
    notes: tuple[str, ...] = ()

    def even(self, values: NDArray) -> NDArray[np.float32]:
        """`values (N,)` on the even grid, linear between neighbours; NaN inside gaps of more than three steps.

        >>> t = np.array([0.0, 0.03, 0.06, 0.31, 0.34])
        >>> Clock(100 / 3, 0.0, t).even(np.arange(5.0))[[0, 1, 5]].tolist()
        [0.0, 1.0, nan]
        """
        if self.times_s is None:
            return np.asarray(values, np.float32)
        t = self.times_s - self.times_s[0]
        grid = np.arange(int(t[-1] * self.fs_hz + 1e-6) + 1) / self.fs_hz
        values = np.asarray(values, np.float64)
        out = np.interp(grid, t, values if self.kept is None else values[self.kept])
        after = np.clip(np.searchsorted(t, grid - 1e-9), 1, len(t) - 1)
        in_gap = (t[after] - t[after - 1] > GAP_STEPS * np.median(np.diff(t))) & (grid - t[after - 1] > 1e-9)
        out[in_gap & (t[after] - grid > 1e-9)] = np.nan
        return out.astype(np.float32)


def is_time(name: str) -> bool:
    """Whether a column's name says that it holds times: 'Time [s]', 'elapsed_ms', 'timestamp'."""
    words = re.findall(r"[a-zµμ]+", name.lower())
    return bool(words) and (words[0] in TIME_WORDS or words[-1] in TIME_WORDS) and len(words) <= 4


def unit_of(name: str) -> float | None:
    """Seconds per unit that a time column's name states, or None.

    >>> unit_of("Time [s]"), unit_of("time_ms"), unit_of("time")
    (1.0, 0.001, None)
    """
    words = re.findall(r"[a-zµμ]+", name.lower())
    return next((UNITS_S[w] for w in reversed(words) if w in UNITS_S), None)


def from_times(where: str, times: NDArray, unit_s: float | None) -> Clock:
    """The clock of increasing `times`; where no unit is stated it is the one that gives a rate of 20-20,000 Hz."""
    times = np.asarray(times, np.float64)
    if len(times) < 3 or not np.isfinite(times).all():
        raise SignalError(f"{where} must hold at least three times and no empty one; give the rate in Hz with --fs")
    steps = np.diff(times)
    step = float(np.median(steps))
    if np.any(steps < 0) or step <= 0:
        at = int(np.argmax(steps <= 0)) + 1
        raise SignalError(f"{where} must increase, found {times[at]:.12g} after {times[at - 1]:.12g} in row {at + 1}")
    if unit_s is None:
        if np.allclose(steps, 1.0):
            raise SignalError(f"{where} counts 1, 2, 3 without a unit: samples or ms? give the rate in Hz with --fs")
        fits = [u for u in (1.0, 1e-3, 1e-6, 1e-9) if PLAUSIBLE_HZ[0] <= 1 / (step * u) < PLAUSIBLE_HZ[1]]
        if not fits:
            raise SignalError(f"{where} steps by {step:g} of an unknown unit, no usable rate; give it with --fs")
        unit_s = fits[0]
        if unit_s < 1 and 5 <= 1 / step < PLAUSIBLE_HZ[0]:
            slow, fast = f"{1 / step:g} Hz in s", f"{1 / (step * unit_s):g} Hz in a smaller unit"
            raise SignalError(
                f"{where} steps by {step:g} of an unknown unit, {slow} or {fast}; give the rate with --fs"
            )
    times_s = times * unit_s
    n, lasts_s = len(times), float(times_s[-1] - times_s[0])
    mean_s, coarse_s = lasts_s / (n - 1), float(steps.max()) * unit_s
    drift_s = float(np.abs(times_s - times_s[0] - np.arange(n) * mean_s).max())
    if drift_s <= max(0.1 * mean_s, 1.02 * ROUNDING_S):
        return Clock(_round(ROUNDING_S / lasts_s, 1 / mean_s), float(times_s[0]))
    repeated = int(np.sum(steps == 0))
    if repeated and coarse_s <= 2 * mean_s and drift_s <= 0.55 * coarse_s:  # stamps rounded to more than one step
        return Clock(_round(coarse_s / lasts_s, 1 / mean_s), float(times_s[0]))
    kept = np.concatenate([[True], steps > 0])
    times_s, steps = times_s[kept], np.diff(times[kept])
    step = float(np.median(steps))
    close = steps[np.abs(steps - step) * unit_s <= 1.02 * ROUNDING_S] * unit_s
    steady = len(close) >= 0.9 * len(steps)  # an even clock with gaps: the mean sees through the rounding of its stamps
    fs_hz = len(close) / float(close.sum()) if steady else 1.0 / (step * unit_s)
    half = round(2 * fs_hz) / 2
    fs_hz = half if abs(half - fs_hz) < 1e-3 * fs_hz else float(max(1, round(fs_hz)))
    gaps = int(np.sum(steps > GAP_STEPS * step))
    note = f"uneven clock ({where}): interpolated to {fs_hz:g} Hz" + (f", gaps left empty: {gaps}" if gaps else "")
    note += f", repeated times left out: {repeated}" if repeated else ""
    return Clock(fs_hz, float(times_s[0]), times_s, kept, (note,))


def parse(texts: list[str]) -> NDArray[np.float64] | None:
    """Seconds from date-times ('2020-01-01 12:00:00.004') or clock times ('12:00:00.004', '0:00.004'), else None."""
    cleaned = [t.strip().strip("[]'\"").strip().replace("/", "-").rstrip("Z") for t in texts]
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?)?", cleaned[0]):
        return np.array([t.replace(",", ".") for t in cleaned], "datetime64[ns]").astype(np.int64) / 1e9
    if not re.fullmatch(r"(\d+:)?\d+:\d+([.,]\d+)?", cleaned[0]):
        return None
    times_s = np.zeros(len(cleaned))
    for k, text in enumerate(cleaned):
        for part in text.replace(",", ".").split(":"):
            times_s[k] = times_s[k] * 60 + float(part)
    days = np.cumsum(np.diff(times_s, prepend=times_s[0]) < -43_200)  # past midnight the clock starts anew
    return times_s + 86_400.0 * days


def _round(relative_error: float, fs_hz: float) -> float:
    """The roundest rate that the resolution of the time stamps allows: 125 for 124.9998."""
    for digits in (0, 1, 2, 3):
        if abs(round(fs_hz, digits) - fs_hz) <= (relative_error + 1e-6) * fs_hz:
            return round(fs_hz, digits)
    return fs_hz
