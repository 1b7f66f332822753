"""The scikit-learn transformer: its interface by scikit-learn's own checks, its rows by the doors that users use."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import cardiofm
from cardiofm import CardioFMFeatures, pipeline
from cardiofm.data.write import write
from cardiofm.measure.features import NAMES
from cardiofm.signals import CheckpointError, Record, SignalError


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Of 10 to 30 s, slow and fast by turns."""

    def one(k: int) -> Record:
        rate = 55 + 40 * (k % 2)
        return cardiofm.simulate(10 + 10 * (k % 3), fs_ecg_hz=250, fs_ppg_hz=125, heart_rate_bpm=rate, seed=k).record

    return [one(k) for k in range(8)]


@parametrize_with_checks([CardioFMFeatures(features="hand-crafted", fs_hz=20.0, unusable="nan")])
def test_the_interface_is_scikit_learns(estimator: Any, check: Any) -> None:
    """All checks pass. Their arrays hold less than a second of signal, so rows are NaN: this is about the interface."""
    check(estimator)


def test_rows_are_means_over_windows(records: list[Record], micro: Path) -> None:
    model = pipeline.load(micro, backend="torch", threads=1)
    how = {"model": str(micro), "backend": "torch", "threads": 1}
    found = CardioFMFeatures(**how).fit_transform(records)
    np.testing.assert_allclose(found, np.stack([e.values.mean(0) for e in model.embed(records)]), atol=1e-5)
    both = CardioFMFeatures(**how, features="both", pooling="mean+spread").fit(records)
    table, names = both.transform(records), list(both.get_feature_names_out())
    assert table.shape == (8, 2 * (16 + len(NAMES)))
    assert names[:2] == ["embedding0", "embedding1"]
    assert names[16] == NAMES[0]
    assert names[-1] == f"{NAMES[-1]}_spread"
    np.testing.assert_allclose(table[:, :16], found, atol=1e-6)
    rate = table[:, names.index("ecg_rate_bpm")]
    np.testing.assert_allclose(rate, [55 + 40 * (k % 2) for k in range(8)], atol=6)
    middle = CardioFMFeatures(features="hand-crafted", pooling="median").fit_transform(records[2:3])
    windows = cardiofm.features(records[2]).values
    np.testing.assert_allclose(middle[0], np.nanmedian(windows, 0), atol=1e-6)


def test_records_paths_and_arrays_are_the_same(records: list[Record], tmp_path: Path) -> None:
    """One channel `(R, N)`, both `(R, 2, N)` at one rate, NaN where a channel is absent."""
    pairs = [cardiofm.simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=k).record for k in range(3)]
    values = np.stack([[r.ecg.values, r.ppg.values] for r in pairs if r.ecg and r.ppg])
    for k, record in enumerate(pairs):
        write(record, tmp_path / f"{k}.parquet")
    made = CardioFMFeatures(features="hand-crafted").fit_transform(pairs)
    paths = CardioFMFeatures(features="hand-crafted").fit_transform([tmp_path / f"{k}.parquet" for k in range(3)])
    array = CardioFMFeatures(features="hand-crafted", fs_hz=250.0)
    np.testing.assert_allclose(array.fit_transform(values), made, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(paths, made, rtol=1e-4, atol=1e-4)
    single, of_ecg = array.fit_transform(values[:, 0]), [name[:2] in ("ec", "rr", "be") for name in NAMES]
    np.testing.assert_allclose(single[:, of_ecg], made[:, of_ecg], rtol=1e-4, atol=1e-4)
    values[:, 1] = np.nan
    np.testing.assert_array_equal(array.fit_transform(values), single)
    ppg = CardioFMFeatures(features="hand-crafted", fs_hz=250.0, modality="ppg").fit_transform(values[:, 0])
    assert np.isnan(ppg[:, NAMES.index("ecg_rate_bpm")]).all()


def test_it_works_in_a_grid_search(records: list[Record]) -> None:
    fast = np.array([k % 2 == 1 for k in range(8)])
    line = Pipeline([
        ("numbers", CardioFMFeatures(features="hand-crafted")),
        ("head", make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression())),
    ])  # fmt: skip
    search = GridSearchCV(line, {"numbers__pooling": ["mean", "mean+spread"]}, cv=2)
    search.fit(records, fast)
    assert search.best_score_ == 1
    assert (copy.deepcopy(search).predict(records) == fast).all()


def test_a_fitted_one_is_small_and_a_clone_is_not_fitted(records: list[Record], micro: Path) -> None:
    """The network is not part of it."""
    one = CardioFMFeatures(str(micro), backend="torch", threads=1).fit(records[:1])
    assert len(pickle.dumps(one)) < 5000
    again = copy.deepcopy(one)
    np.testing.assert_array_equal(again.transform(records[:2]), one.transform(records[:2]))
    assert not hasattr(clone(one), "names_")


def test_a_recording_that_cannot_be_used(records: list[Record], micro: Path, tmp_path: Path) -> None:
    flat = Record.from_arrays(ecg=(np.zeros(2500), 250.0))
    (tmp_path / "broken.edf").write_bytes(b"none")
    how = {"model": str(micro), "backend": "torch", "threads": 1, "features": "both"}
    mixed = [records[0], flat, tmp_path / "broken.edf", tmp_path / "absent.edf", records[1]]
    found = CardioFMFeatures(**how, unusable="nan").fit_transform(mixed)
    assert np.isnan(found).all(1).tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(found[[0, 4]], CardioFMFeatures(**how).fit_transform(records[:2]), atol=1e-5)
    with pytest.raises(SignalError, match="must hold 1 s of signal"):
        CardioFMFeatures(**how).fit_transform([records[0], flat])


def test_what_is_asked_wrongly_is_said(records: list[Record]) -> None:
    for bad in ({"features": "all"}, {"pooling": "max"}, {"modality": "eeg"}, {"unusable": "skip"}):
        ((name, value),) = bad.items()
        with pytest.raises(ValueError, match=f"{name} must be one of .*found '{value}'"):
            CardioFMFeatures().set_params(**bad).fit(records)
    crafted = CardioFMFeatures(features="hand-crafted")
    with pytest.raises(ValueError, match="put it in a list"):
        crafted.fit(records[0])
    with pytest.raises(SignalError, match="needs the rate of its samples"):
        crafted.fit_transform(np.ones((2, 2500)))
    with pytest.raises(SignalError, match=r"must be \(R, N\), or \(R, 2, N\)"):
        CardioFMFeatures(features="hand-crafted", fs_hz=250.0).fit_transform(np.ones((2, 3, 2500)))
    with pytest.raises(CheckpointError):
        CardioFMFeatures("no such model").fit(records)


def test_without_scikit_learn_it_says_what_to_install() -> None:
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "sklearn":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import cardiofm
cardiofm.features
try:
    cardiofm.CardioFMFeatures
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "CardioFMFeatures needs scikit-learn 1.6 or newer: pip install 'cardiofm[sklearn]'"
