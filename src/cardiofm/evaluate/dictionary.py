"""One cycle of a signal from the same cycle of the other one: paired dictionaries, and simpler maps of the same kind.

In the manner of cross-domain joint dictionary learning (Tian et al., "Cross-domain joint dictionary learning for ECG
inference from PPG", 2020): each signal has its dictionary, a linear map leads from the sparse codes of one to the codes
of the other, and a cycle is drawn from the mapped codes. Sizes are chosen on validation cycles by the mean Pearson r.
Needs scikit-learn. Shapes: M cycles, L samples of a resampled cycle, K atoms, N samples of a window.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating]
LENGTH = 128  # samples of a resampled cycle
CYCLE_S = (0.3, 2.0)  # a shorter or longer interval between two beats is no cycle (200 to 30 per minute)
ATOMS = (32, 64, 128)
NONZERO = (2, 4, 8, 16)
PENALTY = (0.1, 10.0, 1000.0)  # of the linear maps' squared slopes
COEFFICIENTS = (8, 16, 32)  # of the cosine transform
_LASSO = 0.05  # penalty while a dictionary is learned, for cycles of unit norm
_SEED = 0


@dataclass(frozen=True)
class Cycles:
    """Pairs of cycles `(M, L)`, each of zero mean and unit norm: what is given and what is wanted."""

    given_ML: Floats
    wanted_ML: Floats


@dataclass(frozen=True)
class CycleMap:
    """A fitted map `(M, L)` → `(M, L)` with what was chosen for it, and its mean r on the validation cycles."""

    predict: Callable[[Floats], Floats]
    chosen: dict[str, float]
    valid_r: float


def spans(beats_s: ArrayLike, fs_hz: float, samples: int) -> list[slice]:
    """The samples from each beat to the next, for intervals that can be a cycle and lie within the window.

    >>> spans([0.2, 1.0, 1.1, 2.0], 100.0, 200)
    [slice(20, 100, None), slice(110, 200, None)]
    """
    at = np.rint(np.asarray(beats_s, np.float64) * fs_hz).astype(np.int64)
    low, high = CYCLE_S[0] * fs_hz, CYCLE_S[1] * fs_hz
    pairs = zip(at[:-1].tolist(), at[1:].tolist(), strict=True)
    return [slice(a, b) for a, b in pairs if low <= b - a <= high and a >= 0 and b <= samples]


def resized(x_n: Floats, length: int) -> Floats:
    """A cycle at `length` evenly spaced points from its first to its last sample, in the unit of x.

    >>> resized(np.array([0.0, 2.0, 4.0]), 5).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    return np.interp(np.linspace(0, len(x_n) - 1, length), np.arange(len(x_n)), x_n)


def cut(x_N: Floats, cycles: Sequence[slice], shift: int = 0) -> Floats:
    """The signal in these spans, moved later by `shift` samples, as normalised cycles `(M, LENGTH)`."""
    rows = [resized(x_N[s.start + shift : s.stop + shift], LENGTH) for s in cycles]
    return normalised(np.array(rows).reshape(-1, LENGTH))


def normalised(x_ML: Floats) -> Floats:
    """Each row with zero mean and unit norm; zeros where it is constant."""
    x_ML = x_ML - x_ML.mean(1, keepdims=True)
    norm = np.linalg.norm(x_ML, axis=1, keepdims=True)
    return np.where(norm > 1e-9, x_ML / np.where(norm > 1e-9, norm, 1), 0.0)


def cycle_r(true_ML: Floats, drawn_ML: Floats) -> Floats:
    """Pearson r of each pair of cycles `(M,)`; 0 where one of the two is constant."""
    return (normalised(true_ML) * normalised(drawn_ML)).sum(1)


def fit_mean(train: Cycles, valid: Cycles) -> CycleMap:
    """The mean training cycle, whatever is given."""
    mean_L = train.wanted_ML.mean(0)

    def predict(given_ML: Floats) -> Floats:
        return np.repeat(mean_L[None], len(given_ML), axis=0)

    return CycleMap(predict, {}, _score(predict, valid))


