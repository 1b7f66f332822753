"""One signal damaged, the other one clean: what a frozen model is given, what it draws, and what probes read from it.

A damage is noise at a ratio in dB, or a contiguous part of the window that is cut out. Each is given in three ways:
both signals, the clean one alone, the damaged one alone. A probe of two clean signals has no reason to doubt either,
whatever the embedding tells of their state; so beside it stands one that is taught: it reads the embeddings of both
signals together and of each alone, and is fitted on clean windows and on the same windows with a damage of their own.
A lone signal is read by the probe of clean lone signals in both cases.
Shapes: B views, C channels (ecg, ppg), N samples, W windows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from cardiofm.data import catalog
from cardiofm.data.windows import window_at
from cardiofm.evaluate import floors, metrics
from cardiofm.evaluate.cached import embeddings
from cardiofm.evaluate.drawing import decoded, draw_encoded, encoded, mean_depth
from cardiofm.evaluate.noise import Noise, noisy
from cardiofm.evaluate.sample import Piece
from cardiofm.heads.learn import probes
from cardiofm.measure.band import in_band, power_in_band
from cardiofm.measure.beats import ppg_feet, r_peaks
from cardiofm.model.encoded import depths
from cardiofm.pipeline import MIN_S, Model
from cardiofm.signals import MODALITIES, InputSpec, Window

GIVEN = ("both", "clean alone", "damaged alone")
SNR_DB = (24.0, 18.0, 12.0, 6.0, 0.0, -6.0)
CUT = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the window
SHOWN = ((0, 1), (0,), (1,))  # the channels that a probe was fitted for
LOW_RATE = 64.0  # bit/s a channel, beside all levels
KNOWN_S = 5.0  # both channels must hold this much
MIN_BEATS = 4  # below this a window has no heart rate
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Damage:
    """What is done to one channel."""

    channel: int
    kind: str  # "noise" or "cut"
    level: float  # ratio in dB, or share of the window


DAMAGES = tuple(
    Damage(c, kind, level) for c in range(2) for kind, levels in (("noise", SNR_DB), ("cut", CUT)) for level in levels
)


@dataclass(frozen=True)
class View:
    """A window as it is given: its samples, which of them may be seen, and how its waveforms are wanted."""

    window: Window
    visible_CN: NDArray[np.bool_]
    drawn: bool = False  # from tokens: something is hidden
    coded: bool = False  # from codes: noise is seen, and a visible sample would only pass

    def shown(self, fs_hz: float) -> tuple[int, ...]:
        """The channels with enough to see."""
        return tuple(int(c) for c in np.flatnonzero(self.visible_CN.sum(-1) >= MIN_S * fs_hz))


@dataclass(frozen=True)
class Output:
    """What a model made of a view."""

    embedding_E: Floats
    beside_E: Floats  # of both signals together and of each alone, side by side; of what is shown, where that is one
    waves: dict[str, Floats]  # (C, N) "drawn", "denoised", "all levels", "low rate", as far as they were wanted


def alarm_pieces(data_root: Path, spec: InputSpec, split: str, limit: int) -> tuple[list[Piece], dict[str, bool]]:
    """The windows that end with the alarm, of records with a PPG in the order of their hash; which alarms are true."""
    dataset = "challenge-2015"
    entries = [e for e in catalog.entries(dataset, data_root) if e.split == split]
    found, truth = [], {}
    for entry in track(_by_hash(entries), f"reading {dataset} {split}", transient=True):
        if len(found) == limit:
            break
        record = catalog.load(entry, data_root)
        if record.ecg is not None and record.ppg is not None:
            window = window_at(record, spec, entry.labels["alarm_s"] - spec.window_s)
            found.append(Piece(dataset, entry.patient, entry.record, window))
            truth[entry.record] = entry.labels["true_alarm"]
    return found, truth


def af_pieces(data_root: Path, spec: InputSpec, split: str, limit: int) -> list[tuple[Piece, bool]]:
    """The first window of `limit` records with AF and of as many with a normal or another rhythm."""
    dataset = "challenge-2017"
    found = []
    for rhythms in (("A",), ("N", "O")):
        entries = [e for e in catalog.entries(dataset, data_root) if e.split == split and e.labels["rhythm"] in rhythms]
        for entry in track(_by_hash(entries)[:limit], f"reading {dataset} {split}", transient=True):
            record = catalog.load(entry, data_root)
            window = window_at(record, spec, record.start_s)
            if window.valid[0].sum() >= KNOWN_S * spec.fs_hz and window.values[0][window.valid[0]].std() > 0:
                found.append((Piece(dataset, entry.patient, entry.record, window), rhythms == ("A",)))
    return found


def _by_hash(entries: list[catalog.Entry]) -> list[catalog.Entry]:
    return sorted(entries, key=lambda e: hashlib.sha256(e.patient.encode()).digest())


def usable(own: Sequence[Piece], fs_hz: float) -> tuple[list[Piece], Counter[str]]:
    """The windows in which both channels move and hold enough, and how many of each dataset do not."""
    kept, refused = [], Counter()
    for piece in own:
        window = piece.window
        enough = (window.valid.sum(-1) >= KNOWN_S * fs_hz).all()
        if enough and all(
            power_in_band(window.values[c], window.valid[c], fs_hz, m) > 0 for c, m in enumerate(MODALITIES)
        ):
            kept.append(piece)
        else:
            refused[piece.dataset] += 1
    return kept, refused


def views(piece: Piece, fs_hz: float, noise: Noise) -> dict[tuple[Damage, str], View]:
    """Every damage given in every way that leaves something to see; what is the same is the same object."""
    window = piece.window
    whole = View(window, window.valid, coded=True)
    alone = [View(window, _only(window.valid, c), drawn=True, coded=True) for c in range(2)]
    found: dict[tuple[Damage, str], View] = {}
    for damage in DAMAGES:
        c = damage.channel
        found[damage, "clean alone"] = alone[1 - c]
        if damage.kind == "noise":
            loud = noisy(window, c, damage.level, fs_hz, noise, _name(piece))
            found[damage, "both"] = View(loud, window.valid, coded=True)
            found[damage, "damaged alone"] = View(loud, _only(window.valid, c), coded=True)
        elif damage.level in (0, 1):
            found[damage, "both"] = alone[1 - c] if damage.level else whole
            if not damage.level:
                found[damage, "damaged alone"] = alone[c]
        else:
            visible_CN = window.valid.copy()
            visible_CN[c, hidden(piece, damage)] = False
            for given, seen_CN in (("both", visible_CN), ("damaged alone", _only(visible_CN, c))):
                view = View(window, seen_CN, drawn=True)
                if given == "both" or view.shown(fs_hz):
                    found[damage, given] = view
    return found


def hidden(piece: Piece, damage: Damage) -> slice:
    """The part that is cut out, at a place that only the window's name decides; nothing for noise."""
    samples = piece.window.values.shape[1]
    length = round(damage.level * samples) if damage.kind == "cut" else 0
    number = int.from_bytes(hashlib.sha256(_name(piece).encode()).digest()[:8], "big")
    start = round(number / 2**64 * (samples - length))
    return slice(start, start + length)


