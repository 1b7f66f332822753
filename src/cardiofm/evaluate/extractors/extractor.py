"""The one form in which systems are compared: a window in, a fixed number of numbers out. W windows, D numbers."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.evaluate import cached
from cardiofm.signals import Window

Make = Callable[[list[Window]], NDArray[np.floating]]


@dataclass(frozen=True)
class Extractor:
    """A frozen system. It is asked only about windows in which a channel that it reads is known."""

    name: str  # as in the results
    meaning: str  # what it computes, from what
    size: int  # numbers a window
    channels: tuple[int, ...]  # that it reads: 0 is the ECG, 1 the PPG
    made_by: str  # what it computes and with which weights or settings: the cache goes by it
    make: Make
    count: Callable[[], int] = int  # of the weights that it multiplies by; none where there is no network

    @property
    def parameters(self) -> int:
        return self.count()

    @property
    def key(self) -> str:
        """Hash of what it computes."""
        return hashlib.sha256(self.made_by.encode()).hexdigest()[:16]

    def __call__(self, windows: list[Window]) -> NDArray[np.float32]:
        """Numbers `(W, D)` float32; NaN where a window has none of the channels that it reads."""
        out = np.full((len(windows), self.size), np.nan, np.float32)
        at = [i for i, w in enumerate(windows) if w.valid[list(self.channels)].any()]
        if at:
            out[at] = self.make([windows[i] for i in at])
        return out

    def kept(self, windows: list[Window], folder: Path) -> NDArray[np.float32]:
        """The same, read from `folder` where it was computed before."""
        return cached.numbers(folder, self.made_by, windows, self)


def hashed(value: Any) -> str:
    """Of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def source(path: str | None, alone: bool = False) -> str:
    """Hash of a module's file, or of those beside it too that it imports: what it computes may change with them."""
    assert path is not None
    files = {Path(path)} if alone else _imported(Path(path), set())
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def _imported(file: Path, known: set[Path]) -> set[Path]:
    """The file and the modules of its folder that it imports, directly or through each other."""
    known.add(file)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            home, _, last = node.module.rpartition(".")
            within = node.module.endswith(f".{file.parent.name}")
            names = [one.name for one in node.names] if within else [last] if home.endswith(file.parent.name) else []
            for beside in (file.with_name(f"{name}.py") for name in names):
                if beside.is_file() and beside not in known:
                    _imported(beside, known)
    return known


def peer_key(name: str, weights: Path | None, file: str) -> str:
    """What a peer computes: its weights (a file, or all files of a folder) and the code that asks it, by hash."""
    from cardiofm.data.store import file_hash
    from cardiofm.evaluate.extractors import contract

    files = [] if weights is None else [weights] if weights.is_file() else sorted(weights.rglob("*"))
    held = [file_hash(one) for one in files if one.is_file()] or ["random weights, seed 0"]
    return f"{name} {hashed(held)} {source(file, alone=True)} {source(contract.__file__, alone=True)}"
