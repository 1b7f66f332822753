"""NPY and NPZ, and the rules for any set of named arrays (HDF5 and MATLAB use them, too).

A channel is a numeric vector, or a row or column of a matrix (the longer side is time). Its rate, unit, start and
channel names are looked for under the usual names beside it: `ecg/fs`, `ecg_fs`, `fs_ecg`, `fs`, `sampling_rate`, …
The text array `notes` of an NPZ file holds the record's notes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.readers import clock
from cardiofm.data.readers.channels import Channel, in_mv
from cardiofm.data.readers.lazy import Lazy
from cardiofm.data.readers.table import NOT_CHANNELS, split_unit
from cardiofm.signals import SignalError

RATES = ("fs", "fs_hz", "sampling_rate", "samplingrate", "sample_rate", "sampling_frequency", "sfreq", "srate", "freq")
RATES += ("frequency", "hz", "samplerate", "sampling_rate_hz", "sampling_freq", "fsample", "rate", "f_s", "sr")
UNITS = ("unit", "units")
STARTS = ("start_s", "t0_s", "start_time_s")
NAMES = ("names", "channels", "channel_names", "labels", "sig_name", "sig_names", "leads", "lead_names", "columns")
SHORTEST = 16  # samples: a shorter vector is a setting, no signal


def channels(path: Path) -> list[Channel]:
    """Every signal of an NPY file (mapped, not loaded) or of an NPZ file; pickled objects are refused."""
    if path.suffix.lower() == ".npy":
        return from_named(path.name, {"": np.load(path, mmap_mode="r", allow_pickle=False)})
    with np.load(path, allow_pickle=False) as file:
        entries = {key: file[key] for key in file.files}
    notes = entries.get("notes", np.zeros(0))
    said = tuple(map(str, np.ravel(notes))) if notes.dtype.kind == "U" else ()
    return [replace(c, notes=(*said, *c.notes)) for c in from_named(path.name, entries)]


def from_named(where: str, entries: Mapping[str, Any]) -> list[Channel]:
    """Channels from arrays (or anything that has shape, dtype and slices) under '/'-separated names."""
    scalars = {k.lower(): v for k, v in entries.items() if _size(v) <= 1 or isinstance(v, str | list)}
    signals = {k: v for k, v in entries.items() if _is_signal(v)}
    for key, value in entries.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "US" and value.ndim == 1:
            scalars[key.lower()] = [str(s.decode() if isinstance(s, bytes) else s) for s in value]
    times = {k: v for k, v in signals.items() if clock.is_time(k.rsplit("/", 1)[-1]) and 1 in (_ndim(v), min(v.shape))}
    return [
        channel
        for key, value in signals.items()
        if key not in times and key.rsplit("/", 1)[-1].lower() not in NOT_CHANNELS
        for channel in _channels(where, key, value, scalars, times)
    ]


def _channels(where: str, key: str, value: Any, scalars: Mapping[str, Any], times: Mapping[str, Any]) -> list[Channel]:
    n, count = max(value.shape), _size(value) // max(value.shape)
    plain, suffix = split_unit(key)
    names = _beside(key, NAMES, scalars)
    if not (isinstance(names, list) and len(names) == count):
        names = [plain or "1"] if count == 1 else [f"{plain} {i + 1}".strip() for i in range(count)]
    units = _beside(key, UNITS, scalars)
    units = units if isinstance(units, list) and len(units) == count else [_word(units) or suffix] * count
    fs_hz, start_s, notes, even = (
        _number(_beside(key, RATES, scalars)),
        _number(_beside(key, STARTS, scalars)),
        (),
        None,
    )
    ticks = next((t for k, t in _by_nearness(key, times) if max(t.shape) == n), None) if fs_hz is None else None
    if ticks is not None:
        name = next(k for k, t in times.items() if t is ticks)
        even = clock.from_times(f"{where}, times {name!r}", np.asarray(ticks[:]).ravel(), clock.unit_of(name))
        fs_hz, start_s, notes = even.fs_hz, even.start_s, even.notes
    found = []
    for i in range(count):
        factor, unit = in_mv(units[i])
        lazy = Lazy(n, functools.partial(_fetch, value, i, factor))
        samples = lazy if even is None or even.times_s is None else even.even(lazy[:])
        found.append(Channel(str(names[i]), fs_hz, samples, unit, start_s or 0.0, notes))
    return found


def _fetch(value: Any, row: int, factor: float, first: int, last: int) -> NDArray[np.float32]:
    if len(value.shape) == 1:
        part = value[first:last]
    else:
        part = value[first:last, row] if value.shape[0] >= value.shape[1] else value[row, first:last]
    return np.asarray(np.asarray(part, np.float64) * factor, np.float32)


def _beside(key: str, words: tuple[str, ...], scalars: Mapping[str, Any]) -> Any:
    """The entry that belongs to `key` under one of `words`: its own first, then its folder's, then the file's."""
    key = key.lower()
    folder, _, leaf = key.rpartition("/")
    stems = {leaf, leaf.split("_")[0].split(" ")[0]}
    tries = [f"{key}/{w}" for w in words]
    for place in _folders(folder):
        tries += [f"{place}{a}" for s in stems for w in words for a in (f"{s}_{w}", f"{w}_{s}", f"{w}{s}", f"{s}{w}")]
        tries += [f"{place}{w}" for w in words]
    return next((scalars[t] for t in tries if t in scalars), None)


def _folders(folder: str) -> list[str]:
    """'a/b' → ['a/b/', 'a/', '']."""
    parts = folder.split("/") if folder else []
    return ["/".join(parts[:i]) + "/" if i else "" for i in range(len(parts), -1, -1)]


def _by_nearness(key: str, times: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Time vectors, those that share the longest beginning or end with the signal's name first."""
    stem = key.lower().rsplit("/", 1)[-1].split("_")[0]
    folder = key.rpartition("/")[0]
    return sorted(times.items(), key=lambda kv: (kv[0].rpartition("/")[0] != folder, stem not in kv[0].lower()))


def _is_signal(value: Any) -> bool:
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return kind in "iuf" and _ndim(value) in (1, 2) and max(value.shape) >= SHORTEST and min(value.shape) > 0


def _ndim(value: Any) -> int:
    return len(getattr(value, "shape", ()))


def _size(value: Any) -> int:
    return int(np.prod(getattr(value, "shape", (1,)), dtype=np.int64))


def _number(value: Any) -> float | None:
    if value is None:
        return None
    try:
        return float(np.asarray(value).ravel()[0])
    except (ValueError, TypeError, IndexError) as error:
        raise SignalError(
            f"a rate or start must be a number, found {str(value)[:40]!r}; give the rate with --fs"
        ) from error


def _word(value: Any) -> str:
    if value is None or isinstance(value, list):
        return ""
    word = np.asarray(value).ravel()[0] if _size(value) else ""
    return word.decode() if isinstance(word, bytes) else str(word)