def outputs(model: Model, given: Sequence[View]) -> dict[int, Output]:
    """What the model makes of each view, by the view's identity; each is encoded once."""
    unique = list({id(view): view for view in given}.values())
    windows, visible_BCN = [view.window for view in unique], np.stack([view.visible_CN for view in unique])
    code = encoded(model, windows, visible_BCN)
    waves: list[dict[str, Floats]] = [{} for _ in unique]
    for name, denoise in (("drawn", False), ("denoised", True)):
        wanted = [i for i, v in enumerate(unique) if (v.coded if denoise else v.drawn)]
        rows = np.array(wanted, np.int64)
        if len(rows):
            some = [windows[i] for i in rows]
            made = draw_encoded(model, code.rows(rows), some, visible_BCN[rows], denoise=denoise)
            for i, wave_CN in zip(rows, made, strict=True):
                waves[i][name] = wave_CN
    rows = np.array([i for i, view in enumerate(unique) if view.coded], np.int64)
    for name, rate in (("all levels", None), ("low rate", LOW_RATE)) if len(rows) else ():
        part = code.rows(rows)
        depth_BCS = depths(part.worth, part.coded, mean_depth(model, rate))
        for i, wave_CN in zip(rows, decoded(model, part, depth_BCS), strict=True):
            waves[i][name] = wave_CN
    beside: list[Floats] = list(code.embedding)
    pairs = [i for i, view in enumerate(unique) if len(view.shown(model.spec.fs_hz)) == 2]
    shown = [replace(windows[i], valid=visible_BCN[i]) for i in pairs]
    for i, values_E in zip(pairs, side_by_side(model, shown) if shown else (), strict=True):
        beside[i] = values_E
    return {id(view): Output(code.embedding[i], beside[i], waves[i]) for i, view in enumerate(unique)}


