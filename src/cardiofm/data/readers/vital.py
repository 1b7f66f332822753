"""VitalDB `.vital` files: waveform tracks on the file's clock, packets that are missing stay missing."""

from __future__ import annotations

import contextlib
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np

from cardiofm.data.readers.channels import Channel, in_mv
from cardiofm.signals import SignalError

WAVEFORM = 1
CHUNK_BYTES = 1 << 20


def channels(path: Path) -> list[Channel]:
    """Every waveform track of a `.vital` file in its unit, mV where that is a voltage; numeric trends are left out."""
    _check_whole(path)
    import vitaldb

    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # the parser prints what goes wrong and carries on
        file = vitaldb.VitalFile(str(path.absolute()))
    if said.getvalue().strip():
        raise SignalError(
            f"{path.name} must be a whole VitalDB file; its parser says: {said.getvalue().split(chr(10))[0]}"
        )
    tracks = {n: t for n, t in file.trks.items() if t.type == WAVEFORM and t.srate > 0 and t.recs}
    return [_channel(name, track, float(file.dtstart), file.packed) for name, track in tracks.items()]


def _channel(name: str, track: Any, clock_s: float, packed: bool) -> Channel:
    packets = sorted(track.recs, key=lambda r: r["dt"])
    start_s = packets[0]["dt"]
    firsts = [round((p["dt"] - start_s) * track.srate) for p in packets]
    values = np.full(max(f + len(p["val"]) for f, p in zip(firsts, packets, strict=True)), np.nan, np.float32)
    factor, unit = in_mv(track.unit)
    for first, packet in zip(firsts, packets, strict=True):
        raw = np.asarray(packet["val"])
        part = raw.astype(np.float64)
        if raw.dtype.kind in "iu":
            # A packed file marks gaps between packets with the extreme that the integer type has on one side only.
            absent = raw == (np.iinfo(raw.dtype).min if raw.dtype.kind == "i" else np.iinfo(raw.dtype).max)
            part = np.where(absent & packed, np.nan, part * track.gain + track.offset)
        part[~np.isfinite(part) | (np.abs(part) > 4e9)] = np.nan
        values[first : first + len(part)] = part * factor
    return Channel(name, float(track.srate), values, unit, start_s - clock_s)


def _check_whole(path: Path) -> None:
    """Unpack once: the parser itself takes a truncated file for a shorter one."""
    with gzip.open(path) as file:
        if file.read(4) != b"VITA":
            raise SignalError(f"{path.name} must start with VITA when unpacked, found something else; check the file")
        while file.read(CHUNK_BYTES):
            pass
