"""The recordings whose beats were marked by hand, cut to what the reader looked at, with the marks that belong to them.

LUDB: lead II, ten seconds. QTDB: the lead nearest to II, from ten seconds before the first marked beat to ten after the
last. MIT-BIH: whole records, R peaks alone; where ventricles flutter nobody marked beats, and nothing is scored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.data import catalog
from cardiofm.data.marks import Marks, marks
from cardiofm.evaluate.beats.table import Floats
from cardiofm.signals import Record

MARGIN_S = 10.0  # of QTDB's stretch, on either side


@dataclass(frozen=True)
class Case:
    """One recording and the marks of one reader."""

    dataset: str
    patient: str
    record: Record
    marks: Marks
    complete: bool  # the reader marked every beat from the first one marked to the last
    plausible: bool = True  # False for QTDB's sel33 and sele0116, whose QT is implausibly long
    flutter_s: Floats = field(default_factory=lambda: np.empty((0, 2)))  # spans of ventricular flutter

    @property
    def r_s(self) -> Floats:
        return self.marks.of("r_peak")

    @property
    def qt_ms(self) -> Floats:
        """QRS onset to T end of each beat `(B,)`, NaN where one of them is not marked."""
        return 1000 * (self.marks.of("t_end") - self.marks.of("qrs_onset"))

    def scored(self, at_s: ArrayLike) -> Floats:
        """The times that lie outside of ventricular flutter."""
        at = np.asarray(at_s, np.float64)
        low_s, high_s = self.flutter_s.T
        return at[~((at[:, None] >= low_s) & (at[:, None] <= high_s)).any(1)]


def cases(dataset: str, data_root: Path, limit: int | None = None) -> Iterator[Case]:
    """The marked recordings of ludb, qtdb (first reader) or mitdb, one after the other, at most `limit`."""
    number = 0
    for entry in catalog.entries(dataset, data_root):
        if limit is not None and number >= limit:
            return
        if dataset == "qtdb" and not entry.labels["qt_usable"]:
            continue
        found = marks(entry, data_root)
        if not len(found):
            continue
        record = catalog.load(entry, data_root)
        if dataset == "qtdb":
            record = record.crop(
                max(record.start_s, found.start_s - MARGIN_S), min(record.end_s, found.end_s + MARGIN_S)
            )
        number += 1
        plausible = entry.labels.get("qt_plausible", True)
        spans = flutter_s(Path(data_root) / entry.labels["annotations"]) if dataset == "mitdb" else np.empty((0, 2))
        yield Case(dataset, entry.patient, record, found, dataset != "qtdb", plausible, spans)


def flutter_s(path: Path) -> Floats:
    """Spans `(S, 2)` in s between [ and ] of a WFDB annotation file; ANSI/AAMI EC57 scores no beats there."""
    import wfdb

    found: Any = wfdb.rdann(str(path.with_suffix("")), path.suffix[1:])
    at_s, symbols = np.asarray(found.sample, np.float64) / float(found.fs), np.asarray(found.symbol)
    return np.stack([at_s[symbols == "["], at_s[symbols == "]"]], axis=1)


def second_reader(data_root: Path) -> Iterator[tuple[Case, Marks]]:
    """QTDB's records that two readers marked: the first reader's case, and the second reader's marks."""
    for entry in catalog.entries("qtdb", data_root):
        if not entry.labels["qt_usable"] or not {"q1c", "q2c"} <= set(entry.labels["annotations"]):
            continue
        first = marks(entry, data_root)
        case = Case("qtdb", entry.patient, catalog.load(entry, data_root), first, False, entry.labels["qt_plausible"])
        yield case, marks(entry, data_root, "q2c")


def rr_s(r_peak_s: Floats) -> Floats:
    """Seconds from the R peak before to each R peak `(B,)`; the first beat has the interval that follows it.

    An interval of more than 1.7 times the median spans a beat that was not marked, and gives way to the median.

    >>> rr_s(np.array([1.0, 2.0, 3.1])).round(3).tolist()
    [1.0, 1.0, 1.1]
    """
    if len(r_peak_s) < 2:
        return np.full(len(r_peak_s), np.nan)
    step = np.diff(r_peak_s)
    usual = float(np.median(step))
    step = np.where(step > 1.7 * usual, usual, step)
    return np.concatenate((step[:1], step))


def fold(patients: list[str], folds: int = 5) -> NDArray[np.int64]:
    """The fold of each patient by the hash of the name, `(B,)`: for floors that are fitted on other patients."""
    import hashlib

    return np.array([int.from_bytes(hashlib.sha256(p.encode()).digest()[:4], "big") % folds for p in patients])
