"""What of a record the network may not see: one modality, or spans of every channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardiofm.signals import MODALITIES, InputSpec, Record, SignalError

Hide = str | Sequence[tuple[float, float]] | None


@dataclass(frozen=True)
class Hidden:
    """Hidden parts of a record, in record time.

    >>> record = Record.from_arrays(ecg=(np.zeros(5000), 250.0))
    >>> Hidden.of([(2.0, 3.0)], record).mask(0.0, InputSpec()).sum(-1).tolist()
    [250, 250]
    """

    modality: str | None = None
    spans_s: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, hide: Hide, record: Record) -> Hidden:
        """From "ecg", "ppg", spans [(start_s, end_s), …] or None; SignalError when nothing would be left to see."""
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
        for begin_s, end_s in hide:
            if not (begin_s < end_s and begin_s < record.end_s and end_s > record.start_s):
                raise SignalError(
                    f"a hidden span must end after it starts and lie in {record.start_s:g}-{record.end_s:g} s, "
                    f"found {begin_s:g}-{end_s:g} s"
                )
        if not hide:
            raise SignalError("hide must be 'ecg', 'ppg' or spans [(start_s, end_s), ...], found no span")
        return cls(spans_s=tuple((float(a), float(b)) for a, b in hide))

    @property
    def none(self) -> bool:
        """Nothing is hidden."""
        return self.modality is None and not self.spans_s

    def mask(self, start_s: float, spec: InputSpec) -> NDArray[np.bool_]:
        """The hidden samples `(C, N)` of the window that starts at `start_s`."""
        t_N = start_s + np.arange(spec.samples) / spec.fs_hz
        hidden_N = np.zeros(spec.samples, bool)
        for begin_s, end_s in self.spans_s:
            hidden_N |= (t_N >= begin_s - 1e-9) & (t_N < end_s - 1e-9)
        return np.stack([np.full_like(hidden_N, m == self.modality) | hidden_N for m in MODALITIES])
