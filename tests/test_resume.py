from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from cardiofm.signals import CheckpointError, TrainingError
from cardiofm.train.resume import State, load_training, recover, save_training


def trained(steps: int = 3) -> tuple[nn.Module, torch.optim.AdamW]:
    """A net with tied weights, an expanded and an integer buffer, and a parameter without a gradient."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40), nn.BatchNorm1d(40), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    net.register_buffer("wide", torch.arange(4.0).expand(3, 4).contiguous())
    net.register_buffer("view", net.get_buffer("wide")[1], persistent=False)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        net[:3](torch.randn(8, 40)).square().mean().backward()
        optimizer.step()
    return net, optimizer


def write(folder: Path, progress: dict) -> None:
    (folder / "model.json").write_text(json.dumps(progress))


def test_everything_comes_back_to_the_bit(tmp_path):
    recover(tmp_path)
    net, optimizer = trained()
    save_training(tmp_path, net, optimizer, State(seed=1, step=3, sums={"loss": [0.1 + 0.2, 3]}), write)
    other, fresh = trained(0)
    state = load_training(tmp_path / "last", other, fresh, 1)
    assert (state.step, state.sums) == (3, {"loss": [0.1 + 0.2, 3]})
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    old, new = (o.state_dict()["state"] for o in (optimizer, fresh))
    assert old.keys() == new.keys()
    assert len(new) < len(list(net.parameters()))  # the one without a gradient has no state
    for i, entry in old.items():
        assert all(torch.equal(value, new[i][key]) for key, value in entry.items())
    assert json.loads((tmp_path / "last/model/model.json").read_text())["step"] == 3


def test_a_save_replaces_the_one_before_and_leaves_nothing_beside_it(tmp_path):
    recover(tmp_path)
    net, optimizer = trained()
    for step in (3, 4):
        save_training(tmp_path, net, optimizer, State(seed=0, step=step), write)
    assert [p.name for p in tmp_path.iterdir()] == ["last"]
    assert load_training(tmp_path / "last", net, optimizer, 0).step == 4


def test_a_full_disk_keeps_the_checkpoint_before_and_says_so(tmp_path):
    recover(tmp_path)
    net, optimizer = trained()
    save_training(tmp_path, net, optimizer, State(seed=0, step=3), write)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # a larger file cannot be written
    try:
        with pytest.raises(
            TrainingError, match=r"checkpoint of step 9 must fit .* the last checkpoint is kept in .*last"
        ):
            save_training(tmp_path, net, optimizer, State(seed=0, step=9), write)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["last"]
    assert load_training(tmp_path / "last", net, optimizer, 0).step == 3


def test_a_disk_that_is_full_for_the_model_folder_keeps_it_too(tmp_path):
    recover(tmp_path)
    net, optimizer = trained()

    def full(folder: Path, progress: dict) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(TrainingError, match=r"No space left on device; there is no checkpoint yet"):
        save_training(tmp_path, net, optimizer, State(seed=0, step=9), full)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["weight", "moment of the optimizer"])
def test_numbers_that_are_not_finite_do_not_replace_the_checkpoint(tmp_path, what):
    recover(tmp_path)
    net, optimizer = trained()
    save_training(tmp_path, net, optimizer, State(seed=0, step=3), write)
    weight = net.get_parameter("0.weight")
    tensor = weight.data if what == "weight" else optimizer.state[weight]["exp_avg_sq"]
    tensor[0, 0] = float("inf")
    with pytest.raises(TrainingError, match=r"step 4 must be finite, found a number in (objective|optimizer)/.* kept"):
        save_training(tmp_path, net, optimizer, State(seed=0, step=4), write)
    assert [p.name for p in tmp_path.iterdir()] == ["last"]
    assert load_training(tmp_path / "last", net, optimizer, 0).step == 3


@pytest.mark.parametrize("moment", ["writing", "old moved away", "new in place"])
def test_whenever_a_save_is_cut_off_a_complete_checkpoint_is_found(tmp_path, moment):
    recover(tmp_path)
    net, optimizer = trained()
    save_training(tmp_path, net, optimizer, State(seed=0, step=3), write)
    save_training(tmp_path / "last", net, optimizer, State(seed=0, step=4), write)
    (tmp_path / "last" / "last").rename(tmp_path / "last.new")
    if moment == "writing":
        (tmp_path / "last.new" / "training.json").unlink()
    else:
        (tmp_path / "last").rename(tmp_path / "last.old")
    if moment == "new in place":
        (tmp_path / "last.new").rename(tmp_path / "last")
    recover(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["last"]
    assert load_training(tmp_path / "last", net, optimizer, 0).step == (4 if moment == "new in place" else 3)


@pytest.mark.parametrize("name", ["training.safetensors", "training.json"])
def test_a_damaged_checkpoint_is_refused_in_one_sentence(tmp_path, name):
    recover(tmp_path)
    net, optimizer = trained()
    save_training(tmp_path, net, optimizer, State(seed=0, step=3), write)
    path = tmp_path / "last" / name
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="must hold a complete training checkpoint"):
        load_training(tmp_path / "last", net, optimizer, 0)
    path.unlink()
    with pytest.raises(CheckpointError, match="must hold a complete training checkpoint"):
        load_training(tmp_path / "last", net, optimizer, 0)


def test_means_are_over_the_steps_that_had_the_value():
    state = State(seed=0)
    state.add({"loss": 1.0, "paired": 4.0})
    state.add({"loss": 2.0})
    assert state.means() == {"loss": 1.5, "paired": 4.0}
    assert state.means() == {}


def test_only_names_are_saved_twice_not_tensors(tmp_path):
    recover(tmp_path)
    net, optimizer = trained()
    save_training(tmp_path, net, optimizer, State(seed=0), write)
    assert "objective/1.weight" not in load_file(tmp_path / "last" / "training.safetensors")  # tied to 0.weight
