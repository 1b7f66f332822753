"""A checkpoint folder explains itself, loads to the same network, and is refused in one sentence when damaged."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cardiofm.model.backend import Decode, Draw, Encode
from cardiofm.model.cardiofm import TINY, CardioFM
from cardiofm.model.checkpoint import read_config, read_provenance, upgraded
from cardiofm.signals import CheckpointError

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    CardioFM(TINY).save(tmp_path / "tiny", {"commit": "abc"}, half=False)
    return tmp_path / "tiny"


def test_round_trip_is_exact(folder: Path) -> None:
    torch.manual_seed(0)
    made, loaded = CardioFM(TINY), CardioFM.load(folder)
    assert loaded.config == TINY
    assert read_provenance(folder) == {"commit": "abc"}
    for name, tensor in made.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_the_weights_can_be_read_by_everybody(folder: Path) -> None:
    assert (folder / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_hub_convention(folder: Path, tmp_path: Path) -> None:
    model = CardioFM.from_pretrained(str(folder))
    model.save_pretrained(tmp_path / "again")
    again = CardioFM.from_pretrained(str(tmp_path / "again"))
    x, seen = torch.randn(1, 2, 2500), torch.ones(1, 2, 2500, dtype=torch.bool)
    in_mv = torch.ones(1, 2, dtype=torch.bool)
    with torch.no_grad():
        assert torch.allclose(model(x, seen, in_mv), again(x, seen, in_mv), rtol=2e-2, atol=2e-2)  # saved as float16


def test_damage_gets_its_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="found no folder"):
        read_config(tmp_path / "nothing")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(CheckpointError, match="format 99"):
        read_config(folder)
    (folder / "config.json").write_text(json.dumps(config | {"encodr": {}}))
    with pytest.raises(CheckpointError, match="did you mean 'encoder'"):
        CardioFM.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="must be JSON"):
        read_config(folder)
    (folder / "config.json").write_text(json.dumps(config))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match="complete model folder"):
        CardioFM.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model\.safetensors"):
        CardioFM.load(folder)


def test_a_folder_of_an_older_format_is_refused(folder: Path) -> None:
    """Its codes are of single tokens; these of blocks."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 2}))
    with pytest.raises(CheckpointError, match="format 2, whose codes"):
        read_config(folder)


def test_a_folder_of_format_3_gives_both_decoders_what_it_had(folder: Path, tmp_path: Path) -> None:
    """One decoder drew from tokens and from codes."""
    tensors = load_file(folder / "model.safetensors")
    old = {
        re.sub(r"^(codes|decoder)\.(think\.)?", "decoder.", name): tensor
        for name, tensor in tensors.items()
        if not name.startswith(("codes.read", "codes.think"))
    }
    assert upgraded(tensors) == tensors
    save_file(old, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 3}))
    model = CardioFM.load(folder)
    assert torch.equal(model.codes.trust, tensors["codes.trust"].float())
    for name, tensor in model.codes.think.named_parameters():
        assert torch.equal(tensor, model.decoder.think.get_parameter(name))
        assert torch.equal(tensor, tensors[f"decoder.think.{name}"].float())


def test_a_folder_of_format_4_says_what_it_said(tmp_path: Path) -> None:
    """Written by the version before, with what the encoder adds to latents and worth: nothing, as settled."""
    said = load_file(GOLDEN / "format_4" / "said.safetensors")
    model = CardioFM.load(GOLDEN / "format_4")
    beat_N = 2 * torch.pi * 1.2 * torch.arange(model.config.spec.samples) / model.config.spec.fs_hz
    x_BCN = torch.stack([torch.cos(beat_N) ** 21, 100 + 20 * torch.cos(beat_N - 1.5)])[None]
    visible_BCN = torch.ones_like(x_BCN, dtype=torch.bool)
    visible_BCN[0, 1, 200:300] = False
    with torch.inference_mode():
        embedding, z, patches, seen, coded, codes, worth, _, _ = Encode(model)(
            x_BCN, visible_BCN, torch.tensor([[True, False]])
        )
        drawn, cleaned = Draw(model)(z, patches, seen)
        decoded = Decode(model)(codes, torch.full(codes.shape[:3], 2), coded)
    now = {
        "embedding": embedding,
        "codes": codes,
        "worth": worth,
        "decoded": decoded,
        "drawn": drawn,
        "cleaned": cleaned,
    }
    for name, tensor in now.items():
        torch.testing.assert_close(tensor, said[name], rtol=1e-3, atol=1e-4, msg=name)
    model.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["format"] == 5
    gone = {n for n in load_file(GOLDEN / "format_4" / "model.safetensors") if n not in model.state_dict()}
    assert {n.split(".")[0] for n in gone} == {"to_code", "worth"}
