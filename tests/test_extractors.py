"""Systems beside ours: each is given what its contract says, gives its size, and says what it lacks."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cardiofm import pipeline
from cardiofm.data.catalog import Entry
from cardiofm.data.simulate import simulate
from cardiofm.data.windows import cut
from cardiofm.evaluate import cached, frozen
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.extractors import chronos_bolt, csfm, openecg_codec, peers, timesfm_2p5
from cardiofm.evaluate.extractors.checkout import imported, weighed
from cardiofm.evaluate.extractors.contract import Contract, averaged, band
from cardiofm.evaluate.extractors.extractor import Extractor
from cardiofm.evaluate.extractors.own import alone, embedding
from cardiofm.evaluate.tables.throughput import throughput
from cardiofm.signals import CheckpointError, InputSpec, Window

SPEC = InputSpec()
CHECKOUTS = {  # where a peer's class is, and what it is called there
    "anyppg": "load_anyppg/resnet1d.py",
    "papagei-s": "models/resnet.py",
    "ecgfounder": "net1d.py",
    "ecg-fm": "fairseq_signals/models/wav2vec2/wav2vec2_cmsc.py",
}
# A stand-in for the code that a user has: its numbers say what it was given.
STAND_IN = """
import torch

class Net(torch.nn.Module):
    def __init__(self, *given, **shape):
        super().__init__()
        self.dense = torch.nn.Linear(4, 512)
        self.own = torch.nn.Parameter(torch.zeros(1))
        self.asked = shape

    def forward(self, x):
        n = x.shape[-1]
        spread, heard = x.std(-1, correction=0), (x.abs().amax(-1) > 0).float()
        lead = heard.argmax(-1).float()
        said = torch.stack([torch.full_like(lead, n), torch.full_like(lead, x.shape[1]), spread.amax(-1), lead], -1)
        return said + self.own

class Net1D(Net):
    pass

class ResNet1DMoE(Net):
    def forward(self, x):
        return super().forward(x), None, None, None
"""
OLDER = """
import dataclasses

@dataclasses.dataclass
class Part:
    width: int = 1

@dataclasses.dataclass
class Wav2Vec2CMSCConfig:
    quantize_targets: bool = False
    final_dim: int = 0
    encoder_embed_dim: int = 0
    in_d: int = 0
    part: Part = Part()  # no default from Python 3.11 on, unless it is hashable

class Wav2Vec2CMSCModel(Net):
    def extract_features(self, x, padding_mask):
        return {"x": self(x)[:, None]}
