"""The heads of this package: small, whole, of the released encoder, believable on recordings of another archive."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cardiofm import heads, simulate, weights
from cardiofm.cli import app
from cardiofm.data import catalog
from cardiofm.data.readers import read
from cardiofm.heads.look import encoder_hash
from cardiofm.pipeline import Model, load
from cardiofm.signals import CheckpointError, SignalError

SIX_MIN_AF, SINUS = ("219", "221"), ("100", "113")  # of mitdb, which no head was made of


@pytest.fixture(scope="module")
def base() -> Model:
    return load("base", threads=1)


def test_they_are_those_that_the_card_names_and_small() -> None:
    assert weights.heads() == ("af", "age", "alarm", "sex", "superclass")
    assert sum(p.stat().st_size for p in weights.HEADS.rglob("*")) < 3e6


@pytest.mark.parametrize("name", weights.heads())
def test_a_head_says_what_it_is(name: str, base: Model) -> None:
    about = heads.load(name).about
    assert about.name == name
    assert about.encoder_sha256 == encoder_hash(base), (
        "made for another encoder: python -m cardiofm.heads.learn.release"
    )
    assert about.provenance["data"]["licence"] == catalog.about(about.provenance["data"]["name"]).licence
    assert about.report["scored_on"] == "test"
    for metric, by in about.report["scores"].items():
        if metric in ("AUROC", "macro-AUROC"):
            assert by["head"]["value"] > max(by["constant"]["value"], 0.7)
        if metric == "MAE":
            assert by["head"]["value"] < by["constant"]["value"]
        if metric == "share within low to high":
            assert by["head"]["low"] < 0.9 < by["head"]["high"]
    record = simulate(10, fs_ecg_hz=250, fs_ppg_hz=125, seed=1).record
    found = heads.load(name).predict(record, base)
    if about.kind == "classification":
        assert sum(found.probability.values()) == pytest.approx(1)
    alone = replace(record, ppg=None)
    if "ppg" not in about.view.uses:
        assert heads.load(name).predict(alone, base) == found  # what it never saw changes nothing
    with pytest.raises(SignalError, match="must have ECG"):
        heads.load(name).predict(replace(record, ecg=None), base)


@pytest.mark.shared
def test_atrial_fibrillation_of_another_archive(base: Model, data_root: Path) -> None:
    entries = {e.record: e for e in catalog.entries("mitdb", data_root)}
    head = heads.load("af")
    chance = {
        name: head.predict(catalog.load(entries[name], data_root).crop(360, 390), base).probability["AF"]
        for name in (*SIX_MIN_AF, *SINUS)
    }
    assert min(chance[name] for name in SIX_MIN_AF) > 2 * max(chance[name] for name in SINUS)


@pytest.mark.shared
def test_the_command_line_on_an_alarm(data_root: Path) -> None:
    entry = next(
        e for e in catalog.entries("challenge-2015", data_root) if e.split == "test" and e.labels["true_alarm"]
    )
    path = data_root / entry.path
    result = CliRunner().invoke(app, ["predict", str(path), "--head", "alarm", "--end", "300", "--json"])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.output)
    assert row["windows"] == 4
    direct = heads.load("alarm").predict(read(path).crop(260, 300), load("base")).probability["true"]
    np.testing.assert_allclose(row["probability_true"], direct, atol=1e-6)
    result = CliRunner().invoke(app, ["predict", str(path), "--head", "alarm"])
    assert "judged by the end of each recording; --end says" in result.stderr
    assert "Given from a probability of: true 0.17" in " ".join(result.stdout.split())


def test_a_folder_that_is_no_head_is_named_with_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"of a head, lacks head\.json and head\.safetensors; name"):
        heads.load(tmp_path)
    (tmp_path / "head.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"lacks head\.safetensors;"):
        heads.load(tmp_path)
