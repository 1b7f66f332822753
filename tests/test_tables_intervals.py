"""The published section on intervals: every figure stands in its file, the model first, aims beside."""

from __future__ import annotations

from cardiofm.evaluate.beats import pooled
from cardiofm.evaluate.tables.aims import aims
from cardiofm.evaluate.tables.intervals import OWN, intervals
from cardiofm.evaluate.tables.measure_speed import measure_speed


def rows(values: dict[str, float], methods: tuple[str, ...], **keys) -> list[dict]:
    """A row for each method and metric; the methods differ by one."""
    return [
        pooled.line(pooled.mean([v + i - 0.25, v + i + 0.25], ["a", "b"]), 4, **keys, method=m, metric=k, refused=0)
        for i, m in enumerate(methods)
        for k, v in values.items()
    ]


def made() -> dict:
    """A results file with something of every part."""
    tools = (OWN, "neurokit2 dwt", "openecg")
    found = rows({"mae_ms": 11.125, "median_ms": 7.5, "coverage": 0.5}, tools, task="qt", set="ludb")
    found += rows({"macro_f1": 0.9875}, tools, task="boundaries", set="ludb", tolerance="150")
    found += rows({"f1_150": 0.9985, "f1_50": 0.9}, (OWN, "xqrs"), task="r_peaks", set="mitdb", condition="as recorded")
    for place, snr_db in (("bidmc", None), ("bidmc + challenge-2015", -6.0)):
        metrics = {"mae_ms": 19.75, "coverage": 0.5, "block_median_ms": 3.625}
        found += rows(metrics, (OWN, "neurokit2"), task="pat", set=place, snr_db=snr_db)
    found += rows({"mae_bpm": 0.4375, "answered": 0.5}, (OWN, "classical"), task="rate", set="bidmc", channel="ecg")
    found += rows({"refused": 0.5, "invented": 2.0}, (OWN, "classical"), task="silence", set="all")
    sure = {"task": "calibration", "set": "ludb, qtdb", "measure": "qt", "tolerance_ms": 30.0}
    found += rows({"ece": 0.03125, "gain_worst_tenth_refused_pct": 27.0}, (OWN,), **sure)
    gain = pooled.line(pooled.mean([-7.5, -6.25], ["a", "b"]), 2, task="qt", set="ludb", difference=f"{OWN} - openecg",
                       metric="mae_ms")  # fmt: skip
    model = {"name": "base", "sha256": "ab" * 32, "step": 7}
    return {"rows": found, "differences": [gain], "model": model, "command": "cardiofm benchmark intervals"}


def test_every_part_has_its_rows_and_the_model_is_bold():
    text = "\n".join(intervals(made()))
    assert "| LUDB lead II | per beat, MAE | **11.1** [10.9, 11.4] (50 %) | 12.1" in text
    assert "≤ 12, ≥ 97 %" in text
    assert "**0.9985**" in text
    assert "bidmc + challenge-2015, -6 dB | per beat, MAE in ms | **19.8**" in text
    assert "bidmc, clean | 30-s median" not in text  # of single sets the errors alone
    assert "**0.44** [0.19, 0.69] (50 %)" in text
    assert "50.0 % (2.0)" in text
    assert "QT within 30 ms: expected calibration error 0.031" in text
    assert "QTDB" not in text.split("openecg -")[0].split("| F1")[0]  # no row where nothing was measured


def test_without_the_model_the_floors_stand_alone():
    result = made()
    result["rows"] = [r for r in result["rows"] if r["method"] != OWN]
    result["differences"] = []
    text = "\n".join(intervals(result))
    assert "| LUDB lead II | per beat, MAE | – | 12.1" in text
    assert "Stated confidence" not in text
    assert "of each tool on beats of both" not in text


def test_paired_differences_are_said():
    assert "LUDB lead II openecg -6.9 [-7.5, -6.2]" in "\n".join(intervals(made()))


def test_speed_is_said_with_its_ratio_and_memory():
    keys = ("model", "backend", "threads", "value", "ratio")
    values = (("base", "onnx", 1, 30.25, 1.5), ("neurokit2", "numpy", 1, 20.125, 1.0))
    result = made() | {
        "rows": [dict(zip(keys, v, strict=True)) for v in values],
        "memory_mib": {"1 h": 300.0, "24 h": 301.0},
        "rounds": 5,
        "hardware": "a processor",
        "peer": "NeuroKit2",
    }
    text = "\n".join(measure_speed(result))
    assert "| base | onnx | 1 | 30.2 (×1.50) |" in text
    assert "20.1 windows/s" in text
    assert "24 h 301 MiB" in text
    assert "| neurokit2" not in text


def test_an_aim_of_what_may_be_refused_says_how_much_is_answered():
    (row,) = (line for line in aims({"intervals": made()}) if line.startswith("| heart rate"))
    assert row.startswith("| heart rate, BIDMC, ECG, /min (50 % answered) | **0.44** [0.19, 0.69] |")
