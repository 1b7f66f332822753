"""Where a stream's packets come from: lines of text, a file that grows, Lab Streaming Layer."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.readers import channels, clock
from cardiofm.signals import MODALITIES, SignalError

BLOCK_S = 0.5  # of lines that are taken together
_WAIT_S = 0.1  # between two looks at a file or an inlet
_FIND_S = 10.0  # that a stream of Lab Streaming Layer is looked for
_JITTER_S = 0.02  # stamps of one pull that scatter less follow one another
_SEPARATORS = (",", ";", "\t")
_MOVING = (0.0, 1.0, 0.5)  # of samples that are not there yet: a channel that changes
Packets: TypeAlias = dict[str, tuple[float | None, NDArray[np.float32]]]  # what one `Stream.push` takes


@dataclass(frozen=True)
class Role:
    """Which column carries a modality, and how its numbers become samples in `unit`."""

    modality: str
    column: int
    fs_hz: float
    unit: str
    factor: float  # turned ones are negative


@dataclass(frozen=True)
class Column:
    """A column, or a channel of an inlet, by its label."""

    label: str
    fs_hz: float
    unit: str = ""


def roles(where: str, columns: list[Column], ecg: str | None = None, ppg: str | None = None) -> list[Role]:
    """Which columns are the ECG and the PPG, by name as in files, or by the names that are given.

    >>> [(r.modality, r.column, r.factor) for r in roles("x", [Column("PLETH", 125), Column("II", 500, "uV")])]
    [('ecg', 1, 0.001), ('ppg', 0, 1.0)]
    """
    parts, samples = [channels.in_mv(column.unit) for column in columns], [np.array(_MOVING) for _ in columns]
    found = channels.record(
        where,
        [channels.Channel(c.label, c.fs_hz, x, unit) for c, x, (_, unit) in zip(columns, samples, parts, strict=True)],
        ecg,
        ppg,
        None,
    )
    out = []
    for modality in found.present:
        signal = found.signal(modality)
        assert signal is not None
        at = next(i for i, x in enumerate(samples) if x is signal.samples)
        out.append(Role(modality, at, signal.fs_hz, signal.unit, (-1 if signal.inverted else 1) * parts[at][0]))
    return out


def runs(
    times_n: NDArray[np.float64], values_n: NDArray[np.float32], fs_hz: float, off_s: float
) -> list[tuple[float, NDArray[np.float32]]]:
    """Samples with a time each, as packets of samples that follow one another: `off_s` is how far a time may be off.

    >>> [(round(t, 3), len(x)) for t, x in runs(np.array([0, 0.01, 0.02, 0.05, 0.06]), np.zeros(5), 100.0, 0.001)]
    [(0.0, 3), (0.05, 2)]
    """
    out, first, most_s = [], 0, max(off_s, 0.5 / fs_hz)
    while first < len(times_n):
        begun_n = times_n[first:] - np.arange(len(times_n) - first) / fs_hz
        apart = np.abs(begun_n - begun_n[0]) > most_s
        last = first + (int(apart.argmax()) if apart.any() else len(begun_n))
        out.append((float(np.median(begun_n[: last - first])), values_n[first:last]))
        first = last
    return out


class Lines:
    """Text in pieces of any size to packets: lines of time in s, ECG, PPG, or columns that a header names.

    An empty cell is no sample; a cell that is no number is a sample that is absent. Without a column of times samples
    follow one another.
    """

    def __init__(
        self,
        ecg_hz: float | None,
        ppg_hz: float | None,
        ecg: str | None = None,
        ppg: str | None = None,
        ecg_factor: float = 1.0,
    ) -> None:
        self.rates = {m: hz for m, hz in (("ecg", ecg_hz), ("ppg", ppg_hz)) if hz is not None}
        if not self.rates:
            raise SignalError("lines of text state no sampling rate; give --fs-ecg, --fs-ppg or both")
        self._names, self._factors = {"ecg": ecg, "ppg": ppg}, {"ecg": ecg_factor, "ppg": 1.0}
        self._rest, self._separator = "", ","
        self._time: int | None = 0
        self._unit_s = 1.0
        self._columns: dict[str, tuple[int, float]] | None = None  # modality → column, factor

    def feed(self, data: bytes) -> Iterator[Packets]:
        """What whole lines hold, half a second after another."""
        *whole, self._rest = (self._rest + data.decode("utf-8", errors="replace")).split("\n")
        rows = [line.strip() for line in whole if line.strip() and not line.startswith("#")]
        if rows and self._columns is None:
            rows = self._begin(rows)
        size = max(1, round(BLOCK_S * max(self.rates.values())))
        for first in range(0, len(rows), size):
            yield from self._block([row.split(self._separator) for row in rows[first : first + size]])

    def _begin(self, rows: list[str]) -> list[str]:
        """Find out what the columns are, from the first line."""
        self._separator = max(_SEPARATORS, key=rows[0].count)
        cells = [cell.strip().strip('"') for cell in rows[0].split(self._separator)]
        if all(_is_number(cell) for cell in cells):
            order = [m for m in MODALITIES if m in self.rates]
            self._time = 0 if len(cells) > len(order) else None
            begin = 0 if self._time is None else 1
            if len(cells) < begin + len(order):
                raise SignalError(f"a line must hold time_s,{','.join(order)} or the samples alone, found {rows[0]!r}")
            self._columns = {m: (begin + i, self._factors[m]) for i, m in enumerate(order)}
            return rows
        self._time = next((i for i, cell in enumerate(cells) if clock.is_time(cell)), None)
        self._unit_s = clock.unit_of(cells[self._time]) or 1.0 if self._time is not None else 1.0
        fs_hz = max(self.rates.values())
        at = [i for i in range(len(cells)) if i != self._time]
        wanted = {m: name if m in self.rates else "none" for m, name in self._names.items()}
        found = roles("the header", [Column(cells[i], fs_hz) for i in at], wanted["ecg"], wanted["ppg"])
        self._columns = {r.modality: (at[r.column], r.factor * self._factors[r.modality]) for r in found}
        return rows[1:]

    def _block(self, rows: list[list[str]]) -> Iterator[Packets]:
        out: list[tuple[float | None, str, NDArray[np.float32]]] = []
        times_n = None if self._time is None else np.array([_number(row, self._time) for row in rows]) * self._unit_s
        for modality, (column, factor) in (self._columns or {}).items():
            there = np.array([column < len(row) and bool(row[column].strip()) for row in rows])
            if times_n is not None:
                there &= np.isfinite(times_n)
            values_n = np.array([_number(row, column) for row, one in zip(rows, there, strict=True) if one], np.float32)
            if times_n is None:
                out.append((None, modality, values_n * np.float32(factor)))
            else:
                found = runs(
                    times_n[there], values_n * np.float32(factor), self.rates[modality], 1.02 * clock.ROUNDING_S
                )
                out += [(t, modality, x) for t, x in found]
        yield from _together(out)


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """What a pipe or a file holds, as it comes."""
    read = getattr(file, "read1", file.read)
    while data := read(1 << 16):
        yield data


def grown(path: Path, idle_s: float | None = None) -> Iterator[bytes]:
    """What a file holds and what is added to it, until nothing was for `idle_s` (None: for ever)."""
    with path.open("rb") as file:
        last = time.monotonic()
        while idle_s is None or time.monotonic() - last < idle_s:
            if data := file.read(1 << 16):
                last = time.monotonic()
                yield data
            elif path.stat().st_size < file.tell():
                raise SignalError(f"{path} must only grow, found it shorter than before; start the stream again")
            else:
                time.sleep(_WAIT_S)


class LabStreams:
    """The ECG and the PPG of streams of Lab Streaming Layer, by their names; stamps on this computer's clock."""

    def __init__(self, names: list[str], ecg: str | None = None, ppg: str | None = None) -> None:
        pylsl: Any = importlib.import_module("pylsl")  # of an extra
        self._inlets: list[Any] = []
        columns: list[tuple[int, int, Column]] = []  # inlet, its channel
        for name in names:
            found = pylsl.resolve_byprop("name", name, timeout=_FIND_S)
            if len(found) != 1:
                raise SignalError(f"Lab Streaming Layer must offer one stream {name!r}, found {len(found)}; start it")
            inlet = pylsl.StreamInlet(found[0], processing_flags=pylsl.proc_clocksync)
            info = inlet.info(timeout=_FIND_S)
            labels = _described(info, "label") or [info.type()] * info.channel_count()
            units = _described(info, "unit") or [""] * info.channel_count()
            at = range(info.channel_count())
            columns += [(len(self._inlets), i, Column(labels[i], info.nominal_srate(), units[i])) for i in at]
            self._inlets.append(inlet)
        chosen = roles(f"the stream {', '.join(names)}", [c for _, _, c in columns], ecg, ppg)
        self.roles = [(role, *columns[role.column][:2]) for role in chosen]
        self.rates = {role.modality: role.fs_hz for role in chosen}
        self.units = {role.modality: role.unit for role in chosen}

    def packets(self, idle_s: float | None = None) -> Iterator[Packets]:
        """Packets as they come, until none did for `idle_s` (None: for ever)."""
        last = time.monotonic()
        while idle_s is None or time.monotonic() - last < idle_s:
            out: list[tuple[float | None, str, NDArray[np.float32]]] = []
            for number, inlet in enumerate(self._inlets):
                samples, stamps = inlet.pull_chunk(timeout=_WAIT_S / len(self._inlets), max_samples=4096)
                if not stamps:
                    continue
                last = time.monotonic()
                values_nC, times_n = np.array(samples, np.float32), np.array(stamps, np.float64)
                for role, own, channel in self.roles:
                    if own == number:
                        x = values_nC[:, channel] * np.float32(role.factor)
                        out += [(t, role.modality, part) for t, part in runs(times_n, x, role.fs_hz, _JITTER_S)]
            yield from _together(out)


def _together(parts: list[tuple[float | None, str, NDArray[np.float32]]]) -> Iterator[Packets]:
    """In the order of time, the first packets of two channels in one."""
    parts = sorted((p for p in parts if len(p[2])), key=lambda p: -np.inf if p[0] is None else p[0])
    while parts:
        packets: Packets = {}
        while parts and parts[0][1] not in packets:
            t_s, modality, values_n = parts.pop(0)
            packets[modality] = (t_s, values_n)
        yield packets


def _described(info: Any, what: str) -> list[str]:
    """What the description of an inlet says of its channels; nothing unless it does so of each."""
    found, one = [], info.desc().child("channels").child("channel")
    while not one.empty():
        found.append(one.child_value(what))
        one = one.next_sibling("channel")
    return found if len(found) == info.channel_count() and all(found) else []


def _is_number(cell: str) -> bool:
    return not cell or np.isfinite(_number([cell], 0)) or cell.lower() == "nan"


def _number(row: list[str], column: int) -> float:
    try:
        return float(row[column])
    except (ValueError, IndexError):
        return np.nan
