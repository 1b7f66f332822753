"""SignalMC-MED's frozen probes: draws of the training visits, one penalty for all values and one for all yes and no.

Ridge regression for values, logistic regression for yes and no, on standardised features. The penalty is chosen on the
validation visits, for values by the correlation with age, for yes and no by the AUROC of sex, and then used for every
question of that kind. Each probe is fitted on five draws with replacement of 100, 50, 25 and 10 % of the training
visits; a published figure is the mean over these twenty on the test visits (`Protocol`).

Shapes: V visits, D features, T test visits, F fits, L questions, R repeats of the bootstrap.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cardiofm.evaluate.mcmed.labels import Task
from cardiofm.evaluate.mcmed.visits import SPLITS, Visit
from cardiofm.heads import scores
from cardiofm.signals import SignalError

Floats = NDArray[np.float64]
Kind = Literal["regression", "binary"]
CHOOSER: dict[Kind, str] = {"regression": "age", "binary": "sex"}  # the question that chooses the penalty
METRICS: dict[Kind, tuple[str, scores.Metric]] = {
    "regression": ("r", scores.pearson),
    "binary": ("AUROC", scores.auroc),
}
_ITERATIONS = 2000
_TRIES = 100


@dataclass(frozen=True)
class Protocol:
    """What is drawn and tried; the defaults are the paper's."""

    shares: tuple[float, ...] = (1.0, 0.5, 0.25, 0.1)  # of the training visits
    runs: int = 5  # draws of each share
    alphas: tuple[float, ...] = tuple(float(a) for a in np.logspace(-6, 6, 31))  # of the ridge regression
    cs: tuple[float, ...] = tuple(float(c) for c in np.logspace(-4, 4, 25))  # 1 / penalty of the logistic regression
    repeats: int = 1000  # of the bootstrap over test patients, which is ours

    def grid(self, kind: Kind) -> tuple[float, ...]:
        return self.alphas if kind == "regression" else self.cs


def rows_of(visits: list[Visit]) -> dict[str, NDArray[np.int64]]:
    """Which visits belong to each split."""
    name = np.array([visit.split for visit in visits])
    return {split: np.flatnonzero(name == split) for split in SPLITS}


def unanswerable(tasks: list[Task], rows: dict[str, NDArray[np.int64]]) -> dict[str, str]:
    """Why a question cannot be asked of these visits, by its name. A yes or no needs both, a value two of them.

    Raises SignalError where age or sex is among them: they choose the penalties.
    """
    found = {}
    for task in tasks:
        for split in SPLITS if task.name in CHOOSER.values() else ("train", "test"):
            known = task.y[rows[split]]
            if len(np.unique(known[np.isfinite(known)])) < 2:
                need = "a yes and a no" if task.kind == "binary" else "two values"
                found.setdefault(task.name, f"{task.name} must have {need} among the {split} visits, found fewer")
    for name in CHOOSER.values():
        if name in found:
            raise SignalError(f"{found[name]}; it chooses the penalties, so take more visits")
    return found


def predictions(
    x_VD: Floats, tasks: list[Task], rows: dict[str, NDArray[np.int64]], how: Protocol
) -> dict[str, Floats]:
    """What each question's probes say of the test visits `(T, F)`: a value, or the probability of a yes.

    The draws depend on the question and nothing else, so that two kinds of features are compared on the same ones.
    """
    by_name = {task.name: task for task in tasks}
    out: dict[str, list[Floats]] = {task.name: [] for task in tasks}
    for share, run in itertools.product(how.shares, range(how.runs)):
        setting = {kind: _chosen(x_VD, by_name[name], rows, share, run, how) for kind, name in CHOOSER.items()}
        for task in tasks:
            at = drawn(task, rows["train"], share, run)
            fitted = next(_path(x_VD[at], task.y[at], task.kind, (setting[task.kind],)))
            out[task.name].append(said(fitted, x_VD[rows["test"]], task.kind))
    return {name: np.stack(each, axis=1) for name, each in out.items()}


def drawn(task: Task, train: NDArray[np.int64], share: float, run: int) -> NDArray[np.int64]:
    """`share` of the training visits whose answer is known, with replacement; a draw of one answer is drawn again."""
    known = train[np.isfinite(task.y[train])]
    random = np.random.default_rng([run, round(1000 * share), *task.name.encode()])
    size = max(2, int(share * len(known)))
    for _ in range(_TRIES):
        at = random.choice(known, size, replace=True)
        if task.kind == "regression" or 0 < task.y[at].sum() < size:
            return at
    raise SignalError(f"{task.name} is answered one way by nearly all of {len(known)} visits; take more visits")


def _chosen(
    x_VD: Floats, task: Task, rows: dict[str, NDArray[np.int64]], share: float, run: int, how: Protocol
) -> float:
    """The alpha or C that the validation visits like best."""
    at, valid = drawn(task, rows["train"], share, run), rows["valid"]
    valid = valid[np.isfinite(task.y[valid])]
    metric = METRICS[task.kind][1]
    found = [
        scores.once(metric, task.y[valid], said(fitted, x_VD[valid], task.kind))
        for fitted in _path(x_VD[at], task.y[at], task.kind, how.grid(task.kind))
    ]
    return how.grid(task.kind)[int(np.argmax(np.nan_to_num(found, nan=-2.0)))]


def _path(x: Floats, y: Floats, kind: Kind, grid: tuple[float, ...]) -> Iterator[Pipeline]:
    """The probe fitted once for each alpha or C, in turn; a logistic one starts where the last ended."""
    before = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    z = before.fit_transform(x)
    head = Ridge() if kind == "regression" else LogisticRegression(max_iter=_ITERATIONS, warm_start=True)
    for one in grid:
        head.set_params(**{"alpha" if kind == "regression" else "C": one})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            head.fit(z, y)
        yield Pipeline([*before.steps, ("head", head)])


def said(fitted: Pipeline, x: Floats, kind: Kind) -> Floats:
    """The value, or the probability of a yes."""
    return fitted.predict(x) if kind == "regression" else fitted.predict_proba(x)[:, 1]


def mean_over(metric: scores.Metric) -> scores.Metric:
    """The same metric of truth `(T, L)`, NaN where unknown, and predictions `(T, F, L)`: mean over fits and questions.

    >>> y, found = np.array([[0.0], [1.0], [np.nan]]), np.array([[[0.1], [0.9]], [[0.7], [0.3]], [[0.5], [0.5]]])
    >>> mean_over(scores.auroc)(y, found, np.ones((1, 3))).tolist()
    [0.5]
    """

    def averaged(y: Floats, found: Floats, weight_RT: Floats) -> Floats:
        each = []
        for label in range(y.shape[1]):
            at = np.isfinite(y[:, label])
            each += [metric(y[at, label], found[at, f, label], weight_RT[:, at]) for f in range(found.shape[1])]
        return np.mean(each, axis=0)

    return averaged
