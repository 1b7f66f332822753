"""What a stream says, one event at a time; times are on the stream's clock, in seconds."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EmbeddingAt:
    """The embedding of the window from `start_s` to `end_s`."""

    start_s: float
    end_s: float
    said_s: float  # newest sample when it was given
    values: NDArray[np.float32]  # (D,)
    quality: tuple[float, float]  # of ECG and PPG: 0 bad … 1 good, 0 where absent
    present: tuple[bool, bool]


@dataclass(frozen=True)
class BeatAt:
    """One beat. `final`: as `Model.measure` gives it; before, within 2 s of the beat, it is given once provisionally.

    `values` holds the columns of `MEASURES` that are given (points in s, intervals in ms), `confidence` the
    probability that each is right within its tolerance, `reason` why each of the others is not given.
    """

    at_s: float  # R peak; foot of the pulse where no R peak was seen
    said_s: float  # newest sample when it was given
    final: bool
    values: dict[str, float]
    confidence: dict[str, float]
    reason: dict[str, str]
    pat_own_beat: float | None  # probability that pulses are paired with their own R peaks, not a beat off


@dataclass(frozen=True)
class Notice:
    """What must be told once: a rate that the time stamps do not bear out, packets that came too late, a new start."""

    at_s: float
    text: str


Event: TypeAlias = EmbeddingAt | BeatAt | Notice
_NAMES = {EmbeddingAt: "embedding", BeatAt: "beat", Notice: "notice"}


def line(event: Event) -> str:
    """An event as one line of JSON; times to 0.1 ms, embeddings to six digits.

    >>> line(Notice(1.0, "ecg: 3 packets came too late"))
    '{"event": "notice", "at_s": 1.0, "text": "ecg: 3 packets came too late"}'
    """
    return json.dumps({"event": _NAMES[type(event)]} | {k: _plain(v) for k, v in vars(event).items()}, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [float(f"{x:.6g}") for x in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return round(value, 4) if isinstance(value, float) and math.isfinite(value) else value
