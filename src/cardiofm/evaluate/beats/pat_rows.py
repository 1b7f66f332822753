"""PAT errors brought together: per beat, per 30 seconds, and whether beat-to-beat changes are followed.

Which beat a pulse belongs to is settled first (`pat.settled_ms`); of the stretches in which that is certain,
`other_beat` is the share in which a method had taken another one, and `strict_mae_ms` the error without settling. A
deviation is a beat's PAT less the median of its 30 seconds, of the tool's beats for the tool. Shapes: B beats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cardiofm.evaluate.beats import pooled
from cardiofm.evaluate.beats.pat import BLOCK_S, Stretch, found_ms, settled_ms
from cardiofm.evaluate.beats.table import Floats, Table, at, partner
from cardiofm.evaluate.bootstrap import interval

FEWEST = 5  # true beats of 30 seconds, and beats of which a tool's changes can be judged


@dataclass(frozen=True)
class Scored:
    """What one method says of the beats of one stretch."""

    patient: str
    true_ms: Floats  # (B,)
    found_ms: Floats  # (B,) NaN: refused; the beat is settled
    strict_ms: Floats  # (B,) as the method gave it
    confidence: Floats  # (B,) NaN where the method states none
    block: np.ndarray  # (B,) which 30 seconds
    certain: bool  # of which beat each pulse is

    @property
    def error_ms(self) -> Floats:
        return self.found_ms - self.true_ms


def scored(stretches: Sequence[Stretch], methods: dict[str, Callable[[Stretch], Table]]) -> dict[str, list[Scored]]:
    """Every method on every stretch."""
    out: dict[str, list[Scored]] = {m: [] for m in methods}
    for stretch in stretches:
        block = np.floor((stretch.r_s - stretch.record.start_s) / BLOCK_S)
        for name, method in methods.items():
            table = method(stretch)
            sure = at(table, "pat_confidence", partner(stretch.r_s, table))
            out[name].append(
                Scored(
                    stretch.patient,
                    stretch.pat_ms,
                    settled_ms(stretch, table),
                    found_ms(stretch, table),
                    sure,
                    block,
                    stretch.known,
                )
            )
    return out


def rows(results: dict[str, list[Scored]], digits: int = 2, **keys: Any) -> list[dict[str, Any]]:
    """A row for each method and metric."""
    out = []
    for method, each in results.items():
        who = [s.patient for s in each for _ in s.true_ms]
        error = np.concatenate([s.error_ms for s in each])
        known = np.isfinite(error)
        if not known.any():
            continue
        named = {"task": "pat", **keys, "method": method}
        own = np.asarray(who)[known].tolist()
        lost = int((~known).sum())
        out += [
            pooled.line(pooled.mean(np.abs(error[known]), own), digits, **named, metric="mae_ms", refused=lost),
            pooled.line(pooled.median(np.abs(error[known]), own), digits, **named, metric="median_ms", refused=lost),
            pooled.line(pooled.mean(error[known], own), digits, **named, metric="bias_ms", refused=lost),
            pooled.line(pooled.mean(known.astype(float), who), 4, **named, metric="coverage", refused=0),
        ]
        out += _strict(each, digits, named)
        for metric, of, places in (("block_median_ms", _blocks, digits), ("changes_r", _changes, 3)):
            values, patients = of(each)
            if values:
                made = pooled.mean(values, patients) if metric == "block_median_ms" else interval(values, patients)
                out.append(pooled.line(made, places, **named, metric=metric))
    return out


def _strict(each: Sequence[Scored], digits: int, named: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of what was given, where it is certain which beat each pulse is of."""
    each = [s for s in each if s.certain]
    error = [(s.patient, abs(e)) for s in each for e in s.strict_ms - s.true_ms if np.isfinite(e)]
    if not error:
        return []
    other = [float(not np.array_equal(s.strict_ms, s.found_ms, equal_nan=True)) for s in each]
    mae = pooled.mean([e for _, e in error], [p for p, _ in error])
    return [
        pooled.line(mae, digits, **named, metric="strict_mae_ms"),
        pooled.line(pooled.mean(other, [s.patient for s in each]), 3, **named, metric="other_beat"),
    ]


def differences(results: dict[str, list[Scored]], own: str, **keys: Any) -> list[dict[str, Any]]:
    """|error| of `own` minus that of every other method on the beats that both measured, paired."""
    out = []
    for method, each in results.items():
        if method == own or own not in results:
            continue
        gain = [np.abs(a.error_ms) - np.abs(b.error_ms) for a, b in zip(results[own], each, strict=True)]
        who = [s.patient for s in each for _ in s.true_ms]
        values = np.concatenate(gain)
        both = np.isfinite(values)
        if both.any():
            named = {"task": "pat", **keys, "difference": f"{own} - {method}", "metric": "mae_ms"}
            out.append(pooled.line(pooled.mean(values[both], np.asarray(who)[both].tolist()), 2, **named))
    return out


def _blocks(each: Sequence[Scored]) -> tuple[list[float], list[str]]:
    """|median found − median true| of every 30 seconds with enough true beats and at least three found ones."""
    values, patients = [], []
    for s in each:
        for b in np.unique(s.block):
            own = s.block == b
            if own.sum() >= FEWEST and np.isfinite(s.found_ms[own]).sum() >= 3:
                values.append(float(abs(np.nanmedian(s.found_ms[own]) - np.median(s.true_ms[own]))))
                patients.append(s.patient)
    return values, patients


def _changes(each: Sequence[Scored]) -> tuple[list[float], list[str]]:
    """Per stretch, Pearson r of the deviations found with the true ones; 0 where the tool says that nothing changes."""
    values, patients = [], []
    for s in each:
        known = np.isfinite(s.found_ms)
        if known.sum() < 2 * FEWEST:
            continue
        true, found = s.true_ms.copy(), s.found_ms.copy()
        for b in np.unique(s.block):
            own = s.block == b
            true[own] -= np.median(true[own])
            if np.isfinite(found[own]).any():
                found[own] -= np.nanmedian(found[own])
        a, b = true[known], found[known]
        if np.std(a) > 0:
            values.append(float(np.corrcoef(a, b)[0, 1]) if np.std(b) > 1e-9 else 0.0)
            patients.append(s.patient)
    return values, patients


def drift_r(each: Sequence[Scored]) -> tuple[list[float], list[str]]:
    """Per stretch, Pearson r of the found PAT with the true one over all beats that were given."""
    values, patients = [], []
    for s in each:
        known = np.isfinite(s.found_ms)
        if known.sum() >= 2 * FEWEST and np.std(s.found_ms[known]) > 0:
            values.append(float(np.corrcoef(s.true_ms[known], s.found_ms[known])[0, 1]))
            patients.append(s.patient)
    return values, patients
