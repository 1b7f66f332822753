"""Nothing is lost: an output takes no other file's place unless it was named, and a recording's place never."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from test_cli import one_line, run


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("analyze", "report.html"),
        ("embed", "embeddings.parquet"),
        ("features", "features.parquet"),
        ("measure", "beats.parquet"),
    ],
)
def test_an_output_that_was_not_asked_for_replaces_nothing(
    command: str, name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = (command, folder / "pair.hea")
    Path(name).write_text("a week of work")
    line = one_line(run(*words))
    assert line.endswith(f"found {name}; give -o {name} to replace it, or another name")
    assert Path(name).read_text() == "a week of work"
    assert run(*words, "-o", name).exit_code == 0
    assert Path(name).read_bytes() != b"a week of work"
    Path(name).unlink()
    assert run(*words).exit_code == 0
    assert Path(name).is_file()


def test_a_recording_is_never_replaced_by_what_is_read_out_of_it(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        shutil.copy(path, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    pair, table = tmp_path / "pair.hea", tmp_path / "ecg.parquet"
    other = tmp_path / "other.hea"  # of the same samples
    other.write_bytes(pair.read_bytes())
    before["other.hea"] = other.read_bytes()
    for read in (pair, tmp_path / "pair.dat", other):
        assert "must be another file" in one_line(run("reconstruct", read, "-o", pair))
    for command in ("measure", "embed", "features", "analyze", "predict"):
        assert "must be another file" in one_line(run(command, pair, table, "-o", table))
    assert "must be another file" in one_line(run("analyze", pair, "-o", tmp_path / "pair.dat"))
    assert "must be another file" in one_line(run("measure", table, "--json", "--summary", table))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_two_outputs_are_two_files_and_an_output_is_no_recording_of_its_folder(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        shutil.copy(path, tmp_path)
    both = tmp_path / "both.csv"
    line = one_line(run("measure", tmp_path / "pair.hea", "-o", both, "--summary", both))
    assert line.endswith("must be two files, found " + str(both) + " for both; give another name")
    assert not both.exists()
    done = run("embed", tmp_path, "-o", tmp_path / "out.parquet")
    assert done.exit_code == 0
    assert "left out" not in done.stderr


def test_a_head_looks_at_no_second_that_is_not_there(folder: Path) -> None:
    for words in (("--end", "300"), ("--start", "-5")):
        line = one_line(run("predict", folder / "pair.hea", "--head", "af", *words))
        assert "must lie within 0 to 20 s" in line
    assert run("predict", folder / "pair.hea", "--head", "af", "--end", "20.4").exit_code == 0
