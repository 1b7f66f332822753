"""Record to embedding, reconstruction and measurement, on one page: cut → encode → (draw | decode) → join,
and cut → measure → locate → table.

Shapes: B batch, C channels (ecg, ppg), N samples, S token steps, T tokens of the record, W windows.
From codes every sample is the network's. With something hidden, what is visible passes, and the hidden part is drawn.
Where the input has no sample nothing is drawn unless it was asked to be hidden.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from cardiofm import weights
from cardiofm.config import ConfigError, from_dict
from cardiofm.data.hide import Hidden, Hide
from cardiofm.data.usable import MIN_S as MIN_S
from cardiofm.data.usable import NothingKnown, batches, kinds, stacked, usable
from cardiofm.measure.confidence import Calibration
from cardiofm.model.checkpoint import HEAD, read_config
from cardiofm.model.encoded import Backend, Encoded, depths, shares
from cardiofm.signals import (
    CheckpointError,
    Embedding,
    HeadOutputs,
    InputSpec,
    Measurement,
    Record,
    SignalError,
    Window,
)

if TYPE_CHECKING:
    from cardiofm.codec.recording import Codec
    from cardiofm.measure.gather import Gathered
    from cardiofm.measure.rhythms import Rhythms
    from cardiofm.redraw import Drawn, Redrawing

OVERLAP_S = 1.0  # of reconstructed windows, rounded up to whole tokens


def load(name_or_folder: str | Path = "base", backend: str | None = None, threads: int | None = None) -> Model:
    """A released model by its name, or a model folder; run by ONNX Runtime, or by torch with `backend="torch"`.

    Without `backend`, a folder that has no ONNX graphs is run by torch. "onnx-int8" embeds with eight-bit matrices,
    which `cardiofm export --int8` writes, and measures as "onnx". `threads` limits the processor threads.
    Raises CheckpointError when the folder is not a complete model.
    """
    if backend not in (None, "onnx", "onnx-int8", "torch"):
        raise CheckpointError(f"the backend must be 'onnx', 'onnx-int8' or 'torch', found {backend!r}")
    folder = Path(name_or_folder)
    if name_or_folder in weights.installed() or not folder.is_dir():
        folder = weights.folder(str(name_or_folder))
    config = read_config(folder)
    torch_only = backend is None and not (folder / "encode.onnx").is_file()
    if backend == "torch" or torch_only:
        if importlib.util.find_spec("torch") is None:
            raise CheckpointError(
                f"{folder} must hold ONNX graphs, or torch must be installed: pip install 'cardiofm[torch]'"
                if torch_only
                else "backend='torch' needs torch: pip install 'cardiofm[torch]'"
            )
        from cardiofm.model.backend import TorchBackend

        run: Backend = TorchBackend(folder, threads)
    else:
        from cardiofm.edge.runtime import OnnxBackend

        run = OnnxBackend(folder, threads, int8=backend == "onnx-int8")
    return Model(config["name"], from_dict(InputSpec, config["spec"]), config, run, calibration(folder), folder)


def calibration(folder: Path) -> Calibration:
    """What a model folder's fiducial head says of how sure its measures are; the default where it says nothing."""
    if not (folder / HEAD).is_file():
        return Calibration()
    try:
        about = json.loads((folder / HEAD).read_text(encoding="utf-8"))
        return from_dict(Calibration, about.get("calibration") or {})
    except (ValueError, AttributeError, ConfigError) as error:
        raise CheckpointError(
            f"{folder / HEAD} must hold the calibration of a head: {error}; fetch the model again"
        ) from error


