"""Measurements to tables: one row per beat, per 30 seconds, or per window, as .parquet or .csv.

A beat's columns: record, beat (from 1), each of `MEASURES` with its `…_confidence`, both null where there is no value,
and `reasons`, which says why: "no P wave seen: p_onset_s p_offset_s pr_ms; noise: qt_ms", empty where all is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cardiofm.data.files import check_embeddings_path, whole
from cardiofm.signals import MEASURES, REASONS, Features, Measurement

_PART = 16_384  # rows written at once
_WORDS, _COUNTS = ("record", "rhythm"), ("beats",)  # columns of a stretch that are no float


def check_table_path(path: Path) -> None:
    """Refuse, before any work is done, an output that could not be written."""
    check_embeddings_path(path)


def write_beats(measurements: Iterable[Measurement], path: Path) -> int:
    """Write the beats of records, one after another, as .parquet or .csv says; gives the number of rows.

    The file appears when all is written, also where there is no beat at all. Memory holds one record's numbers, and its
    table in parts.
    """
    import pyarrow.csv
    import pyarrow.parquet

    check_table_path(path)
    rows, schema = 0, _schema()
    with whole(path) as partial:
        if path.suffix.lower() == ".csv":
            writer: Any = pyarrow.csv.CSVWriter(partial, schema)
        else:
            writer = pyarrow.parquet.ParquetWriter(partial, schema, compression="zstd")
        with writer:
            for one in measurements:
                for first in range(0, len(one), _PART):
                    writer.write_table(beats(_rows(one, first), first))
                rows += len(one)
    return rows


def _rows(one: Measurement, first: int) -> Measurement:
    """The next `_PART` rows of a record's."""
    values, confidence, reason = (
        {c: x[first : first + _PART] for c, x in columns.items()}
        for columns in (one.values, one.confidence, one.reason)
    )
    return replace(one, values=values, confidence=confidence, reason=reason)


def beats(one: Measurement, before: int = 0) -> Any:
    """The beats of a record as a pyarrow table; `before`: how many came before them."""
    import pyarrow as pa

    columns: dict[str, Any] = {"record": [one.record] * len(one), "beat": np.arange(before + 1, before + len(one) + 1)}
    for name in MEASURES:
        absent = np.isnan(one.values[name])
        columns[name] = pa.array(one.values[name], mask=absent)
        columns[f"{name}_confidence"] = pa.array(one.confidence[name], mask=absent)
    columns["reasons"] = reasons(one)
    return pa.table({f.name: columns[f.name] for f in _schema()}, schema=_schema())


def reasons(one: Measurement) -> list[str]:
    """Why each beat lacks what it lacks, in words: `reason: column column; reason: column`."""
    if len(one) == 0:
        return []
    codes = np.stack([one.reason[name] for name in MEASURES], axis=1)
    kinds, which = np.unique(codes, axis=0, return_inverse=True)
    said = []
    for kind in kinds:
        groups = {code: [m for m, c in zip(MEASURES, kind, strict=True) if c == code] for code in kind if code}
        said.append("; ".join(f"{REASONS[code]}: {' '.join(names)}" for code, names in groups.items()))
    return [said[i] for i in which.ravel()]


def write_stretches(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the figures of every 30 s, flat rows of one shape, as .parquet or .csv says."""
    import pyarrow as pa

    check_table_path(path)
    kinds = dict.fromkeys(_WORDS, pa.string()) | dict.fromkeys(_COUNTS, pa.int64())
    names = list(rows[0]) if rows else ["record"]
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in names])
    _write(pa.Table.from_pylist(rows, schema=schema), path)


def write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    """Write flat rows as .parquet or .csv says; a column is what its values are, and null where a row has none."""
    import pyarrow as pa

    check_table_path(path)
    names = list(dict.fromkeys(name for row in rows for name in row))
    _write(pa.table({name: [row.get(name) for row in rows] for name in names}), path)


def write_features(found: Iterable[Features], path: Path) -> int:
    """Write hand-crafted numbers, one row per window, as .parquet or .csv says; gives the number of rows.

    Columns: record, start_s, has_ecg, has_ppg, quality_ecg, quality_ppg, then one per number, null where it could not
    be measured. Without any record nothing is written.
    """
    import pyarrow as pa

    check_table_path(path)
    parts = []
    for one in found:
        columns: dict[str, Any] = {"record": [one.record] * len(one), "start_s": one.start_s}
        columns |= {"has_ecg": one.present[:, 0], "has_ppg": one.present[:, 1]}
        columns |= {"quality_ecg": one.quality[:, 0], "quality_ppg": one.quality[:, 1]}
        for name, values in zip(one.names, one.values.T, strict=True):
            columns[name] = pa.array(values, mask=np.isnan(values))
        parts.append(pa.table(columns))
    if not parts:
        return 0
    table = pa.concat_tables(parts)
    _write(table, path)
    return table.num_rows


def _write(table: Any, path: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    with whole(path) as partial:
        if path.suffix.lower() == ".csv":
            pyarrow.csv.write_csv(table, partial)
        else:
            pyarrow.parquet.write_table(table, partial, compression="zstd")


def _schema() -> Any:
    import pyarrow as pa

    pairs = [field for name in MEASURES for field in ((name, pa.float64()), (f"{name}_confidence", pa.float32()))]
    return pa.schema([("record", pa.string()), ("beat", pa.int64()), *pairs, ("reasons", pa.string())])
