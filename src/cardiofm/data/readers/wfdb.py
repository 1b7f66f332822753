"""WFDB records: formats 16, 212, 516 (FLAC), `.mat`, multi-segment, channels of different rates.

The format: https://physionet.org/physiotools/wag/header-5.htm (headers) and signal-5.htm (signal files). A comment
"# note: …" is a note of the record; other comments say what each dataset means by them and are left alone.
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

FORM, NOTE = "WFDB", "note: "

BYTES = {"8": 1.0, "80": 1.0, "16": 2.0, "61": 2.0, "160": 2.0, "212": 1.5, "310": 4 / 3, "311": 4 / 3, "24": 3.0}
BYTES |= {"32": 4.0}  # per sample; the FLAC formats are not in it


@dataclass(frozen=True)
class Piece:
    """`n` frames of one channel, from frame `first` of the record; `path` is None where the channel is absent."""

    first: int
    n: int
    path: Path | None = None  # of the segment's header
    channel: int = 0  # in that segment
    spf: int = 1  # samples per frame
    unit: str = "NU"
    to_mv: float = 1.0
    gain: float = 1.0  # digital units per physical unit
    baseline: float = 0.0


@dataclass(frozen=True)
class Segment:
    """One header's channels by name, from frame `first` of the record; without channels it is a gap."""

    first: int
    n: int
    names: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()


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

    stated = len(_lines(header)[0].split()) > 2  # without it the format means 250 Hz: a guess not made here
    master = wfdb.rdheader(str(header.with_suffix("")))
    layout, segments = _multi(header, master) if isinstance(master, wfdb.MultiRecord) else ((), [_segment(header, 0)])
    names = layout or next((s.names for s in segments if s.names), ())
    end = max((s.first + s.n for s in segments), default=0)
    found, notes = [], _notes(header)
    for i, name in enumerate(names):
        pieces = tuple(p for s in segments if (p := _piece(s, name if layout else i)) is not None)
        spf = {p.spf for p in pieces} or {1}
        if len(spf) > 1:
            raise SignalError(f"{header.name}: channel {name!r} must keep its rate, found {spf} samples per frame")
        n_per_frame = spf.pop()
        units = {p.unit for p in pieces}
        unit = units.pop() if len(units) == 1 else "NU"
        samples = Lazy(end * n_per_frame, functools.partial(_fetch, header, pieces, n_per_frame, digital))
        fs_hz = float(master.fs) * n_per_frame if stated and master.fs else None
        found.append(Channel(name, fs_hz, samples, "adu" if digital else unit, notes=notes))
    return found


def _multi(header: Path, master: Any) -> tuple[tuple[str, ...], list[Segment]]:
    """(names, segments). Fixed layout: no names, channels by position. Variable: the layout's names, found by name."""
    layout: tuple[str, ...] = ()
    segments: list[Segment] = []
    first = 0
    for k, (name, n) in enumerate(zip(master.seg_name, master.seg_len, strict=True)):
        path = header.parent / f"{name}.hea"
        if name == "~":
            segments.append(Segment(first, n))
        elif not path.is_file():
            raise SignalError(f"{header.name} must have its segment {path.name} beside it, found none; add it")
        elif k == 0 and n == 0:
            layout = _segment(path, 0, n).names
        else:
            segments.append(_segment(path, first, n, master.fs))
        first += n
    return layout, segments


