"""The nouns that travel between rooms: every array carries its unit, its rate and its clock.

Seconds are record time: 0 is where the record's clock starts. A sample that is absent is NaN; nothing is ever
filled in. Channels come before time, `(C, N)`, in the order of `InputSpec.channels`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

MODALITIES = ("ecg", "ppg")
WAVES = ("none", "p", "qrs", "t")  # what a sample of an ECG belongs to
EVENTS = ("p_onset", "p_offset", "qrs_onset", "r_peak", "qrs_offset", "t_peak", "t_end", "ppg_foot", "ppg_peak")
MIN_FS_HZ = 20.0
MAX_FS_HZ = 100_000.0


class SignalError(ValueError):
    """A recording that cannot be used: says what must hold, what was found, and what to do."""


class CheckpointError(ValueError):
    """A model folder that cannot be used: says what must hold, what was found, and what to do."""


class TrainingError(RuntimeError):
    """Training that cannot go on: says at which step, why, which checkpoint is kept, and what to do."""


class Samples(Protocol):
    """Anything one-dimensional that can be sliced: a numpy array, an HDF5 dataset, a reader that seeks in its file."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> Any: ...


@dataclass(frozen=True)
class Signal:
    """One channel on the record's clock.

    `samples` may be lazy (read from its file when sliced), so a 24-hour channel costs no memory until it is read.

    >>> s = Signal(np.arange(4.0), fs_hz=100.0, unit="mV", name="II")
    >>> s.duration_s, s.end_s, s.read(0.01, 0.03).tolist()
    (0.04, 0.04, [1.0, 2.0])
    """

    samples: Samples
    fs_hz: float
    unit: str  # "mV" when the amplitude is known; "NU" (normalised) or the file's own word otherwise
    name: str  # the channel's name in its file
    start_s: float = 0.0  # record time of the first sample
    inverted: bool = False  # the file is upside down; `read` already turns it back

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fs_hz) and MIN_FS_HZ <= self.fs_hz <= MAX_FS_HZ):
            raise SignalError(
                f"channel {self.name!r}: the rate must be between {MIN_FS_HZ:g} and {MAX_FS_HZ:g} Hz, found "
                f"{self.fs_hz:g} Hz; check the header, or give the right rate with --fs"
            )
        if len(self.samples) == 0:
            raise SignalError(f"channel {self.name!r} must hold samples, found none; choose another channel")

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.fs_hz

    @property
    def end_s(self) -> float:
        return self.start_s + self.duration_s

    @property
    def values(self) -> NDArray[np.float32]:
        """All samples, `(N,)` float32 in `unit`, NaN where there is none."""
        return self._get(0, len(self.samples))

    def read(self, start_s: float, end_s: float) -> NDArray[np.float32]:
        """Samples with start_s <= t < end_s (record time) that exist, `(n,)` float32 in `unit`; n may be 0."""
        first = max(0, math.ceil((start_s - self.start_s) * self.fs_hz - 1e-6))
        last = min(len(self.samples), math.ceil((end_s - self.start_s) * self.fs_hz - 1e-6))
        return self._get(first, max(first, last))

    def crop(self, start_s: float, end_s: float) -> Signal | None:
        """The part with start_s <= t < end_s in memory, on the same clock; None when nothing lies there."""
        first = max(0, math.ceil((start_s - self.start_s) * self.fs_hz - 1e-6))
        part = self.read(start_s, end_s)
        if len(part) == 0:
            return None
        return replace(self, samples=part, start_s=self.start_s + first / self.fs_hz, inverted=False)

    def _get(self, first: int, last: int) -> NDArray[np.float32]:
        part = np.asarray(self.samples[first:last], dtype=np.float32)
        return -part if self.inverted else part


