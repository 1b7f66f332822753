"""Recordings to rows of numbers as a scikit-learn transformer, for pipelines and grid searches.

Shapes: R recordings, N samples, W windows, D numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.readers import read
from cardiofm.handcrafted import features as hand_crafted
from cardiofm.measure.features import NAMES
from cardiofm.pipeline import Model, load
from cardiofm.signals import MODALITIES, Record, SignalError

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ModuleNotFoundError(
        "CardioFMFeatures needs scikit-learn 1.6 or newer: pip install 'cardiofm[sklearn]'", name="scikit-learn"
    ) from error

POOLINGS = ("mean", "median", "mean+spread")
FEATURES = ("embedding", "hand-crafted", "both")
UNUSABLE = ("raise", "nan")


class CardioFMFeatures(TransformerMixin, BaseEstimator):
    """One row of numbers a recording: the embedding of a model, hand-crafted numbers, or both, pooled over its windows.

    Recordings are given as a list of `Record`s or of paths, each of any length; or as an array of one channel `(R, N)`
    or of both `(R, 2, N)` (ecg, ppg), NaN where a sample is absent, with their rate `fs_hz`. Nothing is learned: `fit`
    only looks at what is asked for. Hand-crafted numbers that cannot be measured are NaN: put an imputer, or trees,
    behind them. In a grid search give the pipeline a `memory`, so that each recording is embedded once.

    Parameters
    ----------
    model : name of a released model, or a model folder.
    features : "embedding", "hand-crafted" (needs no model) or "both".
    pooling : over the windows of a recording: "mean", "median", or "mean+spread" (twice as many numbers).
    fs_hz : rate of arrays, and of files that state none.
    modality : "ecg" or "ppg": what an array `(R, N)` is.
    unit : of the ECG in an array, "mV" where its amplitude is known.
    unusable : "raise", or "nan" for a row of NaN where a recording cannot be read or holds no signal.
    backend, threads : as in `cardiofm.load`.

    >>> import cardiofm
    >>> records = [cardiofm.simulate(10, fs_ecg_hz=250, fs_ppg_hz=125, seed=k).record for k in range(2)]
    >>> table = CardioFMFeatures(features="hand-crafted").fit_transform(records)
    >>> table.shape == (2, len(CardioFMFeatures(features="hand-crafted").fit(records).get_feature_names_out()))
    True
    """

    def __init__(
        self,
        model: str | Path = "base",
        features: str = "embedding",
        pooling: str = "mean",
        fs_hz: float | None = None,
        modality: str = "ecg",
        unit: str = "mV",
        unusable: str = "raise",
        backend: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.model = model
        self.features = features
        self.pooling = pooling
        self.fs_hz = fs_hz
        self.modality = modality
        self.unit = unit
        self.unusable = unusable
        self.backend = backend
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> CardioFMFeatures:
        """Check what is asked for and which numbers it gives; a model that cannot be loaded is said here."""
        allowed = {"features": FEATURES, "pooling": POOLINGS, "modality": MODALITIES, "unusable": UNUSABLE}
        for name, words in allowed.items():
            if getattr(self, name) not in words:
                raise ValueError(f"{name} must be one of {', '.join(words)}, found {getattr(self, name)!r}")
        self._given(X, reset=True)
        names = [] if self.features == "embedding" else list(NAMES)
        if self.features != "hand-crafted":
            names = [f"embedding{k}" for k in range(self._network().config["encoder"]["embedding"])] + names
        self.names_ = names + ([f"{name}_spread" for name in names] if self.pooling == "mean+spread" else [])
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """One row a recording, `(R, D)` float32, columns `get_feature_names_out()`."""
        check_is_fitted(self)
        records = [self._record(one, k) for k, one in enumerate(self._given(X, reset=False))]
        good = [one for one in records if isinstance(one, Record)]
        embedded = iter(()) if self.features == "hand-crafted" else self._network().embed_each(good)
        out = np.full((len(records), len(self.names_)), np.nan, np.float32)
        for row, record in zip(out, records, strict=True):
            found = [record] if isinstance(record, SignalError) else self._numbers(record, embedded)
            errors = [one for one in found if isinstance(one, SignalError)]
            if errors and self.unusable == "raise":
                raise errors[0]
            if not errors:
                row[:] = self._pooled(np.concatenate([one for one in found if isinstance(one, np.ndarray)], axis=1))
        return out

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """The names of the columns; which recordings are given does not change them."""
        check_is_fitted(self)
        return np.array(self.names_, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True  # an absent sample
        tags.transformer_tags.preserves_dtype = []  # numbers are float32, whatever the samples are
        return tags

    def _network(self) -> Model:
        return _loaded(self.model, self.backend, self.threads)

    def _given(self, X: Any, reset: bool) -> Sequence[Any]:
        """The recordings as they are, or the rows of an array after scikit-learn's checks of it."""
        if isinstance(X, str | Path | Record):
            raise ValueError(f"X must be a list of recordings, found one {type(X).__name__}; put it in a list")
        one = X[0] if isinstance(X, list | tuple | np.ndarray) and len(X) else None
        if isinstance(one, str | Path | Record):
            return list(X)
        checked: Any = validate_data  # whose types do not know an array as X in every version
        return checked(self, X, reset=reset, dtype=np.float64, allow_nd=True, ensure_all_finite=False)

    def _record(self, one: Any, number: int) -> Record | SignalError:
        """A recording, or why it is none."""
        try:
            if isinstance(one, Record):
                return one
            if isinstance(one, str | Path):
                return read(one, fs_hz=self.fs_hz)
            if self.fs_hz is None:
                raise SignalError("an array needs the rate of its samples: CardioFMFeatures(fs_hz=...)")
            rows = one[None] if one.ndim == 1 else one
            names = (self.modality,) if one.ndim == 1 else MODALITIES
            if len(rows) != len(names) or rows.ndim != 2:
                raise SignalError(f"an array must be (R, N), or (R, 2, N) of ECG and PPG, found rows of {one.shape}")
            pairs: dict[str, Any] = {name: (row, self.fs_hz) for name, row in zip(names, rows, strict=True)}
            return Record.from_arrays(**pairs, ecg_unit=self.unit, name=f"row {number}")
        except (SignalError, OSError) as error:
            return error if isinstance(error, SignalError) else SignalError(f"{one} cannot be read: {error}")

    def _numbers(self, record: Record, embedded: Any) -> list[NDArray[np.float32] | SignalError]:
        """Numbers of each window `(W, D)`, by each way that is asked for."""
        found: list[NDArray[np.float32] | SignalError] = []
        if self.features != "hand-crafted":
            one = next(embedded)
            found.append(one if isinstance(one, SignalError) else one.values)
        if self.features != "embedding":
            try:
                found.append(hand_crafted(record).values)
            except SignalError as error:
                found.append(error)
        return found

    def _pooled(self, values_WD: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(D,)`, or twice as many with the spread: over the windows in which a number is known."""
        known = np.isfinite(values_WD).any(0)
        out = np.full((2, values_WD.shape[1]), np.nan, np.float32)
        pool = np.nanmedian if self.pooling == "median" else np.nanmean
        out[0, known] = pool(values_WD[:, known], axis=0)
        out[1, known] = np.nanstd(values_WD[:, known], axis=0)
        return out.ravel() if self.pooling == "mean+spread" else out[0]


@lru_cache(maxsize=4)
def _loaded(model: str | Path, backend: str | None, threads: int | None) -> Model:
    """Kept outside of the estimator, which stays small to copy and to pickle."""
    return load(model, backend, threads)
