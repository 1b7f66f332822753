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
    keys = {"condition": "1 s hidden", "channel": "ecg", "other": "visible", "refused": 1}
    rows = [
        row(interval([v, v + 1.25], ["a", "b"]), 4, set="zero-shot", **keys, method=method, metric=metric)
        for v, (method, metric) in enumerate((m, k) for m in ("model", "line") for k in ("prd", "r"))
    ]
    groups = {"zero-shot": "sets never trained on"}
    _write(tmp_path, "reconstruction", {"model": model, "command": "c", "rows": rows, "groups": groups})
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


def _write(folder: Path, name: str, result: dict) -> None:
    (folder / f"{name}.json").write_text(json.dumps(result, allow_nan=False), encoding="utf-8")
