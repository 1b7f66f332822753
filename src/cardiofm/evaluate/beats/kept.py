"""A tool's beats are worked out once for a recording: kept on disk by the tool, its version and the samples."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from cardiofm.evaluate.beats.table import Method, Table
from cardiofm.evaluate.cached import CACHE
from cardiofm.signals import Record


def kept(method: Method, made_by: str, folder: Path = CACHE / "beats") -> Method:
    """The same method, which reads from `folder` what `made_by` (tool, version, settings) found in the same record."""

    def measure(record: Record) -> Table:
        path = folder / f"{_hash(made_by, record)}.npz"
        if path.is_file():
            with np.load(path) as found:
                return {name: found[name] for name in found.files}
        made = method(record)
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.savez(file, **made)  # type: ignore[arg-type]
        part.replace(path)
        return made

    return measure


def remembered(method: Method) -> Method:
    """The same method, which works a record out once while the program runs."""
    known: dict[str, Table] = {}

    def measure(record: Record) -> Table:
        key = _hash("", record)
        if key not in known:
            known[key] = method(record)
        return known[key]

    return measure


def _hash(made_by: str, record: Record) -> str:
    """Of the tool and of what it sees: samples, rates, units and clocks."""
    digest = hashlib.sha256(f"{made_by}\n".encode())
    for modality in record.present:
        signal = record.signal(modality)
        assert signal is not None
        digest.update(f"{modality} {signal.fs_hz!r} {signal.unit} {signal.start_s!r}\n".encode())
        digest.update(signal.values.tobytes())
    return digest.hexdigest()[:32]