@dataclass(frozen=True)
class Record:
    """One recording: an ECG channel, a PPG channel, or both, on one clock.

    >>> r = Record.from_arrays(ecg=(np.zeros(5000), 500.0), ppg=(np.zeros(1250), 125.0), name="demo")
    >>> r.duration_s, r.present
    (10.0, ('ecg', 'ppg'))
    """

    name: str
    ecg: Signal | None = None
    ppg: Signal | None = None
    patient: str | None = None  # the unit of every split and interval; None where it is not known
    notes: tuple[str, ...] = ()  # what a reader must be told: "lead V5 instead of II", "simulated"

    def __post_init__(self) -> None:
        if self.ecg is None and self.ppg is None:
            raise SignalError(f"record {self.name!r} must have an ECG or a PPG channel, found neither")

    @classmethod
    def from_arrays(
        cls,
        ecg: tuple[Any, float] | None = None,
        ppg: tuple[Any, float] | None = None,
        *,
        ecg_start_s: float = 0.0,
        ppg_start_s: float = 0.0,
        ecg_unit: str = "mV",
        ppg_unit: str = "NU",
        name: str = "array",
        patient: str | None = None,
    ) -> Record:
        """A record from one-dimensional arrays, each with its rate in Hz: `ecg=(x, 500), ppg=(y, 125)`."""

        def signal(pair: tuple[Any, float] | None, unit: str, label: str, start_s: float) -> Signal | None:
            if pair is None:
                return None
            values = np.asarray(pair[0], dtype=np.float32)
            if values.ndim != 1:
                raise SignalError(f"{label} must be one-dimensional (N,), found shape {values.shape}; pass one channel")
            return Signal(values, float(pair[1]), unit, label, start_s)

        return cls(
            name,
            signal(ecg, ecg_unit, "ecg", ecg_start_s),
            signal(ppg, ppg_unit, "ppg", ppg_start_s),
            patient,
        )

    @property
    def present(self) -> tuple[str, ...]:
        """The modalities that this record has, in model order."""
        return tuple(m for m in MODALITIES if self.signal(m) is not None)

    @property
    def start_s(self) -> float:
        return min(s.start_s for s in (self.ecg, self.ppg) if s is not None)

    @property
    def end_s(self) -> float:
        return max(s.end_s for s in (self.ecg, self.ppg) if s is not None)

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    def signal(self, modality: str) -> Signal | None:
        """The channel of that modality, or None."""
        if modality not in MODALITIES:
            raise SignalError(f"modality must be one of {', '.join(MODALITIES)}, found {modality!r}")
        return self.ecg if modality == "ecg" else self.ppg

    def crop(self, start_s: float, end_s: float) -> Record:
        """The part with start_s <= t < end_s, in memory, on the same clock."""
        ecg = self.ecg.crop(start_s, end_s) if self.ecg else None
        ppg = self.ppg.crop(start_s, end_s) if self.ppg else None
        if ecg is None and ppg is None:
            raise SignalError(
                f"record {self.name!r} lasts {self.start_s:g}-{self.end_s:g} s, nothing lies in {start_s:g}-{end_s:g} s"
            )
        return replace(self, ecg=ecg, ppg=ppg)


@dataclass(frozen=True)
class InputSpec:
    """What the network accepts: saved in every checkpoint, obeyed by every reader of windows.

    >>> InputSpec().samples, InputSpec().tokens, InputSpec().token_s
    (2500, 125, 0.08)
    """

    fs_hz: float = 250.0  # both channels are brought to this rate
    window_s: float = 10.0
    patch: int = 20  # samples per token
    channels: tuple[str, ...] = MODALITIES

    def __post_init__(self) -> None:
        if tuple(self.channels) != MODALITIES:
            raise SignalError(f"channels must be {MODALITIES}, found {self.channels}")
        if abs(self.window_s * self.fs_hz / self.patch - self.tokens) > 1e-9:
            raise SignalError(
                f"the window must be a whole number of {self.patch}-sample tokens, found {self.window_s} s"
            )

    @property
    def samples(self) -> int:
        return round(self.window_s * self.fs_hz)

    @property
    def tokens(self) -> int:
        return round(self.window_s * self.fs_hz / self.patch)

    @property
    def token_s(self) -> float:
        return self.patch / self.fs_hz


