"""ONNX Runtime gives what torch gives, whatever the batch and the streams."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cardiofm.edge.runtime import OnnxBackend
from cardiofm.model.backend import TorchBackend
from cardiofm.signals import CheckpointError


def windows(batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(batch)
    visible = np.ones((batch, 2, 2500), bool)
    visible[:, 0, 500:900] = False
    visible[1::2, 1] = False
    return draw.normal(size=(batch, 2, 2500)).cumsum(-1).astype(np.float32), visible, np.ones((batch, 2), bool)


@pytest.fixture(scope="module")
def onnx(micro_graphs: Path) -> OnnxBackend:
    return OnnxBackend(micro_graphs, threads=1)


@pytest.fixture(scope="module")
def torch(micro_graphs: Path) -> TorchBackend:
    return TorchBackend(micro_graphs)


def close(a: np.ndarray, b: np.ndarray, tolerance: float = 1e-3) -> None:
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    assert np.abs(a.astype(float) - b).max() <= tolerance * max(np.abs(a).max(), 1e-6)


@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("present", [(0, 1), (0,), (1,)])
def test_torch_and_onnx_agree(onnx: OnnxBackend, torch: TorchBackend, batch: int, present: tuple[int, ...]) -> None:
    a, b = torch.encode(*windows(batch), present), onnx.encode(*windows(batch), present)
    for field in ("embedding", "tokens", "seen", "coded", "worth", "offset", "scale"):
        close(getattr(a, field), getattr(b, field))
    close(a.embedding, onnx.embed(*windows(batch), present), 1e-5)
    close(a.embedding, torch.embed(*windows(batch), present), 1e-5)
    assert (a.codes == b.codes)[a.seen].mean() > 0.99
    assert a.codes.dtype == b.codes.dtype == np.int64
    for c in {0, 1} - set(present):
        assert not b.seen[:, c].any()
        assert not b.tokens[:, c].any()
    depth = a.codes.sum(-1) % 4
    close(torch.draw(a), onnx.draw(a))
    close(torch.decode(a.codes, depth, a.seen), onnx.decode(a.codes, depth, a.seen))


def test_batch_gives_what_one_by_one_gives(onnx: OnnxBackend) -> None:
    x, visible, in_mv = windows(5)
    together = onnx.encode(x, visible, in_mv)
    for i in range(5):
        alone = onnx.encode(x[i : i + 1], visible[i : i + 1], in_mv[i : i + 1])
        close(alone.embedding[0], together.embedding[i], 1e-4)


def test_absent_stream_is_the_single_stream_pass(onnx: OnnxBackend) -> None:
    x, visible, in_mv = windows(3)
    visible[:, 1] = False
    both, ecg = onnx.encode(x, visible, in_mv), onnx.encode(x, visible, in_mv, (0,))
    close(both.embedding, ecg.embedding, 1e-4)
    depth = np.full(ecg.seen.shape, 3)
    drawn, noisy = onnx.decode(ecg.codes, depth, ecg.seen), onnx.decode(both.codes, depth, ecg.seen)
    close(drawn[:, 0], noisy[:, 0], 1e-4)
    assert not noisy[:, 1].any()


def test_missing_graph_says_what_to_do(micro_graphs: Path, tmp_path: Path) -> None:
    shutil.copytree(micro_graphs, tmp_path / "m")
    (tmp_path / "m" / "draw.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"lacks it; write the graphs"):
        OnnxBackend(tmp_path / "m")


def test_a_folder_of_older_graphs_embeds_too(micro_graphs: Path, tmp_path: Path, onnx: OnnxBackend) -> None:
    shutil.copytree(micro_graphs, tmp_path / "m", ignore=shutil.ignore_patterns("embed*"))
    close(onnx.embed(*windows(2)), OnnxBackend(tmp_path / "m", 1).embed(*windows(2)), 1e-5)


def test_graphs_of_other_weights_are_refused(micro_graphs: Path, tmp_path: Path) -> None:
    shutil.copytree(micro_graphs, tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    data = weights.read_bytes()
    size = int.from_bytes(data[:8], "little")
    weights.write_bytes((size + 8).to_bytes(8, "little") + data[8 : 8 + size] + b" " * 8 + data[8 + size :])
    nothing = np.zeros((1, 2, 2500), np.float32), np.ones((1, 2, 2500), bool), np.ones((1, 2), bool)
    with pytest.raises(CheckpointError, match="must belong to the"):
        OnnxBackend(tmp_path / "m", 1).encode(*nothing)
