"""What retouches decoded drawings: the same in numpy as in training, told by the file, of use on a real recording."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from cardiofm.codec import container, retouch
from cardiofm.codec.recording import Codec
from cardiofm.data import catalog
from cardiofm.data.simulate import simulate
from cardiofm.data.store import Store
from cardiofm.pipeline import load
from cardiofm.signals import CheckpointError, Record
from cardiofm.train.prior import train as count
from cardiofm.train.retouch import Net, save, train
from conftest import DATA_ROOT
from small_store import small_store

GOLDEN = Path(__file__).parent / "golden" / "first.cfm"


def drawn_net(seed: int) -> Net:
    torch.manual_seed(seed)
    net = Net()
    torch.nn.init.normal_(net.out.weight, std=0.02)
    return net


def left(record: Record, again: Record, modality: str) -> float:
    """PRD in %."""
    true, made = record.signal(modality), again.signal(modality)
    assert true is not None
    assert made is not None
    return 100 * float(
        np.sqrt(((true.values - made.values) ** 2).sum() / ((true.values - true.values.mean()) ** 2).sum())
    )


@pytest.fixture(scope="module")
def base() -> Codec:
    codec = load("base", threads=1).codec()
    assert codec.retouch is not None
    return codec


def test_numpy_says_what_the_trained_network_says() -> None:
    net, rng = drawn_net(0), np.random.default_rng(0)
    seen_FN = rng.standard_normal((retouch.SEEN, 400)).astype(np.float32)
    said = rng.standard_normal(retouch.SAID).astype(np.float32)
    wanted_N = net(torch.tensor(seen_FN)[None], torch.tensor(said)[None])[0].detach().numpy()
    found_N = retouch.correction({k: v.detach().numpy() for k, v in net.state_dict().items()}, seen_FN, said)
    assert np.ptp(wanted_N) > 0.1
    np.testing.assert_allclose(found_N, wanted_N, atol=1e-4)


def test_training_writes_a_channel_beside_the_other(micro: Path, tmp_path: Path) -> None:
    store, folder = Store(small_store(tmp_path / "small")), tmp_path / "micro"
    shutil.copytree(micro, folder)
    count(folder, store, limit=2, rounds=1)
    save(folder, "ppg", drawn_net(1), {"command": "none"})
    train(folder, store, "ecg", limit=3, held=2, steps=3)
    found = retouch.load(folder)
    assert found is not None
    assert set(found.nets) == {"ecg", "ppg"}
    np.testing.assert_array_equal(found.nets["ppg"]["out.weight"], drawn_net(1).out.weight.detach().numpy())
    with safe_open(folder / retouch.FILE, "np") as file:
        told = json.loads(file.metadata()["ecg"])
    assert told["examples"] > 0
    assert all(0 < share <= 1 for share in told["prd_after_to_before_valid"].values())


@pytest.mark.shared
def test_a_real_minute_comes_nearer_at_the_same_rate(base: Codec) -> None:
    entry = next(e for e in catalog.entries("challenge-2015", DATA_ROOT) if e.split == "valid")
    whole = catalog.load(entry, DATA_ROOT)
    record = whole.crop(whole.start_s + 60, whole.start_s + 120)
    found = []
    for codec in (base, replace(base, retouch=None)):
        data = b"".join(codec.encode(record, 64.0))
        found.append([left(record, codec.decode(data), m) for m in record.present])
    assert all(touched < plain for touched, plain in zip(*found, strict=True))


def test_a_file_says_which_network_it_asks_for(base: Codec) -> None:
    record = simulate(12, fs_ecg_hz=250, fs_ppg_hz=125, seed=2).record
    data = b"".join(base.encode(record, 64.0))
    assert base.retouch is not None
    assert container.header(data)[0].retouch == base.retouch.fingerprint
    assert container.header(b"".join(base.encode(record, lossless=True)))[0].retouch == ""
    for other in (None, replace(base.retouch, fingerprint="ff" * 16)):
        again = replace(base, retouch=other).decode(data)
        assert any(note.startswith("not retouched") for note in again.notes)
        assert left(record, again, "ecg") < 40


def test_files_from_before_there_was_any_are_read_and_continued(base: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    record = simulate(24, fs_ecg_hz=250, fs_ppg_hz=125, seed=11, ecg_noise_mv=0.01, ppg_noise=0.01).record
    old = GOLDEN.read_bytes()
    again = base.decode(old)
    assert left(record, again, "ecg") == pytest.approx(4.2199, rel=1e-3)
    assert left(record, again, "ppg") == pytest.approx(2.5976, rel=1e-3)
    monkeypatch.setattr("cardiofm.codec.recording.WINDOWS", 1)
    begun = b"".join(replace(base, retouch=None).encode(record.crop(0, 10), 96.0))
    grown = begun + b"".join(base.encode(record, 96.0, after=begun))
    assert container.header(grown)[0].retouch == ""
    assert left(record, base.decode(grown), "ecg") < 20


def test_a_damaged_file_is_refused(base: Codec, tmp_path: Path) -> None:
    assert base.retouch is not None
    assert retouch.load(tmp_path) is None
    (tmp_path / retouch.FILE).write_bytes(b"none of it")
    with pytest.raises(CheckpointError, match="must hold networks of this version"):
        retouch.load(tmp_path)


def test_of_noise_nothing_is_drawn(base: Codec) -> None:
    noise = 0.2 * np.random.default_rng(0).standard_normal(7500)
    again = base.decode(b"".join(base.encode(Record.from_arrays(ecg=(noise, 250.0)), 64.0)))
    assert again.ecg is not None
    assert np.ptp(again.ecg.values) == 0


def test_where_there_is_no_network_nothing_changes() -> None:
    some = np.random.default_rng(0).standard_normal(1000)
    made = retouch.Stages(some, some, some, some, [some, some], some, some > 0, None)
    assert retouch.Retouch({}, "").best("ecg", made, some + 1)[0] == 0