@dataclass(frozen=True)
class Window:
    """One window as the network takes it, `C` = (ecg, ppg), `N` = `InputSpec.samples`.

    `values` is 0 where `valid` is False. `in_mv` says for which channel the amplitude is in mV.
    """

    start_s: float
    values: NDArray[np.float32]  # (C, N), each channel in its own unit
    valid: NDArray[np.bool_]  # (C, N)
    in_mv: NDArray[np.bool_]  # (C,)
    quality: NDArray[np.float32] = field(default_factory=lambda: np.zeros(2, np.float32))  # (C,) 0 bad … 1 good


@dataclass(frozen=True)
class HeadOutputs:
    """What the fiducial head says at every sample of a window, `K` = `EVENTS`, `N` samples from `start_s` on.

    Reach is meant where a beat is: the ECG's events within 60 ms of the R peak, the PPG's within 100 ms of the foot.
    """

    start_s: float  # record time
    fs_hz: float
    waves: NDArray[np.float32]  # (4, N) probabilities, in the order of `WAVES`
    chance: NDArray[np.float32]  # (K, N) 0…1: how likely the event lies here
    reach_s: NDArray[np.float32]  # (K, N) from this sample to that event of its beat
    spread_s: NDArray[np.float32]  # (K, N) expected absolute error of the reach
    valid: NDArray[np.bool_]  # (2, N) ecg, ppg


INTERVALS = (
    "rr_ms", "pr_ms", "qrs_ms", "qt_ms", "qtc_fridericia_ms", "qtc_bazett_ms", "qtc_framingham_ms", "pat_ms",
)  # fmt: skip
MEASURES = (*(f"{event}_s" for event in ("r_peak", *(e for e in EVENTS if e != "r_peak"))), *INTERVALS)
REASONS = (
    "",  # measured
    "no ECG",
    "no PPG",
    "no signal",  # absent, flat, or a gap that the interval would have to bridge
    "noise",  # the expected error is too large
    "estimates disagree",
    "no P wave seen",
    "no T wave seen",
    "cut by an edge",  # the point lies where nothing is known, at the end of the record or at a gap
    "waves out of order",
    "runs into the next beat",
    "no beat before",
    "no pulse follows",
)


@dataclass(frozen=True)
class Rhythm:
    """What the heart does over a stretch, and how sure that is."""

    label: str  # "sinus", "af", "other" or "unreadable"
    probability: float
    chances: dict[str, float] = field(default_factory=dict)  # of every label
    reason: str = ""  # why it is unreadable, where it is


@dataclass(frozen=True)
class Measurement:
    """One row per beat, in time order; columns are `MEASURES`, points in record time (s), intervals in ms.

    A value that cannot be given is NaN, and its `reason` says why; `confidence` is the probability that the error of
    a value is within the tolerance of `cardiofm.measure.confidence.TOLERANCE_S`.
    """

    record: str
    values: dict[str, NDArray[np.float64]]  # column → (B,)
    confidence: dict[str, NDArray[np.float32]]  # column → (B,) 0…1, 0 where there is no value
    reason: dict[str, NDArray[np.uint8]]  # column → (B,) index into `REASONS`
    summary: dict[str, Any]  # of the record, ready for JSON
    stretches: tuple[dict[str, Any], ...]  # of every 30 s

    def __len__(self) -> int:
        return len(self.values["r_peak_s"])

    def reasons(self, column: str) -> list[str]:
        """Why each beat has no value in a column; "" where it has one."""
        return [REASONS[code] for code in self.reason[column]]


@dataclass(frozen=True, repr=False)
class Embedding:
    """One row per window: `values (W, D)` float32, `start_s (W,)`, `quality (W, C)`, `present (W, C)`."""

    record: str
    values: NDArray[np.float32]
    start_s: NDArray[np.float64]
    quality: NDArray[np.float32]  # 0 bad … 1 good, 0 where the channel is absent
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return iter(self.values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.record!r}, {len(self)} windows of {self.values.shape[-1]} numbers)"


@dataclass(frozen=True, repr=False)
class Features(Embedding):
    """Hand-crafted numbers of every window: `values (W, F)` float32, NaN where one cannot be measured."""

    names: tuple[str, ...]  # (F,) of `cardiofm.measure.features`, with the unit; docs/features.md says what each is
