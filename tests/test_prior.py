"""The prior is counts from training windows: it makes codes short, fits its model only, and holds whole numbers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from cardiofm.codec import plan, prior
from cardiofm.codec.prior import UNIT
from cardiofm.data.store import Store
from cardiofm.signals import InputSpec
from cardiofm.train.prior import chosen, pieces, train, untrained
from small_store import small_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(small_store(tmp_path_factory.mktemp("small")))


@pytest.fixture(scope="module")
def folder(micro: Path, tmp_path_factory: pytest.TempPathFactory, store: Store) -> Path:
    where = tmp_path_factory.mktemp("prior") / "micro"
    shutil.copytree(micro, where)
    train(where, store, limit=4, rounds=1)
    return where


def test_only_training_windows_are_counted(store: Store) -> None:
    rows = chosen(store, "ppg", 20, seed=0)
    assert rows
    assert {str(s) for s in store.rows["split"][rows]} == {"train"}
    assert store.rows["has_ppg"][rows].all()


def test_codes_and_waves_of_other_segments_are_shorter(folder: Path, store: Store) -> None:
    before, after = untrained(folder), prior.load(folder).tables
    spec = InputSpec()
    found = pieces(store, before[0], spec, "ecg", 8, seed=5)[-3:]
    bits = []
    for tables in (before[0], after[0]):
        total = 0.0
        for one in found:
            given = replace(one.given, price=0.25 * UNIT * UNIT, price_class=4)
            total += plan.bits(replace(one, tables=tables), given, spec)
            total += plan.bits(
                replace(one, tables=tables), plan.with_bands(one, one.given, 0 * one.signal_N, 4000)[0], spec
            )
        bits.append(total)
    assert bits[1] < 0.97 * bits[0]


def test_the_file_holds_whole_numbers_and_is_small(folder: Path) -> None:
    tensors = load_file(folder / prior.PRIOR)
    assert all(np.issubdtype(t.dtype, np.integer) for t in tensors.values())
    assert all((tensors[name] > 0).all() for name in tensors if name.endswith(("often", "deeper", "side", "waves")))
    assert (folder / prior.PRIOR).stat().st_size < 2_000_000
