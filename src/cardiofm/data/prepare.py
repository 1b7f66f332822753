"""Recordings to a training store: one pass, in shards that survive a kill, nothing left out without a line about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cardiofm.config import to_dict
from cardiofm.data import catalog, store
from cardiofm.data.catalog import SPLITS, Entry
from cardiofm.data.quality import quality
from cardiofm.data.windows import cut
from cardiofm.signals import MODALITIES, InputSpec, Record, SignalError

SEGMENT_S = 60.0
MIN_VALID_S = 2.0  # a segment in which no channel has this much is dropped (and counted)
NOISE_S = 1200.0  # noise that training may hear; the last ten minutes of nstdb are kept for evaluation
_PER_SHARD = 128  # records
_PER_GROUP = 64  # segments: about 4 MB of two channels
_KEY = b"cardiofm"

Progress = Callable[[int, int, str], None]  # records done, records in all, what is being read


def prepare(
    datasets: Sequence[str],
    data_root: str | Path,
    out: str | Path,
    *,
    splits: Sequence[str] = SPLITS,
    all_entries: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `out/*.parquet` and `out/manifest.json` from those datasets' recordings; gives the manifest back.

    Only entries that published weights may be trained on are taken, unless `all_entries`. A shard that is already
    there and was made from the same entries is kept, so a killed run goes on. A recording that cannot be read is
    skipped and listed with its reason. nstdb becomes `noise.parquet`. Raises `SignalError` when a patient is in two
    splits or nothing is left to prepare.
    """
    data_root, out = Path(data_root), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    chosen = {d: _chosen(d, data_root, splits, all_entries) for d in datasets if d != "nstdb"}
    patients = _patients([e for found in chosen.values() for e in found])
    noise = _write_noise(data_root, out) if "nstdb" in datasets else None
    total = sum(len(found) for found in chosen.values())
    if not total and not noise:
        raise SignalError(f"there must be something to prepare in {data_root}, found no entry that may be trained on")
    shards, done = [], 0
    for dataset, found in chosen.items():
        for k, first in enumerate(range(0, len(found), _PER_SHARD)):
            part = found[first : first + _PER_SHARD]
            path = out / f"{dataset}-{k:04d}.parquet"
            shards.append(_shard(path, part, data_root, progress, done, total))
            done += len(part)
    manifest = _manifest(chosen, shards, patients, noise)
    for stale in set(out.glob("*.parquet")) - {out / s["file"] for s in [*shards, *([noise] if noise else [])]}:
        stale.unlink()  # of an earlier run with other datasets: the manifest would not know it
    _write_text(out / store.MANIFEST, json.dumps(manifest, indent=1))
    return manifest


def _chosen(dataset: str, data_root: Path, splits: Sequence[str], all_entries: bool) -> list[Entry]:
    return [e for e in catalog.entries(dataset, data_root) if e.split in splits and (e.pretrain or all_entries)]


def _patients(entries: list[Entry]) -> dict[str, list[str]]:
    """Patients per split; a patient in two splits is refused."""
    split_of: dict[str, str] = {}
    for entry in entries:
        before = split_of.setdefault(entry.patient, entry.split)
        if before != entry.split:
            raise SignalError(
                f"a patient must be in one split, found {entry.patient} in {before} and in {entry.split} "
                f"(record {entry.record} of {entry.dataset}); correct the catalog or leave the dataset out"
            )
    return {split: sorted(p for p, s in split_of.items() if s == split) for split in SPLITS}


def _shard(
    path: Path, entries: list[Entry], data_root: Path, progress: Progress | None, done: int, total: int
) -> dict[str, Any]:
    """The manifest's lines about one shard, which is written unless it is already there for the same entries."""
    import pyarrow.parquet as pq

    made_from = [[e.record, e.patient, e.split] for e in entries]
    settings = [to_dict(InputSpec(window_s=SEGMENT_S)), MIN_VALID_S, store.FORMAT]
    plan = hashlib.sha256(json.dumps([settings, made_from]).encode()).hexdigest()
    if path.is_file():
        try:
            about = json.loads(pq.read_metadata(path).metadata[_KEY])
        except Exception:
            about = {}
        if about.get("plan") == plan:
            if progress:
                progress(done + len(entries), total, path.name)
            return {k: v for k, v in about.items() if k != "plan"} | {"sha256": store.file_hash(path)}
    about = _write(path, entries, data_root, plan, lambda i, name: progress and progress(done + i, total, name))
    return {k: v for k, v in about.items() if k != "plan"} | {"sha256": store.file_hash(path)}


