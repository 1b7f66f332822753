"""From scores to yes or no: the threshold that suits a metric, by the validation patients of each fold.

The best threshold on few people is mostly chance. F1 and the challenge's score are ratios of counts, for which the best
decision is a threshold of the probability that follows from the best value of the metric alone (Lipton et al., ECML
2014; Koyejo et al., NIPS 2014). So the scores are first made right by a stretch and a shift of their log-odds.
Shapes: W rows, L labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cardiofm.heads import calibration, scores
from cardiofm.heads.learn.probes import HeldOut

_SURE = 1e-6  # probabilities closer to 0 and 1 are not told apart


def _f1_false(y: NDArray[Any], positive: NDArray[Any], weight_RW: NDArray[Any]) -> NDArray[np.float64]:
    return scores.f1(~np.asarray(y, bool), ~np.asarray(positive, bool), weight_RW)


@dataclass(frozen=True)
class Rule:
    """A metric of decisions, and the probability from which on a yes is best where its best value is known."""

    metric: scores.Metric
    start: Callable[[float], float]


F1 = Rule(scores.f1, lambda best: best / 2)
F1_FALSE = Rule(_f1_false, lambda best: 1 - best / 2)  # F1 of those that are not
CHALLENGE = Rule(scores.challenge_score, lambda best: 1 / (2 + 4 * best))  # PhysioNet/CinC 2015


def threshold(y: ArrayLike, score: ArrayLike, rule: Rule) -> float:
    """From which score on a row `(W,)` is called positive, by probabilities `score` and what is true of them.

    >>> 0.1 < threshold([False, False, True, True], [0.1, 0.2, 0.8, 0.9], F1) < 0.8
    True
    """
    y, odds = np.asarray(y, bool), _log_odds(np.asarray(score, np.float64))
    right = calibration.fit(odds[:, None], y, "each")
    at = float(_log_odds(np.array(start(y, right(odds[:, None])[:, 0], rule))))
    return float(1 / (1 + np.exp(-(at - right.shift[0]) / right.stretch[0])))


def start(y: NDArray[np.bool_], chance: NDArray[np.floating], rule: Rule) -> float:
    """The same of probabilities that are right as they are, by the best value that any of them gives."""
    values = np.unique(chance)
    if len(values) > 200:
        values = np.unique(np.quantile(values, np.linspace(0, 1, 200)))
    return rule.start(max(float(np.nan_to_num(scores.once(rule.metric, y, chance >= v))) for v in (*values, np.inf)))


def positive(held: HeldOut, y: ArrayLike, rule: Rule) -> NDArray[np.bool_]:
    """Decisions `(W,)` or `(W, L)`, each fold with the threshold that its validation patients give; True from it on."""
    y = np.asarray(y, bool)
    if y.ndim == 2:
        return np.stack([positive(_label(held, k), y[:, k], rule) for k in range(y.shape[1])], axis=1)
    out = np.zeros(len(y), bool)
    for fold, (rows, score) in enumerate(held.inner):
        at = held.fold == fold
        out[at] = held.scores[at] >= threshold(y[rows], score, rule)
    return out


def _label(held: HeldOut, k: int) -> HeldOut:
    return HeldOut(held.scores[:, k], held.fold, tuple((rows, score[:, k]) for rows, score in held.inner))


def _log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.clip(p, _SURE, 1 - _SURE)
    return np.log(p / (1 - p))
