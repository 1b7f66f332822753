"""The recordings that probes are fitted and scored on: windows, the record each belongs to, and what is known of it.

Which windows: the only one of ptb-xl, ludb and ppg-bp (whose segments of 2.1 s are shorter than it); the last 10 s
before the alarm of challenge-2015, or the last 30; the first three of challenge-2017; the three of every fifth half
minute of mitdb; twelve evenly spread over each record of bidmc and qtdb. Shapes: R records.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from cardiofm.data import catalog
from cardiofm.data.windows import window_at
from cardiofm.evaluate.beats.rhythm import stretches
from cardiofm.evaluate.sample import Piece
from cardiofm.pipeline import MIN_S
from cardiofm.signals import InputSpec, Record, SignalError, Window

SEALED_FOLD = 10  # of ptb-xl
EVERY = 5  # so many half minutes of mitdb, one is taken
LIMIT = 1500  # records of challenge-2017
LIMIT_HELP = "records of challenge-2017; of the others 5/3 as many, which is all of them"


@dataclass(frozen=True)
class Cohort:
    """Records of one dataset with their usable windows; `refused` had none."""

    dataset: str
    entries: list[catalog.Entry]  # (R,)
    windows: list[Window]
    of_window: NDArray[np.int64]  # which record each window belongs to
    refused: int

    @property
    def patients(self) -> list[str]:
        return [entry.patient for entry in self.entries]

    def label(self, name: str) -> list[Any]:
        """One label of every record, `(R,)`."""
        return [entry.labels.get(name) for entry in self.entries]

    def pieces(self) -> list[Piece]:
        """The windows with their patients, for the summary of a results file."""
        of = [self.entries[k] for k in self.of_window]
        return [Piece(e.dataset, e.patient, e.record, w) for e, w in zip(of, self.windows, strict=True)]

    def last(self) -> Cohort:
        """The same records with the last window of each alone."""
        last = {int(k): i for i, k in enumerate(self.of_window)}
        order = sorted(last)
        return replace(self, windows=[self.windows[last[k]] for k in order], of_window=np.array(order))

    def mean(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Numbers of the windows averaged over each record `(R, D)`; NaN where no window has one."""
        known = np.isfinite(values)
        total, count = (np.zeros((len(self.entries), values.shape[1])) for _ in range(2))
        np.add.at(total, self.of_window, np.where(known, values, 0))
        np.add.at(count, self.of_window, known)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def most(dataset: str, limit: int) -> int:
    """Records of a dataset at most, where `limit` is meant as in `LIMIT_HELP`."""
    return limit if dataset in ("challenge-2017", "mitdb") else round(limit * 5 / 3)


def ptb_xl(data_root: Path, spec: InputSpec, limit: int | None = None, sealed: bool = False) -> Cohort:
    """The one window of every record of folds 1 to 9; with `sealed` of fold 10 too, where it is there."""
    found = [e for e in catalog.entries("ptb-xl", data_root) if sealed or e.labels["strat_fold"] != SEALED_FOLD]
    return _cohort("ptb-xl", _by_hash(found, limit), data_root, spec, lambda record: [record.start_s])


def challenge_2015(data_root: Path, spec: InputSpec, limit: int | None = None) -> Cohort:
    """The three windows that end when the alarm sounds."""
    found = _by_hash(catalog.entries("challenge-2015", data_root), limit)
    end_s = found[0].labels["alarm_s"]
    starts_s = [end_s - k * spec.window_s for k in (3, 2, 1)]
    return _cohort("challenge-2015", found, data_root, spec, lambda _: starts_s)


def before_the_alarm(data_root: Path, spec: InputSpec, limit: int | None = None) -> Cohort:
    """Of challenge-2015 the window in which the alarm's cause must lie, or the last before it that can be used."""
    return challenge_2015(data_root, spec, limit).last()