def side_by_side(model: Model, windows: Sequence[Window]) -> NDArray[np.float32]:
    """The embeddings of both signals together, of the ECG alone and of the PPG alone, `(W, 3 E)`."""
    return np.concatenate([embeddings(model, [_masked(w, shown) for w in windows]) for shown in SHOWN], axis=1)


def waves_of(damage: Damage, given: str, output: Output) -> dict[str, Floats]:
    """The waveforms that answer for the damaged channel: from codes where it is seen throughout, drawn elsewhere.

    Of noise also the cleaned one, which is drawn as any other where the channel is not given.
    """
    if given != "clean alone" and (damage.kind == "noise" or not damage.level):
        return {name: wave_CN for name, wave_CN in output.waves.items() if name != "drawn"}
    names = ("drawn", "denoised") if damage.kind == "noise" or not damage.level else ("drawn",)
    return {name: output.waves[name] for name in names}


def reconstruction(piece: Piece, damage: Damage, drawn_CN: Floats) -> dict[str, float]:
    """PRD in % and r of the damaged channel's clean truth: the cut part, or all that is known; NaN for a constant."""
    scored_N = piece.window.valid[damage.channel].copy()
    if damage.kind == "cut" and damage.level:
        part_N = np.zeros(len(scored_N), bool)
        part_N[hidden(piece, damage)] = True
        scored_N &= part_N
    true, drawn = piece.window.values[damage.channel][scored_N], drawn_CN[damage.channel][scored_N]
    return {"prd": metrics.prd(true, drawn), "r": metrics.r(true, drawn)}


def untouched(piece: Piece, damage: Damage, view: View, fs_hz: float) -> dict[str, Floats]:
    """The channels `(C, N)` with no network: noise as it is and in band, a cut filled by its best match or a line."""
    c, values_CN = damage.channel, view.window.values
    if damage.kind == "cut" and damage.level in (0, 1):
        return {}
    made_CN = values_CN.copy()
    if damage.kind == "noise":
        made_CN[c] = in_band(values_CN[c], view.visible_CN[c], fs_hz, MODALITIES[c])
        made_CN[c] += values_CN[c][view.visible_CN[c]].mean()
        return {"no network": values_CN, "band-pass": made_CN}
    match = floors.best_match(values_CN[c], view.visible_CN[c], hidden(piece, damage), fs_hz)
    made_CN[c] = floors.straight_line(values_CN[c], view.visible_CN[c]) if match is None else match
    return {"no network": made_CN}


def heart_rate(window: Window, channel: int, visible_N: NDArray[np.bool_], fs_hz: float) -> float | None:
    """Beats per minute from the median interval of R peaks or feet; None for fewer than `MIN_BEATS` beats."""
    beats_s = (ppg_feet if channel else r_peaks)(window.values[channel], fs_hz, visible_N)
    return 60 / float(np.median(np.diff(beats_s))) if len(beats_s) >= MIN_BEATS else None


def irregularity(window: Window, fs_hz: float) -> float:
    """Median change between successive RR intervals over their median: high in atrial fibrillation; 0 without beats."""
    rr_s = np.diff(r_peaks(window.values[0], fs_hz, window.valid[0]))
    return float(np.median(np.abs(np.diff(rr_s))) / np.median(rr_s)) if len(rr_s) >= 2 else 0.0


