"""A Record to a file that `cardiofm.data.readers.read` reads back: `.hea` (WFDB), `.parquet`, `.npz`, `.csv`, `.edf`.

Values, units, rates and start times survive; nothing is resampled. The record's notes ("simulated") survive, too, but
not in CSV, which has no place for them. A channel that ends before the other gets trailing NaN in WFDB and CSV. Records
of any length are written piece by piece (`.npz`: in memory).
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.converter import converter
from cardiofm.data.readers import channels
from cardiofm.data.write_edf import write_edf
from cardiofm.signals import Record, Signal, SignalError

EXTENSIONS = (".hea", ".parquet", ".npz", ".csv", ".edf")
PIECE_S = 600.0
INVALID = -32768  # WFDB's mark for an absent sample in format 16
STEPS = 65_000  # of the 16-bit range, used for a channel's own range: quantisation is 1.5e-5 of it
MAX_PER_FRAME = 5000


def write(record: Record, path: str | Path) -> None:
    """Write a record as the extension of `path` says; the file appears only when it is complete.

    Channels keep their names where the reader would know them again, otherwise "ECG" or "PPG" is put in front.
    Errors: `SignalError` for another extension, or where the format cannot hold the record's rates or start times.

    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "demo.hea"
    >>> write(Record.from_arrays(ecg=(np.sin(np.arange(500.0)), 500), ppg=(np.cos(np.arange(125.0)), 125)), path)
    >>> from cardiofm.data.readers import read
    >>> again = read(path)
    >>> again.ecg.fs_hz, again.ppg.fs_hz, bool(abs(again.ppg.values[0] - 1) < 1e-4)
    (500.0, 125.0, True)
    """
    path = Path(path)
    check(path)
    writers = {".hea": _wfdb, ".parquet": _parquet, ".npz": _npz, ".csv": _csv, ".edf": write_edf}
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        writers[path.suffix.lower()](_named(record), Path(folder) / path.name, record.notes)
        for part in sorted(Path(folder).iterdir()):  # a .dat before its .hea
            os.replace(part, path.parent / part.name)


def check(path: Path) -> None:
    """Raise `SignalError` where `write` could not write: another extension, or no such folder."""
    if path.suffix.lower() not in EXTENSIONS:
        raise SignalError(f"the output must end in {', '.join(EXTENSIONS)}, found {path.name!r}; change its name")
    if not path.parent.is_dir():
        raise SignalError(f"the output's folder {path.parent} must exist, found none; make it first")


def _named(record: Record) -> dict[str, Signal]:
    """Label → signal, with labels from which the reader finds the same channels, the same way up."""
    tries = []
    for modality in record.present:
        signal = record.signal(modality)
        assert signal is not None
        name = " ".join(re.sub(r"[^\w.+ -]", " ", signal.name).split())
        bare, kind = name.lstrip("-"), modality.upper()
        labels = (name, bare, f"-{bare}" if signal.inverted else "", f"{kind} {bare}", kind)
        tries.append([(modality, label, signal) for label in labels if label])
    changing = np.array([0.0, 1.0], np.float32)
    for pick in itertools.product(*tries):
        with contextlib.suppress(SignalError):
            found = channels.record("", [channels.Channel(label, s.fs_hz, changing) for _, label, s in pick])
            seen = [found.signal(modality) for modality, _, _ in pick]
            if all(s is not None and s.name == p[1] and not s.inverted for s, p in zip(seen, pick, strict=True)):
                return {label: signal for _, label, signal in pick}
    raise SignalError(f"record {record.name!r}: its channels cannot be told apart by name; rename them")


def _part(signal: Signal, first: int, last: int) -> NDArray[np.float32]:
    """Samples first…last, counted from the signal's first one, `(last − first,)`; NaN where there is none."""
    out = np.full(last - first, np.nan, np.float32)
    a, b = max(first, 0), min(last, len(signal.samples))
    if a < b:
        values = signal.read(signal.start_s + a / signal.fs_hz, signal.start_s + b / signal.fs_hz)
        out[a - first : b - first] = values
    return out