"""


@pytest.fixture(scope="module")
def windows() -> list[Window]:
    """Three of both channels, and one of the ECG alone."""
    record = simulate(30, fs_ecg_hz=250, fs_ppg_hz=125, seed=1).record
    found = list(cut(record, SPEC))
    return [*found, dataclasses.replace(found[0], valid=found[0].valid & np.array([[True], [False]]))]


def numbers(values: NDArray[np.floating], valid: NDArray[np.bool_] | None = None) -> Window:
    """A window whose ECG is `values` and whose PPG is absent."""
    valid_N = np.ones(len(values), bool) if valid is None else valid
    both = np.stack([values, np.zeros(len(values))]).astype(np.float32)
    return Window(0.0, both, np.stack([valid_N, np.zeros(len(values), bool)]), np.array([True, False]))


def test_one_channel_alone_is_not_told_the_other(micro: Path, windows: list[Window]) -> None:
    model = pipeline.load(micro, backend="torch", threads=1)
    rng = np.random.default_rng(0)
    noisy = [dataclasses.replace(w, values=w.values + rng.normal(size=w.values.shape).astype(np.float32) * [[0], [1]])
             for w in windows]  # fmt: skip
    noisy = [dataclasses.replace(w, values=w.values.astype(np.float32)) for w in noisy]
    ecg, ppg, both = alone(model, "a", "ecg"), alone(model, "a", "ppg"), embedding(model, "a")
    np.testing.assert_array_equal(ecg(windows), ecg(noisy))
    np.testing.assert_allclose(ecg(windows)[3], both(windows)[3], atol=1e-5)  # which has nothing but the ECG
    assert np.abs(ppg(windows)[:3] - ppg(noisy)[:3]).max() > 1e-3
    assert np.isfinite(ppg(windows)[:3]).all()
    assert np.isnan(ppg(windows)[3]).all()
    assert len({e.key for e in (ecg, ppg, both, alone(model, "b", "ecg"))}) == 4


def test_what_is_always_there_has_its_size_and_is_kept(micro: Path, windows: list[Window], tmp_path: Path) -> None:
    model = pipeline.load(micro, backend="torch", threads=1)
    entries = [Entry("bidmc", f"r{k}", Path(f"r{k}"), f"p{k}", "test") for k in range(4)]
    cohort = Cohort("bidmc", entries, windows, np.arange(4), 0)
    found, about = frozen.numbers(cohort, model, "a", tmp_path)
    always = {e.name: e for e in frozen.always(cohort, model, "a")}
    assert list(found) == list(about) == list(always)
    assert {"model", "ecg alone", "ppg alone", "untrained", "hand-crafted", "minirocket"} == set(found)
    for name, values in found.items():
        assert values.shape == (4, always[name].size), name
    assert always["model"].parameters == always["untrained"].parameters > 0
    single = Cohort("ptb-xl", entries[3:], windows[3:], np.zeros(1, int), 0)
    assert not {"ecg alone", "ppg alone"} & {e.name for e in frozen.always(single, model, "a")}


def test_numbers_are_computed_once(windows: list[Window], tmp_path: Path) -> None:
    asked: list[int] = []

    def make(some: list[Window]) -> NDArray[np.floating]:
        asked.append(len(some))
        return np.ones((len(some), 2))

    one = Extractor("pulse", "", 2, (1,), "pulse 1", make)
    first = one.kept(windows, tmp_path)
    assert asked == [3]  # not about the window without PPG
    np.testing.assert_array_equal(one.kept(windows, tmp_path), first)
    assert asked == [3]
    assert np.isnan(first[3]).all()
    cached.numbers(tmp_path, one.made_by, windows, one)
    assert asked == [3]


def test_a_contract_brings_rate_unit_pieces_and_leads() -> None:
    t = np.arange(2500) / 250
    wave = 7 + 0.3 * np.sin(2 * np.pi * 5 * t)
    made = Contract("ecg", 500.0, 5.0, leads=12, lead=1).prepared([numbers(wave)], SPEC)
    assert made.shape == (1, 2, 12, 2500)
    assert not made[0][:, [0, *range(2, 12)]].any()
    power = np.abs(np.fft.rfft(made[0, 0, 1]))
    assert np.argmax(power) * 500 / 2500 == 5
    assert (made[0, :, 1].mean(), made[0, :, 1].std()) == pytest.approx((0, 1), abs=0.01)
    same = Contract("ecg", 500.0, 5.0, leads=12, lead=1).prepared([numbers(40 * wave)], SPEC)
    np.testing.assert_allclose(same, made, atol=1e-4)


def test_a_contract_bridges_gaps_and_knows_nothing_beyond_the_ends() -> None:
    t = np.arange(2500) / 250
    valid = (t < 2.1) & ((t < 1.0) | (t > 1.04))
    wave = np.sin(2 * np.pi * 1.0 * t)
    made = Contract("ecg", 250.0, 10.0).prepared([numbers(np.where(valid, wave, 1e6), valid)], SPEC)[0, 0, 0]
    assert np.abs(made).max() < 2
    assert not made[600:].any()
    wander = wave + 3 * np.sin(2 * np.pi * 0.1 * t)
    clean = Contract("ecg", 250.0, 10.0, clean=band(0.5, 8.0, 3)).prepared([numbers(wander)], SPEC)[0, 0, 0]
    assert np.corrcoef(clean[250:-250], wave[250:-250])[0, 1] > 0.98
    assert Contract("ecg", 250.0, 10.0, clean=band(0.5, 8.0, 3)).prepared([numbers(np.ones(2500))], SPEC).max() == 0


def test_a_piece_without_signal_does_not_count() -> None:
    t = np.arange(2500) / 250
    contract = Contract("ecg", 250.0, 5.0)
    found = averaged(lambda x: x.abs().amax(-1), contract, [numbers(np.sin(9 * t), t < 4)] * 20, SPEC)
    assert found.shape == (20, 1)
    np.testing.assert_allclose(found, 1.41, atol=0.1)


def checkout(folder: Path, name: str) -> Path:
    """A folder laid out as the peer's repository, with the stand-in where its class is."""
    path = folder / name / CHECKOUTS[name]
    path.parent.mkdir(parents=True)
    for above in path.parents:
        if above == folder / name:
            break
        (above / "__init__.py").touch()
    path.write_text(STAND_IN + (OLDER if name == "ecg-fm" else ""), encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("name", "channel", "given"),
    [
        ("anyppg", 1, (1250, 1, 1, 0)),
        ("papagei-s", 1, (1250, 1, 1, 0)),
        ("ecgfounder", 0, (5000, 1, 1, 0)),
        ("ecg-fm", 0, (2500, 12, 1, 1)),
    ],
)
def test_a_checkout_is_given_what_its_contract_says(
    name: str, channel: int, given: tuple[int, ...], windows: list[Window], tmp_path: Path
) -> None:
    """Its rate, its number of leads, spread 1, and the lead that it is."""
    repo = checkout(tmp_path, name)
    one = peers.PEERS[name].make(None, repo, SPEC)
    one = dataclasses.replace(one, size=4)  # the stand-in's
    assert one.channels == (channel,)
    found = one(windows)
    n, leads, spread, lead = given
    np.testing.assert_allclose(found[:3, [0, 1, 3]], np.tile([n, leads, lead], (3, 1)), atol=1e-5)
    np.testing.assert_allclose(found[:3, 2], spread, atol=0.1)
    assert np.isnan(found[3]).all() == (channel == 1)
    weights = tmp_path / "own.pt"
    own = {"own": torch.ones(1), "dense.weight": torch.zeros(512, 4), "dense.bias": torch.zeros(512)}
    held = {"ecgfounder": {"state_dict": own}, "ecg-fm": {"model": own}}.get(name, own)
    torch.save({f"module.{k}": v for k, v in own.items()} if name == "papagei-s" else held, weights)
    moved = dataclasses.replace(peers.PEERS[name].make(weights, repo, SPEC), size=4)
    np.testing.assert_allclose(moved(windows)[:3], found[:3] + 1, atol=1e-5)
    assert moved.key != one.key


