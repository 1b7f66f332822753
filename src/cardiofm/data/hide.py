"""What of a record the network may not see: one modality, or spans of every channel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.windows import motionless
from cardiofm.signals import MODALITIES, Record, Signal, SignalError

Hide = str | Sequence[tuple[float, float]] | None


@dataclass(frozen=True)
class Hidden:
    """Hidden parts of a record, in record time.

    >>> record = Record.from_arrays(ecg=(np.zeros(5000), 250.0))
    >>> covered = Hidden.of([(2.0, 3.0)], record).cover(record)
    >>> int(np.isnan(covered.ecg.values).sum())
    250
    """

    modality: str | None = None
    spans_s: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, hide: Hide, record: Record) -> Hidden:
        """From "ecg", "ppg", spans [(start_s, end_s), …] or None; SignalError when nothing would be left to see."""
        if not isinstance(record, Record):
            raise SignalError(f"what is drawn must be one Record, found {type(record).__name__}; read a file first")
        if hide is None:
            return cls()
        if isinstance(hide, str):
            record.signal(hide)  # a name that is no modality is refused here
            if not set(record.present) - {hide}:
                raise SignalError(
                    f"record {record.name!r} must have another channel than the hidden {hide}, found only that; "
                    "hide spans of it instead"
                )
            return cls(modality=hide)
        try:
            spans_s = tuple((float(begin_s), float(end_s)) for begin_s, end_s in hide)
        except (TypeError, ValueError):
            raise SignalError(
                f"hide must be 'ecg', 'ppg' or spans [(start_s, end_s), ...] in seconds, found {hide!r}"
            ) from None
        for begin_s, end_s in spans_s:
            if not (begin_s < end_s and begin_s < record.end_s and end_s > record.start_s):
                raise SignalError(
                    f"a hidden span must end after it starts and lie in {record.start_s:g}-{record.end_s:g} s, "
                    f"found {begin_s:g}-{end_s:g} s"
                )
        if not spans_s:
            raise SignalError("hide must be 'ecg', 'ppg' or spans [(start_s, end_s), ...], found no span")
        return cls(spans_s=spans_s)

    def seen(self, record: Record) -> Record:
        """The record without the hidden modality where that never moves: it has no unit to be drawn in."""
        signal = None if self.modality is None else record.signal(self.modality)
        if signal is None or (why := motionless(signal)) is None:
            return record
        note = f"{self.modality} {signal.name!r} never moves ({why}) and is left out: drawn in standard deviations"
        return replace(record, **{str(self.modality): None}, notes=(*record.notes, note))

    @property
    def none(self) -> bool:
        """Nothing is hidden."""
        return self.modality is None and not self.spans_s

    def cover(self, record: Record) -> Record:
        """What is left to see: hidden samples are NaN before anything is computed from them; channels may be None."""
        if self.none:
            return record
        if self.modality is not None:
            return replace(record, **{self.modality: None})
        covered = {m: replace(s, samples=_Covered(s, self.spans_s)) for m in MODALITIES if (s := record.signal(m))}
        return replace(record, **covered)

    def touches(self, modality: str, start_s: float, end_s: float) -> bool:
        """Something of that modality is hidden within start_s…end_s."""
        return modality == self.modality or any(
            begin_s < end_s and stop_s > start_s for begin_s, stop_s in self.spans_s
        )


class _Covered:
    """The samples of a channel, lazily, NaN within the spans."""

    def __init__(self, signal: Signal, spans_s: Sequence[tuple[float, float]]) -> None:
        self.samples = signal.samples
        self.spans = [
            tuple(math.ceil((t - signal.start_s) * signal.fs_hz - 1e-6) for t in span_s) for span_s in spans_s
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: slice, /) -> NDArray[np.float32]:
        first, last, _ = index.indices(len(self))
        part = np.array(self.samples[first:last], np.float32)
        for begin, end in self.spans:
            part[max(0, begin - first) : max(0, end - first)] = np.nan
        return part
