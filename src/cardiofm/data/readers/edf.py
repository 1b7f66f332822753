"""EDF, EDF+ (continuous and discontinuous) and BDF, read here because EDF+D gaps must stay gaps.

The formats: Kemp et al. 1992 and Kemp & Olivan 2003 (https://www.edfplus.info/specs), BioSemi for the 24-bit form.
A data record holds, channel after channel, a fixed number of little-endian integers; in EDF+D each starts where its
first annotation says.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.readers.channels import Channel, in_mv
from cardiofm.data.readers.lazy import Lazy, one_sentence
from cardiofm.signals import SignalError

WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # label, sensor, unit, phys min/max, dig min/max, filter, samples, reserved


@dataclass(frozen=True)
class Layout:
    """Where one channel lies in the data records."""

    path: Path
    offset: int  # bytes of the file's header
    record_bytes: int
    n_records: int
    at: int  # first byte of the channel in a record
    samples: int  # of the channel in a record
    width: int  # bytes per sample: 2 (EDF) or 3 (BDF)

    def raw(self, first: int, last: int) -> NDArray[np.uint8]:
        """The channel's bytes in records first…last, `(records, samples · width)`; only these pages are read."""
        shape = (self.n_records, self.record_bytes)
        whole = np.memmap(self.path, np.uint8, "r", self.offset, shape)
        return np.array(whole[first:last, self.at : self.at + self.samples * self.width])

    def digital(self, first: int, last: int) -> NDArray[np.int32]:
        raw = self.raw(first, last)
        if self.width == 2:
            return raw.view("<i2").astype(np.int32)
        wide = np.zeros((len(raw), self.samples, 4), np.uint8)
        wide[:, :, 1:] = raw.reshape(len(raw), self.samples, 3)
        return wide.view("<i4")[:, :, 0] >> 8  # the shift carries the sign


def channels(path: Path) -> list[Channel]:
    """Every signal of an EDF or BDF file, lazy, in mV where it is a voltage."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(256)
        signature = head[:8]
        if len(head) < 256 or signature.strip() not in (b"0", b"\xffBIOSEMI"):
            raise SignalError(f"{path.name} must start with an EDF or BDF header, found {signature!r}; check the file")
        count = int(_text(head[252:256]))
        if count < 1:
            raise SignalError(f"{path.name} must hold signals, its header states {count}; check the file")
        block = file.read(256 * count)
    if len(block) < 256 * count:
        raise SignalError(f"{path.name} must hold a header of {256 * (count + 1)} bytes, found {size}: truncated")
    columns = _columns(block, count)
    width = 2 if signature.strip() == b"0" else 3
    counts = [int(text) for text in columns[8]]
    record_bytes = width * sum(counts)
    duration_s = float(_text(head[244:252]))
    if min(counts) < 0 or record_bytes == 0 or duration_s < 0:
        raise SignalError(f"{path.name} must state its samples per record and record length; its header is garbled")
    offset = 256 * (count + 1)
    n_records = int(_text(head[236:244]))
    n_records = (size - offset) // record_bytes if n_records < 0 else n_records
    if size < offset + n_records * record_bytes:
        raise SignalError(
            f"{path.name} must hold {offset + n_records * record_bytes} bytes for its {n_records} data records, "
            f"found {size}: truncated; get the file again"
        )
    starts = np.cumsum([0, *counts[:-1]]) * width
    layouts = [
        Layout(path, offset, record_bytes, n_records, int(a), c, width) for a, c in zip(starts, counts, strict=True)
    ]
    onsets_s = None
    if _text(head[192:236])[:5] in ("EDF+D", "BDF+D"):
        onsets_s = _onsets(path, layouts[_annotations(path, columns[0])])
    return [
        _channel(path, [c[i] for c in columns], layouts[i], duration_s, onsets_s)
        for i in range(count)
        if not _is_annotation(columns[0][i]) and counts[i] > 0 and duration_s > 0
    ]


def _channel(
    path: Path, fields: list[str], layout: Layout, duration_s: float, onsets_s: NDArray[np.float64] | None
) -> Channel:
    low, high, bottom, top = (float(f) for f in fields[3:7])
    factor, unit = in_mv(fields[2])
    if top == bottom or high == low:  # no scale is stated: the numbers stay as they are
        scale, shift, unit = 1.0, 0.0, "NU"
    else:
        scale = (high - low) / (top - bottom) * factor
        shift = low * factor - bottom * scale
    fs_hz = layout.samples / duration_s
    firsts = np.arange(layout.n_records) * layout.samples
    if onsets_s is not None:
        firsts = np.rint((onsets_s - onsets_s[0]) * fs_hz).astype(np.int64)
        if np.any(np.diff(firsts) < layout.samples - 1):
            raise SignalError(f"{path.name} must hold data records that follow each other, found overlapping ones")
    total = int(firsts[-1]) + layout.samples if layout.n_records else 0
    fetch = functools.partial(_fetch, layout, firsts, scale, shift)
    return Channel(fields[0] or "unnamed", fs_hz, Lazy(total, fetch), unit)


def _fetch(
    layout: Layout, firsts: NDArray[np.int64], scale: float, shift: float, first: int, last: int
) -> NDArray[np.float32]:
    """Samples first…last of the channel in its unit, NaN between data records that do not touch."""
    a = max(0, int(np.searchsorted(firsts, first, "right")) - 1)
    b = int(np.searchsorted(firsts, last, "left"))
    with one_sentence(layout.path, "EDF"):
        values = (layout.digital(a, b) * scale + shift).astype(np.float32)
    if len(values) == 0:
        return np.full(last - first, np.nan, np.float32)
    where = firsts[a:b, None] + np.arange(layout.samples) - first
    out = np.full(last - first, np.nan, np.float32)
    inside = (where >= 0) & (where < len(out))
    out[where[inside]] = values[inside]
    return out


def _onsets(path: Path, layout: Layout) -> NDArray[np.float64]:
    """Start of each data record in seconds: the first time-stamped annotation in it."""
    onsets_s = np.empty(layout.n_records)
    raw = layout.raw(0, layout.n_records)
    for k, row in enumerate(raw):
        text = row.tobytes().split(b"\x14", 1)[0].split(b"\x15", 1)[0]
        try:
            onsets_s[k] = float(text)
        except ValueError:
            raise SignalError(
                f"{path.name} must state when its data record {k + 1} starts (EDF+D), found {text[:20]!r}"
            ) from None
    return onsets_s


def _annotations(path: Path, labels: list[str]) -> int:
    found = [i for i, label in enumerate(labels) if _is_annotation(label)]
    if not found:
        raise SignalError(f"{path.name} must have an annotation signal to be discontinuous (EDF+D), found none")
    return found[0]


def _is_annotation(label: str) -> bool:
    return label in ("EDF Annotations", "BDF Annotations")


def _columns(block: bytes, count: int) -> list[list[str]]:
    """The header's fields, `columns[field][signal]`."""
    columns, at = [], 0
    for width in WIDTHS:
        columns.append([_text(block[at + width * i : at + width * (i + 1)]) for i in range(count)])
        at += width * count
    return columns


def _text(raw: bytes) -> str:
    return raw.decode("latin-1").strip(" \0")
