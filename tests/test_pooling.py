"""Pooling: variability, who sees what, and attention that finds the window that matters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cardiofm.data import catalog
from cardiofm.evaluate import pictures
from cardiofm.evaluate.benchmarks import pooling
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.tables.pooling import pooling as table
from cardiofm.evaluate.tasks import Task
from cardiofm.pipeline import load
from cardiofm.signals import Window

RECORDS, WINDOWS = 60, 4
RNG = np.random.default_rng(0)
Y = np.arange(RECORDS) % 2 == 0


def long(told_in: int) -> pooling.Long:
    """Records whose label stands in one window each, marked by a large first number; the others are noise."""
    z = RNG.normal(size=(RECORDS, WINDOWS, 6)).astype(np.float32)
    z[:, :, 0] = 0
    z[:, told_in, 0] = 6
    z[:, told_in, 1] = 3 * np.where(Y, 1, -1)
    entries = [
        catalog.Entry("challenge-2015", f"r{k}", Path("r"), f"p{k}", "train", {"alarm_s": 40.0}) for k in range(RECORDS)
    ]
    seen = np.ones((2, 100), bool)
    windows = [
        Window(10.0 * k, np.zeros((2, 100), np.float32), seen, np.zeros(2, bool), np.ones(2, np.float32))
        for _ in range(RECORDS)
        for k in range(WINDOWS)
    ]
    cohort = Cohort("challenge-2015", entries, windows, np.repeat(np.arange(RECORDS), WINDOWS), 0)
    return pooling.Long(cohort, z.reshape(-1, 6), RNG.normal(size=(RECORDS, len(pooling.HRV))) + 50)


def task() -> Task:
    patients = [f"p{k}" for k in range(RECORDS)]
    return Task("challenge-2015", "alarm", "binary", np.arange(RECORDS), Y, patients, {}, folds=3)


def test_attention_looks_where_the_answer_stands_and_is_scored_on_unseen_patients(tmp_path: Path):
    own = long(told_in=2)
    found, share = pooling.answers(task(), own, inner=1)
    rows, differences = pooling.measured(task(), found)
    by = {r["method"]: r["value"] for r in rows}
    assert by["attention"] >= by["mean"] > 0.8
    assert abs(by["HRV"] - 0.5) < 0.2
    looks = pooling.looked(own.cohort, share)
    assert max(looks, key=lambda s: looks[s]) == "20"
    assert sum(looks.values()) == pytest.approx(1, abs=1e-3)
    model = {"name": "base", "sha256": "0" * 64}
    more = {"methods": pooling.METHODS, "windows": WINDOWS, "differences": differences, "looked": looks}
    result = {"rows": [r | {"refused": 0} for r in rows], "model": model, "command": "python", **more}
    text = "\n".join(table(result))
    assert "ICU alarm true, AUROC" in text
    assert " the mean: challenge-2015, alarm." in text
    pictures.pooling(result, tmp_path / "pooling.png")
    assert (tmp_path / "pooling.png").stat().st_size > 5000


def test_variability_stands_at_the_end_of_every_window_of_its_record():
    own = long(0)
    plain, beside = own.seen(False), own.seen(True)
    assert beside[3].embedding.shape == (WINDOWS, plain[3].embedding.shape[1] + len(pooling.HRV))
    assert np.ptp(beside[3].embedding[:, 6:], axis=0).max() == 0
    assert np.array_equal(beside[3].embedding[:, :6], plain[3].embedding)


def test_what_is_unknown_is_replaced_by_what_is_usual():
    hrv = np.exp(np.arange(3.0))[:, None] * np.ones(len(pooling.HRV))
    hrv[1] = np.nan
    assert np.isfinite(pooling.filled(hrv)).all()
    assert pooling.filled(hrv)[1, 0] == pytest.approx(1.0)


@pytest.mark.shared
def test_nothing_after_the_alarm_is_seen(data_root: Path):
    spec = load("base", threads=1).spec
    cohort = pooling.before_the_alarm(data_root, spec, 3, 6)
    ends = [w.start_s + spec.window_s for w in cohort.windows]
    assert max(ends) == pytest.approx(cohort.entries[0].labels["alarm_s"])
    assert len(cohort.windows) <= 18
    hrv = pooling.variabilities(cohort, data_root)
    assert hrv.shape == (3, len(pooling.HRV))
    known = hrv[np.isfinite(hrv[:, 0])]
    assert ((known[:, 0] > 0) & (known[:, 0] < 1000)).all()
