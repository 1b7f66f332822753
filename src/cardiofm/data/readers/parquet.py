"""Parquet tables: one column per channel, read by row groups; rate and units from metadata or a time column.

Metadata keys that are understood, on the file or (first) on a column: `fs_hz`, `unit`, `start_s`, `notes` (one a line),
and `samples`: how many rows of the column are the signal, where a faster channel makes the table longer.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.readers import clock
from cardiofm.data.readers.channels import Channel, in_mv
from cardiofm.data.readers.lazy import Lazy, one_sentence
from cardiofm.data.readers.table import NOT_CHANNELS, split_unit
from cardiofm.signals import SignalError


def channels(path: Path, fs_hz: float | None = None) -> list[Channel]:
    """Every numeric column as a channel, lazy; an uneven clock is interpolated in memory, as in a text table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    rows = np.array([file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)], np.int64)
    edges = np.concatenate([[0], np.cumsum(rows)])
    time_name = next((f.name for f in schema if clock.is_time(f.name) and not pa.types.is_string(f.type)), None)
    rate = _clock(path, file, time_name, fs_hz) if time_name else None
    found = []
    for field in schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        if field.name == time_name or not number or field.name.lower() in NOT_CHANNELS:
            continue
        said = {k.decode(): v.decode() for k, v in {**(schema.metadata or {}), **(field.metadata or {})}.items()}
        name, unit = split_unit(field.name, said.get("unit", ""))
        factor, unit = in_mv(unit)
        fetch = functools.partial(_fetch, path, field.name, edges, factor)
        samples = Lazy(_length(path, name, said.get("samples"), int(edges[-1])), fetch)
        start_s, notes = float(said.get("start_s", 0.0)), tuple(said.get("notes", "").splitlines())
        stated = float(said["fs_hz"]) if "fs_hz" in said else fs_hz
        if rate is not None:
            stated, start_s, notes = rate.fs_hz, rate.start_s, (*notes, *rate.notes)
            samples = samples if rate.times_s is None else rate.even(samples[:])
        found.append(Channel(name, stated, samples, unit, start_s, notes))
    return found


def _length(path: Path, name: str, stated: str | None, rows: int) -> int:
    """How many of the table's rows belong to the channel: what its metadata states, else all."""
    if stated is None:
        return rows
    if not 0 <= int(stated) <= rows:
        raise SignalError(f"{path.name}: column {name!r} must hold the {stated} samples it states, found {rows} rows")
    return int(stated)


def _clock(path: Path, file: Any, name: str, fs_hz: float | None) -> clock.Clock:
    import pyarrow as pa

    if fs_hz is not None:
        return clock.Clock(fs_hz, 0.0, notes=(f"time column {name!r} not used: the rate was given",))
    column = file.read(columns=[name]).column(name)
    unit_s = clock.unit_of(name)
    if pa.types.is_timestamp(column.type):
        column, unit_s = column.cast(pa.timestamp("ns")).cast(pa.int64()), 1e-9
    return clock.from_times(f"{path.name}, time column {name!r}", column.to_numpy(), unit_s)


def _fetch(
    path: Path, name: str, edges: NDArray[np.int64], factor: float, first: int, last: int
) -> NDArray[np.float32]:
    """Rows first…last of one column, float32, empty cells as NaN."""
    import pyarrow.parquet as pq

    a = int(np.searchsorted(edges, first, "right")) - 1
    b = int(np.searchsorted(edges, last, "left"))
    with one_sentence(path, "Parquet"), pq.ParquetFile(path) as file:
        column = file.read_row_groups(list(range(a, b)), columns=[name], use_threads=False).column(name)
        values = column.slice(first - int(edges[a]), last - first).to_numpy()
    return np.asarray(values * factor if factor != 1.0 else values, np.float32)
