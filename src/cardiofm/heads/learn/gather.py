"""Examples to what a head sees of them: every recording read once, those that cannot be used named, numbers kept.

Shapes: R examples, W windows.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cardiofm.heads.labels import Example
from cardiofm.heads.look import Seen, View, encoder_hash, look
from cardiofm.measure import alarm, atria, band, beats, features, irregular, rhythm, rhythms, shape, unusual
from cardiofm.pipeline import Model
from cardiofm.signals import SignalError

Tell = Callable[[str], None]
Progress = Callable[[int, int, str], None]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cardiofm"
_CODE = {  # of the numbers
    "windows": (features, beats, rhythm, shape),
    "end": (alarm, unusual),
    "rhythm": (beats, rhythm, rhythms, irregular, atria),
}
_ARRAYS = ("embedding", "crafted", "known", "quality", "present")


def silent(_done: int, _total: int, _name: str) -> None:
    """No progress is shown."""


def gather(
    examples: Sequence[Example],
    model: Model,
    view: View | None = None,
    cache: Path | None = None,
    tell: Tell = print,
    progress: Progress = silent,
) -> tuple[list[Example], list[Seen]]:
    """What is seen of each example that can be used, `(R,)` each; the others are told, in one line.

    With `cache`, a folder, it is kept there by weights, numbers, view and names: another run reads no recording.
    """
    path = None if cache is None else cache / f"heads-{_key(examples, model, view)}.npz"
    if path is not None and path.is_file():
        return _kept(path, examples)
    good: list[Example] = []
    seen: list[Seen] = []
    for k, example in enumerate(examples):
        progress(k, len(examples), example.name)
        try:
            seen.append(look(example.read(), model, view, example.told if view and view.types else None))
            good.append(example)
        except (SignalError, OSError) as error:
            tell(f"left out: {example.name}: {error}")
    progress(len(examples), len(examples), "")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {name: np.concatenate([getattr(s, name) for s in seen]) for name in _ARRAYS}
        names, windows = np.array([e.name for e in good]), np.array([len(s.known) for s in seen])
        np.savez(path, names=names, windows=windows, record=np.array([s.record for s in seen]), **arrays)
    return good, seen


def _kept(path: Path, examples: Sequence[Example]) -> tuple[list[Example], list[Seen]]:
    by_name = {e.name: e for e in examples}
    with np.load(path) as kept:
        edges = np.cumsum(kept["windows"])[:-1]
        columns = [np.split(kept[name], edges) for name in _ARRAYS]
        seen = [Seen(str(name), *row) for name, *row in zip(kept["record"], *columns, strict=True)]
        return [by_name[str(name)] for name in kept["names"]], seen


def _key(examples: Sequence[Example], model: Model, view: View | None) -> str:
    """Of what the numbers depend on: weights, what runs them, the code of the numbers, view, and the recordings."""
    sources = (Path(str(module.__file__)) for module in (*_CODE["windows" if view is None else view.numbers], band))
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources))
    what = [
        encoder_hash(model),
        type(model.backend).__name__,
        code.hexdigest(),
        repr(view),
        [(e.name, e.told) for e in examples],
    ]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
