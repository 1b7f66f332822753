"""When each sample of a channel was taken, from its number and the time stamps of its packets.

A sensor's own clock is a little fast or slow, and stamps are late by what their way took. So the time of a sample is
foretold from all stamps so far (a recursive regression of stamp on sample number: Kalman's filter of offset and rate),
and the line that is in use changes only when the stamps are sure that it is wrong: exact stamps change nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST_JITTER_S = 0.005  # spread of stamps that is supposed at first
LEAST_JITTER_S = 5e-5  # no stamp is believed to be better than this
_RATE = 0.01  # standard deviation of a sensor's rate about the stated one
_WANDER = 2e-8  # of its rate in the square root of a second
_OFF_S = 5e-4  # a line this far off is put right,
_SURE = 4.0  # where the stamps are this many standard deviations sure of it
MOST_S = 0.05  # off: what is further from where it is due is not there
_FEW, _FORGET = 10, 200  # packets over which the spread of stamps is averaged, at first and later
_WILD = 3.0  # standard deviations that a stamp counts at most


@dataclass(frozen=True)
class Line:
    """Sample `n` was taken at `at_s`, those after it at `fs_hz`."""

    n: int
    at_s: float
    fs_hz: float

    @property
    def start_s(self) -> float:
        """When sample 0 was taken, or would have been."""
        return self.at_s - self.n / self.fs_hz

    def time_s(self, n: float) -> float:
        return self.at_s + (n - self.n) / self.fs_hz

    def index(self, t_s: float) -> float:
        return self.n + (t_s - self.at_s) * self.fs_hz


class Clock:
    """Takes the stamps of packets in the order of their samples."""

    def __init__(self, fs_hz: float, start_s: float) -> None:
        self.fs_hz = fs_hz
        self.line = Line(0, start_s, fs_hz)
        self._n, self._at_s, self._slow = 0, start_s, 0.0  # the rate is fs_hz / (1 + slow)
        self._var = (FIRST_JITTER_S**2, 0.0, _RATE**2)  # of the offset, both, the rate
        self._jitter = FIRST_JITTER_S**2
        self._seen = 0

    @property
    def rate_hz(self) -> float:
        """The rate by the stamps."""
        return self.fs_hz / (1 + self._slow)

    @property
    def sure(self) -> bool:
        """Whether the stamps are sure that the rate is not the stated one."""
        return abs(self._slow) > _SURE * math.sqrt(self._var[2])

    def due_s(self, n: int) -> float:
        """When sample `n` should be, by the stamps so far."""
        return self._at_s + (n - self._n) / self.fs_hz * (1 + self._slow)

    def tolerance_s(self, n: int) -> float:
        """How far from `due_s` a stamp of sample `n` may lie: half a sample, or what stamps scatter."""
        return max(0.5 / self.fs_hz, min(MOST_S, _SURE * math.sqrt(self._ahead(n)[0] + self._jitter)))

    def see(self, n: int, t_s: float) -> None:
        """Sample `n` was stamped `t_s`."""
        error, before = t_s - self.due_s(n), self._ahead(n)
        expected = before[0] + self._jitter
        most = _WILD * math.sqrt(expected)
        error = min(most, max(-most, error))
        gain, gain_rate = before[0] / expected, before[1] / expected
        self._at_s, self._n = self.due_s(n) + gain * error, n
        self._slow += gain_rate * error
        self._var = (
            before[0] * (1 - gain),
            before[1] * (1 - gain),
            before[2] - gain_rate * before[1],
        )
        self._seen += 1
        share = 1 / min(self._seen + _FEW, _FORGET)
        self._jitter = max(LEAST_JITTER_S**2, self._jitter + share * (error**2 - expected))
        off_s = abs(self.line.time_s(n) - self._at_s)
        if off_s > _OFF_S + _SURE * math.sqrt(self._var[0]):
            self.line = Line(n, self._at_s, self.rate_hz if self.sure else self.fs_hz)

    def _ahead(self, n: int) -> tuple[float, float, float]:
        """The variances when sample `n` is due."""
        dt_s = (n - self._n) / self.fs_hz
        a, b, c = self._var
        return a + 2 * dt_s * b + dt_s**2 * c, b + dt_s * c, c + _WANDER**2 * abs(dt_s)
