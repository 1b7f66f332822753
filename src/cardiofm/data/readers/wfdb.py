"""WFDB records: formats 16, 212, 516 (FLAC), `.mat`, multi-segment, channels of different rates.

The format: https://physionet.org/physiotools/wag/header-5.htm (headers) and signal-5.htm (signal files).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.readers.channels import Channel, in_mv, record
from cardiofm.data.readers.lazy import Lazy, one_sentence
from cardiofm.signals import Record, SignalError

FORM = "WFDB"


@dataclass(frozen=True)
class Piece:
    """`n` frames of one channel, from frame `first` of the record; `path` is None where the channel is absent."""

    first: int
    n: int
    path: Path | None = None  # of the segment's header
    channel: int = 0  # in that segment
    gain: float = 1.0  # digital units per physical unit
    baseline: float = 0.0
    to_mv: float = 1.0


def read(
    path: str | Path,
    ecg: str | None = None,
    ppg: str | None = None,
    fs_hz: float | None = None,
    digital: bool = False,
) -> Record:
    """The record at `path` (header, signal file or bare name), in mV; `digital=True` gives raw ADC units, unit "adu".

    `digital` is for datasets whose headers carry a wrong gain. Errors: `SignalError`.
    """
    header = header_of(Path(path))
    with one_sentence(header, FORM):
        return record(header.stem, channels(header, digital), ecg, ppg, fs_hz)


def header_of(path: Path) -> Path:
    """The `.hea` file that belongs to a header, a signal file or a bare record name."""
    candidates = [path] if path.suffix == ".hea" else [path.with_name(path.name + ".hea"), path.with_suffix(".hea")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if path.exists() and path.suffix != ".hea":
        raise SignalError(f"{path.name} must have its WFDB header {path.stem}.hea beside it, found none; add it")
    raise SignalError(f"{path} must exist, found no such file; check the path")


def channels(header: Path, digital: bool = False) -> list[Channel]:
    """Every channel of a WFDB record, lazy, in mV where the header states a voltage."""
    import wfdb

    lines = _lines(header)
    master = wfdb.rdheader(str(header.with_suffix("")))
    stated = len(lines[0].split()) > 2  # without it the format means 250 Hz: a guess that this package does not make
    fs_hz = float(master.fs) if stated and master.fs else None
    tables = _multi(header, master) if isinstance(master, wfdb.MultiRecord) else _single(header, master)
    found = []
    for name, spf, unit, pieces in tables:
        total = sum(p.n for p in pieces) * spf
        _check_end(header, pieces)
        samples = Lazy(total, functools.partial(_fetch, header, pieces, spf, digital))
        rate = None if fs_hz is None else fs_hz * spf
        found.append(Channel(name, rate, samples, "adu" if digital else unit))
    return found


def _single(header: Path, segment: Any) -> list[tuple[str, int, str, tuple[Piece, ...]]]:
    calibrated = _calibrated(header, segment)
    table = []
    for i, name in enumerate(segment.sig_name or []):
        factor, unit = in_mv(segment.units[i] if calibrated[i] else None)
        n = _length(header, segment)
        piece = Piece(0, n, header, i, segment.adc_gain[i], segment.baseline[i], factor)
        table.append((name or f"channel {i + 1}", segment.samps_per_frame[i], unit, (piece,)))
    return table


def _multi(header: Path, master: Any) -> list[tuple[str, int, str, tuple[Piece, ...]]]:
    """Fixed layout: the same channels everywhere. Variable layout: by name; where a name is missing there is a gap."""
    segments: list[tuple[int, Path, Any] | int] = []
    layout = None
    for name, length in zip(master.seg_name, master.seg_len, strict=True):
        if name == "~":
            segments.append(length)
            continue
        path, segment = _segment(header, name)
        if length == 0 and layout is None and not segments:
            layout = segment
        else:
            segments.append((length, path, segment))
    reference = layout or next((s[2] for s in segments if not isinstance(s, int)), None)
    if reference is None:
        return []
    table = []
    for i, name in enumerate(reference.sig_name or []):
        spf = 1
        unit = "NU"
        pieces: list[Piece] = []
        first = 0
        for entry in segments:
            length = entry if isinstance(entry, int) else entry[0]
            piece = Piece(first, length)
            if not isinstance(entry, int):
                _, path, segment = entry
                names = list(segment.sig_name or [])
                at = (names.index(name) if name in names else None) if layout else (i if i < len(names) else None)
                if at is not None:
                    spf = segment.samps_per_frame[at]
                    calibrated = _calibrated(path, segment)[at]
                    factor, unit = in_mv(segment.units[at] if calibrated else None)
                    piece = Piece(first, length, path, at, segment.adc_gain[at], segment.baseline[at], factor)
            pieces.append(piece)
            first += length
        table.append((name or f"channel {i + 1}", spf, unit, tuple(pieces)))
    return table


def _segment(header: Path, name: str) -> tuple[Path, Any]:
    import wfdb

    path = header.parent / (_inside(header, name) + ".hea")
    if not path.is_file():
        raise SignalError(
            f"{header.name} must have its segment {path.name} beside it, found none; get the whole record"
        )
    _lines(path)
    segment = wfdb.rdheader(str(path.with_suffix("")))
    if isinstance(segment, wfdb.MultiRecord):
        raise SignalError(f"{header.name}: segment {name} must be a single segment, found a multi-segment header")
    return path, segment


def _lines(header: Path) -> list[str]:
    """The header's lines without comments; refuses names that lead out of the header's folder."""
    text = header.read_text(encoding="ascii", errors="ignore")
    lines = [s for s in (line.strip() for line in text.splitlines()) if s and not s.startswith("#")]
    if not lines or len(lines[0].split()) < 2:
        raise SignalError(f"{header.name} must start with a WFDB record line (name, channels, rate), found none")
    if "/" not in lines[0].split()[0]:
        for line in lines[1:]:
            _inside(header, line.split()[0])
        stated = lines[0].split()[1]
        if not stated.isdigit() or int(stated) != len(lines) - 1:
            raise SignalError(
                f"{header.name} must describe the {stated} channels that it states, found {len(lines) - 1} lines"
            )
    return lines


def _inside(header: Path, name: str) -> str:
    windows = PureWindowsPath(name)
    outside = PurePosixPath(name).is_absolute() or windows.drive or windows.root or ".." in windows.parts
    if outside or "://" in name:
        raise SignalError(f"{header.name} must name files of its own folder, found {name!r}; refused")
    return name


def _calibrated(header: Path, segment: Any) -> list[bool]:
    """Per channel, whether the header states a gain: without one the format assumes 200 per mV, which means nothing."""
    fields = [line.split() for line in _lines(header)[1:]]
    return [len(f) > 2 and not f[2].startswith("0") for f in fields[: segment.n_sig]]


def _length(header: Path, segment: Any) -> int:
    import wfdb

    if segment.sig_len is not None:
        return segment.sig_len
    return wfdb.rdrecord(str(header.with_suffix("")), physical=False, smooth_frames=False).sig_len


def _check_end(header: Path, pieces: tuple[Piece, ...]) -> None:
    """Read the last frame of every segment: a truncated signal file is refused at the door, not hours into the work."""
    for piece in pieces:
        if piece.path is not None and piece.n > 0:
            with one_sentence(header, FORM):
                _fetch_piece(piece, piece.n - 1, piece.n, False)


def _fetch(
    header: Path, pieces: tuple[Piece, ...], spf: int, digital: bool, first: int, last: int
) -> NDArray[np.float32]:
    """Samples first…last of one channel, NaN where a segment lacks it."""
    out = np.full(last - first, np.nan, np.float32)
    frame_first, frame_last = first // spf, -(-last // spf)
    for piece in pieces:
        a, b = max(frame_first, piece.first), min(frame_last, piece.first + piece.n)
        if a >= b or piece.path is None:
            continue
        with one_sentence(header, FORM):
            values = _fetch_piece(piece, a - piece.first, b - piece.first, digital)
        at = a * spf - first
        skip = max(0, -at)
        part = values[skip : last - first - at]
        out[at + skip : at + skip + len(part)] = part
    return out


def _fetch_piece(piece: Piece, first: int, last: int, digital: bool) -> NDArray[np.float64]:
    import wfdb

    assert piece.path is not None
    part = wfdb.rdrecord(
        str(piece.path.with_suffix("")), first, last, channels=[piece.channel], physical=True, smooth_frames=False
    )
    assert isinstance(part, wfdb.Record)
    assert part.e_p_signal is not None
    values = part.e_p_signal[0]
    return np.rint(values * piece.gain + piece.baseline) if digital else values * piece.to_mv