def fit_cosine(train: Cycles, valid: Cycles) -> CycleMap:
    """A ridge map between the first coefficients of the cosine transforms of the two cycles."""

    def maps(number: int, penalty: float) -> Callable[[Floats], Floats]:
        cosine_KL = _cosines(number)
        leads = _ridge(train.given_ML @ cosine_KL.T, train.wanted_ML @ cosine_KL.T, penalty)
        return lambda x_ML: leads(x_ML @ cosine_KL.T) @ cosine_KL

    tried = [({"coefficients": n, "penalty": p}, maps(n, p)) for n in COEFFICIENTS for p in PENALTY]
    return _best(tried, valid)


def fit_dictionary(
    train: Cycles, valid: Cycles, atoms: Sequence[int] = ATOMS, nonzero: Sequence[int] = NONZERO
) -> CycleMap:
    """Two dictionaries and a ridge map between their sparse codes (orthogonal matching pursuit)."""
    tried: list[tuple[dict[str, float], Callable[[Floats], Floats]]] = []
    for number in atoms:
        given_KL, wanted_KL = (_atoms(x, number) for x in (train.given_ML, train.wanted_ML))
        for active in nonzero:
            from_MK, to_MK = _codes(train.given_ML, given_KL, active), _codes(train.wanted_ML, wanted_KL, active)
            for penalty in PENALTY:
                leads = _ridge(from_MK, to_MK, penalty)
                keys: dict[str, float] = {"atoms": number, "nonzero": active, "penalty": penalty}
                tried.append((keys, _through(given_KL, leads, wanted_KL, active)))
    return _best(tried, valid)


def _through(
    given_KL: Floats, leads: Callable[[Floats], Floats], wanted_KL: Floats, active: int
) -> Callable[[Floats], Floats]:
    """From a cycle to its sparse code, and over the map and the other dictionary to the other cycle."""
    return lambda x_ML: leads(_codes(x_ML, given_KL, active)) @ wanted_KL


def _cosines(number: int) -> Floats:
    """The first basis functions of the cosine transform (DCT-II, orthonormal), `(K, L)`."""
    order_K1, at_L = np.arange(number)[:, None], np.arange(LENGTH) + 0.5
    return np.sqrt(np.where(order_K1 == 0, 1, 2) / LENGTH) * np.cos(np.pi / LENGTH * order_K1 * at_L)


def _atoms(x_ML: Floats, number: int) -> Floats:
    from sklearn.decomposition import MiniBatchDictionaryLearning
    from sklearn.exceptions import ConvergenceWarning

    learner = MiniBatchDictionaryLearning(
        number, max_iter=20, batch_size=256, fit_algorithm="cd", random_state=_SEED, n_jobs=1
    ).set_params(alpha=_LASSO)
    with warnings.catch_warnings():  # of the lasso inside, far below what a dictionary needs
        warnings.simplefilter("ignore", ConvergenceWarning)
        return learner.fit(x_ML).components_


def _codes(x_ML: Floats, atoms_KL: Floats, active: int) -> Floats:
    from sklearn.decomposition import sparse_encode

    return sparse_encode(x_ML, atoms_KL, algorithm="omp", n_nonzero_coefs=active)


def _ridge(x: Floats, y: Floats, penalty: float) -> Callable[[Floats], Floats]:
    """The linear map with an offset that leads from x to y by least squares, its slopes held by that penalty."""
    middle_x, middle_y = x.mean(0), y.mean(0)
    x, y = x - middle_x, y - middle_y
    slopes = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return lambda z: (z - middle_x) @ slopes + middle_y


def _score(predict: Callable[[Floats], Floats], cycles: Cycles) -> float:
    return float(cycle_r(cycles.wanted_ML, predict(cycles.given_ML)).mean())


def _best(tried: list[tuple[dict[str, float], Callable[[Floats], Floats]]], valid: Cycles) -> CycleMap:
    scores = [_score(predict, valid) for _, predict in tried]
    best = int(np.argmax(scores))
    return CycleMap(tried[best][1], tried[best][0], scores[best])