def _segment(path: Path, first: int, n: int | None = None, fs_hz: float | None = None) -> Segment:
    """What one single-segment header describes; its signal files must be there, whole."""
    import wfdb

    lines = _lines(path)
    head: Any = wfdb.rdheader(str(path.with_suffix("")))
    if isinstance(head, wfdb.MultiRecord):
        raise SignalError(f"{path.name} must be a single segment, found a multi-segment header")
    if fs_hz is not None and head.fs != fs_hz:
        raise SignalError(f"{path.name} must have the rate of its record, {fs_hz:g} Hz, found {head.fs:g} Hz")
    if not head.n_sig:
        return Segment(first, n or 0)
    if n is None:
        n = _length(path, head)
    names, pieces = [], []
    for i, line in enumerate(lines[1:]):
        fields = line.split()
        calibrated = len(fields) > 2 and not fields[2].startswith("0")  # else the format assumes 200 per mV
        factor, unit = in_mv(head.units[i] if calibrated else None)
        scale = (factor, head.adc_gain[i], head.baseline[i])
        pieces.append(Piece(first, n, path, i, head.samps_per_frame[i], unit, *scale))
        names.append(head.sig_name[i] or f"channel {i + 1}")
    if n > 0:
        _check_whole(path, head, n, pieces)
    return Segment(first, n, tuple(names), tuple(pieces))


def _piece(segment: Segment, at: str | int) -> Piece | None:
    if isinstance(at, str):
        at = segment.names.index(at) if at in segment.names else len(segment.pieces)
    return segment.pieces[at] if at < len(segment.pieces) else None


def _check_whole(path: Path, head: Any, n: int, pieces: list[Piece]) -> None:
    """A truncated signal file is refused at the door, not hours into the work."""
    for name in dict.fromkeys(head.file_name):
        at = [i for i, f in enumerate(head.file_name) if f == name]
        data = path.parent / name
        if not data.is_file():
            raise SignalError(f"{path.name} must have its signal file {name} beside it, found none; add it")
        per_sample = BYTES.get(head.fmt[at[0]])
        if per_sample is None:
            with one_sentence(data, FORM):
                _fetch_piece(pieces[at[0]], n - 1, n, False)
            continue
        need = (head.byte_offset[at[0]] or 0) + int(n * sum(head.samps_per_frame[i] for i in at) * per_sample)
        size = data.stat().st_size
        if size < need:
            raise SignalError(
                f"{name} must hold {need} bytes for the {n} frames of its header, found {size}: truncated; get it again"
            )


def _lines(header: Path) -> list[str]:
    """The header's lines without comments; refuses names that lead out of the header's folder."""
    text = header.read_text(encoding="ascii", errors="ignore")
    lines = [s for s in (line.strip() for line in text.splitlines()) if s and not s.startswith("#")]
    if not lines or len(lines[0].split()) < 2:
        raise SignalError(f"{header.name} must start with a WFDB record line (name, channels, rate), found none")
    for line in lines[1:]:  # before any of these files is opened
        _inside(header, line.split()[0])
    if "/" not in lines[0].split()[0]:
        stated = lines[0].split()[1]
        if not stated.isdigit() or int(stated) != len(lines) - 1:
            raise SignalError(
                f"{header.name} must describe the {stated} channels that it states, found {len(lines) - 1} lines"
            )
    return lines


def _notes(header: Path) -> tuple[str, ...]:
    """The notes among the header's comments."""
    lines = header.read_text(encoding="utf-8", errors="replace").splitlines()
    comments = [line.lstrip("# ") for line in lines if line.startswith("#")]
    return tuple(c.removeprefix(NOTE).strip() for c in comments if c.startswith(NOTE))


def _inside(header: Path, name: str) -> None:
    windows = PureWindowsPath(name)
    outside = PurePosixPath(name).is_absolute() or windows.drive or windows.root or ".." in windows.parts
    if outside or "://" in name:
        raise SignalError(f"{header.name} must name files of its own folder, found {name!r}; refused")


def _length(header: Path, segment: Any) -> int:
    import wfdb

    if segment.sig_len is not None:
        return segment.sig_len
    if any(form not in BYTES for form in segment.fmt):  # a compressed file's size says nothing
        raise SignalError(f"{header.name} must state how many samples its FLAC signal files hold, found no number")
    return wfdb.rdrecord(str(header.with_suffix("")), physical=False, smooth_frames=False).sig_len


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
