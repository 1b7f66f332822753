"""What a head sees of a recording: the embedding of each window, hand-crafted numbers, and how good the signal is.

Shapes: W windows, D numbers of an embedding, F hand-crafted numbers, C channels (ecg, ppg).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.usable import kinds, stacked, usable
from cardiofm.measure import alarm, beats, features, rhythms
from cardiofm.measure.band import clean
from cardiofm.model.checkpoint import WEIGHTS
from cardiofm.pipeline import Model
from cardiofm.signals import MODALITIES, CheckpointError, Record, Signal, SignalError, Window

NAMES = {"windows": features.NAMES, "end": alarm.NAMES, "rhythm": rhythms.WAYS["ecg"]}
_BATCH = 16


@dataclass(frozen=True)
class View:
    """Which part of a recording a head looks at."""

    uses: tuple[str, ...] = MODALITIES  # another channel is left aside, as it was never there when the head was made
    needs: tuple[str, ...] = ()  # without these the head says nothing
    last_s: float | None = None  # only the last seconds
    numbers: str = "windows"  # hand-crafted: of each, of the "end" (seconds before an alarm) or of the "rhythm"
    types: tuple[str, ...] = ()  # of which a person or the monitor may tell one, as that of an alarm

    def __post_init__(self) -> None:
        if self.numbers not in NAMES:
            raise CheckpointError(f"numbers must be one of {', '.join(NAMES)}, found {self.numbers!r}; make it again")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the hand-crafted numbers, in order; behind them the types, 1 for the one that is told."""
        return NAMES[self.numbers] + tuple(f"type_{one.lower()}" for one in self.types)

    def typed(self, told: str | None) -> NDArray[np.float32]:
        """1 for the type that is told, 0 for the others `(T,)`; NaN where none is. SignalError for one not known."""
        if told is None:
            return np.full(len(self.types), np.nan, np.float32)
        if not self.types:
            raise SignalError(f"this head knows no types of alarm, found {told!r}; leave the type out")
        asked = np.array([one.lower() == told.strip().lower().replace(" ", "_") for one in self.types])
        if not asked.any():
            raise SignalError(f"the type of alarm must be one of {', '.join(self.types)}, found {told!r}")
        return asked.astype(np.float32)

    def of(self, record: Record) -> Record:
        """The part of the record; raises SignalError where a channel that is needed is absent."""
        absent = [m for m in self.needs if record.signal(m) is None]
        if absent or not any(record.signal(m) for m in self.uses):
            wanted = " and ".join(self.needs or self.uses).upper().replace(" AND ", " and ")
            raise SignalError(
                f"record {record.name!r} must have {wanted} for this head, found only "
                f"{' and '.join(record.present).upper().replace(' AND ', ' and ')}; use another head or recording"
            )
        kept = replace(record, **{m: None for m in MODALITIES if m not in self.uses})
        if self.last_s is None or kept.duration_s <= self.last_s:
            return kept
        return kept.crop(kept.end_s - self.last_s, kept.end_s)


@dataclass(frozen=True)
class Seen:
    """What was seen of one recording."""

    record: str
    embedding: NDArray[np.float32]  # (W, D)
    crafted: NDArray[np.float32]  # (W, F), alike where they are of the end; NaN where a number cannot be measured
    known: NDArray[np.float32]  # (W,) share of the window that is known, 0 to 1: the weight of a window in means
    quality: NDArray[np.float32]  # (W, C)
    present: NDArray[np.bool_]  # (W, C)

    def mean(self, both: bool = False) -> NDArray[np.float64]:
        """The embedding averaged over windows `(D,)`, or with the hand-crafted numbers behind it `(D + F,)`."""
        embedding = _mean(self.embedding, self.known)
        return np.concatenate([embedding, self.mean_crafted()]) if both else embedding

    def mean_crafted(self) -> NDArray[np.float64]:
        """The hand-crafted numbers averaged over the windows where they could be measured `(F,)`."""
        return _mean(self.crafted, self.known)

    def quality_of(self, channel: int) -> float | None:
        """Mean quality of a channel over its windows, 0 bad to 1 good; None where it is absent."""
        there = self.present[:, channel]
        return float(self.quality[there, channel].mean()) if there.any() else None