CSFM = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, 768))
        self.mlp_head = torch.nn.Linear(768, 1)

    def forward(self, ts, channel):
        out = torch.zeros(len(ts), 768)
        for row, place in enumerate(channel):
            out[:, int(place)] = ts[:, row].std(-1, correction=0)
        out[:, 20] = ts.shape[-1]
        return self.mlp_head(out + self.cls_token[0])

def CSFM_model(variant):
    net = Net()
    net.variant = variant
    return net
"""


def test_csfm_is_given_the_channels_that_are_there(windows: list[Window], tmp_path: Path) -> None:
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "model.py").write_text(CSFM, encoding="utf-8")
    found = csfm.csfm(None, tmp_path, SPEC)(windows)
    assert found.shape == (4, 768)
    np.testing.assert_allclose(found[:3, [1, 12, 20]], [[1, 1, 2500]] * 3, atol=0.02)
    np.testing.assert_allclose(found[3, [1, 12, 20]], [1, 0, 2500], atol=0.02)
    weights = tmp_path / "w.pth"
    layers = {f"encoder.transformer.layers.{k}.0.x": torch.zeros(1) for k in range(6)}
    torch.save({"encoder.cls_token": torch.zeros(1, 1, 768), **layers}, weights)
    assert csfm._variant(weights) == "Tiny"
    with pytest.raises(CheckpointError, match="must hold the weights of this network"):
        csfm.csfm(weights, tmp_path, SPEC)


MOMENT = """
from types import SimpleNamespace
import torch

class MOMENTPipeline(torch.nn.Module):
    def __init__(self, config, model_kwargs):
        super().__init__()
        self.config, self.task = SimpleNamespace(d_model=config["d_model"]), model_kwargs["task_name"]

    def init(self):
        assert self.task == "embedding"

    def embed(self, x_enc):
        said = torch.zeros(len(x_enc), self.config.d_model)
        said[:, 0], said[:, 1] = x_enc.shape[-1], x_enc[:, 0].std(-1, correction=0)
        return SimpleNamespace(embeddings=said)
