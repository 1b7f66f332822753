"""HDF5 and MATLAB v7.3 files: datasets as named arrays, attributes beside them; links out of the file are refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cardiofm.data.readers import array
from cardiofm.data.readers.channels import Channel
from cardiofm.data.readers.lazy import one_sentence
from cardiofm.signals import SignalError

SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Dataset:
    """A numeric dataset that is opened when it is sliced, so that no file stays open."""

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def __getitem__(self, index: Any, /) -> np.ndarray:
        import h5py

        with one_sentence(self.path, "HDF5"), h5py.File(self.path, "r") as file:
            return file[self.key][index]  # type: ignore[index]


def is_hdf5(path: Path) -> bool:
    """Whether the file is HDF5; MATLAB puts 512 bytes of its own in front."""
    with path.open("rb") as file:
        head = file.read(520)
    return head[:8] == SIGNATURE or head[512:520] == SIGNATURE


def channels(path: Path) -> list[Channel]:
    """Every signal of an HDF5 file, lazy."""
    import h5py

    if not is_hdf5(path):
        raise SignalError(f"{path.name} must start with the HDF5 signature, found something else; check the file")
    entries: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        _attributes("", file, entries)

        def visit(key: str, item: Any) -> None:
            if not key.startswith("#"):  # MATLAB's own storage
                _attributes(key + "/", item, entries)
                if isinstance(item, h5py.Dataset):
                    _dataset(path, key, item, file, entries)

        file.visititems(visit)  # follows neither soft nor external links
    return array.from_named(path.name, entries)


def _dataset(path: Path, key: str, item: Any, file: Any, entries: dict[str, Any]) -> None:
    import h5py

    if item.external or item.is_virtual:
        raise SignalError(f"{path.name}: dataset {key!r} must lie in the file itself, found it in another; refused")
    kind = item.attrs.get("MATLAB_class", b"")
    if kind == b"char":
        entries[key] = _chars(item)
    elif h5py.check_string_dtype(item.dtype):
        text = item.asstr()[()]
        entries[key] = text if isinstance(text, str) else [str(t) for t in np.ravel(text)]
    elif kind == b"cell" and item.dtype == h5py.ref_dtype:
        cells = [file[r] for r in np.ravel(item[()])]
        if all(c.attrs.get("MATLAB_class", b"") == b"char" for c in cells):
            entries[key] = [_chars(c) for c in cells]
    elif item.size == 1 and item.dtype.kind in "iuf":
        entries[key] = np.asarray(item[()])
    elif item.dtype.kind in "iuf":
        entries[key] = Dataset(path.absolute(), key, item.shape, item.dtype)


def _attributes(prefix: str, item: Any, entries: dict[str, Any]) -> None:
    for name, value in item.attrs.items():
        if name.startswith("MATLAB_"):
            continue
        texts = np.ravel(np.asarray(value))
        if texts.dtype.kind in "OSU":
            words = [t.decode() if isinstance(t, bytes) else str(t) for t in texts]
            entries[prefix + name] = words if np.ndim(value) else words[0]
        elif texts.size == 1:
            entries[prefix + name] = texts


def _chars(item: Any) -> str:
    return "".join(chr(c) for c in np.ravel(item[()])).strip("\0")