@dataclass(frozen=True)
class Analysis:
    """A record beside what the model makes of it; one column of `bits` and `depth` per token of `token_start_s`."""

    record: Record
    reconstruction: Record  # from the codes
    embedding: Embedding  # of overlapping windows, see start_s
    bits: NDArray[np.float32]  # (C, T) spent on each token (its share of a block), NaN where the channel is absent
    depth: NDArray[np.float32]  # (C, T) codebook levels used, 0…levels, mean over the block of a token
    token_start_s: NDArray[np.float64]  # (T,) record time
    prd: dict[str, float]  # modality → 100 * rms(error) / standard deviation, %, over the known samples
    r: dict[str, float]  # modality → Pearson correlation
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A loaded network. `config` is the checkpoint's own, as nested dicts; `spec` is what it accepts."""

    name: str
    spec: InputSpec
    config: dict[str, Any]
    backend: Backend
    calibration: Calibration = field(default_factory=Calibration)
    folder: Path | None = None  # where it was loaded from

    @overload
    def embed(self, records: Record, hop_s: float | None = None, batch: int = 16) -> Embedding: ...

    @overload
    def embed(self, records: Iterable[Record], hop_s: float | None = None, batch: int = 16) -> list[Embedding]: ...

    def embed(
        self, records: Record | Iterable[Record], hop_s: float | None = None, batch: int = 16
    ) -> Embedding | list[Embedding]:
        """An `Embedding` of a record (one row per window), or a list of them for several records.

        Windows start every `hop_s` seconds (by default the window's length) and are batched across records; a window
        with less than 1 s of known signal in every channel is skipped, a channel with less counts as absent. A record
        shorter than the window is padded with nothing. Raises SignalError for a record with no usable window.
        """
        found: list[Embedding] = []
        for one in self.embed_each([records] if isinstance(records, Record) else records, hop_s, batch):
            if isinstance(one, SignalError):
                raise one
            found.append(one)
        return found[0] if isinstance(records, Record) else found

    def embed_each(
        self, records: Iterable[Record], hop_s: float | None = None, batch: int = 16
    ) -> Iterator[Embedding | SignalError]:
        """Like `embed`, record by record as they are done: the next is read only then.

        A record that cannot be used gives its SignalError in its place.
        """
        rows: list[tuple[Window, NDArray[np.float32]]] = []
        for chunk in batches(self._items(records, hop_s), batch):
            windows = [item for _, item in chunk if isinstance(item, Window)]
            values = iter(self._embed(windows) if windows else ())
            for record, item in chunk:
                if isinstance(item, Window):
                    rows.append((item, next(values)))
                    continue
                yield item or _embedding(record.name, rows)
                rows = []

    def reconstruct(
        self,
        record: Record,
        hide: Hide = None,
        bits_per_second: float | None = None,
        batch: int = 16,
        denoise: bool = False,
    ) -> Record:
        """The record as the network draws it, each channel on its own clock, rate and unit.

        Nothing hidden: each channel goes through its codes, all levels or as many as `bits_per_second` pays for.
        `hide`: "ecg", "ppg", or spans [(start_s, end_s), …] of every channel; they are drawn from what is left. A
        channel that is hidden throughout a window is put into its own unit by its own mean and spread there, and by
        nothing else; one that the record does not have is drawn at `spec.fs_hz` on the other's clock, in unit "z".
        `denoise`: what is not hidden is cleaned of noise, from tokens; otherwise it passes, sample for sample.
        Absent samples stay NaN unless they are hidden. Raises SignalError when nothing is left to draw from.
        """
        if (hide is not None or denoise) and bits_per_second is not None:
            what = "hide" if hide is not None else "denoise"
            raise SignalError(f"{what} draws without codes: give either {what} or bits_per_second, found both")
        hidden = Hidden.of(hide, record)
        record = hidden.seen(record)
        from cardiofm.redraw import Redrawing  # with its filters: nothing that embeds or measures waits for it

        made = Redrawing(record, hidden, self.spec, self._overlap_s, passes=hide is not None and not denoise)
        for drawn in self._draw(made, bits_per_second, batch, denoise):
            made.add(drawn)
        return made.finish(self._note(hidden, bits_per_second, denoise))

    def analyze(self, record: Record, bits_per_second: float = 256.0, batch: int = 16) -> Analysis:
        """The reconstruction from codes of `bits_per_second` a channel, its errors, and the embedding, in one pass."""
        from cardiofm.measure.fit import fit
        from cardiofm.redraw import Redrawing

        hidden = Hidden.of(None, record)
        making, rows = Redrawing(record, hidden, self.spec, self._overlap_s), []
        steps = math.ceil(record.duration_s / self.spec.token_s - 1e-6)
        depth_CT = np.zeros((2, steps), np.float32)
        coded_CT = np.zeros((2, steps), bool)
        for drawn in self._draw(making, bits_per_second, batch):
            making.add(drawn)
            rows.append((drawn.window, drawn.code.embedding[0]))
            first = round((drawn.window.start_s - record.start_s) / self.spec.token_s)
            stop = min(steps, first + self.spec.tokens)
            depth_CT[:, first:stop] = shares(drawn.depth_CS, self.config["quantizer"]["group"])[:, : stop - first]
            coded_CT[:, first:stop] = drawn.code.coded[0, :, : stop - first]
        made = making.finish(self._note(hidden, bits_per_second))
        fits = {m: fit(true, drawn) for m in record.present if (true := record.signal(m)) and (drawn := made.signal(m))}
        return Analysis(
            record,
            made,
            _embedding(record.name, rows),
            np.where(coded_CT, depth_CT * self._bits_per_code, np.nan).astype(np.float32),
            depth_CT,
            np.arange(steps, dtype=np.float64) * self.spec.token_s + record.start_s,
            {m: fit[0] for m, fit in fits.items()},
            {m: fit[1] for m, fit in fits.items()},
            made.notes,
        )

    def _note(self, hidden: Hidden, bits_per_second: float | None, denoise: bool = False) -> str:
        """What a drawn record is."""
        rate = "all levels" if bits_per_second is None else f"{bits_per_second:g} bit/s a channel"
        source = "tokens, cleaned of noise" if denoise else f"codes, {rate}" if hidden.none else "tokens"
        return f"drawn by the model {self.name!r} from {source}"

    def measure(self, record: Record, smoothed: bool = True, batch: int = 4) -> Measurement:
        """One row per beat: points in s, intervals in ms, each with its confidence or the reason why not; and figures.

        A beat's PAT leans on its neighbours as far as it is unsure, unless `smoothed` is False. A record in
        which nothing can be measured gives no rows, and its summary says why. Raises CheckpointError for a model
        without a fiducial head, SignalError for a record of less than 1 s.
        """
        from cardiofm.measure import rhythms, whole  # with their trees: nothing that embeds waits for them

        found = self.gather(record, batch)
        told = None if self._rhythms is None else rhythms.rhythm_of(self._rhythms, record)
        return whole.measurement(record, found, self.spec.window_s, self.calibration, smoothed=smoothed, rhythm_of=told)

    def gather(self, record: Record, batch: int = 4) -> Gathered:
        """The points of every beat of a record with their expected errors, before anything is judged."""
        from cardiofm.measure.gather import HOP_S, Gatherer

        gatherer, windows = Gatherer(HOP_S), usable(record, self.spec, HOP_S)
        with contextlib.suppress(NothingKnown):
            while some := [window for window, _ in islice(windows, batch)]:
                rows: dict[int, HeadOutputs] = {}
                for at, kind in kinds(some):
                    out = self.backend.measure(*stacked([some[i] for i in at]), kind)
                    for i, arrays in zip(at, zip(*out, strict=True), strict=True):
                        rows[i] = HeadOutputs(some[i].start_s, self.spec.fs_hz, *arrays, valid=some[i].valid)
                for i, window in enumerate(some):
                    gatherer.add(rows[i], window.quality)
        return gatherer.finish()

    def encode(self, record: Record, bits_per_second: float = 256.0, lossless: bool = False) -> bytes:
        """The record as a `.cfm` file of that rate a channel; `lossless`: every sample comes back bit for bit."""
        return b"".join(self.codec().encode(record, bits_per_second, lossless))

    def decode(self, data: bytes, start_s: float | None = None, end_s: float | None = None) -> Record:
        """The record, or a stretch of it in record time, of a `.cfm` file that this model wrote."""
        return self.codec().decode(data, start_s, end_s)

    def codec(self) -> Codec:
        """The model as a codec. Raises CheckpointError where its folder has no prior."""
        from cardiofm.codec.recording import Codec  # with its wavelets: nothing that embeds or measures waits for it

        return Codec.of(self.name, self.folder, self.spec, self.backend)

    @cached_property
    def _rhythms(self) -> Rhythms | None:  # None: no rhythm is told
        from cardiofm.measure.rhythms import Rhythms

        return Rhythms.load(weights.HERE) if (weights.HERE / "rhythm.json").is_file() else None

    @property
    def _bits_per_code(self) -> float:
        return math.log2(self.config["quantizer"]["codes"])

    @property
    def _overlap_s(self) -> float:
        return math.ceil(OVERLAP_S / self.spec.token_s - 1e-9) * self.spec.token_s

    def _items(
        self, records: Iterable[Record], hop_s: float | None
    ) -> Iterator[tuple[Record, Window | SignalError | None]]:
        """Usable windows of the records in turn; after a record's last one None, or the SignalError that ended it."""
        for record in records:
            end = None
            try:
                for window, _ in usable(record, self.spec, hop_s):
                    yield record, window
            except SignalError as error:
                end = error
            yield record, end

    def _encode(self, windows: list[Window]) -> Encoded:
        """The windows as one batch, in order; each runs only the streams that it has."""
        order: list[int] = []
        parts: list[Encoded] = []
        for at, kind in kinds(windows):
            parts.append(self.backend.encode(*stacked([windows[i] for i in at]), kind))
            order += at
        return parts[0] if len(parts) == 1 else Encoded.join(parts).rows(np.argsort(order))

    def _embed(self, windows: list[Window]) -> NDArray[np.float32]:
        """The embeddings of windows `(W, E)`, in order; each runs only the streams that it has."""
        rows: dict[int, NDArray[np.float32]] = {}
        for at, kind in kinds(windows):
            rows |= zip(at, self.backend.embed(*stacked([windows[i] for i in at]), kind), strict=True)
        return np.stack([rows[i] for i in range(len(windows))])

    def _draw(
        self, made: Redrawing, bits_per_second: float | None, batch: int, denoise: bool = False
    ) -> Iterator[Drawn]:
        """The overlapping windows of a record, drawn from codes, or from tokens where something is hidden."""
        from cardiofm.redraw import Drawn, draw_cleaned, draw_hidden

        mean_depth = math.inf if bits_per_second is None else bits_per_second * self.spec.token_s / self._bits_per_code
        if not mean_depth > 0:
            raise SignalError(f"bits_per_second must be above 0, found {bits_per_second:g}")
        hop_s = self.spec.window_s - self._overlap_s
        pairs = usable(made.record, self.spec, hop_s, made.hidden)
        while some := list(islice(pairs, batch)):
            windows = [window for window, _ in some]
            code = self._encode(windows)
            depth_BCS = depths(code.worth, code.coded, mean_depth)
            if made.hidden.none and not denoise:
                drawn_BCN = self.backend.decode(code.codes, depth_BCS, code.coded)
            elif denoise:
                drawn_BCN = draw_cleaned(self.backend, code, *stacked(windows), self.spec.fs_hz)
            else:
                drawn_BCN = draw_hidden(self.backend, code, *stacked(windows), self.spec.fs_hz)
            for i, (window, whole) in enumerate(some):
                one = code.rows(slice(i, i + 1))
                offset_C, scale_C = made.unit(window, whole, one)
                yield Drawn(window, one, depth_BCS[i], drawn_BCN[i] * scale_C[:, None] + offset_C[:, None])


def _embedding(record: str, rows: list[tuple[Window, NDArray[np.float32]]]) -> Embedding:
    windows = [window for window, _ in rows]
    return Embedding(
        record,
        np.stack([values for _, values in rows]),
        np.array([w.start_s for w in windows]),
        np.stack([w.quality for w in windows]),
        np.stack([w.valid.any(-1) for w in windows]),
    )
