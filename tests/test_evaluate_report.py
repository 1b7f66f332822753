"""The published table: every number comes from the results, and an edited README is noticed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cardiofm.evaluate import report
from cardiofm.evaluate.bootstrap import interval
from cardiofm.evaluate.run import ROOT, row
from cardiofm.evaluate.tables.aims import Aim

PAGE = f"# Title\n\n{report.BEGIN}\n{report.END}\nafter\n"


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


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


@pytest.mark.parametrize("write", report.PAGES.values())
def test_a_page_is_written_once_and_then_current(results, page, write):
    assert not report.is_current(page, write(results))
    assert report.update(page, write(results))
    assert not report.update(page, write(results))
    assert report.is_current(page, write(results))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Title\n")
    assert text.endswith("after\n")


@pytest.mark.parametrize("write", report.PAGES.values())
def test_an_edited_number_is_noticed(results, page, write):
    report.update(page, write(results))
    text = page.read_text(encoding="utf-8")
    for number in set(re.findall(r"\d+\.\d+", text)):
        page.write_text(text.replace(number, number + "1", 1), encoding="utf-8")
        assert not report.is_current(page, write(results)), number


def test_a_changed_result_is_noticed(results, page):
    report.update(page, report.render(results))
    assert "75.0%" in page.read_text(encoding="utf-8")
    path = results / "retrieval.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"value": 0.75', '"value": 0.85', 1), encoding="utf-8")
    assert not report.is_current(page, report.render(results))


def test_a_picture_stands_in_the_section_that_it_was_drawn_for(results):
    for name in ("zero_shot", "gaps", "gaps_worst"):
        (results / f"{name}.png").write_bytes(b"")
    text = report.render(results)
    assert text.index("## Zero shot") < text.index("results/zero_shot.png") < text.index("## Gaps")
    assert text.index("## Gaps") < text.index("results/gaps.png") < text.index("results/gaps_worst.png")


def test_an_aim_is_met_or_missed_by_its_value(results):
    path = results / "gaps.json"
    aim = r"a second hidden, BIDMC, ECG, r \| \*\*([\d.]+)\*\* .*a (?:line|beat template) \| – \| ≥ 0.93 \| (.+) \|"
    ((value, verdict),) = re.findall(aim, report.render_aims(results))
    assert (float(value) >= 0.93) == (verdict == "met")
    gaps = json.loads(path.read_text(encoding="utf-8"))
    for change, said in ((0.5, "**missed**"), (0.93, "met")):
        for r in gaps["rows"]:
            r["value"] = change if r["method"] == "model" else r["value"]
        path.write_text(json.dumps(gaps), encoding="utf-8")
        assert [verdict for _, verdict in re.findall(aim, report.render_aims(results))] == [said]
    assert re.match(r"[0-9]+ of [0-9]+ aims are met", report.render_aims(results))


def test_an_aim_is_not_met_by_a_figure_of_few_of_the_cases() -> None:
    where = {"task": "rate", "set": "s", "channel": "ppg"}
    aim = Aim("rate", "intervals", where | {"metric": "mae_bpm"}, {}, at_most=3, answered="answered")
    for share, said in ((0.036, "**mostly refused**"), (0.9, "met")):
        rows = [
            where | {"method": "CardioFM", "metric": metric, "value": value, "low": value, "high": value}
            for metric, value in (("mae_bpm", 1.0), ("answered", share))
        ]
        cells = aim.cells({"intervals": {"rows": rows}})
        assert cells is not None
        assert f"{100 * share:.3g} % answered" in cells[0]
        assert cells[-1] == said


def test_what_cannot_be_rendered_says_so(results, page, tmp_path):
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="must hold the lines"):
        report.update(page, report.render(results))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="make bench"):
        report.render(tmp_path / "empty")


@pytest.mark.parametrize("name", report.PAGES)
def test_the_projects_own_pages_say_what_its_results_say(name):
    text = report.PAGES[name](ROOT / "results")
    assert report.is_current(ROOT / name, text), "python -m cardiofm.evaluate.report"
    if name == "docs/results.md":
        for path in (ROOT / "results").iterdir():
            assert path.name in text, f"{name} shows nothing of results/{path.name}"


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
        "rows": _rows(keys, ("model", "flat", "uniform", "wavelet"), ("prd", "bits")),
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