def _lead_in(label: str, signal: Signal, start_s: float) -> int:
    """Samples between `start_s` and the signal's first one, which must lie on a whole number of samples."""
    exact = (signal.start_s - start_s) * signal.fs_hz
    if exact < -1e-3 or abs(exact - round(exact)) > 1e-3:
        raise SignalError(
            f"this format has one clock: channel {label!r} must start a whole number of samples after {start_s:g} s, "
            f"found {signal.start_s:g} s at {signal.fs_hz:g} Hz; write .parquet or .npz instead"
        )
    return round(exact)


def _wfdb(signals: dict[str, Signal], path: Path, notes: tuple[str, ...]) -> None:
    """Header and format 16, rates as samples per frame, time 0 is the record's clock; a note is "# note: simulated"."""
    if not re.fullmatch(r"[\w-]+", path.stem, re.ASCII):
        raise SignalError(
            f"a WFDB record's name must be letters, digits, - and _, found {path.stem!r}; change its name"
        )
    every, frame_hz = _frames([s.fs_hz for s in signals.values()])
    leads = [_lead_in(label, s, 0.0) for label, s in signals.items()]
    frames = max(-(-(lead + len(s.samples)) // k) for lead, s, k in zip(leads, signals.values(), every, strict=True))
    scales = [_scale(s) for s in signals.values()]
    sums, firsts = [0] * len(signals), [0] * len(signals)
    step = max(1, round(PIECE_S * frame_hz))
    with path.with_suffix(".dat").open("wb") as file:
        for a in range(0, frames, step):
            b, columns = min(frames, a + step), []
            for i, (s, k, lead, (gain, baseline)) in enumerate(
                zip(signals.values(), every, leads, scales, strict=True)
            ):
                values = _part(s, a * k - lead, b * k - lead).astype(np.float64)
                digital = np.where(np.isnan(values), INVALID, np.rint(values * gain) + baseline).astype("<i2")
                firsts[i] = int(digital[0]) if a == 0 else firsts[i]
                sums[i] += int(digital.sum(dtype=np.int64))
                columns.append(digital.reshape(-1, k))
            file.write(np.hstack(columns).tobytes())
    lines = [f"{path.stem} {len(signals)} {frame_hz:.12g} {frames}"]
    for (label, s), k, (gain, baseline), first, total in zip(signals.items(), every, scales, firsts, sums, strict=True):
        unit = re.sub(r"[^\w^%/-]", "_", s.unit) or "NU"
        check = (total + 32768) % 65536 - 32768
        form = f"16x{k}" if k > 1 else "16"
        lines.append(f"{path.stem}.dat {form} {gain:.12g}({baseline})/{unit} 16 0 {first} {check} 0 {label}")
    said = "".join(f"# note: {note}\n" for note in _in_lines(notes))
    path.write_bytes(("\n".join(lines) + "\n").encode("ascii", "replace") + said.encode("utf-8"))


def _in_lines(notes: tuple[str, ...]) -> list[str]:
    """Each note as one line."""
    return [line for note in notes if (line := " ".join(note.split()))]


def _frames(rates_hz: list[float]) -> tuple[list[int], float]:
    """Samples per frame of each channel, and frames per second.

    >>> _frames([500.0, 125.0]), _frames([500.0, 64.0]), _frames([250.0])
    (([4, 1], 125.0), ([125, 16], 4.0), ([1], 250.0))
    """
    if len(rates_hz) == 1:
        return [1], rates_hz[0]
    ratio = Fraction(rates_hz[0] / rates_hz[1]).limit_denominator(MAX_PER_FRAME)
    if ratio.numerator > MAX_PER_FRAME or abs(float(ratio) * rates_hz[1] / rates_hz[0] - 1) > 1e-9:
        raise SignalError(
            f"WFDB rates must have a common frame, found {rates_hz[0]:g} and {rates_hz[1]:g} Hz; "
            f"write .parquet or .npz instead"
        )
    return [ratio.numerator, ratio.denominator], rates_hz[0] / ratio.numerator


def _scale(signal: Signal) -> tuple[float, int]:
    """(gain, baseline) that map values onto the 16-bit range: digital = value · gain + baseline.

    The gain is that of the converter which the samples came from, so that they come back bit for bit; where there is
    none, or it has more than 16 bits, the one that fills the range.
    """
    low, high, exact = math.inf, -math.inf, None
    step = max(1, round(PIECE_S * signal.fs_hz))
    for a in range(0, len(signal.samples), step):
        part = _part(signal, a, min(a + step, len(signal.samples)))
        part = part[np.isfinite(part)]
        if len(part):
            exact = _gain(part) if low > high else exact
            if exact and ((np.rint(part.astype(np.float64) * exact) / exact).astype(np.float32) != part).any():
                exact = None
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    if low > high:
        return 1.0, 0
    middle = (low + high) / 2
    # A range far smaller than its distance from zero is below float32's own resolution: 1e-7 of it.
    gain = float(f"{STEPS / max(high - low, 1e-4 * abs(middle), 1e-30):.12g}")
    if exact is not None and exact * (high - low) <= STEPS:
        gain = exact
    return gain, -round(middle * gain)


def _gain(known_n: NDArray[np.float32]) -> float | None:
    """Steps a unit of the converter that these samples came from, if 0 is one of them."""
    steps = converter(known_n)
    if steps is None or abs(steps.shift / steps.step - round(steps.shift / steps.step)) > 1e-3:
        return None
    return float(f"{1 / steps.step:.12g}")


def _parquet(signals: dict[str, Signal], path: Path, notes: tuple[str, ...]) -> None:
    """One column per channel; rate, unit, start and number of samples in the column's metadata, the rest is null.

    The file's metadata holds the notes, one a line.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [
        pa.field(
            label,
            pa.float32(),
            metadata={
                "fs_hz": repr(s.fs_hz),
                "unit": s.unit,
                "start_s": repr(s.start_s),
                "samples": str(len(s.samples)),
            },
        )
        for label, s in signals.items()
    ]
    schema = pa.schema(fields, metadata={"notes": "\n".join(_in_lines(notes))})
    step = max(1, round(PIECE_S * max(s.fs_hz for s in signals.values())))
    rows = max(len(s.samples) for s in signals.values())
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for a in range(0, rows, step):
            parts = [pa.array(_part(s, a, min(rows, a + step)), from_pandas=True) for s in signals.values()]
            writer.write_table(pa.table(parts, schema=schema), row_group_size=step)


def _npz(signals: dict[str, Signal], path: Path, notes: tuple[str, ...]) -> None:
    """One array per channel, and beside it `<channel>/fs_hz`, `/unit` and `/start_s`; `notes` is an array of text."""
    arrays: dict[str, NDArray] = {"notes": np.array(notes, dtype=np.str_)}
    for label, s in signals.items():
        arrays[label] = s.values
        arrays[f"{label}/fs_hz"], arrays[f"{label}/start_s"] = np.array(s.fs_hz), np.array(s.start_s)
        arrays[f"{label}/unit"] = np.array(s.unit)
    with path.open("wb") as file:
        np.savez_compressed(file, **cast(Any, arrays))


def _csv(signals: dict[str, Signal], path: Path, notes: tuple[str, ...]) -> None:
    """A column `time_s` and one per channel, `II (mV)`; an absent sample is an empty cell; notes have no place."""
    import pyarrow as pa
    from pyarrow import csv

    rates = {s.fs_hz for s in signals.values()}
    if len(rates) > 1:
        raise SignalError(
            f"a CSV table has one clock: both channels must have one rate, found "
            f"{' and '.join(f'{r:g}' for r in sorted(rates))} Hz; write .parquet, .npz or .hea instead"
        )
    (fs_hz,) = rates
    start_s = min(s.start_s for s in signals.values())
    leads = [_lead_in(label, s, start_s) for label, s in signals.items()]
    rows = max(lead + len(s.samples) for lead, s in zip(leads, signals.values(), strict=True))
    schema = pa.schema([("time_s", pa.float64())] + [(label, pa.float32()) for label in signals])
    step = max(1, round(PIECE_S * fs_hz))
    with path.open("wb") as file:
        file.write((",".join(["time_s", *(f"{n} ({s.unit})" for n, s in signals.items())]) + "\n").encode())
        with csv.CSVWriter(file, schema, write_options=csv.WriteOptions(include_header=False)) as writer:
            for a in range(0, rows, step):
                b = min(rows, a + step)
                columns = [pa.array(np.round(start_s + np.arange(a, b) / fs_hz, 9))]
                for lead, s in zip(leads, signals.values(), strict=True):
                    columns.append(pa.array(_part(s, a - lead, b - lead), from_pandas=True))
                writer.write_table(pa.table(columns, schema=schema))
