from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from cardiofm.config import ConfigError
from cardiofm.data.store import Store
from cardiofm.signals import CheckpointError, SignalError, TrainingError
from cardiofm.train.batches import BatchConfig, Batches
from cardiofm.train.loop import LoopConfig, adamw, faster_precision, fit, learning_rate, step_seed
from cardiofm.train.resume import State
from small_run import LOOP, SPEC, SmallObjective, save_nothing, small_batches
from small_store import small_store

SCRIPT = Path(__file__).parent / "small_run.py"


def train(out: Path, objective: nn.Module | None = None, batches=None, save_model=save_nothing, **settings) -> State:
    config = replace(LOOP, **settings)
    return fit(objective or SmallObjective(), batches or small_batches(), config, out, save_model=save_model)


def curve(out: Path) -> list[dict]:
    """The log without the one thing that differs between runs, speed."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "windows_per_s"} for line in lines]


def run_script(out: Path, kill_at: int, devices: int) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(out), str(kill_at), str(devices)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of a run of 20 steps that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    state = train(out)
    assert state.step == 20
    return out


def same_tensors(a: Path, b: Path) -> bool:
    one, other = (load_file(f / "last" / "training.safetensors") for f in (a, b))
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_the_folder_holds_what_is_promised_and_no_pickle(whole):
    files = sorted(str(p.relative_to(whole)) for p in whole.rglob("*") if p.is_file() and "tensorboard" not in p.parts)
    assert files == ["last/model/steps.txt", "last/training.json", "last/training.safetensors", "log.jsonl"]
    assert (whole / "last/model/steps.txt").read_text() == "20"
    assert list((whole / "tensorboard").iterdir())
    tensors = load_file(whole / "last" / "training.safetensors")
    assert {"objective/mean", "objective/nets.ecg.0.weight", "optimizer/exp_avg_sq/nets.ecg.0.weight"} <= tensors.keys()
    assert (tensors["optimizer/step/nets.ecg.0.weight"] + tensors["optimizer/step/nets.ppg.0.weight"]) > 20


def test_the_log_has_a_line_of_means_every_three_steps_and_at_the_end(whole):
    lines = curve(whole)
    assert [line["step"] for line in lines] == [3, 6, 9, 12, 15, 18, 20]
    assert {"loss", "grad_norm", "lr", "hours_seen"} <= lines[0].keys()
    assert lines[-1]["hours_seen"] == pytest.approx(20 * 8 * 2 / 3600)
    assert lines[-1]["lr"] == learning_rate(19, LOOP)


def test_it_learns(tmp_path):
    train(tmp_path, steps=120, log_every=10, checkpoint_minutes=60.0, lr=1e-2, clip=10.0)
    losses = [line["loss"] for line in curve(tmp_path)]
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def test_a_run_killed_while_it_saves_goes_on_to_the_same_bits(tmp_path, whole):
    done = run_script(tmp_path, kill_at=15, devices=1)
    assert done.returncode == -signal.SIGKILL
    assert json.loads((tmp_path / "last" / "training.json").read_text())["step"] == 14
    assert (tmp_path / "last.new").exists()  # the torn checkpoint
    assert curve(tmp_path)[-1]["step"] == 15  # a line that is past the checkpoint, so it must be dropped and come again
    state = train(tmp_path)
    assert state.step == 20
    assert curve(tmp_path) == curve(whole)
    assert same_tensors(tmp_path, whole)
    assert not (tmp_path / "last.new").exists()


def test_time_limit_and_signal_stop_with_a_checkpoint_from_which_the_run_goes_on(tmp_path, whole):
    assert train(tmp_path, max_minutes=1e-9, checkpoint_minutes=60.0).step == 1

    class Interrupted(SmallObjective):
        def forward(self, batch, step):
            if step == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().forward(batch, step)

    before = signal.getsignal(signal.SIGTERM)
    assert train(tmp_path, Interrupted(), checkpoint_minutes=60.0).step == 7
    assert signal.getsignal(signal.SIGTERM) is before
    assert (tmp_path / "last/model/steps.txt").read_text() == "7"
    train(tmp_path)
    assert curve(tmp_path) == curve(whole)
    assert same_tensors(tmp_path, whole)
    assert train(tmp_path).step == 20  # nothing left to do
    assert curve(tmp_path) == curve(whole)


class Poisoned(SmallObjective):
    """Loss or gradient that is not finite at step 6."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, batch, step):
        loss, logs = super().forward(batch, step)
        if step == 6:
            loss = loss * float("nan") if self.how == "loss" else loss + ((loss - loss) ** 0.5)
        return loss, logs


