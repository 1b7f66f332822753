"""The file: a header, then chunks. Each chunk has its time and its own check sum, so damage costs its chunk alone.

    header   "CFM1" · size · JSON · CRC-32 of all before it
    chunk    0xCF · size · payload · CRC-32 of size and payload

Sizes are whole numbers of 7 bits a byte, lowest first. A chunk's payload begins with its first window and how many
windows it has, counted from the header's `start_s`. Nothing in a header names a person or a file.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from cardiofm.config import ConfigError, from_dict
from cardiofm.signals import MAX_FS_HZ, MIN_FS_HZ, MODALITIES, InputSpec, SignalError

MAGIC, MARK, CRC = b"CFM1", 0xCF, 4
MOST = 1 << 26  # bytes of a chunk
MOST_WINDOWS = 64  # of a chunk


@dataclass(frozen=True)
class Channel:
    """One channel as the file states it."""

    name: str
    unit: str
    fs_hz: float
    start_s: float  # record time of its first sample


@dataclass(frozen=True)
class Header:
    """What all chunks share."""

    model: str  # the model's name, for the reader of an error
    fingerprint: str  # of its decoder and prior
    spec: InputSpec
    start_s: float  # record time of window 0
    channels: dict[str, Channel]  # by modality
    lossless: bool = False
    retouch: str = ""  # fingerprint of the networks that retouch what codes draw; "" in a file without

    def bytes(self) -> bytes:
        """The header as it stands in the file."""
        about = asdict(self) | {"spec": asdict(self.spec)}
        if not self.retouch:  # a reader that knows nothing of it can read the file
            del about["retouch"]
        text = json.dumps(about, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
        return _closed(MAGIC + varint(len(text)) + text)


@dataclass(frozen=True)
class Chunk:
    """A whole chunk: which windows it has, and what is coded."""

    first: int
    windows: int
    data: bytes
    at: int = 0  # where it begins in the file

    def bytes(self) -> bytes:
        """The chunk as it stands in the file."""
        payload = varint(self.first) + varint(self.windows) + self.data
        return bytes([MARK]) + _closed(varint(len(payload)) + payload)


def header(data: bytes) -> tuple[Header, int]:
    """The header of a file, and where it ends. Raises SignalError for another file, a damaged or a newer one."""
    if data[: len(MAGIC) - 1] != MAGIC[:-1]:
        raise SignalError(
            "a .cfm file must begin with CFM, found other bytes; give a file that `cardiofm encode` wrote"
        )
    if data[: len(MAGIC)] != MAGIC:
        raise SignalError(f"a .cfm file must be of format {chr(MAGIC[-1])}, found another; update cardiofm")
    size, at = _varint(data, len(MAGIC))
    end = at + size
    if size < 0 or end + CRC > len(data) or zlib.crc32(data[:end]) != int.from_bytes(data[end : end + CRC], "little"):
        raise SignalError("a .cfm file must have a whole header, found a damaged one; get the file again")
    try:
        about = json.loads(data[at:end])
        channels = {m: from_dict(Channel, c) for m, c in about.pop("channels").items()}
        spec = from_dict(InputSpec, about.pop("spec"))
        found = Header(spec=spec, channels=channels, **about)
    except (ValueError, TypeError, KeyError, AttributeError, ConfigError) as error:
        raise SignalError(f"a .cfm file's header must be of this version: {error}; update cardiofm") from error
    _check(found)
    return found, end + CRC


def _check(found: Header) -> None:
    rates = [c.fs_hz for c in found.channels.values()]
    times = [found.start_s, *(c.start_s for c in found.channels.values())]
    if not found.channels or not set(found.channels) <= set(MODALITIES):
        raise SignalError(f"a .cfm file must hold channels of {', '.join(MODALITIES)}, found {list(found.channels)}")
    if not (all(MIN_FS_HZ <= r <= MAX_FS_HZ for r in rates) and all(map(math.isfinite, times))):
        raise SignalError("a .cfm file's channels must have rates and start times that can be, found others")


def chunks(data: bytes, at: int) -> Iterator[Chunk]:
    """The whole chunks from `at` on, in the file's order. Damaged bytes are stepped over to the next whole chunk."""
    while at < len(data):
        chunk, end = _chunk(data, at)
        if chunk is not None:
            yield chunk
            at = end
        else:
            at = data.find(MARK, at + 1)
            at = len(data) if at < 0 else at


def _chunk(data: bytes, at: int) -> tuple[Chunk | None, int]:
    """The chunk at a place, and where it ends; None where none is whole."""
    if data[at] != MARK:
        return None, at
    size, begin = _varint(data, at + 1)
    end = begin + size
    if not 2 <= size <= MOST or end + CRC > len(data):
        return None, at
    if zlib.crc32(data[at + 1 : end]) != int.from_bytes(data[end : end + CRC], "little"):
        return None, at
    first, begin = _varint(data, begin)
    windows, begin = _varint(data, begin)
    if first < 0 or not 1 <= windows <= MOST_WINDOWS or begin > end:
        return None, at
    return Chunk(first, windows, data[begin:end], at), end + CRC


def varint(value: int) -> bytes:
    """A whole number of 7 bits a byte.

    >>> varint(5), varint(300)
    (b'\\x05', b'\\xac\\x02')
    """
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place and where it ends; -1 where there is none."""
    value = 0
    for k in range(5):
        if at + k >= len(data):
            return -1, at
        value |= (data[at + k] & 127) << (7 * k)
        if data[at + k] < 128:
            return value, at + k + 1
    return -1, at


def _closed(data: bytes) -> bytes:
    return data + zlib.crc32(data).to_bytes(CRC, "little")