def fit_probes(
    model: Model,
    train: Sequence[Window],
    valid: Sequence[Window],
    y_train: Sequence[Any],
    y_valid: Sequence[Any],
    kind: Any,
) -> dict[tuple[int, ...], Any]:
    """A probe of clean embeddings for each set of channels that all windows have; a label that is None is left out."""
    found = {}
    both = all(w.valid.any(-1).all() for w in [*train, *valid])
    for shown in SHOWN if both else ((0,),):
        sides: list[NDArray[Any]] = []
        for windows, y in ((train, y_train), (valid, y_valid)):
            known = [(w, label) for w, label in zip(windows, y, strict=True) if label is not None]
            sides.append(embeddings(model, [_masked(w, shown) for w, _ in known]))
            sides.append(np.array([label for _, label in known]))
        found[shown] = probes.choose_and_fit(sides[0], sides[1], sides[2], sides[3], kind)
    return found


def taught(
    model: Model,
    fit: Mapping[str, Sequence[Piece]],
    y: Mapping[str, Sequence[Any]],
    kind: Any,
    noise: Noise,
) -> Any:
    """A probe of `side_by_side`, fitted on "train" and chosen on "valid" windows, each as it is and damaged."""
    sides: list[NDArray[Any]] = []
    for split in ("train", "valid"):
        known = [(p, label) for p, label in zip(fit[split], y[split], strict=True) if label is not None]
        windows = [p.window for p, _ in known] + [damaged(p, model.spec.fs_hz, noise) for p, _ in known]
        sides += [side_by_side(model, windows), np.array([label for _, label in known] * 2)]
    return probes.choose_and_fit(sides[0], sides[1], sides[2], sides[3], kind)


def damaged(piece: Piece, fs_hz: float, noise: Noise) -> Window:
    """The window with one of the damages that leave something of both channels; its name alone decides which."""
    some = [d for d in DAMAGES if d.kind == "noise" or 0 < d.level < 1]
    damage = some[hashlib.sha256(f"{_name(piece)} damage".encode()).digest()[0] % len(some)]
    if damage.kind == "noise":
        return noisy(piece.window, damage.channel, damage.level, fs_hz, noise, _name(piece))
    valid_CN = piece.window.valid.copy()
    valid_CN[damage.channel, hidden(piece, damage)] = False
    return replace(piece.window, values=np.where(valid_CN, piece.window.values, np.float32(0)), valid=valid_CN)


def read_out(probe: dict[tuple[int, ...], Any], view: View, values_E: Floats, kind: Any, fs_hz: float) -> float:
    """What the probe for the channels that are shown says of one embedding."""
    return float(probes.scores(probe[view.shown(fs_hz)], values_E[None], kind)[0])


def labels(pieces: Sequence[Piece], fs_hz: float) -> list[float | None]:
    """The heart rate of each window from the R peaks of its clean ECG, in beats per minute."""
    return [heart_rate(p.window, 0, p.window.valid[0], fs_hz) for p in pieces]


def cells(pieces: Sequence[Piece], fs_hz: float, noise: Noise) -> Iterator[tuple[Piece, Damage, str, View]]:
    """Everything that is scored, piece by piece."""
    for piece in pieces:
        found = views(piece, fs_hz, noise)
        for damage, given in product(DAMAGES, GIVEN):
            if (damage, given) in found:
                yield piece, damage, given, found[damage, given]


def named(damage: Damage, given: str) -> dict[str, Any]:
    """The keys of a row."""
    return {"channel": MODALITIES[damage.channel], "kind": damage.kind, "level": damage.level, "given": given}


def _only(valid_CN: NDArray[np.bool_], channel: int) -> NDArray[np.bool_]:
    out = np.zeros_like(valid_CN)
    out[channel] = valid_CN[channel]
    return out


def _masked(window: Window, shown: tuple[int, ...]) -> Window:
    valid_CN = window.valid & np.isin(np.arange(2), shown)[:, None]
    return replace(window, values=np.where(valid_CN, window.values, np.float32(0)), valid=valid_CN)


def _name(piece: Piece) -> str:
    return f"{piece.dataset} {piece.record} {piece.window.start_s:.3f}"
