"""The published table: every number comes from the results, and an edited README is noticed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cardiofm.evaluate import report
from cardiofm.evaluate.bootstrap import interval
from cardiofm.evaluate.run import ROOT, row

README = f"# Title\n\n{report.BEGIN}\n{report.END}\nafter\n"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with one small results file of each kind."""
    model = {"name": "base", "sha256": "ab" * 32, "step": 7}
    said = {"model": model, "command": "c"}
    _write(tmp_path, "zero_shot", said | _zero_shot())
    _write(tmp_path, "rate_distortion", said | _rate_distortion())
    _write(tmp_path, "gaps", said | _gaps())
    methods = {"model": "CardioFM embedding", "chance": "by counts"}
    rows = [row(interval([0.5, 1.0], ["a", "b"]), 4, method=m, metric="same patient") for m in methods]
    names = {"model": model, "command": "c", "apart_s": 120.0, "records": 2, "methods": methods}
    _write(tmp_path, "retrieval", {**names, "rows": rows})
    return tmp_path


def test_the_readme_is_written_once_and_then_current(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(README, encoding="utf-8")
    assert not report.is_current(readme, results)
    assert report.update_readme(readme, results)
    assert not report.update_readme(readme, results)
    assert report.is_current(readme, results)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("# Title\n")
    assert text.endswith("after\n")
    assert "75.0%" in text


def test_an_edited_number_is_noticed(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(README, encoding="utf-8")
    report.update_readme(readme, results)
    text = readme.read_text(encoding="utf-8")
    for number in set(re.findall(r"\d+\.\d+", text)):
        readme.write_text(text.replace(number, number + "1", 1), encoding="utf-8")
        assert not report.is_current(readme, results), number


def test_a_changed_result_is_noticed(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(README, encoding="utf-8")
    report.update_readme(readme, results)
    path = results / "retrieval.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"value": 0.75', '"value": 0.85', 1), encoding="utf-8")
    assert not report.is_current(readme, results)


def test_what_cannot_be_rendered_says_so(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="must hold the lines"):
        report.update_readme(readme, results)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="make bench"):
        report.render(tmp_path / "empty")


def test_the_projects_own_readme_says_what_its_results_say():
    if not any((ROOT / "results").glob("*.json")):
        pytest.skip("no results yet")
    assert report.is_current(ROOT / "README.md", ROOT / "results"), "make bench, or python -m cardiofm.evaluate.report"


def _rows(keys: dict, methods: tuple[str, ...], metrics: tuple[str, ...]) -> list[dict]:
    """A row for each method and metric, each with a value of its own."""
    pairs = [(m, k) for m in methods for k in metrics]
    return [
        row(interval([v + 0.125, v + 1.25], ["a", "b"]), 4, **keys, method=m, metric=k, refused=1)
        for v, (m, k) in enumerate(pairs)
    ]


def _zero_shot() -> dict:
    metrics = ("prd", "r", "f1", "interval_ms", "measurable")
    rows = [
        r
        for quality in ("all", "clean")
        for channel in ("ecg", "ppg")
        for r in _rows({"set": "bidmc", "channel": channel, "quality": quality}, ("model", "wavelet", "mean"), metrics)
    ]
    rows = [r for r in rows if r["channel"] == "ecg" or r["metric"] not in ("interval_ms", "measurable")]
    return {"rows": rows, "metrics": dict.fromkeys(metrics, ""), "clean": "by rule", "bits_per_second": 800.5}


def _rate_distortion() -> dict:
    keys = {"set": "all five", "channel": "ecg", "rate": "64"}
    change = row(interval([-12.5, -11.25], ["a", "b"]), 2, **keys, difference="model against uniform, % of its PRD")
    beats = row(interval([2.5, 3.25], ["a", "b"]), 3, channel="ecg", rate="64", metric="bits over the event")
    book = {"channel": "ecg", "level": 1, "used": 0.875, "perplexity": 99.5, "tokens": 1234, "codes": 256}
    return {
        "rows": _rows(keys, ("model", "uniform", "wavelet"), ("prd", "bits")),
        "differences": [change],
        "codebooks": [book],
        "depth_cost": [{"channel": "ecg", "rate": "64", "bits_per_second": 20.25}],
        "beats": [beats],
    }


def _gaps() -> dict:
    keys = {"set": "bidmc", "channel": "ecg", "gap_s": 1.0, "other": "visible"}
    return {"rows": _rows(keys, ("model", "template", "line"), ("prd", "r", "f1"))}


def _write(folder: Path, name: str, result: dict) -> None:
    (folder / f"{name}.json").write_text(json.dumps(result, allow_nan=False), encoding="utf-8")
