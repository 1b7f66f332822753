"""Two processes learn what one does: same losses, gradients and weights in every mode, from the same config file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cardiofm.config import load
from cardiofm.signals import TrainingError
from cardiofm.train.pretrain import PretrainConfig, pretrain
from cardiofm.train.processes import agree, everyones, first_does, gathered, place, pooled, shared_mean, total
from small_store import small_store

TINY = Path(__file__).parents[1] / "configs" / "tiny.toml"
# A batch of four windows has few tokens: with more codes and levels than these nothing but rounding would be left to
# code, and which codes are out of use would hang on it.
# Of ten steps with this seed three or more are of each mode, one draws with the echo, and a codec step comes first.
# The rate moves a weight by 0.001; a larger one makes steps of what is rounding, and two roundings differ.
SETTINGS = (
    *("model.quantizer.codes=16", "model.quantizer.levels=3", "objective.codec_crop_s=10"),
    *("objective.codec_share=0.34", "objective.cross_share=0.33", "objective.echo_share=0.4"),
    *("batches.size=4", "loop.seed=14", "loop.steps=10", "loop.warmup_steps=0", "loop.lr=1e-4", "loop.decay_share=0"),
    *("loop.precision=fp32", "loop.threads=1", "loop.log_every=1", "loop.checkpoint_minutes=60"),
)
MODES = ("commitment", "from_ppg_wave", "contrastive")  # a name that only the log of a codec, cross, masked step has


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store(tmp_path_factory.mktemp("small"), sets=("challenge-2015",))


def command(store: Path, out: Path, *more: str) -> list[str]:
    return ["pretrain", str(TINY), *SETTINGS, *more, "--store", str(store), "--out", str(out)]


# The command, which tells as its last act what threads are still there.
TELLING = r"""
import atexit, pathlib
from cardiofm.cli import main
def tell():
    names = [t.joinpath("comm").read_text().strip() for t in pathlib.Path("/proc/self/task").iterdir()]
    print(f"threads: {names}\n", end="")  # one write, as two processes write at once
atexit.register(tell)
main()
"""


def log(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def start(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900, check=False)
    return done


def test_two_processes_give_the_losses_gradients_and_weights_of_one(store: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    pretrain(load(PretrainConfig, TINY, SETTINGS), store, one)
    done = start(sys.executable, "-m", "cardiofm.cli", *command(store, two, "loop.devices=2"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == f"model: {two / 'last' / 'model'}\n"
    assert json.loads((two / "last" / "training.json").read_text())["devices"] == 2
    for name in MODES:
        assert sum(name in line for line in log(one)) >= 3
    for left, right in zip(log(one), log(two), strict=True):
        assert left.keys() == right.keys()
        assert right["loss"] == pytest.approx(left["loss"], abs=1e-4), left["step"]
        for name in left.keys() - {"windows_per_s"}:
            if "perplexity" not in name:  # of the codes of one process, averaged
                assert right[name] == pytest.approx(left[name], rel=1e-3, abs=1e-4), (left["step"], name)
    a, b = (load_file(folder / "last" / "training.safetensors") for folder in (one, two))
    assert a.keys() == b.keys()
    # The last bias is taken away again when embeddings are standardised: it has no gradient but rounding, of which
    # AdamW makes whole steps.
    weights = [n for n in a if n.startswith("objective/") and n != "objective/project.2.bias"]
    for name in weights:
        torch.testing.assert_close(b[name], a[name], rtol=0, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    means = [n for n in a if n.startswith("optimizer/exp_avg/")]  # of the gradients of all steps
    p, q = (torch.cat([tensors[n].flatten() for n in means]) for tensors in (a, b))
    assert (p - q).norm() < 1e-3 * p.norm()


@pytest.mark.slow
def test_processes_that_torchrun_started_are_taken_and_what_one_cannot_read_ends_all(
    store: Path, tmp_path: Path
) -> None:
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    (tmp_path / "telling.py").write_text(TELLING)
    words = command(store, tmp_path / "out", "loop.steps=2")
    done = start(*torchrun, str(tmp_path / "telling.py"), *words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("threads: ") == 2
    assert "gloo" not in done.stdout  # such a thread may abort the process as the interpreter goes
    assert json.loads((tmp_path / "out" / "last" / "training.json").read_text())["devices"] == 2
    assert done.stdout.count("model:") == 1
    bad = tmp_path / "bad"
    shutil.copytree(store, bad)
    with (bad / "challenge-2015-0000.parquet").open("r+b") as file:
        file.seek(20_000)
        file.write(bytes(64))
    done = start(sys.executable, "-m", "cardiofm.cli", *command(bad, tmp_path / "none", "loop.devices=2"))
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "cardiofm" in line or "shard" in line]
    assert len(lines) == 1
    assert "step 0 must have its batch: shard challenge-2015-0000.parquet" in lines[0]
    assert "Traceback" not in done.stderr


def test_one_process_gets_back_what_it_gave() -> None:
    assert place() == (0, 1)
    x, weight = torch.randn(7, 3, requires_grad=True), torch.tensor(3.7)
    assert gathered(x) is x
    assert total(x) is x
    mean = x.sum() / 0.3
    assert pooled(mean, weight) is mean
    assert torch.equal(shared_mean(x.sum(), weight), x.sum() / weight)
    assert shared_mean(torch.tensor(0.0), torch.tensor(0)) == 0
    assert everyones(("b", "a", "b")) == ("b", "a")
    agree()
    done: list[int] = []
    first_does(lambda: done.append(1))
    assert done == [1]


def test_an_error_of_one_process_is_raised() -> None:
    with pytest.raises(TrainingError, match="no batch"):
        agree(TrainingError("no batch"))

    def full() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        first_does(full)
