"""Every command does its work on a small recording; every bad input gives its one sentence and exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner, Result

from cardiofm.cli import app
from cardiofm.data.files import recordings, whole
from cardiofm.data.readers import read
from cardiofm.data.write import write
from cardiofm.model.cardiofm import TINY, CardioFM
from cardiofm.model.heads import FiducialHead, HeadConfig
from cardiofm.signals import SignalError

COMMANDS = ("analyze", "embed", "measure", "reconstruct", "prepare", "pretrain", "export", "info")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained model folder: the command line is what is tested here."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    CardioFM(TINY).save(folder, {"commit": "none", "hours": 0})
    return str(folder)


def run(*words: object, model: str | None = None) -> Result:
    """The command line in this process."""
    more = ["--model", model, "--backend", "torch"] if model else []
    return CliRunner().invoke(app, [*map(str, words), *more])


def one_line(result: Result) -> str:
    """What a refused call says: one line on stderr, exit code 2."""
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    return line


def header(folder: Path, text: str, samples: int) -> Path:
    (folder / "x.hea").write_text(text)
    np.zeros(samples, "<i2").tofile(folder / "x.dat")
    return folder / "x.hea"


def csv(folder: Path, values: np.ndarray, fs_hz: float | None) -> Path:
    """A table of one ECG; without a rate it has no time column."""
    lines = [f"{i / fs_hz:.4f},{v}" if fs_hz else str(v) for i, v in enumerate(values)]
    (folder / "x.csv").write_text("\n".join(["time_s,ECG_II" if fs_hz else "ECG_II", *lines]) + "\n")
    return folder / "x.csv"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Example:\n    cardiofm {command} " in result.output


def test_analyze_prints_a_table_and_writes_the_report(folder: Path, model: str, tmp_path: Path) -> None:
    result = run("analyze", folder, "-o", tmp_path / "r.html", model=model)
    assert result.exit_code == 0, result.stderr
    assert "PLETH" in result.stdout
    assert f"report: {tmp_path / 'r.html'}" in result.stdout.replace("\n", "")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count('<section id="r') == 2
    assert os.listdir(tmp_path) == ["r.html"]


def test_the_notes_of_a_recording_stand_below_the_table(folder: Path, model: str, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.hea"
    run("reconstruct", folder / "pair.hea", "-o", drawn, model=model)
    result = run("analyze", folder / "pair.hea", drawn, "-o", tmp_path / "r.html", model=model)
    assert result.exit_code == 0, result.stderr
    said = [line.split(" from ")[0] for line in result.stdout.splitlines() if line.startswith(("pair: ", "drawn: "))]
    name = read(drawn).notes[-1].split(" from ")[0]
    assert name.startswith("drawn by the model")
    assert said == ["pair: simulated", "drawn: simulated", f"drawn: {name}"]  # and no line for what analyze drew


def test_analyze_json_parses_and_writes_nothing(folder: Path, model: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("analyze", folder / "pair.hea", "--json", model=model)
    (row,) = json.loads(result.stdout)
    assert (row["record"], row["duration_s"], row["ppg"]["fs_hz"]) == ("pair", 20.0, 125.0)
    assert 0 <= row["ecg"]["quality"] <= 1
    assert row["ecg"]["prd_percent"] > 0
    assert row["notes"]
    assert os.listdir(tmp_path) == []


def test_a_channel_can_be_left_out(folder: Path, model: str) -> None:
    (row,) = json.loads(run("analyze", folder / "pair.hea", "--ppg", "none", "--json", model=model).stdout)
    assert row["ppg"] is None


def test_analyze_demo_shows_real_and_simulated(model: str, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("ecgfeat")
    monkeypatch.chdir(tmp_path)
    result = run("analyze", "--demo", model=model)
    assert result.exit_code == 0, result.stderr
    assert "report: demo/report.html" in result.stdout
    assert "CC BY 4.0" in result.stdout
    page = Path("demo/report.html").read_text(encoding="utf-8")
    assert page.count('"chip">real<') == 3
    assert page.count('"chip simulated">simulated<') == 1


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_embed_writes_one_row_per_window(folder: Path, model: str, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"e{suffix}"
    result = run("embed", folder, "-o", out, model=model)
    assert result.exit_code == 0, result.stderr
    assert f"4 windows: {out}" in result.stdout
    if suffix == ".csv":
        lines = out.read_text().splitlines()
        assert len(lines) == 5
        assert lines[0].startswith('"record","start_s","has_ecg","has_ppg","quality_ecg","quality_ppg","e0","e1"')
        return
    table = pq.read_table(out)
    columns = ["record", "start_s", "has_ecg", "has_ppg", "quality_ecg", "quality_ppg", "embedding"]
    assert table.column_names == columns
    assert str(table.schema.field("embedding").type) == "list<element: float>"
    rows = table.to_pylist()
    assert [(r["record"], r["start_s"], r["has_ppg"]) for r in rows] == [
        ("ecg", 0.0, False), ("ecg", 10.0, False), ("pair", 0.0, True), ("pair", 10.0, True),
    ]  # fmt: skip
    assert len(rows[0]["embedding"]) == TINY.encoder.embedding


def test_a_bad_recording_among_others_loses_nothing(folder: Path, model: str, tmp_path: Path) -> None:
    bad = csv(tmp_path, np.zeros(500), 250)
    out = tmp_path / "e.parquet"
    result = run("embed", bad, folder / "pair.hea", tmp_path / "nowhere.edf", "-o", out, model=model)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 2
    assert pq.read_table(out).num_rows == 2


def test_two_recordings_of_one_name_stay_apart(folder: Path, model: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(read(folder / "pair.hea"), tmp_path / name / "x.hea")
    rows = json.loads(run("analyze", tmp_path, "--json", model=model).stdout)
    assert [row["record"] for row in rows] == ["a/x", "b/x"]


@pytest.fixture(scope="session")
def measurer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained model folder with a fiducial head, untrained too."""
    folder = tmp_path_factory.mktemp("measurer")
    torch.manual_seed(0)
    CardioFM(TINY).save(folder, {"commit": "none", "hours": 0})
    FiducialHead(HeadConfig(widths=(4, 4, 8, 8)), TINY.encoder.width, TINY.spec).save(folder)
    return str(folder)


