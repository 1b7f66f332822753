"""`cardiofm encode` and `cardiofm decode` on a small recording; bad input gives one sentence and exit code 2."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cardiofm.cli import app
from cardiofm.codec import prior
from cardiofm.data.readers import read
from cardiofm.data.simulate import simulate
from cardiofm.data.write import write
from cardiofm.train.prior import untrained


@pytest.fixture(scope="module")
def folder(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a prior, and 12 s of both channels."""
    where = tmp_path_factory.mktemp("cli") / "micro"
    shutil.copytree(micro, where)
    prior.save(where, untrained(where))
    write(simulate(12, fs_ecg_hz=250, fs_ppg_hz=125, seed=3).record, where / "pair.hea")
    return where


def run(folder: Path, *words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words), "--model", str(folder), "--backend", "torch"])


def test_a_recording_is_stored_and_comes_back_in_each_format(folder: Path, tmp_path: Path) -> None:
    stored = tmp_path / "pair.cfm"
    result = run(folder, "encode", folder / "pair.hea", "-o", stored, "--bps", 64)
    assert result.exit_code == 0, result.output
    assert f"{stored.stat().st_size} bytes" in result.stdout
    for name in ("again.hea", "again.edf", "again.parquet"):
        result = run(folder, "decode", stored, "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
        again = read(tmp_path / name)
        assert again.ecg is not None
        assert again.ppg is not None
        assert (again.ecg.fs_hz, again.ppg.fs_hz, again.ecg.unit, len(again.ecg.values)) == (250.0, 125.0, "mV", 3000)
    result = run(folder, "decode", stored, "-o", tmp_path / "part.parquet", "--from", 2, "--to", 5)
    assert result.exit_code == 0, result.output
    part = read(tmp_path / "part.parquet").ecg
    assert part is not None
    assert (part.start_s, part.duration_s) == (2.0, 3.0)


def test_lossless_and_append(folder: Path, tmp_path: Path) -> None:
    stored, true = tmp_path / "pair.cfm", read(folder / "pair.hea")
    write(true.crop(0, 10), tmp_path / "short.parquet")
    write(true, tmp_path / "long.parquet")
    assert run(folder, "encode", tmp_path / "short.parquet", "-o", stored, "--lossless").exit_code == 0
    size = stored.stat().st_size
    result = run(folder, "encode", tmp_path / "long.parquet", "-o", stored, "--lossless", "--append")
    assert result.exit_code == 0, result.output
    assert stored.stat().st_size > size
    assert run(folder, "decode", stored, "-o", tmp_path / "again.parquet").exit_code == 0
    again = read(tmp_path / "again.parquet")
    for modality in true.present:
        a, b = true.signal(modality), again.signal(modality)
        assert a is not None
        assert b is not None
        assert np.array_equal(a.values, b.values)


def test_what_cannot_be_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other.cfm").write_bytes(b"RIFF....")
    for words, said in (
        (("encode", folder / "pair.hea", "-o", tmp_path / "x.zip"), "must end in .cfm"),
        (("encode", folder / "pair.hea", "-o", tmp_path / "x.cfm", "--bps", 0), "must be above 0"),
        (("decode", tmp_path / "none.cfm", "-o", tmp_path / "x.hea"), "must exist"),
        (("decode", tmp_path / "other.cfm", "-o", tmp_path / "x.hea"), "must begin with CFM"),
    ):
        result = run(folder, *words)
        assert result.exit_code == 2, result.output
        (line,) = result.stderr.strip().splitlines()
        assert said in line
        assert not (tmp_path / "x.cfm").exists()


def test_what_is_left_out_and_what_would_be_smaller_is_said(folder: Path, tmp_path: Path) -> None:
    write(simulate(61, fs_ecg_hz=250, fs_ppg_hz=125, seed=3).record.crop(0, 60.5), tmp_path / "a.parquet")
    result = run(folder, "encode", tmp_path / "a.parquet", "-o", tmp_path / "a.cfm", "--bps", 1000)
    assert result.exit_code == 0, result.output
    assert "s are too short to code and left out" in result.stderr.splitlines()[0]
    assert "at 1000 bit/s --lossless is often smaller" in result.stderr
    result = run(folder, "encode", folder / "pair.hea", "-o", tmp_path / "b.cfm", "--bps", 64)
    assert result.stderr == ""
