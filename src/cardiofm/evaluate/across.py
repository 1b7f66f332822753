"""One channel drawn from the other one alone: the cases, every method's drawing of them, and what each is worth.

Shapes: C channels (ecg, ppg), N samples of a window, M cycles, L samples of a resampled cycle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.evaluate import dictionary, floors, metrics, pat_template
from cardiofm.evaluate.drawing import draw, unit
from cardiofm.evaluate.sample import Piece
from cardiofm.measure.beats import ppg_feet, r_peaks
from cardiofm.measure.bridge import Beat, matched
from cardiofm.pipeline import Model
from cardiofm.signals import MODALITIES

KNOWN_S = 5.0  # both channels must hold this much
TRUSTED = 0.5  # quality of both channels of a window that a floor is fitted on; test windows are not chosen by it
TOLERANCES_MS = (25, 50, 100)
LAG_S = 1.0
CYCLES = {"cycle_r": False, "cycle_r_aligned": True}  # is the wanted signal cut at its own beats, its delay known?
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Case:
    """One window whose channel is wanted and wholly hidden, and the beats of both channels in seconds."""

    piece: Piece
    channel: int
    true_s: Floats
    given_s: Floats

    @property
    def visible_CN(self) -> NDArray[np.bool_]:
        visible_CN = self.piece.window.valid.copy()
        visible_CN[self.channel] = False
        return visible_CN

    @property
    def scored_N(self) -> NDArray[np.bool_]:
        return self.piece.window.valid[self.channel]

    @property
    def key(self) -> tuple[str, str]:
        return self.piece.dataset, MODALITIES[self.channel]


@dataclass(frozen=True)
class Fitted:
    """What training patients gave the floors, for one wanted channel."""

    mean_N: Floats
    beat: Beat
    delay_s: float  # from R peak to foot
    maps: dict[str, dict[str, dictionary.CycleMap]]  # for each way of cutting


def beats(piece: Piece, channel: int, fs_hz: float) -> Floats:
    """R peaks or feet of the window's own channel, in seconds."""
    find = ppg_feet if channel else r_peaks
    return find(piece.window.values[channel], fs_hz, piece.window.valid[channel])


def all_cases(used: Sequence[Piece], fs_hz: float) -> tuple[list[Case], Counter[tuple[str, ...]]]:
    """Both directions of every window that can be scored; refused are windows without both channels."""
    found, refused = [], Counter()
    for piece in used:
        known_C = piece.window.valid.sum(-1) >= KNOWN_S * fs_hz
        moves = [bool(known_C[c]) and piece.window.values[c][piece.window.valid[c]].std() > 0 for c in range(2)]
        each = [beats(piece, c, fs_hz) for c in range(2)] if all(moves) else []
        for c in range(2):
            if each:
                found.append(Case(piece, c, each[c], each[1 - c]))
            else:
                refused[piece.dataset, MODALITIES[c]] += 1
    return found, refused


def trusted(own: Sequence[Piece], fs_hz: float) -> list[Case]:
    """The windows that a floor may learn from, once for each wanted channel."""
    return all_cases([p for p in own if (p.window.quality >= TRUSTED).all()], fs_hz)[0]


def fit_floors(train: Sequence[Case], valid: Sequence[Case], channel: int, fs_hz: float) -> Fitted:
    """Everything that needs training patients, for one wanted channel."""
    train, valid = ([c for c in cases if c.channel == channel] for cases in (train, valid))
    delays = [d for c in train if (d := pat_template.delay_s(*_in_order(c))) is not None]
    beat = pat_template.mean_beat(((c.piece.window.values[channel], c.scored_N, c.true_s) for c in train), fs_hz)
    if beat is None or not delays:
        raise ValueError("training windows must hold beats in both channels, found none; give a whole challenge-2015")
    maps = {}
    for way, aligned in CYCLES.items():
        known, chosen = _cycles(train, aligned, fs_hz), _cycles(valid, aligned, fs_hz)
        maps[way] = {
            "dictionary": dictionary.fit_dictionary(known, chosen),
            "cosine": dictionary.fit_cosine(known, chosen),
            "mean": dictionary.fit_mean(known, chosen),
        }
    mean_N = floors.mean_window([c.piece.window for c in train])[channel]
    return Fitted(mean_N, beat, float(np.median(delays)), maps)


def _in_order(case: Case) -> tuple[Floats, Floats]:
    """R peaks, then feet."""
    return (case.given_s, case.true_s) if case.channel else (case.true_s, case.given_s)


def _spans(case: Case, aligned: bool, fs_hz: float) -> tuple[list[slice], int]:
    """Cycles between the beats of the given signal, and by how many samples the wanted signal's lie later.

    Only where both signals are known and the wanted one moves; aligned, none where the delay cannot be told.
    """
    window, c = case.piece.window, case.channel
    delay = pat_template.delay_s(*_in_order(case)) if aligned else 0.0
    if delay is None:
        return [], 0
    shift = round((delay if c else -delay) * fs_hz)
    found = []
    for s in dictionary.spans(case.given_s, fs_hz, window.values.shape[1]):
        wanted = slice(s.start + shift, s.stop + shift)
        if wanted.start < 0 or wanted.stop > window.values.shape[1]:
            continue
        known = window.valid[1 - c, s].all() and window.valid[c, wanted].all()
        if known and window.values[c, wanted].std() > 0:
            found.append(s)
    return found, shift