def test_measure_writes_beats_figures_and_half_minutes(folder: Path, measurer: str, tmp_path: Path) -> None:
    out, half = tmp_path / "beats.parquet", tmp_path / "half.csv"
    result = run("measure", folder, "-o", out, "--summary", half, "--json", model=measurer)
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row["record"] for row in rows] == ["ecg", "pair"]
    assert pq.read_table(out).num_rows == sum(row["beats"] for row in rows)
    assert half.read_text().startswith('"record","start_s","end_s","beats"')
    assert f"beats: {out}" in result.stderr


def test_measure_without_a_head_or_with_a_wrong_name_is_one_line(folder: Path, model: str, tmp_path: Path) -> None:
    pair = folder / "pair.hea"
    assert "fiducial head" in one_line(run("measure", pair, "-o", tmp_path / "b.csv", model=model))
    assert os.listdir(tmp_path) == []
    assert "must end in" in one_line(run("measure", pair, "-o", tmp_path / "b.xlsx", model=model))


@pytest.mark.parametrize("hide", [["ppg"], ["5-6", "12.5-13"], []])
def test_reconstruct_keeps_clock_and_rate(folder: Path, model: str, tmp_path: Path, hide: list[str]) -> None:
    words = [word for span in hide for word in ("--hide", span)]
    result = run("reconstruct", folder / "pair.hea", *words, "-o", tmp_path / "drawn.hea", model=model)
    assert result.exit_code == 0, result.stderr
    drawn = read(tmp_path / "drawn.hea")
    assert drawn.ecg is not None
    assert drawn.ppg is not None
    assert (drawn.ecg.fs_hz, drawn.ppg.fs_hz, len(drawn.ecg.samples)) == (250.0, 125.0, 5000)


def test_info_tells_what_a_recording_and_a_model_are(folder: Path, model: str) -> None:
    text = run("info", folder / "pair.hea").stdout
    assert "ppg: channel PLETH, NU, 125 Hz, 0 to 20 s" in text
    assert "note: channel 'II' is turned upside down" in run("info", folder / "pair.hea", "--ecg", "-II").stdout
    about = json.loads(run("info", model).stdout)
    assert about["config"]["spec"]["fs_hz"] == TINY.spec.fs_hz
    assert about["provenance"]["commit"] == "none"


