"""The benchmark of rhythms: rows say what they count, and MIT-BIH's stretches hold one rhythm each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
from cardiofm.evaluate.beats import rhythm
from cardiofm.measure.rhythms import LABELS, WAYS
from cardiofm.train import rhythm as training


def examples(records: int = 60) -> training.Examples:
    rng = np.random.default_rng(0)
    y = np.arange(records) % 4
    x = {way: rng.normal(size=(records, len(names))) for way, names in WAYS.items()}
    return training.Examples(x, y, tuple(f"p{k}" for k in range(records)))


def value(rows: list[dict], method: str, metric: str) -> float:
    (found,) = (r["value"] for r in rows if (r["method"], r["metric"]) == (method, metric))
    return found


def test_who_is_right_scores_one_and_who_says_nothing_does_not() -> None:
    data = examples()
    right = np.eye(len(LABELS))[data.y]
    af = data.y == training.AF
    said = {
        "right": rhythm.Said(right[:, training.AF], af, right),
        "mute": rhythm.Said(np.zeros(60), np.zeros(60, bool)),
    }
    rows = rhythm.challenge_rows(data, said)
    for metric in ("auroc_af", "f1_af", "macro_f1", "sensitivity", "precision"):
        assert value(rows, "right", metric) == 1
    assert value(rows, "right", "ece_af") == 0
    assert (value(rows, "mute", "auroc_af"), value(rows, "mute", "f1_af")) == (0.5, 0)
    assert value(rows, "right − mute", "f1_af") == 1


def test_af_said_from_its_own_threshold_takes_the_label() -> None:
    data = examples()
    chance = np.tile([0.45, 0.42, 0.08, 0.05], (60, 1))
    rows = rhythm.challenge_rows(data, {"all af": rhythm.Said(chance[:, 1], chance[:, 1] >= 0.4, chance)})
    assert value(rows, "all af", "sensitivity") == 1
    assert value(rows, "all af", "precision") == 0.25
    assert value(rows, "all af", "macro_f1") == pytest.approx(0.4 / 3, abs=1e-4)  # F1 of AF alone: 2 / 5


def test_calibration_error_is_how_far_off() -> None:
    assert rhythm.calibration_error(np.full(10, 0.95), np.arange(10) < 5) == pytest.approx(0.45)


def test_the_floor_takes_its_threshold_from_other_folds() -> None:
    data = examples(200)
    column = WAYS["beats"].index("irregularity")
    data.x["beats"][:, column] = data.y == training.AF
    floor = rhythm._floor(data)
    np.testing.assert_array_equal(floor.af, data.y == training.AF)


@pytest.mark.shared
def test_stretches_of_mitdb_hold_one_rhythm(data_root: Path) -> None:
    found = list(rhythm.stretches(data_root, limit=3))  # 100, 101 and 102: sinus and paced
    assert {p for p, *_ in found} == {"mitdb-100", "mitdb-101", "mitdb-102"}
    assert not any(af for *_, af in found)
    assert all(len(x) == round(30 * fs_hz) for _, x, fs_hz, _ in found)
    assert len(found) == 3 * 60
