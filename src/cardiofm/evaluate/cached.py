"""Numbers of windows that are computed once: kept in a folder by what made them and by the samples themselves.

Shapes: W windows, D numbers each.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from cardiofm.heads.learn.gather import CACHE
from cardiofm.heads.learn.probes import HeldOut
from cardiofm.pipeline import Model
from cardiofm.signals import Window

_CHUNK = 128  # windows a file, so that an interrupted run loses little


def add_argument(parser: argparse.ArgumentParser) -> None:
    """`--cache FOLDER`."""
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of features (default: %(default)s)")


def numbers(
    folder: Path, made_by: str, windows: list[Window], make: Callable[[list[Window]], NDArray[np.floating]]
) -> NDArray[np.float32]:
    """`make(windows)` `(W, D)`, read from `folder` where `made_by` (what was run, with its version) did it before."""
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [windows[k : k + _CHUNK] for k in range(0, len(windows), _CHUNK)]
    found = []
    for chunk in track(chunks, made_by.split(" ")[0], transient=True):
        path = folder / f"{_hash(made_by, chunk)}.npy"
        if path.is_file():
            found.append(np.load(path))
            continue
        made = np.asarray(make(chunk), np.float32)
        _write(path, made)
        found.append(made)
    return np.concatenate(found)


def array(folder: Path, made_by: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """`make()`, read from `folder` where `made_by` (what was run, on what) did it before."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(made_by.encode()).hexdigest()[:32]}.npy"
    if path.is_file():
        return np.load(path)
    made = make()
    _write(path, made)
    return made


def held_out(path: Path, make: Callable[[], HeldOut]) -> HeldOut:
    """`make()`, read from the file where it was made before."""
    if path.is_file():
        with np.load(path) as arrays:
            folds = range((len(arrays.files) - 2) // 2)
            pairs = tuple((arrays[f"rows_{k}"], arrays[f"inner_{k}"]) for k in folds)
            return HeldOut(arrays["scores"], arrays["fold"], pairs)
    made = make()
    inner: dict[str, Any] = {
        f"{name}_{k}": a for k, pair in enumerate(made.inner) for name, a in zip(("rows", "inner"), pair, strict=True)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:  # all of it or nothing
        np.savez(file, scores=made.scores, fold=made.fold, **inner)
    part.replace(path)
    return made


def _write(path: Path, made: NDArray[Any]) -> None:
    """All of it or nothing."""
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.save(file, made)
    part.replace(path)


def embeddings(model: Model, windows: list[Window], batch: int = 16) -> NDArray[np.float32]:
    """One embedding a window `(W, D)`; a channel without valid samples is not run."""
    out = np.zeros((len(windows), 0), np.float32)
    for at, present in _batches(windows, batch):
        x, seen, in_mv = (np.stack([getattr(windows[i], name) for i in at]) for name in ("values", "valid", "in_mv"))
        found = model.backend.encode(np.where(seen, x, np.float32(0)), seen, in_mv, present).embedding
        if not out.shape[1]:
            out = np.zeros((len(windows), found.shape[1]), np.float32)
        out[at] = found
    return out


def _batches(windows: list[Window], size: int) -> Iterator[tuple[list[int], tuple[int, ...]]]:
    """Indices of windows that have the same channels, at most `size` together."""
    kinds = [tuple(int(c) for c in np.flatnonzero(w.valid.any(-1))) for w in windows]
    for kind in dict.fromkeys(kinds):
        own = [i for i, k in enumerate(kinds) if k == kind]
        for k in range(0, len(own), size):
            yield own[k : k + size], kind


def _hash(made_by: str, windows: list[Window]) -> str:
    digest = hashlib.sha256(f"{made_by}\n".encode())
    for window in windows:
        for array in (window.values, window.valid, window.in_mv):
            digest.update(array.tobytes())
    return digest.hexdigest()[:32]
