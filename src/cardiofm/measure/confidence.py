"""How likely a measured value is within a stated tolerance, from what the head said of it; fitted, never assumed.

Shapes: n values, F features.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.measure import lone
from cardiofm.measure.band import Floats
from cardiofm.measure.company import NUMBERS
from cardiofm.signals import SignalError

TOLERANCE_S = {
    "p_onset": 0.03, "p_offset": 0.03, "qrs_onset": 0.02, "r_peak": 0.05, "qrs_offset": 0.025, "t_peak": 0.03,
    "t_end": 0.03, "ppg_foot": 0.02, "ppg_peak": 0.04, "rr": 0.02, "pr": 0.03, "qrs": 0.03, "qt": 0.03, "pat": 0.02,
}  # fmt: skip
FEATURES = ("1", "log(tolerance / expected error)", "disagreement / tolerance", "height of the chance", "presence")
_SURE = (-1.5, 1.5, -0.5, 2.0, 1.0)  # before anything was fitted: an error as expected, half a chance → about a half
_RIDGE = 1e-3


@dataclass(frozen=True)
class Calibration:
    """What turns features into confidence, per measure (`TOLERANCE_S`), and from which confidence on one is given."""

    coefficients: dict[str, tuple[float, ...]] = field(default_factory=dict)  # of `FEATURES`; absent: not yet fitted
    least: dict[str, float] = field(default_factory=dict)  # absent: see `given_from`
    heart: dict[str, tuple[float, ...]] = field(default_factory=dict)  # by modality, of `company.NUMBERS`
    lone: tuple[float, ...] = ()  # of `lone.NUMBERS`; absent: what motion looks like is not known

    def __post_init__(self) -> None:
        for name, values in self.coefficients.items():
            if name not in TOLERANCE_S or len(values) != len(FEATURES):
                raise SignalError(
                    f"a calibration must have {len(FEATURES)} coefficients for each of {', '.join(TOLERANCE_S)}, "
                    f"found {len(values)} for {name!r}"
                )
        asked = {name: len(NUMBERS.get(name, ())) for name in self.heart} | {"lone": len(lone.NUMBERS)}
        for name, values in (self.heart | ({"lone": self.lone} if self.lone else {})).items():
            if len(values) != asked[name]:
                raise SignalError(
                    f"a calibration must have a coefficient for each number of company, found {len(values)} for "
                    f"{name!r}; calibrate the head again"
                )

    def confidence(self, name: str, features_nF: Floats) -> NDArray[np.float32]:
        """Probability that the error is within the tolerance, `(n,)`; 0 where a feature is NaN."""
        logit = features_nF @ np.array(self.coefficients.get(name, _SURE))
        return np.where(np.isfinite(logit), 1 / (1 + np.exp(-np.clip(logit, -30, 30))), 0.0).astype(np.float32)

    def heart_odds(self, modality: str, company_nF: Floats) -> Floats:
        """How far the company of a top (`company.company`) is beyond doubt that of beats, log odds `(n,)`.

        At 0 noise alone hardly ever gets; infinite where nothing was fitted.
        """
        if modality not in self.heart:
            return np.full(len(company_nF), np.inf)
        return company_nF @ np.array(self.heart[modality])

    def pulse_odds(self, lone_nF: Floats) -> Floats:
        """How far feet without an R peak (`lone.lone`) are beyond doubt those of a heart, log odds `(n,)`.

        From 0 on nine of ten have a heart's rate, in motion too; infinite where nothing was fitted.
        """
        return lone_nF @ np.array(self.lone) if self.lone else np.full(len(lone_nF), np.inf)

    def given_from(self, name: str) -> float:
        """The least confidence with which a value is given."""
        usual = {"r_peak": 0.5, "ppg_foot": 0.4, "p_onset": 0.7, "p_offset": 0.7, "pat": 0.5}  # P is often not there
        return self.least.get(name, usual.get(name, 0.3))


def features(
    name: str, sd_s: ArrayLike, apart_s: ArrayLike, chance: ArrayLike, presence: ArrayLike
) -> NDArray[np.float64]:
    """The features of values of one measure, `(n, F)`, in the order of `FEATURES`.

    >>> features("qt", [0.015], [0.003], [0.9], [1.0]).round(2).tolist()
    [[1.0, 0.69, 0.1, 0.9, 1.0]]
    """
    tolerance_s = TOLERANCE_S[name]
    sd = np.maximum(np.asarray(sd_s, np.float64), 1e-4)
    apart = np.minimum(np.asarray(apart_s, np.float64) / tolerance_s, 4.0)
    columns = (np.ones_like(sd), np.log(tolerance_s / sd), apart, np.asarray(chance), np.asarray(presence))
    return np.stack([np.broadcast_to(c, sd.shape).astype(np.float64) for c in columns], axis=-1)


def fit_calibration(
    found: dict[str, tuple[Floats, NDArray[np.bool_]]], least: dict[str, float] | None = None
) -> Calibration:
    """A calibration from features `(n, F)` and whether each error was within tolerance `(n,)`, per measure.

    Logistic regression by Newton's method, with a little ridge; from people whom the head was not trained on, or it
    promises too much. A measure with fewer than 20 values, or with one outcome only, keeps what it had.

    >>> rng = np.random.default_rng(0)
    >>> sd = np.exp(rng.uniform(-6, -3, 5000))
    >>> x = features("qt", sd, 0 * sd, 1 + 0 * sd, 1 + 0 * sd)
    >>> fitted = fit_calibration({"qt": (x, np.abs(rng.laplace(0, sd / 2**0.5)) < 0.03)})
    >>> [round(float(fitted.confidence("qt", features("qt", [s], [0], [1], [1]))[0]), 1) for s in (0.01, 0.03)]
    [1.0, 0.8]
    """
    coefficients = {}
    for name, (x_nF, within_n) in found.items():
        good = np.isfinite(x_nF).all(1)
        x, y = x_nF[good], np.asarray(within_n, np.float64)[good]
        if name not in TOLERANCE_S:
            raise SignalError(f"a measure must be one of {', '.join(TOLERANCE_S)}, found {name!r}")
        if len(y) >= 20 and 0 < y.sum() < len(y):
            coefficients[name] = tuple(float(b) for b in logistic(x, y))
    return Calibration(coefficients, dict(least or {}))


def logistic(x: Floats, y: Floats) -> Floats:
    """Coefficients `(F,)` of the most likely logistic map; ridge keeps features that never vary at rest."""
    b = np.zeros(x.shape[1])
    ridge = _RIDGE * len(y) * np.eye(x.shape[1])
    ridge[0, 0] = 1e-6 * len(y)
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ b, -30, 30)))
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge, x.T @ (y - p) - ridge @ b)
        b = b + step
        if np.abs(step).max() < 1e-8:
            break
    return b
