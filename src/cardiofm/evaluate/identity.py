"""How well numbers of a window tell whose it is: nearest neighbour and verification, with intervals over patients.

Shapes: W windows, P patients, T thresholds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cardiofm.evaluate.bootstrap import Interval

_THRESHOLDS = 1000


def eligible(records: list[str], start_s: NDArray[np.floating], apart_s: float) -> NDArray[np.bool_]:
    """Which windows may be compared with which `(W, W)`: of another record, or far enough away in the same one."""
    name = np.array(records)
    return (name[:, None] != name) | (np.abs(start_s[:, None] - start_s) >= apart_s)


def in_another_record(records: list[str], patients: list[str]) -> NDArray[np.bool_]:
    """Which windows may be compared with which `(W, W)` when only records other than one's own count.

    A window of a patient without a second record may be compared with none.

    >>> in_another_record(["r1", "r2", "r3"], ["a", "a", "b"]).astype(int).tolist()
    [[0, 1, 1], [1, 0, 1], [0, 0, 0]]
    """
    record, patient = np.array(records), np.array(patients)
    allowed = record[:, None] != record
    return allowed & (allowed & (patient[:, None] == patient)).any(1)[:, None]


def similarity(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cosine of every two windows `(W, W)`, each number first brought to mean 0 and spread 1 over the windows."""
    x = np.asarray(values, np.float64)
    spread = x.std(0)
    z = (x - x.mean(0)) / np.where(spread > 1e-9, spread, np.inf)
    unit = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    return unit @ unit.T


def same_patient(like: NDArray[np.floating], patients: list[str], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1 where the most alike allowed window is the same patient's, else 0 `(W,)`; NaN where none is allowed."""
    nearest = np.where(allowed, like, -np.inf).argmax(1)
    name = np.array(patients)
    return np.where(allowed.any(1), (name[nearest] == name).astype(np.float64), np.nan)


def average_precision(
    like: NDArray[np.floating], patients: list[str], allowed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Of the allowed windows, the most alike first: mean share of the same patient down to each own one `(W,)`.

    NaN where the patient has no other allowed window.

    >>> like = np.array([[1, 0.9, 0.8], [0.9, 1, 0.1], [0.8, 0.1, 1]])
    >>> average_precision(like, ["a", "b", "a"], ~np.eye(3, dtype=bool)).tolist()
    [0.5, nan, 1.0]
    """
    name = np.array(patients)
    out = np.full(len(name), np.nan)
    for k, row in enumerate(allowed):
        at = np.flatnonzero(row)
        own = (name[at] == name[k])[np.argsort(-like[k, at], kind="stable")]
        if own.any():
            rank = np.flatnonzero(own) + 1
            out[k] = float(np.mean(np.arange(1, len(rank) + 1) / rank))
    return out


def chance(patients: list[str], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of the same patient among the allowed windows `(W,)`; NaN where none is allowed."""
    name = np.array(patients)
    count = allowed.sum(1)
    own = (allowed & (name[:, None] == name)).sum(1)
    return np.divide(own, count, out=np.full(len(name), np.nan), where=count > 0)


@dataclass(frozen=True)
class Verification:
    """Per patient and threshold `(P, T)`: the share of own windows missed, and of others' windows let in."""

    missed: NDArray[np.float64]
    let_in: NDArray[np.float64]
    windows: int

    def rate(self, drawn_RP: NDArray[np.floating]) -> NDArray[np.float64]:
        """The equal error rate `(R,)`, each patient counted as often as drawn: where both shares cross."""
        share = drawn_RP / drawn_RP.sum(1, keepdims=True)
        missed, let_in = share @ self.missed, share @ self.let_in
        at = np.abs(missed - let_in).argmin(1)[:, None]
        return ((np.take_along_axis(missed, at, 1) + np.take_along_axis(let_in, at, 1)) / 2)[:, 0]


def verification(like: NDArray[np.floating], patients: list[str], allowed: NDArray[np.bool_]) -> Verification:
    """Is this window the same person's? Every two allowed windows, accepted where they are at least so much alike."""
    names, index = np.unique(np.array(patients), return_inverse=True)
    same = index[:, None] == index
    grid = np.quantile(like[allowed], np.linspace(0, 1, _THRESHOLDS))
    missed, let_in = (np.zeros((len(names), _THRESHOLDS)) for _ in range(2))
    for p in range(len(names)):
        own = np.sort(like[index == p][(allowed & same)[index == p]])
        others = np.sort(like[index == p][(allowed & ~same)[index == p]])
        missed[p] = np.searchsorted(own, grid) / max(1, len(own))
        let_in[p] = 1 - np.searchsorted(others, grid) / max(1, len(others))
    return Verification(missed, let_in, len(patients))


def equal_error(a: Verification, b: Verification | None = None, repeats: int = 2000, seed: int = 0) -> Interval:
    """The equal error rate of a (minus that of b), 0 to 1, with its 95 % interval over patients."""
    count = len(a.missed)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), repeats)
    drawn = np.concatenate([np.ones((1, count)), drawn.astype(np.float64)])
    found = a.rate(drawn) - (0 if b is None else b.rate(drawn))
    low, high = np.percentile(found[1:], [2.5, 97.5]) if count > 1 else (math.nan, math.nan)
    return Interval(float(found[0]), float(low), float(high), count, a.windows)
