"""Which dataset: what differs is told, what does not is chance, and means can be taken away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cardiofm.evaluate import pictures
from cardiofm.evaluate.benchmarks import device_bias
from cardiofm.evaluate.tables.device_bias import device_bias as table
from cardiofm.pipeline import load

RNG = np.random.default_rng(0)
NAMES = ["ptb-xl"] * 60 + ["ludb"] * 30
PATIENTS = [str(k) for k in range(90)]
SHIFT = 4.0 * (np.array(NAMES) == "ludb")[:, None] * np.ones(5)


def by(x: np.ndarray) -> dict[tuple[str, bool], float]:
    rows = device_bias.measured("model", x, NAMES, PATIENTS)
    return {(r["probe"], r["means_removed"]): r["value"] for r in rows if r["metric"] == "balanced accuracy"}


def test_a_shift_is_told_and_gone_without_the_means():
    found = by(SHIFT + RNG.normal(size=(90, 5)))
    assert min(found["linear", False], found["nearest", False]) > 0.95
    assert max(found["linear", True], found["nearest", True]) < 0.65


def test_nothing_is_told_of_numbers_that_are_alike():
    assert max(by(RNG.normal(size=(90, 5))).values()) < 0.65


def test_the_means_are_those_of_the_learned_windows_alone():
    x, y = np.array([[1.0], [3.0], [100.0], [5.0]]), np.array([0, 0, 0, 1])
    assert device_bias.without_means(x, y, np.array([True, True, False, True]))[:, 0].tolist() == [-1, 1, 98, 0]


def test_chances():
    assert device_bias.chances(NAMES) == {"balanced accuracy": 0.5, "accuracy": 0.6667}


def test_the_table_and_the_map(tmp_path: Path):
    rows = device_bias.measured("model", SHIFT + RNG.normal(size=(90, 5)), NAMES, PATIENTS)
    data = {"ptb-xl": {"patients": 60}, "ludb": {"patients": 30}}
    result = {"rows": rows, "data": data, "chance": device_bias.chances(NAMES), "refused": 0, "command": "python"}
    result |= {"methods": {"model": "CardioFM"}, "model": {"name": "base", "sha256": "0" * 64}}
    text = "\n".join(table(result))
    assert "PTB-XL 60, LUDB 30" in text
    assert "| CardioFM | **" in text
    place, share = device_bias.plane(SHIFT + RNG.normal(size=(90, 5)))
    assert place[60:, 0].mean() * place[:60, 0].mean() < 0
    pictures.maps(place, share, {"dataset": NAMES, "rhythm": ["sinus"] * 89 + ["not known"]}, "", tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 5000


@pytest.mark.shared
def test_a_window_a_patient_of_the_ecg_alone(data_root: Path):
    used, refused = device_bias.sample(data_root, load("base", threads=1).spec, 3)
    assert len(used) + refused == 3 * len(device_bias.SETS)
    assert len({(p.dataset, p.patient) for p in used}) == len(used)
    assert not any(p.window.valid[1].any() or p.window.values[1].any() for p in used)
    assert {r for p, r in zip(used, device_bias.rhythms(used, data_root), strict=True) if p.dataset == "bidmc"} == {
        "not known"
    }