BAD = {
    "constant": (lambda d: csv(d, np.ones(5000), 250), "constant value 1"),
    "nothing but NaN": (lambda d: csv(d, np.full(5000, np.nan), 250), "must hold a changing signal"),
    "10 Hz": (lambda d: csv(d, np.sin(np.arange(200)), 10), "between 20 and 100000 Hz, found 10 Hz"),
    "too short": (lambda d: csv(d, np.sin(np.arange(125)), 250), "must last at least 1 s"),
    "wrong header": (lambda d: header(d, "x two lines\n", 5), "x.hea must describe"),
    "truncated": (lambda d: header(d, "x 1 250 5000\nx.dat 16 1000/mV 16 0 0 0 0 II\n", 999), "found 1998: truncated"),
    "outside": (lambda d: header(d, "x 1 250 5000\n../y.dat 16 1000/mV 16 0 0 0 0 II\n", 5), "../y.dat"),
    "no rate": (lambda d: csv(d, np.sin(np.arange(999)), None), "give it in Hz with --fs"),
    "unknown form": (lambda d: ((d / "x.doc").write_text("?"), d / "x.doc")[1], "must be one of"),
    "missing": (lambda d: d / "x.edf", "found no such file"),
    "empty pattern": (lambda d: d / "*.hea", "found none"),
    "empty folder": (lambda d: d, "found none"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_gives_its_one_sentence(kind: str, model: str, tmp_path: Path) -> None:
    make, sentence = BAD[kind]
    assert sentence in one_line(run("analyze", make(tmp_path), "--json", model=model))


def test_bad_settings_give_their_one_sentence(folder: Path, model: str, tmp_path: Path) -> None:
    pair = folder / "pair.hea"
    assert "--hide must be" in one_line(run("reconstruct", pair, "--hide", "all", "-o", tmp_path / "x.hea"))
    assert "must end in" in one_line(run("embed", pair, "-o", tmp_path / "x.doc", model=model))
    assert "must exist" in one_line(run("analyze", pair, "-o", tmp_path / "no" / "x.html", model=model))
    assert "found 'vast'" in one_line(run("analyze", pair, "--model", "vast"))
    assert "must name a channel" in one_line(run("info", pair, "--ecg", "V9"))
    assert "dataset must be one of" in one_line(run("prepare", "mimic", "--data-root", tmp_path, "--out", tmp_path))
    (tmp_path / "c.toml").write_text("[loop]\nstep = 3\n")
    assert "did you mean" in one_line(run("pretrain", tmp_path / "c.toml"))


def test_a_folder_is_every_recording_once(folder: Path, tmp_path: Path) -> None:
    write(read(folder / "pair.hea"), tmp_path / "long_1.hea")
    (tmp_path / "long.hea").write_text("long/2 2 125 2500\nlong_1 1250\nlong_2 1250\n")
    (tmp_path / "README.txt").write_text("words")
    (tmp_path / "labels.csv").write_text("record,label\nlong,1\n")
    assert recordings([tmp_path]) == [(tmp_path / "labels.csv", False), (tmp_path / "long.hea", True)]
    named = [tmp_path / "long_1.dat", tmp_path / "long_1", str(tmp_path / "long_1.*")]
    assert recordings(named) == [(tmp_path / "long_1.hea", True)]


def test_a_folder_of_text_files_says_that_they_must_be_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    with pytest.raises(SignalError, match=r"found none of \.hea (?!.*\.(txt|dat)\b).* in .*name another folder"):
        recordings([tmp_path])
    write(read(folder / "ecg.parquet"), tmp_path / "below" / "x.csv")
    (tmp_path / "below" / "x.csv").rename(tmp_path / "below" / "x.txt")
    with pytest.raises(SignalError, match="text files must be named") as error:
        recordings([tmp_path])
    pattern = str(error.value).split("'")[1]
    assert recordings([pattern]) == [(tmp_path / "below" / "x.txt", True)]


def test_what_lies_beside_recordings_is_left_out_and_said(folder: Path, model: str, tmp_path: Path) -> None:
    write(read(folder / "pair.hea"), tmp_path / "x.hea")
    (tmp_path / "labels.csv").write_text("record,label\nlong,1\n")
    result = run("analyze", tmp_path, "--json", model=model)
    assert result.exit_code == 0, result.stderr
    assert "left out: labels" in result.stderr
    assert len(json.loads(result.stdout)) == 1


def test_an_output_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "x.html"
    out.write_text("before")

    def stop_half_way() -> None:
        with whole(out) as partial:
            partial.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        stop_half_way()
    assert out.read_text() == "before"
    assert os.listdir(tmp_path) == ["x.html"]
    with pytest.raises(SignalError, match="must exist"), whole(tmp_path / "no" / "x.html"):
        pass


def test_the_installed_command_says_one_line_and_debug_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cardiofm.cli"]
    plain = subprocess.run([*command, "info", "x.edf"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (plain.returncode, plain.stderr.count("\n")) == (2, 1)
    assert plain.stderr.startswith("cardiofm: x.edf must exist")
    debug = [*command, "--debug", "info", "x.edf"]
    assert "Traceback" in subprocess.run(debug, cwd=tmp_path, capture_output=True, text=True, check=False).stderr


@pytest.mark.shared
def test_embed_real_recordings(data_root: Path, model: str, tmp_path: Path) -> None:
    out = tmp_path / "e.parquet"
    result = run("embed", data_root / "bidmc/1.0.0/bidmc0[12].*", "-o", out, model=model)
    table = pq.read_table(out).to_pydict()
    assert result.exit_code == 0, result.stderr
    assert set(table["record"]) == {"bidmc01", "bidmc02"}
    assert len(table["record"]) == 96
    assert all(table["has_ecg"])
