"""Packets find their places whatever comes first, late, twice or never; clocks that drift are put right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cardiofm.signals import SignalError
from cardiofm.stream.channel import Buffer, Channel
from cardiofm.stream.clock import Clock

FS_HZ = 250.0


def taken(channel: Channel, packets: Sequence[tuple[float | None, np.ndarray]], late_s: float = 5.0) -> np.ndarray:
    """All samples after the packets came in that order."""
    for stamp, values in packets:
        packet = channel.place(stamp, values.astype(np.float32), channel.end_s, channel.end_s - late_s)
        channel.write(packet)
        channel.decide(channel.end_s - late_s)
    return channel.buffer[:]


def packets_of(x: np.ndarray, size: int, start_s: float = 3.0) -> list[tuple[float | None, np.ndarray]]:
    return [(start_s + i / FS_HZ, x[i : i + size]) for i in range(0, len(x), size)]


@pytest.fixture
def channel() -> Channel:
    return Channel("ecg", FS_HZ, "mV", 60.0)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=5000).astype(np.float32)


@pytest.mark.parametrize("size", [1, 7, 50, 2000])
def test_packets_of_any_size_are_the_signal(channel: Channel, x: np.ndarray, size: int) -> None:
    np.testing.assert_array_equal(taken(channel, packets_of(x, size)), x)
    assert (channel.line.n, channel.line.at_s, channel.line.fs_hz) == (0, 3.0, FS_HZ)
    assert channel.front == len(x)


def test_without_stamps_samples_follow_one_another(channel: Channel, x: np.ndarray) -> None:
    np.testing.assert_array_equal(taken(channel, [(None, part) for part in np.split(x, 40)]), x)
    assert channel.line.at_s == 0.0


@pytest.mark.parametrize("jitter_s", [0.0, 0.004])
def test_late_missing_and_repeated_packets(channel: Channel, x: np.ndarray, jitter_s: float) -> None:
    rng = np.random.default_rng(1)
    packets = [(t + rng.normal(0, jitter_s), p) for t, p in packets_of(x, 25) if t is not None]
    for i in range(20, 190, 10):  # places swapped with one up to six further on
        j = i + int(rng.integers(1, 7))
        packets[i], packets[j] = packets[j], packets[i]
    lost = {25, 26, 77, 140}
    arriving = [p for k, p in enumerate(packets) if k not in lost] + packets[180:183]
    expected = x.copy()
    for k in lost:
        n = round((packets[k][0] - 3.0) * FS_HZ / 25) * 25
        expected[n : n + 25] = np.nan
    np.testing.assert_array_equal(taken(channel, arriving), expected)
    assert channel.counts == {"samples twice": 75}


def test_what_is_given_up_is_a_gap_and_what_comes_then_is_too_late(channel: Channel, x: np.ndarray) -> None:
    packets = packets_of(x, 50)
    got = taken(channel, [*packets[:40], *packets[41:60], packets[40], *packets[60:]], late_s=1.0)
    expected = x.copy()
    expected[2000:2050] = np.nan
    np.testing.assert_array_equal(got, expected)
    assert channel.counts == {"samples too late": 50}
    assert [text for text in channel.notices if "too late" in text]


def test_nothing_is_decided_behind_a_hole_until_it_is_given_up(channel: Channel, x: np.ndarray) -> None:
    packets = packets_of(x, 50)
    taken(channel, [*packets[:10], *packets[11:20]])
    assert channel.front == 500
    taken(channel, packets[10:11])
    assert channel.front == 1000
    taken(channel, packets[45:46])
    channel.decide(channel.end_s - 1.0)
    assert channel.front == 2300 - 250


def test_a_silent_channel_without_stamps_goes_on_where_the_other_is(channel: Channel, x: np.ndarray) -> None:
    taken(channel, [(None, x[:500])])
    channel.decide(20.0)
    packet = channel.place(None, x[:50], now_s=25.0, deadline_s=20.0)
    assert packet.end_s == pytest.approx(25.0)
    assert channel.notices


@pytest.mark.parametrize(("slow_ppm", "jitter_s"), [(0, 0.0), (60, 0.0), (-250, 0.003), (900, 0.012)])
def test_drift_is_followed(slow_ppm: float, jitter_s: float) -> None:
    """An hour of packets of 0.2 s, late by a varying time: samples stay where they were taken, to a millisecond."""
    rng = np.random.default_rng(2)
    clock, period_s = Clock(FS_HZ, 100.0), (1 + slow_ppm * 1e-6) / FS_HZ
    errors_s, lines = [], set()
    for n in range(0, 900_000, 50):
        true_s = 100.0 + n * period_s
        clock.see(n, true_s + rng.normal(0, jitter_s))
        lines.add(clock.line)
        errors_s.append([clock.line.time_s(m) - (100.0 + m * period_s) for m in (n - 2500, n)])
    most_ms = 1000 * np.abs(np.array(errors_s)[1500:]).max()  # after five minutes
    assert most_ms < (1.5 if jitter_s <= 0.003 else 3.5)
    assert (len(lines) == 1) == (slow_ppm == 0)
    if slow_ppm:
        assert abs(clock.rate_hz / FS_HZ - 1 + slow_ppm * 1e-6) < 3e-6


def test_exact_stamps_of_a_steady_clock_change_nothing() -> None:
    clock = Clock(125.0, 1.7e9)
    for n in range(0, 400_000, 25):
        clock.see(n, round(1.7e9 + n / 125.0, 3))
    assert (clock.line.n, clock.line.fs_hz) == (0, 125.0)


@pytest.mark.parametrize(("true_hz", "said"), [(256.0, "256 Hz, not 250: theirs"), (125.0, "125 Hz, not 250: give")])
def test_a_rate_that_the_stamps_do_not_bear_out_is_told_once(
    channel: Channel, x: np.ndarray, true_hz: float, said: str
) -> None:
    taken(channel, [(i / true_hz, x[:25]) for i in range(0, 10_000, 25)])
    assert len(channel.notices) == 1
    assert said in channel.notices[0]


def test_the_buffer_keeps_what_it_must_and_no_more() -> None:
    buffer = Buffer(1000)
    for first in range(0, 50_000, 37):
        buffer.write(first, np.arange(first, first + 37, dtype=np.float32))
        kept = buffer[max(0, len(buffer) - 1000) :]
        np.testing.assert_array_equal(kept, np.arange(max(0, len(buffer) - 1000), len(buffer), dtype=np.float32))
    assert buffer._values.nbytes == 8000
    assert np.isnan(buffer[0:10]).all()
    buffer.write(10**9, np.ones(5, np.float32))
    assert np.isnan(buffer[10**9 - 3 : 10**9]).all()
    assert buffer[10**9 :].tolist() == [1.0] * 5


def test_a_channel_needs_a_rate_that_can_be() -> None:
    with pytest.raises(SignalError, match="between 20 and 100000 Hz"):
        Channel("ppg", 5.0, "NU", 60.0)
