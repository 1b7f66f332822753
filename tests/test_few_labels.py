"""Few labels: who is drawn, who is scored, what a few of them teach, and how wide the interval is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cardiofm.evaluate import pictures
from cardiofm.evaluate.benchmarks import few_labels
from cardiofm.evaluate.tables.few_labels import few_labels as table
from cardiofm.evaluate.tasks import Task

RNG = np.random.default_rng(0)
Y = RNG.random(160) < 0.3
PATIENTS = [f"p{k // 2}" for k in range(160)]


def task(y: np.ndarray = Y, part: list[str] | None = None) -> Task:
    kind = "multilabel" if y.ndim == 2 else "binary"
    return Task("challenge-2015", "alarm", kind, np.arange(len(y)), y, PATIENTS, {}, part or [])


def test_the_drawn_are_patients_with_both_labels_and_nobody_drawn_is_scored():
    asked = task()
    for train, test in few_labels.drawings(asked, 10, 5):
        own = {PATIENTS[k] for k in train}
        assert len(own) == 10
        assert len(train) == 20
        assert not own & {PATIENTS[k] for k in test}
        assert len(train) + len(test) == 160
        assert len({PATIENTS[k] for k in train if Y[k]}) >= few_labels.LEAST


def test_with_an_official_split_training_patients_are_drawn_and_test_rows_scored():
    part = ["train"] * 100 + ["valid"] * 20 + ["test"] * 40
    for train, test in few_labels.drawings(task(part=part), 10, 3):
        assert train.max() < 100
        assert test.tolist() == list(range(120, 160))


def test_the_same_draws_for_every_method_and_others_for_another_seed():
    one, two, other = (few_labels.drawings(task(), 10, 3, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a[0], b[0]) for a, b in zip(one, other, strict=True))


def test_too_few_patients_is_one_sentence():
    with pytest.raises(ValueError, match="more than 100 patients"):
        few_labels.drawings(task(), 100, 2)


def test_what_tells_is_told_and_what_does_not_is_chance(tmp_path: Path):
    features = {"model": Y[:, None] + 0.5 * RNG.normal(size=(160, 3)), "minirocket": RNG.normal(size=(160, 3))}
    rows, differences = few_labels.measured(task(), features, 50, 6, tmp_path)
    by = {r["method"]: r for r in rows}
    assert by["model"]["value"] > 0.9
    assert abs(by["minirocket"]["value"] - 0.5) < 0.1
    assert by["model"]["low"] <= by["model"]["value"] <= by["model"]["high"]
    assert [d["difference"] for d in differences] == ["model - minirocket"]
    assert differences[0]["low"] > 0


def test_what_was_scored_before_is_read_from_the_cache_and_truth_is_part_of_its_name(tmp_path: Path):
    features = {"model": Y[:, None] + 0.5 * RNG.normal(size=(160, 3))}
    first = few_labels.measured(task(), features, 20, 2, tmp_path)
    kept = sorted(tmp_path.glob("*.npy"))
    assert few_labels.measured(task(), features, 20, 2, tmp_path) == first
    assert sorted(tmp_path.glob("*.npy")) == kept
    few_labels.measured(task(~Y), features, 20, 2, tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == len(kept) + 1


def test_the_interval_covers_the_draws():
    alike, apart = np.full((20, 501), 0.8), np.linspace(0.6, 1.0, 20)[:, None] * np.ones(501)
    narrow, wide = (few_labels._interval(v, 5, 5) for v in (alike, apart))
    assert narrow.low == pytest.approx(narrow.high)
    assert wide.high - wide.low > 0.05


def test_several_labels_have_a_head_each_and_the_table_and_the_picture_show_them(tmp_path: Path):
    y = np.stack([Y, ~Y], axis=1)
    features = {name: Y[:, None] + s * RNG.normal(size=(160, 3)) for name, s in (("model", 0.3), ("hand-crafted", 3.0))}
    rows, differences = few_labels.measured(task(y), features, 20, 3, tmp_path)
    assert {r["metric"] for r in rows} == {"macro-AUROC"}
    assert rows[0]["value"] > rows[1]["value"]
    model = {"name": "base", "sha256": "0" * 64}
    result = {"rows": [r | {"refused": 0} for r in rows], "differences": differences, "draws": 3, "model": model}
    text = "\n".join(table(result | {"command": "python benchmarks/few_labels.py"}))
    assert f"**{rows[0]['value']:.3f}**" in text or f"{rows[0]['value']:.3f} [" in text
    assert "the embedding is 1 times better and 0 times worse than the hand-crafted numbers" in text
    more = [r | {"method": m, "refused": 0} for m in ("minirocket", "model + hand-crafted") for r in rows[1:]]
    text = "\n".join(table(result | {"rows": result["rows"] + more, "command": "", "absent": {"bidmc": "not there"}}))
    assert (
        "Above both, intervals aside: the embedding 1 of 1 times, both 0 of 1 times. Not run: bidmc: not there." in text
    )
    pictures.few_labels(result, tmp_path / "few.png")
    assert (tmp_path / "few.png").stat().st_size > 5000