"""


def test_moment_is_given_512_samples_of_each_channel(windows: list[Window], tmp_path: Path) -> None:
    (tmp_path / "momentfm").mkdir()
    (tmp_path / "momentfm" / "__init__.py").write_text(MOMENT, encoding="utf-8")
    found = peers.PEERS["moment"].make(None, tmp_path, SPEC)(windows)
    assert found.shape == (4, 1024)
    np.testing.assert_allclose(found[:3, [0, 1, 512, 513]], [[512, 1, 512, 1]] * 3, atol=0.1)
    assert np.isnan(found[3, 512:]).all()
    with pytest.raises(CheckpointError, match=r"must be a folder with config\.json"):
        peers.PEERS["moment"].make(tmp_path / "none", tmp_path, SPEC)


def test_what_a_checkout_lacks_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"must hold net1d\.py, found none in .*clone the repository"):
        peers.PEERS["ecgfounder"].make(None, tmp_path, SPEC)
    (tmp_path / "net1d.py").write_text("import a_package_that_nobody_has", encoding="utf-8")
    with pytest.raises(CheckpointError, match="must find what it imports: No module named 'a_package"):
        peers.PEERS["ecgfounder"].make(None, tmp_path, SPEC)
    network = torch.nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match=r"the weights must be a file, found none at .*--weights"):
        weighed(network, tmp_path / "no.pt")
    for name, held in (("other", {"a": torch.zeros(2)}), ("code", {"x": Path("a")})):
        torch.save(held, tmp_path / name)
        with pytest.raises(CheckpointError, match="must hold the weights of this network"):
            weighed(network, tmp_path / name)
    (tmp_path / "text").write_text("no weights", encoding="utf-8")
    with pytest.raises(CheckpointError, match="must hold the weights of this network"):
        weighed(network, tmp_path / "text")


def test_a_checkout_leaves_nothing_behind(tmp_path: Path) -> None:
    import sys

    (tmp_path / "net1d.py").write_text("import torch\nmade = torch.rand(1)\n", encoding="utf-8")
    path, state = list(sys.path), torch.random.get_rng_state()
    with imported(tmp_path, "net1d.py") as first:
        pass
    assert sys.path == path
    assert "net1d" not in sys.modules
    assert torch.equal(torch.random.get_rng_state(), state)
    with imported(tmp_path, "net1d.py") as again:
        pass
    assert torch.equal(first.made, again.made)  # random weights are always the same


def test_a_peer_without_its_weights_is_no_row() -> None:
    found, absent = peers.here([], [], SPEC)
    installed = importlib.util.find_spec("openecg") is not None
    assert [e.name for e in found] == (["openecg"] if installed else [])
    assert set(absent) == set(peers.PEERS) - {e.name for e in found}
    assert {absent[name] for name in ("timesfm", "csfm", "ecg-fm")} == {"weights not available here"}
    for bad in ("anyppg", "unknown=w.pt", "anyppg="):
        with pytest.raises(CheckpointError, match="take NAME=PATH"):
            peers.named([bad])
    with pytest.raises(CheckpointError, match="anyppg needs a checkout of its code: --repo"):
        peers.here(["anyppg=w.pt"], [], SPEC)


def test_the_page_of_peers_names_every_one() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "peers.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE) == list(peers.PEERS)


def test_the_section_of_speed_has_a_row_for_each_system() -> None:
    def row(what: str, model: str, backend: str, threads: int, batch: int, value: float) -> dict[str, object]:
        names: dict[str, object] = {"what": what, "model": model, "backend": backend, "threads": threads}
        return names | {"batch": batch, "value": value, "ratio": value / 100}

    result = {
        "rounds": 3, "hardware": "a processor", "command": "c", "model": {"name": "base", "sha256": "ab" * 32},
        "memory_mib": {"neurokit2": 250.0, "model extract": 400.0, "openecg extract": 300.4},
        "systems": {
            "model": {"meaning": "CardioFM embedding", "numbers": 256, "parameters": 17_090_000},
            "openecg": {"meaning": "openecg's delineator", "numbers": 128, "parameters": 0},
        },
        "absent": {"csfm": "needs a checkout"},
        "rows": [row("clean + peaks", "neurokit2", "numpy", 1, 1, 100.0)]
        + [row("extract", name, "", n, 16, 10.0 * n) for name in ("model", "openecg") for n in (1, 2)],
    }  # fmt: skip
    text = "\n".join(throughput(result))
    assert "| CardioFM | 256 | 17.09 M | 10.0 | 20.0 | 400 MiB |" in text
    assert "| openecg's delineator | 128 | – | 10.0 | 20.0 | 300 MiB |" in text
    assert "Not here: csfm: needs a checkout." in text
    assert "batch 128" not in text  # ours were not asked for


def test_openecg_reads_the_ecg_alone_whatever_its_scale(windows: list[Window]) -> None:
    pytest.importorskip("openecg", reason="needs pip install 'cardiofm[bench]'")
    one = openecg_codec.openecg(SPEC)
    found = one(windows[:2])
    assert found.shape == (2, one.size) == (2, 128)
    assert one.parameters == 1_159_572  # of its model card
    louder = [dataclasses.replace(w, values=w.values * np.array([[3], [0]], np.float32)) for w in windows[:2]]
    np.testing.assert_allclose(one(louder), found, atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 0.01


def check_forecaster(one: Extractor, windows: list[Window]) -> None:
    """Both channels side by side, the scale of none, windows one by one as together."""
    found, half = one(windows), one.size // 2
    assert found.shape == (4, one.size)
    assert np.isfinite(found[:3]).all()
    assert np.isfinite(found[3, :half]).all()
    assert np.isnan(found[3, half:]).all()
    np.testing.assert_allclose(found[3, :half], found[0, :half], atol=1e-5)
    np.testing.assert_allclose(np.concatenate([one([w]) for w in windows]), found, atol=1e-4)
    louder = [dataclasses.replace(w, values=5 * w.values + np.float32(1)) for w in windows]
    np.testing.assert_allclose(one(louder), found, atol=1e-2)
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_chronos_gives_the_mean_of_its_encoder(windows: list[Window], tmp_path: Path) -> None:
    """The package's own architecture, small and random; and the same through a folder of weights."""
    pytest.importorskip("chronos", reason="needs pip install 'cardiofm[peers]'")
    small = {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 4}
    network = chronos_bolt.untrained(small)
    one = chronos_bolt.extractor(network, None, SPEC)
    assert one.size == 64
    check_forecaster(one, windows)
    network.save_pretrained(tmp_path)
    again = chronos_bolt.chronos(tmp_path, SPEC)
    np.testing.assert_allclose(again(windows), one(windows), atol=1e-5)
    assert again.key != one.key
    with pytest.raises(CheckpointError, match=r"must be a folder with config\.json"):
        chronos_bolt.chronos(tmp_path / "nowhere", SPEC)


