"""MATLAB v5 `.mat` files: variables and fields of structs as named arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cardiofm.data.readers import array
from cardiofm.data.readers.channels import Channel


def channels(path: Path) -> list[Channel]:
    """Every signal of a MATLAB v5 file; objects and cells of anything but text are left out."""
    import scipy.io

    entries: dict[str, Any] = {}
    for key, value in scipy.io.loadmat(path, simplify_cells=True).items():
        if not key.startswith("__"):
            _flatten(key, value, entries)
    return array.from_named(path.name, entries)


def _flatten(key: str, value: Any, entries: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _flatten(f"{key}/{name}", inner, entries)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        texts = list(value.ravel())
        if all(isinstance(t, str) for t in texts):
            entries[key] = texts
    elif isinstance(value, str | int | float | np.ndarray):
        entries[key] = value
