"""Recordings to `.cfm` files and back, chunk by chunk.

Shapes: C channels (ecg, ppg), N samples of a chunk's grid, n samples of a channel's own clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.codec import container, plan, retouch
from cardiofm.codec.arithmetic import STEPS, Reader, Writer
from cardiofm.codec.container import Channel, Chunk, Header
from cardiofm.codec.layers import Clock, Given, Layers, layers
from cardiofm.codec.prior import Prior, load
from cardiofm.codec.retouch import Retouch
from cardiofm.data.join import Joiner
from cardiofm.data.usable import MIN_S
from cardiofm.model.encoded import Backend
from cardiofm.signals import MODALITIES, CheckpointError, InputSpec, Record, Signal, SignalError

WINDOWS = 6  # of a chunk
FRAME_BITS = 8 * 13  # of a chunk that are not its channels'
TRIALS = 4  # at a chunk's size
MARGIN_S = 2.0  # of chunks read beyond a stretch that is asked for
Layered = tuple[Layers | None, Layers | None]


@dataclass(frozen=True)
class Codec:
    """A model as a codec."""

    name: str
    spec: InputSpec
    prior: Prior
    backend: Backend
    retouch: Retouch | None = None
    codes: bool = True  # False: the classical layer alone, as a floor

    @staticmethod
    def of(name: str, folder: Path | None, spec: InputSpec, backend: Backend) -> Codec:
        """The codec of a loaded model. Raises CheckpointError where its folder has no prior."""
        if folder is None:
            raise CheckpointError("a model must come from a folder to store recordings; load it with cardiofm.load")
        return Codec(name, spec, load(folder), backend, retouch.load(folder))

    def encode(
        self, record: Record, bits_per_second: float = 256.0, lossless: bool = False, after: bytes = b""
    ) -> Iterator[bytes]:
        """The file of a record in pieces: the header, then chunk by chunk as they are done.

        `bits_per_second` is what each channel's known seconds may take, all bytes of a chunk counted. `lossless`:
        every sample comes back bit for bit, in what that takes. `after` is a file of the same record when it was
        shorter: the pieces are those to put behind it. Raises SignalError for a record of
        less than 1 s or without signal, and for an `after` that is another recording's.
        """
        if not bits_per_second > 0:
            raise SignalError(f"bits_per_second must be above 0, found {bits_per_second:g}")
        if record.duration_s < MIN_S:
            raise SignalError(
                f"record {record.name!r} must last at least {MIN_S:g} s, found {record.duration_s:.3g} s; record longer"
            )
        about, first = self._header(record, lossless), 0
        if after:
            about, first = self._end(about, after)
        else:
            yield about.bytes()
        total = math.ceil(record.duration_s / self.spec.window_s - 1e-6)
        found = first > 0
        for begin in range(first, total, WINDOWS):
            chunk = self.chunk(record, about, begin, min(WINDOWS, total - begin), bits_per_second)
            if chunk is not None:
                found = True
                yield chunk.bytes()
        if not found:
            raise SignalError(f"record {record.name!r} must hold {MIN_S:g} s of signal, found none; choose another")

    def left_out_s(self, record: Record) -> float:
        """How long the end of a record is that begins a chunk of its own and is too short for one; 0 for none."""
        over_s = record.duration_s % (WINDOWS * self.spec.window_s)
        return over_s if 1e-6 < over_s < MIN_S else 0.0

    def decode(
        self, data: bytes, start_s: float | None = None, end_s: float | None = None, name: str = "decoded"
    ) -> Record:
        """The record of a file, or the stretch `start_s` to `end_s` of it, each channel on its own clock.

        What is damaged or was absent is NaN, and a note says how much is damaged. Raises SignalError where nothing
        whole is left, CheckpointError for a file of another model.
        """
        if start_s is not None and end_s is not None and not start_s < end_s:
            raise SignalError(f"a stretch must end after it starts, found {start_s:g} to {end_s:g} s")
        about, at = container.header(data)
        self._fits(about)
        chunks, lost_s, cut = self._whole(data, at)
        chosen = [c for c in chunks if self._touches(about, c, start_s, end_s)]
        if not chosen:
            what = "a whole chunk" if start_s is None and end_s is None else "a whole chunk of that stretch"
            raise SignalError(
                f"a .cfm file must hold {what}, found none; get the file again, or ask for another stretch"
            )
        joins = {m: _Join(about, m, self.spec, chosen) for m in about.channels}
        for chunk in chosen:
            both = self.layers(about, chunk)
            drawn_CN = self._drawn(about, both, chunk)
            for modality, join in joins.items():
                c = MODALITIES.index(modality)
                if (one := both[c]) is not None:
                    join.add(chunk, one, drawn_CN[c])
        made = {m: signal for m, join in joins.items() if (signal := join.finish()) is not None}
        notes = ["decoded bit for bit" if about.lossless else f"decoded from codes of the model {about.model!r}"]
        if about.retouch and self._touch(about) is None:
            notes.append(f"not retouched: the {retouch.FILE} that it was coded with is not this model's")
        if lost_s > 0:
            notes.append(f"{lost_s:g} s of the file are damaged and left out")
        if cut:
            notes.append("the file's end is damaged or cut off: what came after the last whole chunk is lost")
        if not made:
            raise SignalError("a .cfm file must hold samples where it is asked for, found none; ask for another part")
        record = Record(name, made.get("ecg"), made.get("ppg"), None, tuple(notes))
        if start_s is None and end_s is None:
            return record
        return record.crop(-math.inf if start_s is None else start_s, math.inf if end_s is None else end_s)

    def chunk(self, record: Record, about: Header, first: int, windows: int, bits_per_second: float) -> Chunk | None:
        """One chunk of a record; None where neither channel has 1 s of signal in it."""
        pieces = [self._piece(record, about, m, first, windows) for m in MODALITIES]
        if not any(pieces):
            return None
        if about.lossless:
            return Chunk(first, windows, _written(pieces, [p and p.given for p in pieces], self.spec, False))
        seconds = sum(p.seconds for p in pieces if p)
        target = bits_per_second * seconds
        rates = plan.code_rates(bits_per_second) if self.codes else (0.0,)
        shares = tuple(rate / bits_per_second for rate in rates)
        scale, chosen = 1.0, [shares] * 2
        for trial in range(TRIALS):
            budgets = [scale * (target - FRAME_BITS) * p.seconds / max(seconds, 1e-9) if p else 0.0 for p in pieces]
            given, chosen = self._best(pieces, budgets, windows, chosen)
            made = Chunk(first, windows, _written(pieces, given, self.spec, bool(about.retouch)))
            size = 8 * len(made.bytes())
            if size <= target + 8 or trial == TRIALS - 1:
                return made
            scale *= 0.998 * (target - FRAME_BITS) / max(size - FRAME_BITS, 1) if target > FRAME_BITS else 0.5
        return None

    def layers(self, about: Header, chunk: Chunk) -> Layered:
        """What a chunk stores of each channel."""
        reader, out = Reader(chunk.data), list[Layers | None]()
        for c, modality in enumerate(MODALITIES):
            if reader.step(STEPS // 2):
                if modality not in about.channels:
                    raise SignalError(f"a chunk must hold channels of its header, found {modality}; encode it again")
                clock = self._clock(about, modality, chunk.first, chunk.windows)
                out.append(layers(reader, self.prior.tables[c], clock, self.spec, None, bool(about.retouch)))
            else:
                out.append(None)
        return out[0], out[1]

    def _drawn(self, about: Header, both: Layered, chunk: Chunk) -> NDArray[np.float64]:
        """The grid samples `(C, N)` in the channels' units."""
        if all(one is None or one.exact_n is not None for one in both):
            return np.zeros((2, chunk.windows * self.spec.samples))
        codes = tuple(None if one is None else one.codes for one in both)
        drawn_CN = plan.drawn(self.backend, (codes[0], codes[1]), chunk.windows, self.spec, self._levels)
        for c, one in enumerate(both):
            if one is not None:
                known_N = self._clock(about, MODALITIES[c], chunk.first, chunk.windows).known(one.known_n, self.spec)
                made = plan.stages(one, drawn_CN[c], known_N)
                touch = self._touch(about)
                made_N = made.last if touch is None else touch.drawn(MODALITIES[c], made, one.gain)
                drawn_CN[c] = made_N * one.scale + one.offset
        return drawn_CN

    def _best(
        self,
        pieces: Sequence[plan.Piece | None],
        budgets: Sequence[float],
        windows: int,
        shares: Sequence[Sequence[float]],
    ) -> tuple[list[Given | None], list[Sequence[float]]]:
        """What each channel stores: of the shares of its bits for codes, the one that draws it best."""
        best: list[tuple[float, float, Given, Layers | None] | None] = [None, None]
        for share in dict.fromkeys(s for each in shares for s in each):
            tried = [
                plan.codes_at(p, share * b, self.spec) if p and share in own else None
                for p, b, own in zip(pieces, budgets, shares, strict=True)
            ]
            drawn_CN = self._of_codes([t[1] if t else None for t in tried], windows)
            calm = [
                plan.without_noise(p, drawn_CN[c], self.spec) if p and t and t[1] else None
                for c, (p, t) in enumerate(zip(pieces, tried, strict=True))
            ]
            if any(calm):
                tried = [
                    plan.codes_at(q, share * b, self.spec) if q else t
                    for q, t, b in zip(calm, tried, budgets, strict=True)
                ]
                drawn_CN = self._of_codes([t[1] if t else None for t in tried], windows)
            for c, (p, t) in enumerate(zip(pieces, tried, strict=True)):
                if p and t:
                    left = budgets[c] - t[2] if share < 1 else 0.0
                    given, made_N = self._made(c, p, t[0], t[1], drawn_CN[c], left)
                    error = float(((made_N - p.signal_N) ** 2)[p.known_N].sum())
                    if best[c] is None or error < best[c][0]:  # pyright: ignore[reportOptionalSubscript]
                        best[c] = error, share, given, t[1]
        chosen = [() if b is None else (b[1],) for b in best]
        out = [None if b is None else b[2] for b in best]
        if all(out) and len({b[1] for b in best if b}) > 1:  # the drawing of one channel depends on the other's codes
            drawn_CN = self._of_codes([b[3] if b else None for b in best], windows)
            for c, (p, b) in enumerate(zip(pieces, best, strict=True)):
                if p and b and b[2].price is not None:
                    bare = replace(b[2], bands=None, alike=(0, 0), gain=0)
                    left = budgets[c] - plan.bits(p, bare, self.spec) if b[1] < 1 else 0.0
                    out[c] = self._made(c, p, bare, b[3], drawn_CN[c], left)[0]
        return out, list(chosen)

    def _made(
        self, c: int, piece: plan.Piece, given: Given, stored: Layers | None, drawn_N: NDArray[np.float64], left: float
    ) -> tuple[Given, NDArray[np.float64]]:
        """What is stored beside codes in `left` bits, and the whole drawing."""
        given, made = plan.finished(piece, given, stored, drawn_N, left, self.codes)
        if self.retouch is None or given.price is None:
            return given, made.last
        gain, made_N = self.retouch.best(MODALITIES[c], made, piece.signal_N)
        return replace(given, gain=gain), made_N

    def _of_codes(self, stored: Sequence[Layers | None], windows: int) -> NDArray[np.float64]:
        codes = [None if one is None else one.codes for one in stored]
        return plan.drawn(self.backend, (codes[0], codes[1]), windows, self.spec, self._levels)

    def _piece(self, record: Record, about: Header, modality: str, first: int, windows: int) -> plan.Piece | None:
        if modality not in about.channels:
            return None
        clock, tables = self._clock(about, modality, first, windows), self.prior.tables[MODALITIES.index(modality)]
        return plan.piece(record, modality, tables, clock, self.spec, about.lossless)

    def _clock(self, about: Header, modality: str, first: int, windows: int) -> Clock:
        channel = about.channels[modality]
        return Clock(channel.fs_hz, channel.start_s, about.start_s + first * self.spec.window_s, windows)

    def _header(self, record: Record, lossless: bool) -> Header:
        channels = {
            m: Channel(s.name, s.unit, s.fs_hz, s.start_s)
            for m in record.present
            if (s := record.signal(m)) is not None
        }
        touched = "" if lossless or self.retouch is None or not self.codes else self.retouch.fingerprint
        return Header(self.name, self.prior.model, self.spec, record.start_s, channels, lossless, touched)

    def _fits(self, about: Header) -> None:
        if about.fingerprint != self.prior.model:
            raise CheckpointError(
                f"this file must be decoded by the model that coded it, {about.model!r} of fingerprint "
                f"{about.fingerprint[:8]}, found {self.name!r} of {self.prior.model[:8]}; give that model's folder"
            )

    def _touch(self, about: Header) -> Retouch | None:
        """The networks that a file asks for; None where they are not here."""
        own = self.retouch
        return own if own is not None and own.fingerprint == about.retouch else None

    def _end(self, about: Header, data: bytes) -> tuple[Header, int]:
        """The header of a file of the same recording, and the window behind its last chunk."""
        found, at = container.header(data)
        self._fits(found)
        if found not in (about, replace(about, retouch="")):
            raise SignalError(
                "a file is continued only by its own recording; channels, rates and starts must be its own"
            )
        return found, max((c.first + c.windows for c in container.chunks(data, at)), default=0)

    def _whole(self, data: bytes, at: int) -> tuple[list[Chunk], float, bool]:
        """The whole chunks in order of time, how many seconds between them are damaged, and whether the end is."""
        out, lost, end = list[Chunk](), 0, at
        for chunk in container.chunks(data, at):
            expected = out[-1].first + out[-1].windows if out else 0
            if chunk.first < expected:
                continue
            if chunk.at != end:
                lost += max(chunk.first - expected, 0)
            out.append(chunk)
            end = chunk.at + len(chunk.bytes())
        return out, lost * self.spec.window_s, end < len(data)

    def _touches(self, about: Header, chunk: Chunk, start_s: float | None, end_s: float | None) -> bool:
        from_s = about.start_s + chunk.first * self.spec.window_s
        to_s = from_s + chunk.windows * self.spec.window_s
        return (end_s is None or from_s < end_s + MARGIN_S) and (start_s is None or to_s > start_s - MARGIN_S)

    @property
    def _levels(self) -> int:
        return self.prior.tables[0].book.shape[0]


