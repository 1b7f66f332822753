"""At the edge: operations counted right, static eight bits from real windows, what is written, and the page."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

import cardiofm
from cardiofm.cli import app
from cardiofm.data.catalog import Entry
from cardiofm.edge import quantize as quantize_module
from cardiofm.edge.calibration import real_windows, windows_of
from cardiofm.edge.export import example_windows
from cardiofm.edge.quantize import quantize
from cardiofm.edge.runtime import EMBEDDERS, INT8_WEIGHTS, OnnxBackend, int8_name
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.edge import others, process
from cardiofm.evaluate.edge.benchmark import BASE, ORT, TINY, aims, ratio
from cardiofm.evaluate.edge.operations import cost
from cardiofm.evaluate.edge.quality import Kind, _apart, probed
from cardiofm.evaluate.tables.edge import edge
from cardiofm.model.backend import Embed
from cardiofm.model.cardiofm import CardioFM
from cardiofm.signals import CheckpointError, SignalError, Window

ROOT = Path(__file__).resolve().parents[1]


def test_operations_are_those_of_the_formula(micro: Path) -> None:
    model = CardioFM.load(micro).eval()
    encoder, spec = model.config.encoder, model.config.spec
    S, D, H, W, E = spec.tokens, encoder.width, encoder.hidden, encoder.stem, encoder.embedding
    stem = spec.samples // 5 * (2 * W * 15 + 2 * (9 * W + 2 * 2 * W * W)) + S * D * W * 8 + 2 * D
    own = S * D * (3 * D + D) + 2 * S * S * D
    cross = S * D * (D + 2 * D + D) + 2 * S * (S + 1) * D
    think = 2 * S * D * H
    multiplied = 2 * (stem + encoder.depth * (own + cross + think) + 2 * D * E)
    arrays = (torch.from_numpy(a) for a in example_windows(spec, 1))
    found = cost(Embed(model).eval(), *arrays)
    assert found.operations == 2 * multiplied
    assert found.weight_bytes == 4 * sum(p.numel() for p in model.encoder.parameters())
    assert found.traffic_bytes > 4 * 2 * spec.samples


def test_the_networks_of_others_have_their_size() -> None:
    assert others.parameters_m(others.ResNet()) == pytest.approx(5.8, abs=0.1)
    assert others.parameters_m(others.Transformer()) == pytest.approx(90.9, abs=1.0)
    assert others.ResNet().eval()(torch.zeros(1, 1, 1250)).shape == (1, 512)


@pytest.fixture(scope="module")
def real(micro_graphs: Path) -> quantize_module.Windows:
    """Windows of one simulated pair and of a recording that cannot be used."""
    pair = cardiofm.simulate(40, fs_ecg_hz=250, fs_ppg_hz=125, seed=5).record
    flat = cardiofm.Record.from_arrays(ecg=(np.zeros(5000), 250.0))
    found = windows_of(micro_graphs, [flat, pair, pair])
    assert found[0].shape == (4, 2, 2500)
    return found


def test_static_ranges_keep_embeddings_and_the_door(
    micro_graphs: Path, tmp_path: Path, real: quantize_module.Windows
) -> None:
    shutil.copytree(micro_graphs, tmp_path / "m")
    assert {p.name for p in quantize(tmp_path / "m", real)} == {INT8_WEIGHTS, *map(int8_name, EMBEDDERS.values())}
    full, eight = OnnxBackend(tmp_path / "m", 1), OnnxBackend(tmp_path / "m", 1, int8=True)
    a, b = full.embed(*real), eight.embed(*real)
    assert 0 < np.abs(a - b).max() < 0.1 * np.abs(a).max()
    record = cardiofm.simulate(20, fs_ecg_hz=250, fs_ppg_hz=125, seed=6).record
    assert cardiofm.load(tmp_path / "m", backend="onnx-int8").embed(record).values.shape == (2, a.shape[1])


def test_static_writes_nothing_when_embeddings_differ(
    micro_graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: quantize_module.Windows
) -> None:
    shutil.copytree(micro_graphs, tmp_path / "m")
    before = {p.name for p in (tmp_path / "m").iterdir()}
    monkeypatch.setattr(quantize_module, "LEAST_COSINE", 1.1)
    with pytest.raises(CheckpointError, match="must keep a cosine of 1"):
        quantize(tmp_path / "m", real)
    with pytest.raises(CheckpointError, match="at least 2 real windows, found 1"):
        quantize(tmp_path / "m", (real[0][:1], real[1][:1], real[2][:1]))
    assert {p.name for p in (tmp_path / "m").iterdir()} == before


def test_no_windows_is_one_sentence(micro_graphs: Path) -> None:
    with pytest.raises(SignalError, match="need real windows, found none"):
        windows_of(micro_graphs, [])


@pytest.mark.shared
def test_real_windows_hold_both_signals(micro_graphs: Path, data_root: Path) -> None:
    x, visible, in_mv = real_windows(micro_graphs, data_root)
    assert len(x) == len(visible) == len(in_mv) > 20
    assert visible.any(-1).mean() > 0.9
    assert np.isfinite(x).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--to", "tflite"], "--to must be one of onnx, openvino, executorch, found 'tflite'"),
        (["--static"], "give --int8 too"),
        (["--to", "executorch", "--int8"], "written in full precision; leave out --int8"),
    ],
)
def test_wrong_options_are_one_sentence(micro_graphs: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["export", str(micro_graphs), *options])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


@pytest.mark.slow
def test_the_command_writes_static_graphs(micro: Path, tmp_path: Path) -> None:
    pytest.importorskip("ecgfeat")
    shutil.copytree(micro, tmp_path / "m", ignore=shutil.ignore_patterns("*.onnx"))
    result = CliRunner().invoke(app, ["export", str(tmp_path / "m"), "--int8", "--static"])
    assert result.exit_code == 0, result.output
    OnnxBackend(tmp_path / "m", 1, int8=True).embed(*example_windows(CardioFM.load(micro).config.spec, 2))
    assert b"QuantizeLinear" in (tmp_path / "m" / "embed.int8.onnx").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("to", "file"), [("openvino", "embed.xml"), ("executorch", "embed.pte")])
def test_other_targets_embed_as_torch_does(micro_graphs: Path, tmp_path: Path, to: str, file: str) -> None:
    shutil.copytree(micro_graphs, tmp_path / "m")
    result = CliRunner().invoke(app, ["export", str(tmp_path / "m"), "--to", to])
    if importlib.util.find_spec(to) is None:
        assert result.exit_code == 2
        assert f"pip install 'cardiofm[{to}]'" in " ".join(result.output.split())
        return
    assert result.exit_code == 0, result.output
    module = importlib.import_module(f"cardiofm.edge.{to}")
    arrays = example_windows(CardioFM.load(micro_graphs).config.spec, 2)
    mine, true = module.Embedder(tmp_path / "m" / file)(*arrays), OnnxBackend(micro_graphs, 1).embed(*arrays)
    assert np.abs(mine - true).max() < 0.01 * np.abs(true).max()


def test_intervals_are_compared_beat_by_beat() -> None:
    def found(r_s: list[float], qt_ms: list[float]) -> cardiofm.signals.Measurement:
        return cardiofm.signals.Measurement("x", {"r_peak_s": np.array(r_s), "qt_ms": np.array(qt_ms)}, {}, {}, {}, ())

    a = found([1.0, 2.0, 3.0, 4.0], [400.0, 410.0, np.nan, 390.0])
    b = found([1.01, 2.0, 3.0], [400.5, 415.0, 400.0])
    assert _apart([a], [b], "qt_ms") == {"qt_beats": 2, "qt_within": 0.5, "qt_largest_ms": 5.0, "qt_lone": 2}


def test_the_probe_is_the_projects_own(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    known = {"scp_codes": [], "age": 50.0, "sex": "F"}
    folds = [{"strat_fold": 1 + k % 9, "superclasses": [("NORM", "MI")[k // 2 % 2]]} for k in range(200)]
    entries = [
        Entry("ptb-xl", str(k), Path(), str(k // 2), "train", known | fold, pretrain=True)
        for k, fold in enumerate(folds)
    ]
    sick = np.array([e.labels["superclasses"] == ["MI"] for e in entries])
    nothing = np.zeros((2, 1), np.float32)
    windows = [Window(0.0, nothing, nothing > 0, np.ones(2, bool)) for _ in entries]
    cohort = Cohort("ptb-xl", entries, windows, np.arange(len(entries)), 3)
    told = (sick + draw.normal(size=len(sick)))[:, None]
    kinds: dict[Kind, NDArray[np.floating]] = {
        ("base", "fp32"): told,
        ("base", "int8"): draw.normal(size=told.shape),
        ("the mean", ""): 0 * told,
    }
    rows, (change,) = probed(cohort, kinds, tmp_path)
    full, eight, mean = (row["value"] for row in rows)
    assert full > 0.6
    assert mean == 0.5
    assert change["value"] == pytest.approx(eight - full, abs=1e-3)
    assert change["low"] < change["value"] < change["high"]
    assert rows[0]["refused"] == 3
    assert rows[0]["windows"] == sum(k % 9 == 8 for k in range(200))


def made_up() -> dict:
    """A result of two rounds in which base takes twice its limit and all else is as fast as it."""
    names = [("embed", BASE, p) for p in ("fp32", "int8", "int8 static")] + [("embed", TINY, "fp32")]
    names += [("encoder", n, "fp32") for n in (BASE, "PaPaGei-S-sized", "ECG-FM-sized")]
    times = {(*name, ORT): [20.0, 40.0] for name in names}
    times["embed", BASE, "int8", ORT] = [50.0, 100.0]
    started = [
        {"model": n, "backend": "onnx", "what": "embed", "peak_mib": 120.0, "times_empty": 3.5} for n in (BASE, TINY)
    ]
    return {"times": times, "started": started, "aims": aims(times, started, 50.0, {"encoder": 2.0, "embed": 1.4})}


def test_aims_are_met_or_missed_as_they_say() -> None:
    result = made_up()
    met = {one["aim"]: (one["wanted"], one["found"], one["met"]) for one in result["aims"]}
    assert met["encoder of base in fp32, times its arithmetic limit"] == ("at most 1.4", 2.0, False)
    assert met["embed of base in fp32, times its arithmetic limit"] == ("at most 1.4", 1.4, True)
    assert met["base in int8, times as fast as in fp32"] == ("at least 2.5", 2.5, True)
    assert met["tiny, times as fast as base"] == ("at least 10", 1.0, False)
    assert met["peak memory of tiny, MiB"] == ("at most 120", 120.0, True)
    assert met["base, start to the first embedding, times an empty start"][2] is False
    keys = ("embed", BASE, "int8", ORT), ("embed", BASE, "fp32", ORT)
    assert ratio(result["times"], *keys) == 2.5


def test_the_table_holds_every_aim_and_row() -> None:
    timing = {"what": "encoder", "model": "ECG-FM-sized", "precision": "fp32", "by": ORT}
    wave = {
        f"{w}_{k}": v
        for w in ("qt", "pat")
        for k, v in (("beats", 80), ("within", 0.975), ("largest_ms", 4.2), ("lone", 1))
    }
    auroc = {"model": "base", "precision": "bf16", "value": 0.9312, "low": 0.9, "high": 0.95}
    auroc |= {"patients": 120, "windows": 130, "refused": 2}
    process_row = {"model": BASE, "backend": "onnx-int8", "what": "embed", "peak_mib": 118.2, "processor_s": 0.51}
    result = {
        "limits": {"gflop_per_s": 250.1}, "rounds": 3, "hardware": "a core", "aims": made_up()["aims"],
        "costs": {"base": {"encoder": {"operations": 4_748_000_000}, "measure": {"operations": 1_700_000_000}}},
        "rows": [timing | {"ms": 250.0, "low": 240.0, "high": 260.0, "times_base": 8.1}],
        "others_million_parameters": {"ECG-FM-sized": 90.37}, "cosine": {}, "absent": ["executorch"],
        "processes": [process_row | {"wall_s": 0.6, "times_empty": 3.4}],
        "quality": [auroc | {"least_cosine": 0.99913} | wave,
                    auroc | {"model": "tiny", "precision": "fp32", "value": 0.9, "low": None, "least_cosine": 1.0},
                    auroc | {"model": "the mean", "precision": "", "value": 0.5, "low": 0.5, "high": 0.5}],
        "differences": [auroc | {"value": -0.0012, "low": -0.0031, "high": 0.0007}],
        "model": {"name": "base", "sha256": "0" * 64, "step": 3}, "command": "python benchmarks/edge.py",
    }  # fmt: skip
    text = "\n".join(edge(result))
    for part in (
        "base 4.75 GFLOP and 1.70 to measure",
        "| tiny, times as fast as base | at least 10 | 1 | **missed** |",
        "| encoder | ECG-FM-sized (90.4 M) | fp32 | ONNX Runtime | 250.0 (240.0, 260.0) | 8.10 |",
        "| base int8 embed | 118 | 0.51 | 3.4 |",
        "130 recordings of 120 patients, 2 windows refused",
        "| base | bf16 | 0.931 [0.900, 0.950] | -0.0012 [-0.0031, 0.0007] | 0.99913 | 97.5 % "
        "of 80; 1 lost or new | 4.2 | 97.5 % of 80; 1 lost or new | 4.2 |",
        "| tiny | fp32 | 0.900 | – | 1.00000 | – | – | – | – |",
        "| the mean | – | 0.500 [0.500, 0.500] | – | – | – | – | – | – |",
        "Not installed where this was run: executorch.",
    ):
        assert part in text


def test_a_process_of_its_own_is_measured(micro_graphs: Path) -> None:
    pair = cardiofm.simulate(10, fs_ecg_hz=250, fs_ppg_hz=125, seed=5).record
    empty, mine = process.processes(pair, {"micro": micro_graphs}, [("micro", "onnx", "embed")], 1)
    assert empty["times_empty"] == 1
    assert 10 < empty["peak_mib"] < mine["peak_mib"] < 250
    assert 0 < empty["processor_s"] < mine["processor_s"]
    assert 1 < process.installed_mb() < 200


def test_the_page_runs_and_names_commands_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "edge.md").read_text(encoding="utf-8")
    assert "docs/edge.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(block, "edge.md", "exec"), names)
    assert names["small"].shape == names["exact"].shape
    assert names["cosine"] > quantize_module.LEAST_COSINE
    commands = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    lines = "".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)).splitlines()
    for words in (shlex.split(line, comments=True) for line in lines if line.startswith("cardiofm")):
        assert words[1] in commands


def test_half_precision_is_near_and_not_the_same() -> None:
    from cardiofm.evaluate.edge.speed import bf16

    record = cardiofm.simulate(20, fs_ecg_hz=250, fs_ppg_hz=125, seed=2).record
    exact = cardiofm.load("tiny", backend="torch", threads=1)
    a, b = exact.embed(record).values, bf16(exact).embed(record).values
    assert b.dtype == np.float32
    assert not np.array_equal(a, b)
    assert ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min() > 0.995
