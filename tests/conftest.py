"""Shared test set-up: real recordings are used where they are, and the skip says so where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA_ROOT = Path(os.environ.get("CARDIOFM_DATA_ROOT", ROOT.parent / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `shared` on a machine without the recordings."""
    if DATA_ROOT.is_dir():
        return
    skip = pytest.mark.skip(reason=f"needs the real recordings at {DATA_ROOT} (or CARDIOFM_DATA_ROOT)")
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real recordings, laid out as their home archives lay them out."""
    return DATA_ROOT


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a network of the released shape but far smaller, with random weights, and its heads."""
    import torch

    from cardiofm.model.across import Across, AcrossConfig
    from cardiofm.model.cardiofm import CardioFM, ModelConfig
    from cardiofm.model.decoder import DecoderConfig
    from cardiofm.model.encoder import EncoderConfig
    from cardiofm.model.heads import FiducialHead, HeadConfig
    from cardiofm.model.quantizer import AdaptiveRVQ, QuantizerConfig

    torch.manual_seed(0)
    model = CardioFM(
        ModelConfig(
            name="micro",
            encoder=EncoderConfig(width=32, depth=1, heads=2, hidden=32, stem=8, embedding=16),
            quantizer=QuantizerConfig(levels=3, codes=16, width=4),
            decoder=DecoderConfig(width=32, depth=1, heads=2, hidden=32),
        )
    )
    for quantizer in model.quantizer:
        assert isinstance(quantizer, AdaptiveRVQ)
        quantizer.codebook_QRE.normal_(0.0, 0.5)
        quantizer.ready.fill_(True)
    folder = tmp_path_factory.mktemp("models") / "micro"
    model.save(folder)
    FiducialHead(HeadConfig(read_after=1, widths=(4, 8, 8, 16)), 32, model.config.spec).save(folder)
    Across(AcrossConfig(widths=(4, 8, 8, 16)), 32, model.config.spec).save(folder)
    return folder


@pytest.fixture(scope="session")
def micro_graphs(micro: Path) -> Path:
    """The folder of `micro` with its ONNX graphs (the export takes seconds, so it is made once)."""
    from cardiofm.edge.export import export

    export(micro)
    return micro


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of 20 s: pair.hea (ECG 250 Hz, PPG 125 Hz) and ecg.parquet."""
    from cardiofm.data.simulate import simulate
    from cardiofm.data.write import write

    where = tmp_path_factory.mktemp("recordings")
    pair = simulate(20, fs_ecg_hz=250, fs_ppg_hz=125, seed=3, ecg_noise_mv=0.02, ppg_noise=0.02).record
    write(pair, where / "pair.hea")
    write(type(pair)("ecg", pair.ecg), where / "ecg.parquet")
    return where
