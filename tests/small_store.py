"""Small datasets in their home layout, of simulated beats, and the training store made from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import wfdb

from cardiofm.data.prepare import prepare
from cardiofm.data.store import ABSENT, MANIFEST, file_hash

SETS = ("challenge-2015", "challenge-2017")


def write(header: Path, fs_hz: float, channels: dict[str, tuple[str, np.ndarray]]) -> None:
    header.parent.mkdir(parents=True, exist_ok=True)
    units, signals = zip(*channels.values(), strict=True)
    wfdb.wrsamp(
        header.stem,
        fs=fs_hz,
        units=list(units),
        sig_name=list(channels),
        p_signal=np.stack(signals, 1),
        fmt=["16"] * len(units),
        write_dir=str(header.parent),
    )


def heart(seconds: float, fs_hz: float, seed: int = 0) -> np.ndarray:
    """Narrow beats, a slow wave and noise; another seed is another heart."""
    rng = np.random.default_rng(seed)
    t_s = np.arange(round(seconds * fs_hz)) / fs_hz
    beat_s, at_s = 0.7 + 0.4 * rng.random(), 0.3 + 0.2 * rng.random()
    wave = np.exp(-(((t_s % beat_s - at_s) / (0.015 + 0.02 * rng.random())) ** 2))
    return wave + 0.05 * np.sin(t_s) + 0.01 * rng.normal(size=len(t_s))


def paired_datasets(root: Path, patients: int = 12, seconds: float = 60.0) -> Path:
    """`root` with ICU records of ECG and pleth, each of one patient."""
    icu = root / "challenge-2015" / "1.0.0" / "training"
    names = [f"a{i}l" for i in range(1, patients + 1)]
    for i, name in enumerate(names):
        pleth = 1000 + 50 * heart(seconds, 250.0, i + 100)
        pleth[i * 500 : i * 1000] = np.nan  # a gap of 2 s more each, so that no two processes have as many samples
        write(icu / f"{name}.hea", 250.0, {"II": ("mV", heart(seconds, 250.0, i)), "PLETH": ("NU", pleth)})
    (icu / "ALARMS").write_text("".join(f"{name},Asystole,0\n" for name in names))
    return root


def single_datasets(root: Path, patients: int = 6, seconds: float = 60.0) -> Path:
    """`root` with hand-held records of one ECG each."""
    held = root / "challenge-2017" / "1.0.0" / "training"
    for i in range(1, patients + 1):
        write(held / "A00" / f"A0000{i}.hea", 300.0, {"ECG": ("mV", heart(seconds, 300.0, i + 200))})
    (held / "REFERENCE-v3.csv").write_text("".join(f"A0000{i},N\n" for i in range(1, patients + 1)))
    return root


def small_store(folder: Path, sets: tuple[str, ...] = SETS) -> Path:
    """A store of 12 patients with ECG and PPG and of 6 with ECG, a minute each and a shard a dataset, in `folder`."""
    source = single_datasets(paired_datasets(folder / "data"))
    prepare(sets, source, folder / "store")
    return folder / "store"


def without_a_valid_sample(store: Path) -> None:
    """Make every sample of the store one that was not recorded; hashes and all else stay right."""
    manifest = json.loads((store / MANIFEST).read_text())
    for shard in manifest["shards"]:
        path = store / shard["file"]
        table = pq.read_table(path)
        for name in ("ecg", "ppg"):
            none = [None if x is None else [ABSENT] * len(x) for x in table[name].to_pylist()]
            at = table.schema.get_field_index(name)
            table = table.set_column(at, name, pa.array(none, table.schema.field(name).type))
        pq.write_table(table, path)
        shard["sha256"] = file_hash(path)
    (store / MANIFEST).write_text(json.dumps(manifest))
