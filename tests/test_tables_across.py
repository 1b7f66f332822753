"""The sections on one signal from the other and on damage: every number of a row that is shown stands in them."""

from __future__ import annotations

from itertools import product
from typing import Any

from cardiofm.evaluate.bootstrap import Interval
from cardiofm.evaluate.run import row
from cardiofm.evaluate.tables.across import across
from cardiofm.evaluate.tables.robustness import robustness, robustness_without_cross

SAID = {"model": {"name": "base", "sha256": "ab" * 32, "step": 7}, "command": "python benchmarks/x.py"}


def _row(value: float, **keys: Any) -> dict[str, Any]:
    return row(Interval(value, value - 0.01, value + 0.01, 5, 6), 4, **keys)


def test_across_shows_each_pair_of_scores_with_its_count():
    names = {"set": "bidmc", "channel": "ppg"}
    metrics = {"r": 0.11, "r_lag": 0.22, "f1_50": 0.33, "f1_50_lag": 0.44, "cycle_r": 0.55, "cycle_r_aligned": 0.66}
    rows = [_row(v, **names, method="model", metric=m, refused=3) for m, v in metrics.items()]
    rows.append(_row(0.77, **names, method="pat", metric="r", refused=3))
    control = _row(0.88, **names, difference="model - mis-paired", metric="r_lag")
    text = "\n".join(across({**SAID, "rows": rows, "differences": [control]}))
    for value in (*metrics.values(), 0.88):
        assert f"{value:.2f}" in text
        assert f"[{value - 0.01:.2f}, {value + 0.01:.2f}]" in text
    assert "0.77 / –" in text
    assert text.count("5, 6 (3)") == 3
    widths = {ln.count("|") for ln in text.splitlines() if ln.startswith("|")}
    assert len(widths) == 2  # two tables, each even


NAMES = {"task": "heart rate", "set": "bidmc", "channel": "ecg", "kind": "noise", "level": -6.0, "metric": "error_bpm"}


def test_robustness_shows_the_three_ways_and_both_counts():
    given = ("both", "clean alone", "damaged alone")
    rows = [_row(10.0 * i + 1, **NAMES, given=g, method="model", refused=0) for i, g in enumerate(given)]
    result = {**SAID, "rows": rows, "never_worse": {"compared": 4, "worse": [{}]}}
    text = "\n".join(robustness(result))
    assert "| **1.0** [1.0, 1.0] | 11.0 [11.0, 11.0] | 21.0 [21.0, 21.0] | – | 5 (0) |" in text
    assert "1 of 4 comparisons." in text
    text = "\n".join(robustness(result | {"never_worse_taught": {"compared": 7, "worse": []}}))
    assert "1 of 4 comparisons, and in 0 of 7 where" in text
    assert len([ln for ln in text.splitlines() if ln.startswith("| heart rate")]) == 1  # what was not measured: no row


def test_noise_is_shown_cleaned_beside_what_a_band_alone_gives():
    names = {**NAMES, "task": "reconstruction", "level": 0.0, "metric": "r"}
    given = ("both", "clean alone", "damaged alone")
    rows = [_row(0.1 * i + 0.5, **names, given=g, method="denoised", refused=0) for i, g in enumerate(given)]
    rows += [_row(0.25, **names, given=g, method="model", refused=0) for g in given]
    rows.append(_row(0.375, **names, given="damaged alone", method="band-pass", refused=0))
    text = "\n".join(robustness({**SAID, "rows": rows, "never_worse": {"compared": 4, "worse": []}}))
    assert "| **0.50** [0.49, 0.51] | 0.60 [0.59, 0.61] | 0.70 [0.69, 0.71] | 0.38 | 5 (0) |" in text


def test_the_ablation_stands_beside_the_model_with_its_difference():
    rows = [_row(v, **NAMES, given="both", method=m, refused=0) for v, m in ((3.0, "model"), (5.0, "no-cross"))]
    apart = [_row(-2.0, **NAMES, given=g, difference="model - no-cross") for g in ("both", "clean alone")]
    result = {**SAID, "rows": rows, "differences": apart, "without_cross": {"sha256": "cd" * 32}}
    text = "\n".join(robustness_without_cross(result))
    assert "| **3.0** [3.0, 3.0] | 5.0 [5.0, 5.0] | -2.0 [-2.0, -2.0] | 5 (0) |" in text
    assert "cdcdcdcdcdcd" in text


def test_every_point_of_the_robustness_section_is_one_that_the_benchmark_makes():
    from cardiofm.evaluate.robustness import CUT, SNR_DB
    from cardiofm.evaluate.tables.robustness import _SHOWN

    made = {*product(["noise"], SNR_DB), *product(["cut"], CUT)}
    assert {(kind, level) for _, _, _, kind, level, _, _ in _SHOWN} <= made
    assert len(_SHOWN) <= 13
