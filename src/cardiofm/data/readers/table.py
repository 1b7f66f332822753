"""CSV, TSV and other text tables: separator, header lines, units and the time column are found by looking."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cardiofm.data.readers import clock
from cardiofm.data.readers.channels import MILLIVOLTS, Channel, in_mv
from cardiofm.signals import SignalError

EMPTY = ("", "na", "n/a", "nan", "null", "none", "-", "#n/a", "-nan", "inf", "-inf")
NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?")
LOOKED_AT = 100  # lines
WIDE = 64  # a single line of more numbers than this is one channel written sideways
NOT_CHANNELS = {"index", "sample", "samples", "frame", "row", "n", "sample_number"}


@dataclass(frozen=True)
class Form:
    """How a table is written: `names` and `units` have one entry per column."""

    separator: str
    comma: bool  # decimal comma
    skip: int  # lines before the first row of numbers
    names: tuple[str, ...]
    units: tuple[str, ...]
    first_row: tuple[str, ...]


def channels(path: Path, fs_hz: float | None = None) -> list[Channel]:
    """Every numeric column as a channel, float32; the time column gives the rate unless `fs_hz` is given."""
    text = _text(path)
    form = look(path.name, text)
    if len(form.first_row) > WIDE and len(text.splitlines()) == form.skip + 1:
        values = np.array([np.nan if _is_empty(c) else float(c.replace(",", ".")) for c in form.first_row if c], "f4")
        return [Channel("1", fs_hz, values)]
    times, columns = _columns(path, text, form)
    rate, found = _clock(path, form, times, fs_hz), []
    for i, values in columns.items():
        factor, unit = in_mv(form.units[i])
        samples = rate.even(values * factor) if rate else np.asarray(values * factor, np.float32)
        said = (rate.start_s, rate.notes) if rate else (0.0, ())
        found.append(Channel(form.names[i], rate.fs_hz if rate else fs_hz, samples, unit, *said))
    return found


def look(where: str, text: str) -> Form:
    """Separator, header lines and column names of a text table."""
    lines = text.split("\n", LOOKED_AT + 1)[:LOOKED_AT]
    lines = [line.rstrip("\r") for line in lines]
    best: tuple[int, int, str, bool] | None = None
    for separator in (",", ";", "\t", " "):
        for comma in (False, True) if separator != "," else (False,):
            rows = [split(line, separator) for line in lines if line.strip()]
            numeric = [len(r) for r in rows if _is_row(r, comma)]
            if numeric and (best is None or (len(numeric), max(numeric)) > best[:2]):
                best = (len(numeric), max(numeric), separator, comma)
    if best is None:
        raise SignalError(f"{where} must hold rows of numbers, found none in its first lines; check the file")
    _, width, separator, comma = best
    skip = next(i for i, line in enumerate(lines) if line.strip() and _is_row(split(line, separator), comma))
    head = [split(line.lstrip("#"), separator) for line in lines[:skip] if line.strip()]
    head = [[c.strip("'\" ") for c in cells] for cells in head if len(cells) in (width, width - 1)]
    units = [""] * width
    if len(head) > 1 and all(_is_unit(c) for c in head[-1]):
        units = head.pop()
    names = head[-1] if head else [str(i + 1) for i in range(width)]
    names, units = names + [""] * (width - len(names)), units + [""] * (width - len(units))
    both = [split_unit(n, u) for n, u in zip(names, units, strict=True)]
    first_row = tuple(split(lines[skip], separator))
    return Form(separator, comma, skip, tuple(b[0] for b in both), tuple(b[1] for b in both), first_row)


def split(line: str, separator: str) -> list[str]:
    """The cells of a line, stripped; runs of blanks separate where the separator is a blank."""
    if separator == " ":
        return line.split()
    return [c.strip() for c in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]


def split_unit(name: str, unit: str = "") -> tuple[str, str]:
    """Name and unit of a column: 'ECG (mV)' → ('ECG', 'mV'); 'ecg_uv' → ('ecg', 'uv').

    >>> split_unit(" II [mV]"), split_unit("ecg_uV"), split_unit("Time [s]"), split_unit("ECG_V")
    (('II', 'mV'), ('ecg', 'uV'), ('Time', 's'), ('ECG_V', ''))
    """
    name = name.strip()
    match = re.fullmatch(r"(.*?)\s*[\[(]([^\])]*)[\])],?", name) or re.fullmatch(r"(.+)[_ ]([mMuUµμn][vV])", name)
    return (match[1], unit or match[2]) if match and match[1] else (name, unit)


def _clock(path: Path, form: Form, times: tuple[int, np.ndarray] | None, fs_hz: float | None) -> clock.Clock | None:
    if times is None:
        return None
    column, values = times
    name = form.names[column]
    if fs_hz is not None:
        return clock.Clock(fs_hz, 0.0, notes=(f"time column {name!r} not used: the rate was given",))
    where = f"{path.name}, time column {name!r}"
    if clock.parse([form.first_row[column]]) is not None:
        return clock.from_times(where, values - values[0], 1.0)  # time of day is not the record's clock
    return clock.from_times(where, values, clock.unit_of(form.units[column]) or clock.unit_of(name))


def _columns(path: Path, text: str, form: Form) -> tuple[tuple[int, np.ndarray] | None, dict[int, np.ndarray]]:
    """(column, values) of the time column or None, and every other numeric column."""
    body = text.split("\n", form.skip)[form.skip]
    width = range(len(form.first_row))
    dated = [i for i in width if clock.parse([form.first_row[i]]) is not None]
    named = [i for i in width if clock.is_time(form.names[i])]
    time_column = next(iter([*named, *dated]), None)
    rows = [split(line, form.separator) for line in body.split("\n", 50)[:50] if line.strip()][:-1] or [form.first_row]
    numeric = {i for i in width if all(_is_number(r[i], form.comma) for r in rows if i < len(r))}
    headless = form.names[0] == "1" and len(numeric) > 1 and 0 in numeric
    columns = _parse(body, form, numeric, 0 if headless and time_column is None else time_column)
    if time_column is None and headless:
        steps = np.diff(columns[0])
        if np.all(steps == 1):
            del columns[0]  # it only numbers the rows
        elif np.all(steps > 0):
            time_column = 0
    kept = {i: v for i, v in columns.items() if i in numeric and i != time_column}
    kept = {i: v for i, v in kept.items() if form.names[i].lower() not in NOT_CHANNELS}
    kept = {i: v for i, v in kept.items() if form.names[i] or np.isfinite(v).any()}
    if time_column is None:
        return None, kept
    times = columns[time_column]
    if time_column not in numeric:
        parsed = clock.parse([str(v) for v in times])
        if parsed is None:
            raise SignalError(
                f"{path.name}: time column {form.names[time_column]!r} must hold numbers or dates, found "
                f"{form.first_row[time_column][:40]!r}; give the rate in Hz with --fs"
            )
        times = parsed
    return (time_column, times), kept


def _parse(body: str, form: Form, numeric: set[int], time_column: int | None) -> dict[int, np.ndarray]:
    """The numeric columns (float32, the time float64) and the time column, whatever it holds."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    separator = form.separator
    if separator == " ":
        body, separator = re.sub(r"(?m)^[ \t]+|[ \t\r]+$", "", body), "\t"
        body = re.sub(r"[ \t]+", "\t", body)
    elif f"{separator} " in body or f" {separator}" in body:  # a cell of blanks is an empty one
        body = re.sub(rf" *(\r?\n|{re.escape(separator)}|\Z) *", r"\1", body)
    labels = [str(i) for i in range(len(form.first_row))]
    kinds = {i: pa.float64() if i == time_column else pa.float32() for i in numeric}
    table = arrow.read_csv(
        io.BytesIO(body.encode()),
        arrow.ReadOptions(column_names=labels, use_threads=False),
        arrow.ParseOptions(delimiter=separator, newlines_in_values=False),
        arrow.ConvertOptions(
            column_types={label: kinds.get(i, pa.string()) for i, label in enumerate(labels)},
            null_values=sorted({w for e in EMPTY for w in (e, e.upper(), e.title(), "NaN")}),
            strings_can_be_null=True,
            decimal_point="," if form.comma else ".",
        ),
    )
    wanted = sorted(numeric | ({time_column} if time_column is not None else set()))
    return {i: table.column(labels[i]).to_numpy(zero_copy_only=False) for i in wanted}


