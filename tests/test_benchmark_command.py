"""`cardiofm benchmark`: what is missing is named, and the rest still runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cardiofm.cli import app
from cardiofm.evaluate.command import ASKED, TASKS
from cardiofm.evaluate.run import ROOT


def run(*words: str | Path | int) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["benchmark", *map(str, words)])
    return found.exit_code, found.output if found.exception is None else f"{found.output}{found.exception}"


def test_an_unknown_task_is_named_with_those_there_are() -> None:
    code, said = run("qtt")
    assert code != 0
    assert f"a task must be one of {', '.join(TASKS)}, found 'qtt'" in said


def test_a_folder_without_recordings_is_one_sentence_a_task_and_every_task_is_asked(tmp_path: Path) -> None:
    code, said = run(*TASKS, "--data-root", tmp_path, "--out", tmp_path)
    assert code == 2
    for task in TASKS:
        lines = [line for line in said.splitlines() if line.startswith(f"cardiofm: {task}: ")]
        assert len(lines) == 1, said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_its_script_too(task: str) -> None:
    module = f"cardiofm.evaluate.{TASKS[task][0]}"
    script = (ROOT / "benchmarks" / f"{task.replace('-', '_')}.py").read_text(encoding="utf-8")
    assert f"from {module} import main, parser" in script


def test_mcmed_alone_waits_to_be_asked() -> None:
    assert set(TASKS) - set(ASKED) == {"mcmed"}


@pytest.mark.shared
@pytest.mark.slow
def test_sets_that_are_there_are_measured(data_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "ptb-xl").symlink_to(data_root / "ptb-xl")
    common = ("--model", "tiny", "--data-root", root, "--out", tmp_path / "out", "--cache", tmp_path / "cache")
    code, said = run("representation", "--limit", 60, *common)
    assert code == 0, said
    found = json.loads((tmp_path / "out" / "representation.json").read_text(encoding="utf-8"))
    assert {row["set"] for row in found["rows"]} == {"ptb-xl"}
    assert {"ppg-bp", "ludb"} <= set(found["absent"])
    assert {"superclasses", "abnormal", "age", "sex"} < {row["task"] for row in found["rows"]}
    assert (tmp_path / "out" / "representation.png").stat().st_size > 1000
    page = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "| PTB-XL, 5 superclasses, macro-AUROC | " in page
    assert "![representation](representation.png)" in page
    assert "![representation_ptb-xl](representation_ptb-xl.png)" in page
    before = {path.name for path in (tmp_path / "cache").iterdir()}
    run("representation", "--limit", 60, *common)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == before  # nothing was computed again
