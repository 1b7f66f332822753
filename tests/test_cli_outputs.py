"""Nothing is lost: an output takes no other file's place unless it was named, and a recording's place never."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cardiofm.data.simulate import simulate
from cardiofm.data.write import write
from test_cli import one_line, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of 20 s: pair.hea and ecg.parquet."""
    where = tmp_path_factory.mktemp("recordings")
    pair = simulate(20, fs_ecg_hz=250, fs_ppg_hz=125, seed=3, ecg_noise_mv=0.02, ppg_noise=0.02).record
    write(pair, where / "pair.hea")
    write(type(pair)("ecg", pair.ecg), where / "ecg.parquet")
    return where


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
    for words in (("reconstruct", pair), ("reconstruct", tmp_path / "pair.dat")):
        assert "must be another file" in one_line(run(*words, "-o", pair))
    for command in ("measure", "embed", "features"):
        assert "must be another file" in one_line(run(command, pair, table, "-o", table))
    assert "must be another file" in one_line(run("measure", table, "--json", "--summary", table))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