@pytest.mark.parametrize("how", ["loss", "grad_norm"])
def test_a_loss_or_gradient_that_is_not_finite_stops_and_keeps_the_last_good_state(tmp_path, how):
    with pytest.raises(TrainingError, match=rf"found {how} = nan at step 6 on \w+/r\d+, .*the last checkpoint is kept"):
        train(tmp_path, Poisoned(how))
    kept = load_file(tmp_path / "last" / "training.safetensors")
    assert all(torch.isfinite(t).all() for t in kept.values())
    assert json.loads((tmp_path / "last" / "training.json").read_text())["step"] == 6
    assert train(tmp_path).step == 20


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupted(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(20_000)
        file.write(bytes(64))


class Harming(SmallObjective):
    """Does something at step 6, while the run goes on."""

    def __init__(self, harm: Callable[[], object]) -> None:
        super().__init__()
        self.harm = harm

    def forward(self, batch, step):
        if step == 6:
            self.harm()
        return super().forward(batch, step)


def from_store(folder: Path) -> Batches:
    """Batches of real shards, each read again as soon as the other one was needed."""
    return Batches(Store(folder, cache_mb=0.001), SPEC, BatchConfig(size=8), LOOP.seed)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return small_store(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def whole_of_store(store, tmp_path_factory) -> Path:
    """The folder of a run on real shards that nothing disturbed."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert train(out, batches=from_store(store)).step == 20
    return out


@pytest.mark.parametrize("harm", [truncated, corrupted, Path.unlink])
@pytest.mark.parametrize("name", ["challenge-2015-0000.parquet", "challenge-2017-0000.parquet"])
def test_a_shard_harmed_while_the_run_goes_on_is_named_and_after_its_repair_the_bits_are_the_same(
    tmp_path, store, whole_of_store, harm, name
):
    shutil.copytree(store, tmp_path / "store")
    out, shard = tmp_path / "out", tmp_path / "store" / name
    with pytest.raises(
        TrainingError, match=rf"step \d+ must have its batch: shard {name} .* is kept in .*last"
    ) as told:
        train(out, Harming(lambda: harm(shard)), from_store(tmp_path / "store"))
    done = json.loads((out / "last" / "training.json").read_text())["step"]
    assert done > 6
    assert f"step {done} must" in str(told.value)
    with pytest.raises((SignalError, TrainingError), match=name):  # nor does it start again before the repair
        train(out, batches=from_store(tmp_path / "store"))
    shutil.copy(store / name, shard)
    assert train(out, batches=from_store(tmp_path / "store")).step == 20
    assert curve(out) == curve(whole_of_store)
    assert same_tensors(out, whole_of_store)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 4 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Write until there is no space."""
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass


def test_a_disk_filled_while_the_run_goes_on_keeps_the_checkpoint_and_the_log(small_disk, whole):
    out = small_disk / "out"
    with pytest.raises(TrainingError, match=r"step 7 must .*(No space left|os error 28).* is kept .*: free space"):
        train(out, Harming(lambda: fill(small_disk)))
    assert json.loads((out / "last" / "training.json").read_text())["step"] == 6
    assert [line["step"] for line in curve(out)] == [3, 6]
    (small_disk / "filler").unlink()
    assert train(out).step == 20
    assert curve(out) == curve(whole)
    assert same_tensors(out, whole)


def test_a_parameter_that_is_not_a_number_stops_at_that_step_names_its_recordings_and_is_not_kept(tmp_path, whole):
    poisoned = Harming(lambda: [p.data.fill_(float("nan")) for p in poisoned.parameters()])
    with pytest.raises(TrainingError, match=r"found loss = nan at step 6 on (both|ecg|ppg)/r\d+"):
        train(tmp_path, poisoned)
    assert train(tmp_path).step == 20
    assert curve(tmp_path) == curve(whole)
    assert same_tensors(tmp_path, whole)


def test_an_error_of_the_data_comes_through_and_keeps_the_checkpoint(tmp_path):
    good = small_batches()

    def damaged(step: int, rank: int, world: int):
        if step == 8:
            raise SignalError("shard 00003.parquet must be as the manifest states")
        return good(step, rank, world)

    with pytest.raises(TrainingError, match=r"step 8 must have its batch: shard 00003\.parquet .* is kept in .*last"):
        train(tmp_path, batches=damaged)
    assert json.loads((tmp_path / "last" / "training.json").read_text())["step"] == 8


def test_a_checkpoint_of_another_run_is_refused(tmp_path, whole):
    with pytest.raises(CheckpointError, match="seed 3, this run of seed 4"):
        train(whole, seed=4)

    class Other(SmallObjective):
        def __init__(self) -> None:
            super().__init__()
            self.extra = nn.Linear(2, 2)

    with pytest.raises(CheckpointError, match=r"2 tensors that differ, first 'extra\.bias'"):
        train(whole, Other())


def test_learning_rate_rises_stays_and_falls():
    config = LoopConfig(steps=1000, warmup_steps=100, decay_share=0.3, lr=2.0)
    rates = np.array([learning_rate(s, config) for s in range(1000)])
    assert rates[0] == pytest.approx(0.02)
    assert (rates[99:700] == 2.0).all()
    np.testing.assert_allclose(np.diff(rates[:99]), 0.02)
    np.testing.assert_allclose(np.diff(rates[701:]), -2 / 300)
    assert 0 < rates[-1] < 0.01
    assert learning_rate(0, LoopConfig(steps=1, warmup_steps=0, decay_share=0.0, lr=2.0)) == 2.0


def test_only_matrices_decay_and_frozen_parameters_stay_out():
    net = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    net[2].weight.requires_grad_(False)
    decayed, rest = adamw(net, LOOP).param_groups
    assert [p.shape for p in decayed["params"]] == [(4, 4)]
    assert decayed["weight_decay"] == LOOP.weight_decay
    assert rest["weight_decay"] == 0
    assert sorted(tuple(p.shape) for p in rest["params"]) == [(2,), (4,), (4,), (4,)]


def test_the_faster_precision_is_measured_and_kept_when_a_run_goes_on(tmp_path, monkeypatch):
    import cardiofm.train.loop as loop

    assert faster_precision(torch.device("cpu")) in ("bf16", "fp32")
    monkeypatch.setattr(loop, "faster_precision", lambda _: "bf16")
    assert train(tmp_path, steps=2, precision="auto").precision == "bf16"
    monkeypatch.setattr(loop, "faster_precision", lambda _: "fp32")
    assert train(tmp_path, steps=4, precision="auto").precision == "bf16"
    assert all(np.isfinite(line["loss"]) for line in curve(tmp_path))


def test_seeds_differ_by_run_step_and_process():
    seeds = {step_seed(a, b, c) for a in range(3) for b in range(50) for c in range(3)}
    assert len(seeds) == 450


@pytest.mark.parametrize(
    "wrong", [{"precision": "fp16"}, {"steps": 0}, {"decay_share": 1.5}, {"clip": 0.0}, {"seed": -1}]
)
def test_settings_without_a_meaning_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LoopConfig(**wrong)


@pytest.mark.slow
def test_two_processes_give_the_loss_of_one(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    train(one, SmallObjective(0.0), small_batches())
    done = run_script(two, kill_at=0, devices=2)
    assert done.returncode == 0, done.stderr[-2000:]
    a, b = curve(one), curve(two)
    assert [line["step"] for line in a] == [line["step"] for line in b]
    for left, right in zip(a, b, strict=True):
        assert left.keys() == right.keys()
        for name, value in left.items():
            assert right[name] == pytest.approx(value, rel=1e-4), (left["step"], name)
