"""QT of single beats and of whole records against what readers marked, beside what RR alone would say.

Errors are found − marked, in ms. Shapes: B beats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cardiofm.data.marks import Marks
from cardiofm.evaluate.beats import pooled
from cardiofm.evaluate.beats.table import Floats, Method, at, partner, table
from cardiofm.evaluate.beats.truth import Case, fold, rr_s
from cardiofm.evaluate.bootstrap import interval

CARDIOFM = "CardioFM"
_POWERS = {"RR^1/2 (Bazett)": 1 / 2, "RR^1/3 (Fridericia)": 1 / 3}


@dataclass
class Beats:
    """The marked beats of several records, and what each method says of the same beats, ms; NaN: refused."""

    patient: list[str] = field(default_factory=list)
    record: list[str] = field(default_factory=list)
    plausible: list[bool] = field(default_factory=list)
    r_s: list[float] = field(default_factory=list)
    rr_s: list[float] = field(default_factory=list)
    true_ms: list[float] = field(default_factory=list)
    found_ms: dict[str, list[float]] = field(default_factory=dict)
    confidence: dict[str, list[float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.true_ms)

    def of(self, method: str) -> Floats:
        return np.asarray(self.found_ms[method], np.float64)


def measured(cases: Iterable[Case], methods: dict[str, Method]) -> Beats:
    """Every beat with a marked QT, and the QT that each method gives to it."""
    beats = Beats(found_ms={m: [] for m in methods}, confidence={m: [] for m in methods})
    for case in cases:
        known = np.flatnonzero(np.isfinite(case.qt_ms))
        if not len(known):
            continue
        beats.patient += [case.patient] * len(known)
        beats.record += [case.record.name] * len(known)
        beats.plausible += [case.plausible] * len(known)
        beats.r_s += case.r_s[known].tolist()
        beats.rr_s += rr_s(case.r_s)[known].tolist()
        beats.true_ms += case.qt_ms[known].tolist()
        for name, method in methods.items():
            found = method(case.record)
            rows = partner(case.r_s, found)[known]
            beats.found_ms[name] += at(found, "qt_ms", rows).tolist()
            beats.confidence[name] += at(found, "qt_confidence", rows).tolist()
    return beats


def add_from_rr(beats: Beats) -> None:
    """QT from RR alone and from nothing, fitted on the patients of the other four folds, as further methods."""
    true, rr, folds = np.asarray(beats.true_ms), np.asarray(beats.rr_s), fold(beats.patient)
    rr = np.where(np.isfinite(rr), rr, np.nanmedian(rr))
    ways: dict[str, Callable[[np.ndarray], Floats]] = {
        name: (lambda fit, p=power: np.median(true[fit] / rr[fit] ** p) * rr**p) for name, power in _POWERS.items()
    }
    ways["RR, linear"] = lambda fit: np.asarray(np.polyval(np.polyfit(rr[fit], true[fit], 1), rr), np.float64)
    ways["mean QT"] = lambda fit: np.full(len(true), true[fit].mean())
    for name, way in ways.items():
        out = np.full(len(true), np.nan)
        for k in np.unique(folds):
            if (folds != k).any():
                out[folds == k] = way(folds != k)[folds == k]
        beats.found_ms[name] = out.tolist()


def rows(beats: Beats, place: str, which: Sequence[bool] | None = None) -> list[dict[str, Any]]:
    """A row for each method and metric; `which` beats count (all by default)."""
    use = np.ones(len(beats), bool) if which is None else np.asarray(which)
    who, true = np.asarray(beats.patient)[use], np.asarray(beats.true_ms)[use]
    out = []
    for method in beats.found_ms:
        error = beats.of(method)[use] - true
        known = np.isfinite(error)
        keys = {"task": "qt", "set": place, "method": method}
        if not known.any():
            continue
        lost = {"refused": int((~known).sum())}
        e, p = error[known], who[known].tolist()
        out += [
            pooled.line(pooled.mean(np.abs(e), p), 2, **keys, metric="mae_ms", **lost),
            pooled.line(pooled.median(np.abs(e), p), 2, **keys, metric="median_ms", **lost),
            pooled.line(pooled.mean(e, p), 2, **keys, metric="bias_ms", **lost),
            pooled.line(pooled.mean(known.astype(float), who.tolist()), 4, **keys, metric="coverage", refused=0),
        ]
        of_record = _per_record(beats, method, use)
        if of_record:
            patients, errors = zip(*of_record, strict=True)
            out.append(pooled.line(interval(errors, patients), 2, **keys, metric="record_median_ms", refused=0))
    return out


def differences(beats: Beats, place: str, own: str = CARDIOFM) -> list[dict[str, Any]]:
    """|error| of `own` minus that of every other method on the beats that both measured, paired."""
    if own not in beats.found_ms:
        return []
    true, who = np.asarray(beats.true_ms), np.asarray(beats.patient)
    out = []
    for method in beats.found_ms:
        both = np.isfinite(beats.of(own)) & np.isfinite(beats.of(method))
        if method == own or not both.any():
            continue
        gain = np.abs(beats.of(own) - true)[both] - np.abs(beats.of(method) - true)[both]
        keys = {"task": "qt", "set": place, "difference": f"{own} - {method}", "metric": "mae_ms"}
        out.append(pooled.line(pooled.mean(gain, who[both].tolist()), 2, **keys))
    return out


def _per_record(beats: Beats, method: str, use: np.ndarray) -> list[tuple[str, float]]:
    """(patient, |median found QT − median marked QT|) of each record that the method measured at all."""
    names, true, found = np.asarray(beats.record), np.asarray(beats.true_ms), beats.of(method)
    out = []
    for name in dict.fromkeys(names[use].tolist()):
        own = use & (names == name)
        if np.isfinite(found[own]).any():
            patient = beats.patient[int(np.flatnonzero(own)[0])]
            out.append((patient, float(abs(np.nanmedian(found[own]) - np.median(true[own])))))
    return out


def readers(pairs: Iterable[tuple[Case, Marks]]) -> Beats:
    """The second reader as a method, on the beats that both readers of QTDB marked."""
    beats = Beats(found_ms={"second reader": []})
    for case, second in pairs:
        found = table(second.of("r_peak"), {p: second.of(p) for p in ("qrs_onset", "t_end")})
        qt = at(found, "qt_ms", partner(case.r_s, found))
        both = np.isfinite(qt) & np.isfinite(case.qt_ms)
        beats.patient += [case.patient] * int(both.sum())
        beats.record += [case.record.name] * int(both.sum())
        beats.plausible += [case.plausible] * int(both.sum())
        beats.r_s += case.r_s[both].tolist()
        beats.rr_s += rr_s(case.r_s)[both].tolist()
        beats.true_ms += case.qt_ms[both].tolist()
        beats.found_ms["second reader"] += qt[both].tolist()
    return beats