def test_timesfm_gives_the_mean_of_its_last_layer(windows: list[Window], tmp_path: Path) -> None:
    """The package's own module with its definition, narrower and random."""
    package = pytest.importorskip("timesfm.timesfm_2p5.timesfm_2p5_torch", reason="needs 'cardiofm[peers]'")
    definition = package.TimesFM_2p5_200M_torch_module.config
    assert (definition.input_patch_len, definition.stacked_transformers.transformer.model_dims) == (32, 1280)

    def narrow(block, wide: int | None = None):
        return dataclasses.replace(block, hidden_dims=32, output_dims=wide or 32)

    layer = dataclasses.replace(definition.stacked_transformers.transformer, model_dims=32, hidden_dims=32, num_heads=4)

    class Small(package.TimesFM_2p5_200M_torch_module):
        config = dataclasses.replace(
            definition,
            tokenizer=narrow(definition.tokenizer),
            stacked_transformers=dataclasses.replace(definition.stacked_transformers, num_layers=2, transformer=layer),
            output_projection_point=dataclasses.replace(
                narrow(definition.output_projection_point, 1280), input_dims=32
            ),
            output_projection_quantiles=dataclasses.replace(
                narrow(definition.output_projection_quantiles, 10240), input_dims=32
            ),
        )

    torch.manual_seed(0)
    network = Small()
    for name, parameter in network.named_parameters():
        if name.endswith("scale"):  # its norms start at 0
            torch.nn.init.ones_(parameter)
    one = timesfm_2p5.extractor(network.eval(), None, SPEC)
    assert one.size == 64
    check_forecaster(one, windows)
    with pytest.raises(CheckpointError, match="must be a file or its folder"):
        timesfm_2p5.timesfm(tmp_path / "nowhere", SPEC)
