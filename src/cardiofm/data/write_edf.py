"""A Record as EDF (Kemp et al. 1992): 16-bit samples, each channel in its own range, no name of a person.

EDF has no mark for an absent sample and one clock: gaps are refused, and both channels begin together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from cardiofm.signals import Signal, SignalError

MOST_BYTES = 61_440  # of a data record
LOW, HIGH = -32768, 32767


def write_edf(signals: dict[str, Signal], path: Path, notes: tuple[str, ...]) -> None:
    """Channels by label to an `.edf` file. Raises SignalError for gaps, different starts, or rates that fit no record.

    Past the end of a channel, within the last data record, its last value is held. Notes have no place.
    """
    starts_s = [s.start_s for s in signals.values()]
    if max(starts_s) - min(starts_s) > 1e-3:
        raise SignalError(
            f"EDF has one start: both channels must begin together, found {min(starts_s):g} and {max(starts_s):g} s; "
            "write .parquet or .npz instead"
        )
    values = [s.values.astype(np.float64) for s in signals.values()]
    for label, x in zip(signals, values, strict=True):
        if not np.isfinite(x).all():
            raise SignalError(f"EDF has no absent samples, channel {label!r} has; write .hea or .parquet instead")
    record_s, each = _record([s.fs_hz for s in signals.values()])
    records = max(math.ceil(len(x) / n) for x, n in zip(values, each, strict=True))
    ranges = [_range(x) for x in values]
    columns = []
    for x, n, (low, high) in zip(values, each, ranges, strict=True):
        held = np.concatenate([x, np.full(records * n - len(x), x[-1])])
        whole = np.rint((held - float(low)) / (float(high) - float(low)) * (HIGH - LOW)) + LOW
        columns.append(np.clip(whole, LOW, HIGH).astype("<i2").reshape(records, n))
    head = _fixed("0", 8) + _fixed("X X X X", 80) + _fixed("Startdate X X X X", 80) + _fixed("01.01.8500.00.00", 16)
    head += _fixed(str(256 * (len(signals) + 1)), 8) + _fixed("", 44) + _fixed(str(records), 8)
    head += _fixed(f"{float(record_s):.8g}", 8) + _fixed(str(len(signals)), 4)
    fields = (
        [(label, 16) for label in signals], [("", 80)] * len(signals), [(s.unit, 8) for s in signals.values()],
        [(low, 8) for low, _ in ranges], [(high, 8) for _, high in ranges], [(str(LOW), 8)] * len(signals),
        [(str(HIGH), 8)] * len(signals), [("", 80)] * len(signals), [(str(n), 8) for n in each],
        [("", 32)] * len(signals),
    )  # fmt: skip
    head += b"".join(_fixed(text, size) for field in fields for text, size in field)
    path.write_bytes(head + np.hstack(columns).tobytes())


def _fixed(text: str, size: int) -> bytes:
    return text.encode("ascii", "replace")[:size].ljust(size)


def _record(rates_hz: list[float]) -> tuple[Fraction, list[int]]:
    """Seconds of a data record, and samples in it of each channel.

    >>> _record([250.0, 125.0]), _record([62.4725])[1]
    ((Fraction(1, 1), [250, 125]), [24989])
    """
    parts = [Fraction(rate).limit_denominator(1000) for rate in rates_hz]
    seconds = Fraction(math.lcm(*(p.denominator for p in parts)))
    each = [int(p * seconds) for p in parts]
    exact = all(abs(float(p) / rate - 1) < 1e-9 for p, rate in zip(parts, rates_hz, strict=True))
    if not exact or 2 * sum(each) > 8 * MOST_BYTES:
        raise SignalError(
            f"EDF rates must fill a record of whole seconds, found {' and '.join(f'{r:g}' for r in rates_hz)} Hz; "
            "write .parquet or .npz instead"
        )
    return seconds, each


def _range(values: np.ndarray) -> tuple[str, str]:
    """The channel's range as two texts of at most 8 characters, which hold it."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-4 * abs(high + low) or high == low:
        low, high = low - max(1e-4 * abs(low), 1e-4), high + max(1e-4 * abs(high), 1e-4)
    return _outward(low, math.floor), _outward(high, math.ceil)


def _outward(value: float, rounded: Callable[[float], int]) -> str:
    """A number of at most 8 characters, not inside the range.

    >>> _outward(-1.23456789, math.floor), _outward(123456.78, math.ceil)
    ('-1.23457', '123456.8')
    """
    whole = len(str(int(abs(value)))) + (value < 0)
    digits = max(0, 8 - whole - 1)
    scale = 10**digits
    text = f"{rounded(value * scale) / scale:.{digits}f}"
    if len(text) > 8:
        raise SignalError(f"EDF values must fit 8 characters, found {value:g}; write .parquet or .npz instead")
    return text