def _written(
    pieces: Sequence[plan.Piece | None], given: Sequence[Given | None], spec: InputSpec, retouched: bool
) -> bytes:
    writer = Writer()
    for piece, one in zip(pieces, given, strict=True):
        writer.step(STEPS // 2, int(piece is not None))
        if piece is not None and one is not None:
            layers(writer, piece.tables, piece.clock, spec, one, retouched)
    return writer.bytes()


class _Join:
    """One channel of chosen chunks on its own clock."""

    def __init__(self, about: Header, modality: str, spec: InputSpec, chunks: Sequence[Chunk]) -> None:
        self.about, self.channel, self.spec = about, about.channels[modality], spec
        self.first = self._clock(chunks[0]).first()
        last = self._clock(chunks[-1])
        count = last.first() + last.count(spec) - self.first
        self.start_s = self.channel.start_s + self.first / self.channel.fs_hz
        self.join = Joiner(
            spec, start_s=self.start_s, fs_hz=self.channel.fs_hz, n=max(count, 0), origin_s=about.start_s, fade_s=0.0
        )
        self.parts: list[tuple[int, Layers]] = []

    def add(self, chunk: Chunk, one: Layers, drawn_N: NDArray[np.float64]) -> None:
        """One more chunk, later than those before it."""
        self.parts.append((self._clock(chunk).first() - self.first, one))
        if one.exact_n is None:
            for w, part_N in enumerate(drawn_N.reshape(chunk.windows, -1)):
                self.join.add((chunk.first + w) * self.spec.samples, part_N.astype(np.float32))

    def finish(self) -> Signal | None:
        """The channel, NaN where nothing is known; None where the chunks have none of it."""
        drawn_n = self.join.finish()
        out_n = np.full(len(drawn_n), np.nan, np.float32)
        end = 0
        for at, one in self.parts:
            part = slice(at, at + len(one.known_n))
            values_n = drawn_n[part] if one.exact_n is None else one.exact_n
            out_n[part] = np.where(one.known_n, values_n, np.float32(np.nan))
            end = at + len(one.known_n)
        if not end:
            return None
        channel = self.channel
        return Signal(out_n[:end], channel.fs_hz, channel.unit, channel.name, self.start_s)

    def _clock(self, chunk: Chunk) -> Clock:
        from_s = self.about.start_s + chunk.first * self.spec.window_s
        return Clock(self.channel.fs_hz, self.channel.start_s, from_s, chunk.windows)