def _text(path: Path) -> str:
    raw = path.read_bytes()
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16").replace("\r\n", "\n")
    if b"\0" in raw[:4096]:
        raise SignalError(f"{path.name} must be a text table, found binary data; check the file's extension")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # where the µ of µV is one byte
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_number(cell: str, comma: bool) -> bool:
    return _is_empty(cell) or (NUMBER.fullmatch(cell) is not None and (comma or "," not in cell))


def _is_empty(cell: str) -> bool:
    return cell.lower() in EMPTY


def _is_row(cells: list[str], comma: bool) -> bool:
    """A row of numbers: at least one is there, and what is no number is empty or a time."""
    numbers = [c for c in cells if not _is_empty(c) and _is_number(c, comma)]
    others = [c for c in cells if not _is_number(c, comma)]
    return (
        bool(numbers)
        and len(others) <= len(numbers)
        and all(clock.parse([c]) is not None or _is_label(c) for c in others)
    )


def _is_label(cell: str) -> bool:
    return re.fullmatch(r"[A-Za-z]{1,12}", cell) is not None


def _is_unit(cell: str) -> bool:
    word = cell.strip("[]() ").lower()
    return word in MILLIVOLTS or word in clock.UNITS_S or word in {"nu", "", "mmhg", "pm", "bpm", "a.u.", "au", "%"}