def look(record: Record, model: Model, view: View | None = None, told: str | None = None) -> Seen:
    """Everything a head may ask of a record, `told` of which type it is; SignalError where there is nothing to see."""
    view = view or View()
    typed = view.typed(told)
    record = view.of(record)
    numbers_of = _numbers(record, model, view)
    parts: list[tuple[NDArray, ...]] = []
    for some in _batches(usable(record, model.spec, None)):
        crafted = np.stack([numbers_of(w).astype(np.float32) for w in some])
        crafted = np.concatenate([crafted, np.tile(typed, (len(some), 1))], axis=1)
        known = np.array([w.valid.any(0).mean() for w in some], np.float32)
        quality, present = np.stack([w.quality for w in some]), np.stack([w.valid.any(-1) for w in some])
        parts.append((embedded(some, model), crafted, known, quality, present))
    return Seen(record.name, *(np.concatenate(one) for one in zip(*parts, strict=True)))


def _numbers(record: Record, model: Model, view: View) -> Callable[[Window], NDArray[np.floating]]:
    """What gives the hand-crafted numbers `(F,)` that belong to a window of the record."""
    if view.numbers == "end":
        end = alarm.numbers(record, model.gather(record), record.end_s)
        return lambda _: end
    if view.numbers == "rhythm":
        return _of_rhythm(record)
    return lambda w: features.features(w.values, w.valid, w.in_mv, model.spec.fs_hz)


def _of_rhythm(record: Record) -> Callable[[Window], NDArray[np.floating]]:
    """The numbers of the rhythm of the record, or of the half minute in which the window begins where it is long."""
    length_s = record.duration_s if record.duration_s <= rhythms.LONGEST_S else rhythms.LONGEST_S / 2

    @lru_cache(maxsize=1)
    def of_stretch(number: int) -> NDArray[np.floating]:
        start_s = record.start_s + number * length_s
        ecg = None if record.ecg is None else record.ecg.crop(start_s, start_s + length_s)
        return np.full(len(NAMES["rhythm"]), np.nan) if ecg is None else rhythm_numbers(ecg)

    return lambda w: of_stretch(int((w.start_s - record.start_s) // length_s))


def rhythm_numbers(ecg: Signal) -> NDArray[np.float64]:
    """What `measure` tells rhythms by, of all of an ECG at once, R peaks by the classical detector `(F,)`."""
    x, good = clean(ecg.values, ecg.fs_hz, None)
    return rhythms.numbers(beats.r_peaks(x, ecg.fs_hz, good), x, ecg.fs_hz, good)


def embedded(windows: Sequence[Window], model: Model) -> NDArray[np.float32]:
    """One embedding a window `(W, D)`; a channel without valid samples is not run."""
    found: list[tuple[int, NDArray[np.float32]]] = []
    for at, kind in kinds(list(windows)):
        found += zip(at, model.backend.embed(*stacked([windows[i] for i in at]), kind), strict=True)
    return np.stack([row for _, row in sorted(found, key=lambda pair: pair[0])])


def encoder_hash(model: Model) -> str:
    """The SHA-256 of the encoder's weights: a head belongs to them, whatever decoders stand beside them."""
    if model.folder is None:
        raise CheckpointError("a head needs a model that was loaded from its folder, found one made in memory; save it")
    path = model.folder / WEIGHTS
    return _hash(path, path.stat().st_mtime_ns)


@lru_cache
def _hash(path: Path, changed: int) -> str:
    from safetensors import safe_open

    found = hashlib.sha256()
    with safe_open(path, framework="np") as file:
        for name in sorted(n for n in file.keys() if n.startswith("encoder.")):  # noqa: SIM118  # no mapping
            found.update(name.encode())
            found.update(np.ascontiguousarray(file.get_tensor(name)).tobytes())
    return found.hexdigest()


def _batches(pairs: Iterator[tuple[Window, Window]]) -> Iterator[list[Window]]:
    while some := [window for window, _ in islice(pairs, _BATCH)]:
        yield some


def _mean(values_WF: NDArray, known_W: NDArray) -> NDArray[np.float64]:
    weight = np.isfinite(values_WF) * np.maximum(known_W, 1e-3)[:, None].astype(np.float64)
    total, count = (np.nan_to_num(values_WF) * weight).sum(0), weight.sum(0)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
