"""Pretraining at the command line: what is wrong is one line, the last checkpoint stays, the run goes on from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from cardiofm.cli import app
from cardiofm.train.pretrain import here
from small_store import small_store, without_a_valid_sample

CONFIG = """
[model]
name = "micro"
encoder = {width = 16, depth = 1, heads = 2, hidden = 16, stem = 8, embedding = 16}
quantizer = {levels = 2, codes = 16}
decoder = {width = 16, depth = 1, heads = 2, hidden = 16}
[batches]
size = 4
[loop]
seed = 2
steps = 8
warmup_steps = 0
precision = "fp32"
threads = 1
log_every = 1
checkpoint_minutes = 0.0
"""
PAIRED_SHARD = "challenge-2015-0000.parquet"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store nothing is wrong with."""
    return small_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "micro.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def whole(good: Path, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert pretrain(settings, good, out).exit_code == 0
    return out


def pretrain(settings: Path, store: Path, out: Path, *overrides: str) -> Result:
    words = ["pretrain", settings, *overrides, "--store", store, "--out", out]
    return CliRunner().invoke(app, [str(word) for word in words])


def refused(result: Result) -> str:
    """The one line of a refused run; before it there may be lines of progress."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    *progress, line = result.stderr.strip().splitlines()
    assert all(text.startswith("step ") and "windows/s" in text for text in progress), result.stderr
    return line


def step_of(out: Path) -> int:
    return json.loads((out / "last" / "training.json").read_text())["step"]


def same(a: Path, b: Path) -> bool:
    """Whether two runs ended with the same bits and the same log, speed aside."""
    one, other = (load_file(folder / "last" / "training.safetensors") for folder in (a, b))
    logs = [[json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] for folder in (a, b)]
    for line in (*logs[0], *logs[1]):
        del line["windows_per_s"]
    return one.keys() == other.keys() and logs[0] == logs[1] and all(torch.equal(one[k], other[k]) for k in one)


def truncate(store: Path) -> None:
    path = store / PAIRED_SHARD
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt(store: Path) -> None:
    """Other bytes in the middle of the samples; the file still opens."""
    with (store / PAIRED_SHARD).open("r+b") as file:
        file.seek(20_000)
        file.write(bytes(64))


def remove(store: Path) -> None:
    (store / PAIRED_SHARD).unlink()


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated shard": (truncate, f"shard {PAIRED_SHARD} must be as the manifest states"),
    "corrupt shard": (corrupt, f"shard {PAIRED_SHARD} must be as the manifest states"),
    "missing shard": (remove, f"shard {PAIRED_SHARD} must be as the manifest states"),
    "no valid sample": (without_a_valid_sample, "a batch must hold a valid sample, found none at step 1 in challenge-"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_store_gone_bad_is_one_line_and_after_its_repair_the_run_goes_on_to_the_same_bits(
    kind: str, good: Path, whole: Path, settings: Path, tmp_path: Path
) -> None:
    harm, sentence = WRONG[kind]
    store, out = tmp_path / "store", tmp_path / "out"
    shutil.copytree(good, store)
    assert pretrain(settings, store, out, "loop.max_minutes=1e-9").exit_code == 0  # one step and its checkpoint
    harm(store)
    line = refused(pretrain(settings, store, out))
    assert sentence in line
    done = step_of(out)
    assert done >= 1
    if done > 1:
        assert f"step {done} must have its batch" in line
    shutil.copytree(good, store, dirs_exist_ok=True)
    assert pretrain(settings, store, out).exit_code == 0
    assert same(out, whole)


def test_a_loss_that_is_not_finite_names_step_and_recordings_and_the_run_goes_on_from_before(
    good: Path, whole: Path, settings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert pretrain(settings, good, out, "loop.max_minutes=1e-9").exit_code == 0
    line = refused(pretrain(settings, good, out, "loop.lr=1e30", "loop.checkpoint_minutes=60"))
    assert "the loss and its gradient must be finite, found" in line
    assert " at step 2 on challenge-" in line
    assert step_of(out) == 1
    assert pretrain(settings, good, out).exit_code == 0
    assert same(out, whole)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_with_space_the_run_goes_on_to_the_same_bits(
    good: Path, whole: Path, settings: Path, small_disk: Path
) -> None:
    out = small_disk / "out"
    assert pretrain(settings, good, out, "loop.max_minutes=1e-9").exit_code == 0
    filler = small_disk / "filler"
    filler.write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - 8192))
    before = load_file(out / "last" / "training.safetensors")
    line = refused(pretrain(settings, good, out))
    assert "No space left on device" in line or "os error 28" in line
    assert "kept" in line
    assert step_of(out) == 1
    after = load_file(out / "last" / "training.safetensors")
    assert all(torch.equal(before[k], after[k]) for k in before)
    filler.unlink()
    assert pretrain(settings, good, out).exit_code == 0
    assert same(out, whole)


def test_provenance_names_no_path_of_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert here("runs/base") == "runs/base"
    assert here(str(tmp_path / "runs" / "base")) == "runs/base"
    assert here("/elsewhere/runs/base") == "base"
