"""The training store: Parquet shards of 60-second segments at one rate, readable by pandas, polars and DuckDB.

One row is one segment: who and where it is, and each channel as int16 with `value = code * scale + offset` (code
-32768: no sample; the whole list is null where the channel is absent). `manifest.json` names each shard with its hash.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.signals import MODALITIES, SignalError, Window

FORMAT = 1
MANIFEST = "manifest.json"
NOISE = "noise.parquet"
ABSENT = -32768
_ROW = [
    ("dataset", "U32"),
    ("record", "U64"),
    ("patient", "U64"),
    ("split", "U8"),
    ("start_s", "f8"),
    ("fs_hz", "f8"),
    ("samples", "i4"),
    *((f"{m}_{name}", kind) for m in MODALITIES for name, kind in (("in_mv", "?"), ("quality", "f4"))),
    *((f"has_{m}", "?") for m in MODALITIES),
]


def encode(values_n: NDArray[np.float32], valid_n: NDArray[np.bool_]) -> tuple[NDArray[np.int16], float, float]:
    """(codes, scale, offset) with `codes * scale + offset` within half a scale step of the values.

    >>> codes, scale, offset = encode(np.float32([1, 2, 3]), np.array([True, False, True]))
    >>> codes.tolist(), offset
    ([-32767, -32768, 32767], 2.0)
    """
    known = values_n[valid_n].astype(np.float64)
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    offset = (low + high) / 2
    scale = (high - low) / (2 * 32767) or 1.0
    codes = np.full(len(values_n), ABSENT, np.int16)
    codes[valid_n] = np.rint((known - offset) / scale).astype(np.int16)
    return codes, scale, offset


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """Random access to the segments of a prepared folder.

    `rows` is a structured array, one row per segment: dataset, record, patient, split, start_s, fs_hz, samples,
    has_ecg, has_ppg, ecg_in_mv, ppg_in_mv, ecg_quality, ppg_quality. Decoded row groups stay in memory as int16 up to
    `cache_mb`, so `read` costs microseconds once its row group was touched. A damaged or missing shard is a
    `SignalError` that names it: a shard is compared with its hash before its first row group is decoded and whenever
    the file has changed since; `verify()` compares every one now.
    """

    def __init__(self, path: str | Path, cache_mb: float = 2048.0):
        self.path = Path(path)
        self.manifest = _manifest(self.path)
        self._budget = int(cache_mb * 1e6)
        self._used = 0
        self._groups: OrderedDict[tuple[int, int], dict[str, NDArray[Any]]] = OrderedDict()
        self._files: dict[int, Any] = {}
        self._checked: dict[int, tuple[int, ...]] = {}  # shard → its file as it was when its hash was right
        self.rows, self._where = self._index()
        self._in_mv = np.stack([self.rows[f"{m}_in_mv"] for m in MODALITIES], 1)
        self._quality = np.stack([self.rows[f"{m}_quality"] for m in MODALITIES], 1)

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_groups": OrderedDict(), "_files": {}, "_used": 0}  # workers fill their own cache

    def read(self, i: int, first: int = 0, n: int | None = None) -> Window:
        """`n` samples of segment i from sample `first` (all by default), at the store's rate; 0 where not valid.

        Past the segment's end nothing is valid. `quality` is that of the whole segment.
        """
        n = int(self.rows["samples"][i]) - first if n is None else n
        shard, group, at = self._where[i].tolist()
        columns = self._group(shard, group)
        values_CN = np.zeros((len(MODALITIES), n), np.float32)
        valid_CN = np.zeros((len(MODALITIES), n), bool)
        for c, modality in enumerate(MODALITIES):
            begin, end = columns[modality + "_at"][at : at + 2]
            codes = columns[modality][begin + first : min(begin + first + n, end)]
            m = len(codes)
            np.not_equal(codes, ABSENT, out=valid_CN[c, :m])
            scale, offset = columns[modality + "_scale"][at], columns[modality + "_offset"][at]
            np.multiply(codes, scale, out=values_CN[c, :m])
            values_CN[c, :m] += offset
            values_CN[c, :m] *= valid_CN[c, :m]
        start_s = float(self.rows["start_s"][i]) + first / float(self.rows["fs_hz"][i])
        return Window(start_s, values_CN, valid_CN, self._in_mv[i].copy(), self._quality[i].copy())

    @cached_property
    def noise(self) -> dict[str, NDArray[np.float32]]:
        """Noise for augmentation in mV at the store's rate: kind (bw, em, ma) → `(2, N)`; needs nstdb prepared."""
        import pyarrow.parquet as pq

        entry = self.manifest.get("noise")
        if entry is None:
            raise SignalError(f"{self.path} must hold noise for this, found none; prepare it with nstdb among the sets")
        try:
            table = pq.read_table(self.path / entry["file"]).to_pylist()
        except Exception as error:
            raise SignalError(f"{entry['file']} must be a readable shard, found {error}; prepare again") from error
        kinds: dict[str, list[NDArray[np.float32]]] = {}
        for row in table:
            codes = np.asarray(row["noise"], np.float32)
            kinds.setdefault(row["kind"], []).append(codes * np.float32(row["scale"]) + np.float32(row["offset"]))
        return {kind: np.stack(channels) for kind, channels in kinds.items()}

    def verify(self) -> None:
        """Compare every shard with its hash in the manifest; `SignalError` names the first that differs."""
        self._checked.clear()
        for shard in range(len(self.manifest["shards"])):
            self._check(shard)

    def _check(self, shard: int) -> None:
        """Compare a shard with its hash, unless the file is the one that was compared before."""
        about = self.manifest["shards"][shard]
        path = self.path / about["file"]
        try:
            stat = path.stat()
            version = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if self._checked.get(shard) == version:
                return
            found = file_hash(path)
        except OSError as error:
            raise SignalError(_damaged(about["file"], error.strerror or str(error))) from error
        if found != about["sha256"]:
            raise SignalError(_damaged(about["file"], f"{stat.st_size} bytes whose hash differs"))
        self._checked[shard] = version

    def _index(self) -> tuple[NDArray[Any], NDArray[np.int32]]:
        names = [name for name, _ in _ROW if not name.startswith("has_")]
        parts, where = [], []
        for s, shard in enumerate(self.manifest["shards"]):
            file = self._open(s)
            for g in range(file.num_row_groups):
                # A channel is there where its scale is not null: the long lists need not be read for that.
                table = self._columns(s, g, [*names, *(f"{m}_scale" for m in MODALITIES)])
                part = np.zeros(table.num_rows, _ROW)
                for name in names:
                    part[name] = table[name].to_numpy()
                for m in MODALITIES:
                    part[f"has_{m}"] = table[f"{m}_scale"].is_valid().to_numpy()
                parts.append(part)
                where.append(np.stack([np.full(len(part), s), np.full(len(part), g), np.arange(len(part))], 1))
            if file.metadata.num_rows != shard["rows"]:
                raise SignalError(_damaged(shard["file"], f"{file.metadata.num_rows} rows instead of {shard['rows']}"))
        if not parts:
            raise SignalError(f"{self.path} must hold segments, found none; see 'skipped' in {MANIFEST}")
        return np.concatenate(parts), np.concatenate(where).astype(np.int32)

    def _open(self, shard: int) -> Any:
        import pyarrow.parquet as pq

        if shard not in self._files:
            name = self.manifest["shards"][shard]["file"]
            try:
                self._files[shard] = pq.ParquetFile(self.path / name)
            except Exception as error:
                raise SignalError(_damaged(name, str(error))) from error
        return self._files[shard]

    def _columns(self, shard: int, group: int, names: list[str]) -> Any:
        file = self._open(shard)
        try:
            return file.read_row_group(group, columns=names, use_threads=False)
        except Exception as error:
            raise SignalError(_damaged(self.manifest["shards"][shard]["file"], str(error))) from error

    def _group(self, shard: int, group: int) -> dict[str, NDArray[Any]]:
        key = (shard, group)
        if key in self._groups:
            self._groups.move_to_end(key)
            return self._groups[key]
        self._check(shard)
        names = [f"{m}{part}" for m in MODALITIES for part in ("", "_scale", "_offset")]
        table = self._columns(shard, group, names)
        columns: dict[str, NDArray[Any]] = {}
        for m in MODALITIES:
            lists = table[m].combine_chunks()
            lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            columns[m] = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int16)
            columns[m + "_at"] = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
            for part in ("_scale", "_offset"):
                columns[m + part] = table[m + part].fill_null(0.0).to_numpy()
        self._groups[key] = columns
        self._used += sum(a.nbytes for a in columns.values())
        while self._used > self._budget and len(self._groups) > 1:
            _, old = self._groups.popitem(last=False)
            self._used -= sum(a.nbytes for a in old.values())
        return columns


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SignalError(
            f"{path} must be a prepared store with {MANIFEST}, found none; run cardiofm prepare"
        ) from error
    except ValueError as error:
        raise SignalError(f"{path / MANIFEST} must be JSON, found {error}; prepare again") from error
    if manifest.get("format") != FORMAT:
        raise SignalError(f"{path} must be of store format {FORMAT}, found {manifest.get('format')}; prepare again")
    return manifest


def _damaged(name: str, found: str) -> str:
    short = " ".join(found.split())[:150]
    return f"shard {name} must be as the manifest states, found {short}; delete it and prepare again"