def challenge_2017(data_root: Path, spec: InputSpec, limit: int | None = None) -> Cohort:
    """Up to three whole windows from the start of each record."""

    def starts_s(record: Record) -> list[float]:
        whole = int((record.duration_s + 1e-6) // spec.window_s)
        return [record.start_s + k * spec.window_s for k in range(min(3, max(1, whole)))]

    found = _by_hash(catalog.entries("challenge-2017", data_root), limit)
    return _cohort("challenge-2017", found, data_root, spec, starts_s)


def mitdb(data_root: Path, spec: InputSpec, limit: int | None = None) -> Cohort:
    """The records of `challenge_2017`, and behind them every fifth half minute of mitdb that is AF or is not.

    Such a half minute is a record with the label `rhythm` "A" or "O"; flutter, and where AF begins or ends, is left
    out. Its patients are in the split "test".
    """
    first = challenge_2017(data_root, spec, limit)
    entries, windows, of = list(first.entries), list(first.windows), first.of_window.tolist()
    refused = 0
    for k, (patient, x, fs_hz, af) in enumerate(track(stretches(data_root), "reading mitdb", transient=True)):
        if k % EVERY:
            continue
        record = Record.from_arrays(ecg=(x, fs_hz), ecg_unit="mV")
        usable = list(_usable(record, spec, [j * spec.window_s for j in range(3)]))
        refused += not usable
        if usable:
            of += [len(entries)] * len(usable)
            windows += usable
            labels = {"rhythm": "A" if af else "O"}
            entries.append(catalog.Entry("mitdb", f"{patient} {k}", Path(), patient, "test", labels, pretrain=True))
    return Cohort("mitdb", entries, windows, np.array(of), first.refused + refused)


def bidmc(data_root: Path, spec: InputSpec, limit: int | None = None, each: int = 12) -> Cohort:
    """`each` windows spread evenly over each record."""

    found = _by_hash(catalog.entries("bidmc", data_root), limit)
    return _cohort("bidmc", found, data_root, spec, lambda record: _spread(record, spec, each))


def ludb(data_root: Path, spec: InputSpec, limit: int | None = None) -> Cohort:
    """The one window of every record."""
    found = _by_hash(catalog.entries("ludb", data_root), limit)
    return _cohort("ludb", found, data_root, spec, lambda record: [record.start_s])


def ppg_bp(data_root: Path, spec: InputSpec, limit: int | None = None) -> Cohort:
    """Every segment, with nothing around it."""
    found = _by_hash(catalog.entries("ppg-bp", data_root), limit)
    return _cohort("ppg-bp", found, data_root, spec, lambda record: [record.start_s])


def qtdb(data_root: Path, spec: InputSpec, limit: int | None = None, each: int = 12) -> Cohort:
    """`each` windows spread evenly over each record of 15 min."""
    found = _by_hash(catalog.entries("qtdb", data_root), limit)
    return _cohort("qtdb", found, data_root, spec, lambda record: _spread(record, spec, each))


def long_challenge_2015(data_root: Path, spec: InputSpec, limit: int | None = None, each: int = 12) -> Cohort:
    """`each` windows spread evenly over the five minutes and more of each record."""
    found = _by_hash(catalog.entries("challenge-2015", data_root), limit)
    return _cohort("challenge-2015", found, data_root, spec, lambda record: _spread(record, spec, each))


def here(read: Mapping[str, Callable[[], Cohort]], absent: dict[str, str]) -> Iterator[tuple[str, Cohort]]:
    """The cohorts whose recordings are there, one by one; of the others it is told, and kept in `absent`, why not.

    Raises SignalError where none is there.
    """
    found = 0
    for name, make in read.items():
        try:
            cohort = make()
        except SignalError as error:
            absent[name] = str(error)
            print(f"{name}: {error}", file=sys.stderr)
            continue
        found += 1
        yield name, cohort
    if not found:
        raise SignalError(f"the data root must hold one of {', '.join(read)}, found none; give --data-root")


def _by_hash(entries: list[catalog.Entry], limit: int | None) -> list[catalog.Entry]:
    """The first records in the order of the hash of their names, never of how they look or what they are."""
    return sorted(entries, key=lambda e: hashlib.sha256(f"{e.dataset} {e.record}".encode()).digest())[:limit]


def _spread(record: Record, spec: InputSpec, each: int) -> list[float]:
    """Where `each` windows begin, evenly over a record, or as many as it has room for."""
    number = min(each, max(1, int(record.duration_s // spec.window_s)))
    step_s = (record.duration_s - spec.window_s) / max(1, number - 1)
    return [record.start_s + round(k * step_s) for k in range(number)]


def _cohort(
    dataset: str,
    entries: list[catalog.Entry],
    data_root: Path,
    spec: InputSpec,
    starts_s: Callable[[Record], list[float]],
) -> Cohort:
    kept: list[catalog.Entry] = []
    windows: list[Window] = []
    of: list[int] = []
    for entry in track(entries, f"reading {dataset}", transient=True):
        record = catalog.load(entry, data_root)
        usable = list(_usable(record, spec, starts_s(record)))
        if usable:
            windows += usable
            of += [len(kept)] * len(usable)
            kept.append(entry)
    return Cohort(dataset, kept, windows, np.array(of), len(entries) - len(kept))


def _usable(record: Record, spec: InputSpec, starts_s: list[float]) -> Iterator[Window]:
    """Those with a channel that has at least 1 s of known signal; a channel with less is absent, as in the pipeline."""
    for start_s in starts_s:
        window = window_at(record, spec, start_s)
        known_C = window.valid.sum(-1) >= MIN_S * spec.fs_hz
        if known_C.any():
            valid = window.valid & known_C[:, None]
            values = np.where(valid, window.values, np.float32(0))
            yield Window(window.start_s, values, valid, window.in_mv, window.quality * known_C)