def _write(
    path: Path, entries: list[Entry], data_root: Path, plan: str, progress: Callable[[int, str], Any]
) -> dict[str, Any]:
    """One shard, row group by row group (constant memory), renamed into place when it is whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    about: dict[str, Any] = {"file": path.name, "dataset": entries[0].dataset, "plan": plan, "rows": 0, "dropped": 0}
    about |= {"records": 0, "skipped": [], "seconds": dict.fromkeys(MODALITIES, 0.0), "hours": 0.0}
    rows: list[dict[str, Any]] = []
    unfinished = path.with_suffix(".unfinished")
    lists = [f"{m}.list.element" for m in MODALITIES]
    with pq.ParquetWriter(
        unfinished,
        _schema(),
        compression="zstd",
        use_dictionary=["dataset", "record", "patient", "split"],  # pyright: ignore[reportArgumentType]
        column_encoding=dict.fromkeys(lists, "DELTA_BINARY_PACKED"),
    ) as writer:

        def flush(least: int) -> None:
            while len(rows) >= least:
                writer.write_table(pa.Table.from_pylist(rows[:_PER_GROUP], _schema()))
                del rows[:_PER_GROUP]

        for i, entry in enumerate(entries):
            try:
                found = 0
                for row in _segments(entry, catalog.load(entry, data_root), about):
                    rows.append(row)
                    found += 1
                    flush(_PER_GROUP)
            except SignalError as error:
                about["skipped"].append({"dataset": entry.dataset, "record": entry.record, "reason": str(error)})
            else:
                about["records"] += found > 0
                if not found:
                    reason = f"no minute of it has {MIN_VALID_S:g} s of valid signal"
                    about["skipped"].append({"dataset": entry.dataset, "record": entry.record, "reason": reason})
            progress(i + 1, f"{entry.dataset} {entry.record}")
        flush(1)
        writer.add_key_value_metadata({_KEY: json.dumps(about)})
    unfinished.rename(path)
    return about


def _segments(entry: Entry, record: Record, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of one recording; the counts in `about` grow along."""
    spec = InputSpec(window_s=SEGMENT_S)
    for window in cut(record, spec):
        n = min(spec.samples, int(np.ceil((record.end_s - window.start_s) * spec.fs_hz - 1e-6)))
        seconds = window.valid.sum(1) / spec.fs_hz
        if seconds.max() < MIN_VALID_S:
            about["dropped"] += 1
            continue
        row: dict[str, Any] = {
            "dataset": entry.dataset,
            "record": entry.record,
            "patient": entry.patient,
            "split": entry.split,
            "start_s": window.start_s,
            "fs_hz": spec.fs_hz,
            "samples": n,
        }
        for c, m in enumerate(MODALITIES):
            values_n, valid_n = window.values[c, :n], window.valid[c, :n]
            # The segment ends with its record: its quality is not lowered by the minute's empty rest.
            row |= {f"{m}_in_mv": bool(window.in_mv[c]), f"{m}_quality": quality(values_n, valid_n, spec.fs_hz, m)}
            if valid_n.any():
                row[m], row[f"{m}_scale"], row[f"{m}_offset"] = store.encode(values_n, valid_n)
                about["seconds"][m] += float(seconds[c])
        about["rows"] += 1
        about["hours"] += n / spec.fs_hz / 3600
        yield row


def _schema() -> Any:
    import pyarrow as pa

    fields = [pa.field(name, pa.string()) for name in ("dataset", "record", "patient", "split")]
    fields += [pa.field("start_s", pa.float64()), pa.field("fs_hz", pa.float64()), pa.field("samples", pa.int32())]
    for m in MODALITIES:
        fields += [
            pa.field(m, pa.list_(pa.int16())),
            pa.field(f"{m}_scale", pa.float32()),
            pa.field(f"{m}_offset", pa.float32()),
            pa.field(f"{m}_in_mv", pa.bool_()),
            pa.field(f"{m}_quality", pa.float32()),
        ]
    return pa.schema(fields)


def _write_noise(data_root: Path, out: Path) -> dict[str, Any]:
    """`noise.parquet`: the part of nstdb that may be trained on, in mV at the store's rate, one row per channel."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = []
    spec = InputSpec(window_s=NOISE_S)
    for entry in catalog.entries("nstdb", data_root):
        window = next(cut(catalog.load(entry, data_root), spec))
        codes, scale, offset = store.encode(window.values[0], np.ones(spec.samples, bool))
        kind = {"kind": entry.labels["kind"], "channel": entry.labels["channel"], "fs_hz": spec.fs_hz}
        rows.append(kind | {"noise": codes, "scale": scale, "offset": offset})
    pq.write_table(pa.Table.from_pylist(rows), out / store.NOISE, compression="zstd")
    path = out / store.NOISE
    seconds = {"file": path.name, "seconds_per_channel": NOISE_S, "licence": catalog.about("nstdb").licence}
    return seconds | {"sha256": store.file_hash(path)}


def _manifest(
    chosen: dict[str, list[Entry]],
    shards: list[dict[str, Any]],
    patients: dict[str, list[str]],
    noise: dict[str, Any] | None,
) -> dict[str, Any]:
    datasets = {}
    for name, entries in chosen.items():
        about = catalog.about(name)
        mine = [s for s in shards if s["dataset"] == name]
        datasets[name] = {
            "licence": about.licence,
            "citation": about.citation,
            "url": about.url,
            "records": sum(s["records"] for s in mine),
            "patients": len({e.patient for e in entries}),
            "segments": sum(s["rows"] for s in mine),
            "dropped_segments": sum(s["dropped"] for s in mine),
            "hours": round(sum(s["hours"] for s in mine), 3),
            **{f"{m}_hours": round(sum(s["seconds"][m] for s in mine) / 3600, 3) for m in MODALITIES},
        }
    return {
        "format": store.FORMAT,
        "fs_hz": InputSpec().fs_hz,
        "segment_s": SEGMENT_S,
        "hours": round(sum(d["hours"] for d in datasets.values()), 3),
        "datasets": datasets,
        "noise": noise,
        "patients": patients,
        "skipped": [line for s in shards for line in s["skipped"]],
        "shards": [{k: s[k] for k in ("file", "dataset", "rows", "sha256")} for s in shards],
    }


def _write_text(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.rename(path)
