"""The network: sizes, absent modalities, gradients, and the checkpoint folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cardiofm.model.cardiofm import BASE, TINY, CardioFM, parameters_m
from cardiofm.model.encoder import Encoder
from cardiofm.signals import CheckpointError
from cardiofm.train.batches import Batch
from cardiofm.train.objectives import ObjectiveConfig, Pretraining

MODES = {"codec": (1.0, 0.0), "masked": (0.0, 0.0), "cross": (0.0, 1.0)}  # mode → (codec_share, cross_share)


def windows(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    x_BCN = torch.randn(count, 2, 2500, generator=generator).cumsum(-1) * 0.05
    return x_BCN, torch.ones(count, 2, 2500, dtype=torch.bool), torch.tensor([[True, False]]).expand(count, -1)


@pytest.fixture(scope="module")
def model(micro: Path) -> CardioFM:
    return CardioFM.load(micro)


def test_base_encoder_has_17_11_million_parameters() -> None:
    encoder = Encoder(BASE.encoder, BASE.spec)  # all that turns waveforms into tokens and embedding
    assert parameters_m(encoder) == pytest.approx(17.11, rel=0.005)


def test_tiny_is_about_a_million_in_all() -> None:
    assert parameters_m(CardioFM(TINY)) < 1.1


@pytest.mark.parametrize("only", [0, 1])
def test_absent_modality_gives_the_single_modality_pass(model: CardioFM, only: int) -> None:
    x, visible, in_mv = windows(2)
    visible[:, 1 - only] = False
    with torch.inference_mode():
        both, alone = model.encoder(x, visible, in_mv), model.encoder(x, visible, in_mv, (only,))
        torch.testing.assert_close(both.z[only], alone.z[only], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model.encoder.embed(both), model.encoder.embed(alone), rtol=1e-5, atol=1e-5)


def test_hidden_samples_do_not_leak(model: CardioFM) -> None:
    x, visible, in_mv = windows(2)
    visible[:, :, 800:1400] = False
    other = torch.where(visible, x, torch.full_like(x, 7.0))
    with torch.inference_mode():
        assert torch.equal(model(x, visible, in_mv), model(other, visible, in_mv))


def test_window_with_nothing_to_see_stays_finite(model: CardioFM) -> None:
    x, visible, in_mv = windows(1)
    with torch.inference_mode():
        assert torch.isfinite(model(x, torch.zeros_like(visible), in_mv)).all()


def test_amplitude_is_known_only_in_mv(model: CardioFM) -> None:
    x, visible, _ = windows(1)
    with torch.inference_mode():
        known, unknown = torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 2, dtype=torch.bool)
        assert (model(x, visible, known) - model(3 * x, visible, known)).abs().max() > 1e-3
        torch.testing.assert_close(model(x, visible, unknown), model(3 * x, visible, unknown), rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient(micro: Path) -> None:
    model = CardioFM.load(micro).train()
    for parameter in model.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)  # away from the symmetric start
    x, valid, _ = windows(4)
    batch = Batch(x, x, valid, torch.ones(4, 2, dtype=torch.bool), ("ecg", "ppg"))
    for codec_share, cross_share in MODES.values():
        config = ObjectiveConfig(codec_share=codec_share, cross_share=cross_share, echo_share=1.0)
        objective = Pretraining(model, config, seed=0)
        for step in (1, 2, 3, 4):
            loss, _ = objective(batch, step)
            assert torch.isfinite(loss)
            loss.backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert all(name.startswith("decoder.weigh_patch") for name in still)  # of the stage for gaps alone: test_stages


def test_checkpoint_folder_round_trip(micro: Path, tmp_path: Path) -> None:
    model = CardioFM.load(micro)
    model.save(tmp_path / "copy", {"seed": 0})
    again = CardioFM.load(tmp_path / "copy")
    x, visible, in_mv = windows(2)
    with torch.inference_mode():
        assert torch.equal(model(x, visible, in_mv), again(x, visible, in_mv))
    assert {p.name for p in (tmp_path / "copy").iterdir()} == {"config.json", "model.safetensors", "provenance.json"}


def test_damaged_folder_gives_one_sentence(micro: Path, tmp_path: Path) -> None:
    CardioFM.load(micro).save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="must be a complete model folder"):
        CardioFM.load(tmp_path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"lacks model\.safetensors"):
        CardioFM.load(tmp_path)
