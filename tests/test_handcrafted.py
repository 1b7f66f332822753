"""Hand-crafted numbers of a record: the windows of an embedding, the words of their page, the same by the command."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import cardiofm
from cardiofm import pipeline
from cardiofm.cli import app
from cardiofm.data import catalog
from cardiofm.data.write import write
from cardiofm.measure.features import MEANING, NAMES
from cardiofm.signals import Record, SignalError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pair() -> Record:
    return cardiofm.simulate(25, fs_ecg_hz=250, fs_ppg_hz=125, heart_rate_bpm=70, seed=3).record


def test_the_page_says_what_every_number_is() -> None:
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE)
    assert dict(rows) == MEANING
    assert [name for name, _ in rows] == list(NAMES)  # in the order of the columns


def test_windows_are_those_of_an_embedding(pair: Record, micro: Path) -> None:
    model = pipeline.load(micro, backend="torch", threads=1)
    for record in (pair, Record("ecg", pair.ecg), Record("ppg", ppg=pair.ppg)):
        for hop_s in (None, 4.0):
            found, embedded = cardiofm.features(record, hop_s), model.embed(record, hop_s)
            assert found.record == embedded.record
            np.testing.assert_array_equal(found.start_s, embedded.start_s)
            np.testing.assert_array_equal(found.present, embedded.present)
            np.testing.assert_array_equal(found.quality, embedded.quality)
            assert found.values.shape == (len(embedded), len(NAMES))


def test_numbers_are_of_their_window_and_channel(pair: Record) -> None:
    found = cardiofm.features(pair)
    at = {name: k for k, name in enumerate(found.names)}
    np.testing.assert_allclose(found.values[:2, at["ecg_rate_bpm"]], 70, atol=4)
    np.testing.assert_allclose(found.values[:2, at["ppg_rate_bpm"]], 70, atol=4)
    np.testing.assert_allclose(found.values[:, at["ecg_known"]], [1, 1, 0.5])  # the last window is half full
    assert pair.ecg is not None
    alone = cardiofm.features(Record("ecg", pair.ecg))
    assert np.isnan(alone.values[:, at["ppg_rate_bpm"]]).all()
    np.testing.assert_array_equal(alone.values[:, at["ecg_rate_bpm"]], found.values[:, at["ecg_rate_bpm"]])
    with pytest.raises(SignalError, match="must hold 1 s of signal"):
        cardiofm.features(Record.from_arrays(ecg=(np.zeros(2500), 250.0)))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_the_command_writes_what_the_function_gives(pair: Record, tmp_path: Path, suffix: str) -> None:
    write(pair, tmp_path / "pair.parquet")
    write(Record("bare", pair.ecg), tmp_path / "bare.parquet")
    (tmp_path / "broken.edf").write_bytes(b"no recording")
    out = tmp_path / f"f{suffix}"
    words = [*(str(tmp_path / name) for name in ("pair.parquet", "broken.edf", "bare.parquet")), "-o", str(out)]
    result = CliRunner().invoke(app, ["features", *words])
    assert result.exit_code == 2, result.output  # one could not be read; the others are there
    assert "broken.edf" in result.stderr
    assert "6 windows" in result.stdout
    table = pq.read_table(out) if suffix == ".parquet" else pyarrow.csv.read_csv(out)
    lead = ["record", "start_s", "has_ecg", "has_ppg", "quality_ecg", "quality_ppg"]
    assert table.column_names == [*lead, *NAMES]
    columns = table.to_pydict()
    assert columns["record"] == ["pair"] * 3 + ["bare"] * 3
    expected = cardiofm.features(cardiofm.read(tmp_path / "pair.parquet"))
    for name, values in zip(NAMES, expected.values.T, strict=True):
        got = np.array([np.nan if v is None else v for v in columns[name][:3]], np.float64)
        np.testing.assert_allclose(got, values, rtol=1e-6)
    assert columns["ppg_rate_bpm"][3:] == [None] * 3


def test_the_command_refuses_a_wrong_name_first(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["features", "nowhere.hea", "-o", str(tmp_path / "f.xlsx")])
    assert result.exit_code == 2
    assert "must end in .parquet or .csv" in result.stderr


@pytest.mark.shared
def test_real_pairs_agree_on_the_rate(data_root: Path) -> None:
    """Two monitors' recordings: the rate of the ECG is that of the PPG, and the pulse comes after the R peak."""
    for entry in catalog.entries("bidmc", data_root)[:2]:
        record = catalog.load(entry, data_root)
        found = cardiofm.features(record.crop(record.start_s, record.start_s + 60))
        at = {name: found.values[:, k] for k, name in enumerate(found.names)}
        assert len(found) == 6
        assert np.nanmedian(at["rate_gap_bpm"]) < 1
        assert 0.05 < np.nanmedian(at["pat_s"]) < 1.3
