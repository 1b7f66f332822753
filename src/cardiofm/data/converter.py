"""The converter that samples came from: the whole steps on which all of them lie, found from the samples alone.

Shapes: n known samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PARTS = 40  # the least difference of two samples may be so many steps
DIGITS = 24  # more than this many significant bits are no converter's


@dataclass(frozen=True)
class Steps:
    """A converter: value = float32(step * whole + shift)."""

    step: float
    shift: float

    def values(self, whole_n: NDArray[np.int64]) -> NDArray[np.float32]:
        with np.errstate(over="ignore", invalid="ignore"):  # only of bytes that nobody wrote
            return (whole_n * self.step + self.shift).astype(np.float32)

    def whole(self, values_n: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.rint((values_n - self.shift) / self.step).astype(np.int64)


def converter(values_n: NDArray[np.float32]) -> Steps | None:
    """The steps on which all samples lie to within float32's own rounding; None where there are none."""
    known = np.unique(values_n.astype(np.float64))
    if len(known) < 2:
        return Steps(1.0, float(known[0])) if len(known) else None
    fine = np.spacing(np.abs(known).max().astype(np.float32)).astype(np.float64)
    apart = np.diff(known)
    apart = apart[apart > 4 * fine]
    if not len(apart):
        return None
    least = float(apart[apart < apart.min() + 2 * fine].mean())
    for part in range(1, PARTS + 1):
        if (step := _fitted(known, least / part, float(fine))) is not None:
            return _round(Steps(step, float(known[0])), known)
    return None


def _fitted(known: NDArray[np.float64], step: float, fine: float) -> float | None:
    """A step near `step` on which all values lie; None where there is none."""
    away, told = known - known[0], 1
    while told < len(known) - 1:  # the further a value is that is surely on a step, the better the step is known
        whole = np.rint(away / step)
        close = np.abs(away - whole * step) < 0.1 * step
        reached = len(known) - 1 if close.all() else int(np.argmin(close)) - 1
        if (reached <= told and told > 1) or reached < 1 or not whole[reached]:
            return None
        step, told = float(away[reached] / whole[reached]), max(reached, told + 1)
    whole = np.rint(away / step)
    if np.abs(away - whole * step).max() > min(0.25 * step, 4 * fine) or whole[-1] >= 1 << DIGITS:
        return None
    return step


def _round(found: Steps, known: NDArray[np.float64]) -> Steps:
    """The roundest steps that give the file's own floats most often: a converter's gain is a short number."""
    tries = [found]
    for digits in range(1, 8):
        for step in (float(f"{found.step:.{digits}g}"), 1 / float(f"{1 / found.step:.{digits}g}")):
            offset = found.shift / step
            tries += [Steps(step, 0.0)] if abs(offset - round(offset)) < 0.01 else [Steps(step, found.shift)]
    return max(tries, key=lambda steps: int((steps.values(steps.whole(known)) == known.astype(np.float32)).sum()))
