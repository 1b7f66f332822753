"""The datasets we know: what lies where, who the patient is, which split and labels a record has.

One short module per dataset, found by name; each has `ABOUT`, `entries(root)` and `load(entry, root)`. The layout is
that of the home archive (`ptb-xl/1.0.1/records500/…`), so a user's own download works as data root; a data root that
points straight at one dataset's folder works too.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from cardiofm.signals import Record, SignalError

SPLITS = ("train", "valid", "test")
_DATASETS = (
    "ptb-xl",
    "challenge-2015",
    "challenge-2017",
    "mitdb",
    "qtdb",
    "nstdb",
    "bidmc",
    "ludb",
    "ppg-bp",
    "ieee-spc-2015",
    "wrist",
    "welltory",
)


@dataclass(frozen=True)
class About:
    """What must be said of a dataset wherever it was used."""

    name: str
    folder: str  # below the data root, as the home archive has it: "ptb-xl/1.0.1"
    licence: str
    citation: str
    url: str
    pretrain: bool  # may published weights be trained on (a part of) it?
    marker: str  # a glob that matches in this dataset's own folder and in no other: how the folder is recognised


@dataclass(frozen=True)
class Entry:
    """One recording of a dataset before it is read."""

    dataset: str
    record: str
    path: Path  # relative to the data root
    patient: str  # "<dataset>-<id>"; the record's name where the patient is not known
    split: str  # "train" | "valid" | "test"
    labels: dict[str, Any] = field(default_factory=dict)
    pretrain: bool = False  # may published weights be trained on it?


def datasets() -> tuple[str, ...]:
    """The names of all datasets.

    >>> datasets()[:2]
    ('ptb-xl', 'challenge-2015')
    """
    return _DATASETS


def about(dataset: str) -> About:
    """Folder, licence, citation and address of a dataset.

    >>> about("ptb-xl").licence
    'CC-BY-4.0'
    """
    return _module(dataset).ABOUT


def entries(dataset: str, data_root: str | Path) -> list[Entry]:
    """Every recording of the dataset below `data_root`, in the order of their names."""
    return _module(dataset).entries(Path(data_root))


def load(entry: Entry, data_root: str | Path) -> Record:
    """The recording of an entry, with the dataset's known defects handled; `patient` is the entry's."""
    return _module(entry.dataset).load(entry, Path(data_root))


def folder(about: About, data_root: Path) -> Path:
    """The dataset's own folder: its home path below `data_root`, another version of it, or `data_root` itself."""
    home = data_root / about.folder
    for place in (home, *sorted(home.parent.glob("*"), reverse=True), home.parent, data_root):
        if place.is_dir() and any(place.glob(about.marker)):
            return place
    raise SignalError(
        f"dataset {about.name} must lie in {home} (holding {about.marker}), found nothing there; "
        f"get it from {about.url} or give its folder as the data root"
    )


def split_of(patient: str) -> str:
    """'train', 'valid' or 'test' (80/10/10) from a hash of the patient: for datasets without an official split.

    >>> split_of("mitdb-102") == split_of("mitdb-102")
    True
    """
    share = int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8], "big") / 2**64
    return "train" if share < 0.8 else "valid" if share < 0.9 else "test"


def _module(dataset: str) -> ModuleType:
    if dataset not in _DATASETS:
        raise SignalError(f"dataset must be one of {', '.join(_DATASETS)}, found {dataset!r}")
    return importlib.import_module(f"{__name__}.{dataset.replace('-', '_')}")