def _cycles(cases: Sequence[Case], aligned: bool, fs_hz: float) -> dictionary.Cycles:
    given, wanted = [], []
    for case in cases:
        spans, shift = _spans(case, aligned, fs_hz)
        given.append(dictionary.cut(case.piece.window.values[1 - case.channel], spans))
        wanted.append(dictionary.cut(case.piece.window.values[case.channel], spans, shift))
    return dictionary.Cycles(np.concatenate(given), np.concatenate(wanted))


def all_drawn(own: Sequence[Case], models: dict[str, Model], fitted: Fitted, fs_hz: float) -> dict[str, list[Floats]]:
    """What each method draws of the wanted channel `(N,)` in each case, in the channel's unit; one set, one channel."""
    c = own[0].channel
    windows, visible = [case.piece.window for case in own], np.stack([case.visible_CN for case in own])
    units = [unit(w, v) for w, v in zip(windows, visible, strict=True)]
    level, spread = ([float(u[k][c]) for u in units] for k in range(2))
    made = {name: [d[c] for d in draw(model, windows, visible)] for name, model in models.items()}
    made["mis-paired"] = []
    for i in range(len(own)):
        j = stranger(own, i)
        made["mis-paired"].append((made["model"][j] - level[j]) / spread[j] * spread[i] + level[i])
    sign, samples = (1 if c else -1), len(fitted.mean_N)
    plain = {"mean": [fitted.mean_N] * len(own), "pat": [], "pat-known": []}
    for case in own:
        own_s = pat_template.delay_s(*_in_order(case))
        for name, delay in (("pat", fitted.delay_s), ("pat-known", fitted.delay_s if own_s is None else own_s)):
            plain[name].append(pat_template.placed(fitted.beat, case.given_s, sign * delay, samples, fs_hz))
    return made | {name: [x * spread[i] + level[i] for i, x in enumerate(xs)] for name, xs in plain.items()}


def stranger(own: Sequence[Case], i: int) -> int:
    """The next case, in the order of the sample, of another patient."""
    after = [(i + k) % len(own) for k in range(1, len(own))]
    found = next((j for j in after if own[j].piece.patient != own[i].piece.patient), None)
    if found is None:
        raise ValueError("mis-pairing needs windows of two patients, found one; raise --limit")
    return found


def score(case: Case, drawn: dict[str, Floats], fs_hz: float) -> list[dict[str, Any]]:
    """One dict a method with its metrics over the whole window, and the counts of beats."""
    true = case.piece.window.values[case.channel][case.scored_N]
    found = []
    for method, drawn_N in drawn.items():
        part = drawn_N[case.scored_N]
        r_lag, lag_s = metrics.best_lag(true, part, fs_hz, LAG_S)
        one = {"prd": metrics.prd(true, part), "r": metrics.r(true, part), "r_lag": r_lag}
        seen_s = (ppg_feet if case.channel else r_peaks)(drawn_N, fs_hz, case.scored_N)
        counts = {f"f1_{t}": _counts(case.true_s, seen_s, t / 1000) for t in TOLERANCES_MS}
        counts["f1_50_lag"] = _counts(*_overlap(case.true_s, seen_s + lag_s, lag_s, len(drawn_N) / fs_hz), 0.05)
        found.append(_keys(case) | {"method": method, "counts": counts} | one)
    return found


def _overlap(true_s: Floats, moved_s: Floats, lag_s: float, end_s: float) -> tuple[Floats, Floats]:
    """The events in what the truth and the moved drawing share."""
    low_s, high_s = max(0.0, lag_s), end_s + min(0.0, lag_s)
    true_s, moved_s = (x[(x >= low_s) & (x <= high_s)] for x in (true_s, moved_s))
    return true_s, moved_s


def _counts(true_s: Floats, seen_s: Floats, tolerance_s: float) -> tuple[int, int]:
    return 2 * len(matched(true_s, seen_s, tolerance_s)), len(true_s) + len(seen_s)


def cycle_scores(
    own: Sequence[Case], drawn: dict[str, list[Floats]], fitted: Fitted, fs_hz: float
) -> list[dict[str, Any]]:
    """The mean r over the cycles of each case, for every method on the same cycles; cases without cycles give none.

    Where the true delay is known, it is known to all: a drawing is moved by its best lag first.
    """
    out = []
    for (way, aligned), (i, case) in product(CYCLES.items(), enumerate(own)):
        spans, shift = _spans(case, aligned, fs_hz)
        if not spans:
            continue
        window = case.piece.window
        true_ML = dictionary.cut(window.values[case.channel], spans, shift)
        given_ML = dictionary.cut(window.values[1 - case.channel], spans)
        made = {name: fit.predict(given_ML) for name, fit in fitted.maps[way].items()}
        for name in ("model", "untrained", "mis-paired"):
            made[name] = dictionary.cut(
                _at_its_lag(case, drawn[name][i], fs_hz) if aligned else drawn[name][i], spans, shift
            )
        for name, drawn_ML in made.items():
            r = float(dictionary.cycle_r(true_ML, drawn_ML).mean())
            out.append(_keys(case) | {"method": name, way: r, "cycles": len(spans)})
    return out


def _at_its_lag(case: Case, drawn_N: Floats, fs_hz: float) -> Floats:
    """The drawing moved to where it is most like the truth, its ends held."""
    true, part = case.piece.window.values[case.channel][case.scored_N], drawn_N[case.scored_N]
    lag = round(metrics.best_lag(true, part, fs_hz, LAG_S)[1] * fs_hz)
    return drawn_N[np.clip(np.arange(len(drawn_N)) - lag, 0, len(drawn_N) - 1)]


def _keys(case: Case) -> dict[str, Any]:
    dataset, channel = case.key
    return {"set": dataset, "channel": channel, "patient": case.piece.patient, "window": id(case.piece)}
