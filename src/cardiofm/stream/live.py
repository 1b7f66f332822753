"""Two sensors, packet by packet, to embeddings and beats: windows are cut as soon as nothing can change them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.data.usable import kinds, stacked, visible
from cardiofm.data.windows import FLAT_S, MARGIN, window_at
from cardiofm.measure.gather import HOP_S
from cardiofm.pipeline import Model
from cardiofm.signals import MODALITIES, HeadOutputs, Record, SignalError, Window
from cardiofm.stream.beats import Beat, Beats
from cardiofm.stream.channel import Channel, Packet
from cardiofm.stream.events import BeatAt, EmbeddingAt, Event, Notice

WITHIN_S = 2.0  # of a beat it is given provisionally
LATE_S = 5.0
_PIECE_S = 0.1  # longer packets are taken in pieces, so that both channels go on together
_PATIENCE_S = 0.15  # that the newest seconds of one channel wait for the other's
_SLACK_S = 0.05
_JUMP_S = 1.0  # samples this far ahead of the newest: what was before is finished first
Samples: TypeAlias = tuple[float | None, ArrayLike] | NDArray[Any] | list[float] | None


@dataclass
class _Grid:
    """Windows that start every `hop_s` from the stream's start."""

    hop_s: float
    k: int = 0


class Stream:
    """A model on signals as they come.

    `ecg_hz`, `ppg_hz`: the rates, None for a channel that will not come. `embed_every_s`: from one embedding to the
    next, None: no embeddings. `beats_every_s`: how often the newest seconds are looked at for provisional beats, 0.1 to
    1 s, None: final ones only. `beats` False: no beats at all, as for a model without a fiducial head. `late_s`: how
    long a packet, or a silent channel, is waited for.

    What is given as final depends on the samples alone, not on the size of the packets: embeddings are those of
    `Model.embed(record, hop_s=embed_every_s)`, beats those of `Model.measure(record)`.
    """

    def __init__(
        self,
        model: Model,
        *,
        ecg_hz: float | None = None,
        ppg_hz: float | None = None,
        ecg_unit: str = "mV",
        ppg_unit: str = "NU",
        embed_every_s: float | None = 1.0,
        beats_every_s: float | None = 0.5,
        beats: bool = True,
        late_s: float = LATE_S,
    ) -> None:
        rates = {"ecg": (ecg_hz, ecg_unit), "ppg": (ppg_hz, ppg_unit)}
        given = {m: (hz, unit) for m, (hz, unit) in rates.items() if hz is not None}
        if not given:
            raise SignalError("a stream must have an ECG or a PPG, found neither; give ecg_hz, ppg_hz or both")
        if embed_every_s is not None and not 0 < embed_every_s <= model.spec.window_s:
            raise SignalError(f"embed_every_s must be above 0 and at most a window, found {embed_every_s:g}")
        if beats_every_s is not None and not 0.1 <= beats_every_s <= 1.0:
            raise SignalError(f"beats_every_s must be between 0.1 and 1 s, found {beats_every_s:g}")
        if not late_s >= 0:
            raise SignalError(f"late_s must be 0 or more, found {late_s:g}")
        self.model, self.spec, self.late_s = model, model.spec, late_s
        slowest_hz = min(self.spec.fs_hz, *(hz for hz, _ in given.values()))
        self._margin_s = max(FLAT_S, MARGIN / slowest_hz) + 2 / slowest_hz  # as far as a window's cut looks beyond it
        keep_s = self.spec.window_s + HOP_S + 2 * self._margin_s + late_s + 2 * _JUMP_S
        self.channels = {m: Channel(m, float(hz), unit, keep_s) for m, (hz, unit) in given.items()}
        self._embed = None if embed_every_s is None else _Grid(embed_every_s)
        self._final = _Grid(HOP_S) if beats else None
        self._live_every_s = beats_every_s if beats else None
        self._live_k: int | None = None
        self._beats = Beats(model.calibration)
        self._origin_s: float | None = None  # the first time stamp: inside, times count from there
        self._start_s: float | None = None  # of the first window
        self._told = 0
        self._closed = False

    def push(self, ecg: Samples = None, ppg: Samples = None) -> list[Event]:
        """Take a packet of either channel or both: `(time of its first sample in s or None, samples)`, or samples.

        A packet without a time goes behind what came before. With times, packets may be late by `late_s`, missing
        (a gap) or repeated (left out). Gives what can be said now. Raises SignalError for samples that are no row of
        numbers, and for a channel whose rate was not given.
        """
        if self._closed:
            raise SignalError("a stream must be open to take packets, found it closed; start another")
        packets = [p for m, s in (("ecg", ecg), ("ppg", ppg)) if s is not None and (p := self._placed(m, s))]
        pieces = [piece for packet in packets for piece in packet.pieces(_PIECE_S)]
        out: list[Event] = []
        for piece in sorted(pieces, key=lambda p: p.end_s):
            if piece.end_s > self._newest_s + _JUMP_S:
                out += self._said(piece.end_s - self.late_s)
            piece.channel.write(piece)
            out += self._said(self._newest_s - self.late_s)
        return out

    def close(self) -> list[Event]:
        """What is left to say at the end: nothing more will come."""
        if self._closed:
            return []
        self._closed = True
        return self._said(math.inf)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Per channel: samples that came too late or twice."""
        return {m: dict(channel.counts) for m, channel in self.channels.items()}

    @property
    def _newest_s(self) -> float:
        return max(channel.end_s for channel in self.channels.values())

    def _placed(self, modality: str, samples: Samples) -> Packet | None:
        if modality not in self.channels:
            raise SignalError(f"a channel's rate must be known, found samples of the {modality}; give {modality}_hz")
        stamp, values = samples if isinstance(samples, tuple) else (None, samples)
        values_n = np.asarray(values, np.float32)
        if values_n.ndim != 1:
            raise SignalError(f"{modality} samples must be one row (n,), found shape {values_n.shape}")
        if len(values_n) == 0:
            return None
        if stamp is not None:
            if not math.isfinite(stamp):
                raise SignalError(f"{modality}: a time stamp must be a number in s or None, found {stamp}")
            self._origin_s = float(stamp) if self._origin_s is None else self._origin_s
            stamp = float(stamp) - self._origin_s
        newest_s = self._newest_s
        return self.channels[modality].place(stamp, values_n, newest_s, newest_s - self.late_s)

    def _said(self, deadline_s: float) -> list[Event]:
        """Everything that can be said when nothing from before `deadline_s` will come any more."""
        for channel in self.channels.values():
            channel.decide(min(deadline_s, self._newest_s))
        out: list[Event] = [*self._notices()]
        if self._newest_s == -math.inf:
            return out
        ready_s = max(deadline_s, min(channel.front_s for channel in self.channels.values()))
        if self._embed:
            out += [self._embedding(window) for window in self._windows(self._embed, ready_s)]
        if self._final:
            for window in self._windows(self._final, ready_s):
                self._beats.add(self._measured(window), window.quality)
                out += [self._beat(beat, True) for beat in self._beats.final(self._present)]
            if self._closed:
                out += [self._beat(beat, True) for beat in self._beats.final(self._present, at_end=True)]
        return out if self._closed else out + self._live()

    def _windows(self, grid: _Grid, ready_s: float) -> Iterator[Window]:
        """The windows of a grid that nothing can change any more, in order; at the end, all that are left."""
        while (record := self._record()) is not None:
            if self._start_s is None and ready_s >= self.spec.window_s:
                self._start_s = record.start_s
            origin_s = record.start_s if self._start_s is None else self._start_s
            start_s = origin_s + grid.k * grid.hop_s
            if self._closed:
                last = max(0, math.ceil((record.end_s - origin_s - self.spec.window_s) / grid.hop_s - 1e-6))
                if grid.k > last:
                    return
            elif start_s + self.spec.window_s + self._margin_s > ready_s:
                return
            window = visible(window_at(record, self.spec, start_s), self.spec)
            grid.k += 1
            if window is not None:
                yield window
            elif (known_s := min(c.known_from(start_s) for c in self.channels.values())) > start_s + self.spec.window_s:
                known_s = min(known_s, record.end_s if self._closed else ready_s - self._margin_s)
                grid.k = max(grid.k, math.floor((known_s - self.spec.window_s - origin_s) / grid.hop_s))

    def _live(self) -> list[Event]:
        """Provisional beats, each time that the newest seconds have come."""
        out: list[Event] = []
        if self._live_every_s is None:
            return out
        newest_s = self._newest_s
        whole_s = max(min(channel.end_s for channel in self.channels.values()), newest_s - _PATIENCE_S)
        due = math.floor(whole_s / self._live_every_s + 1e-9)
        if self._live_k is None or due > self._live_k + 2:  # samples jumped ahead
            self._live_k = due - 1
        while self._live_k < due:
            self._live_k += 1
            end_s = self._live_k * self._live_every_s
            if (window := self._newest(end_s)) is not None:
                inside_s = WITHIN_S - self._live_every_s - _PATIENCE_S - _SLACK_S
                span = newest_s - WITHIN_S + _SLACK_S, end_s - inside_s
                found = self._beats.live(self._measured(window), window.quality, self._present, *span)
                out += [self._beat(beat, False) for beat in found]
        return out

    def _newest(self, end_s: float) -> Window | None:
        """The window that ends at `end_s`, cut from samples before it alone."""
        start_s, record = end_s - self.spec.window_s, self._record()
        if record is None or record.start_s >= end_s or record.end_s <= start_s:
            return None
        return visible(window_at(record.crop(start_s - self._margin_s, end_s), self.spec, start_s), self.spec)

    def _record(self) -> Record | None:
        signals = {m: s for m, channel in self.channels.items() if (s := channel.signal()) is not None}
        return Record("stream", signals.get("ecg"), signals.get("ppg")) if signals else None

    @property
    def _present(self) -> tuple[bool, bool]:
        ecg, ppg = (self.channels.get(m) for m in MODALITIES)
        return bool(ecg and len(ecg.buffer)), bool(ppg and len(ppg.buffer))

    def _measured(self, window: Window) -> HeadOutputs:
        ((_, kind),) = kinds([window])
        waves, *others = (arrays[0] for arrays in self.model.backend.measure(*stacked([window]), kind))
        return HeadOutputs(window.start_s, self.spec.fs_hz, waves, *others, valid=window.valid)

    def _embedding(self, window: Window) -> EmbeddingAt:
        ((_, kind),) = kinds([window])
        values: NDArray[np.float32] = self.model.backend.embed(*stacked([window]), kind)[0]
        present = (bool(window.valid[0].any()), bool(window.valid[1].any()))
        quality = (float(window.quality[0]), float(window.quality[1]))
        start_s = self._clock_s(window.start_s)
        end_s = start_s + self.spec.window_s
        return EmbeddingAt(start_s, end_s, self._clock_s(self._newest_s), values, quality, present)

    def _beat(self, beat: Beat, final: bool) -> BeatAt:
        values = {c: self._clock_s(v) if c.endswith("_s") else v for c, v in beat.values.items()}
        now_s = self._clock_s(self._newest_s)
        return BeatAt(self._clock_s(beat.at_s), now_s, final, values, beat.confidence, beat.reason, beat.pat_own_beat)

    def _notices(self) -> list[Notice]:
        """What the channels have to tell."""
        texts = [text for channel in self.channels.values() for text in channel.notices]
        for channel in self.channels.values():
            channel.notices.clear()
        return [Notice(self._clock_s(self._newest_s), text) for text in texts]

    def _clock_s(self, t_s: float) -> float:
        """On the clock of the time stamps."""
        return t_s + (self._origin_s or 0.0)
