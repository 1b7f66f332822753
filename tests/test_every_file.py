"""The whole way for one real file of every dataset and every format: read, analyse, table, page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from typer.testing import CliRunner

from cardiofm import pipeline
from cardiofm.cli import app
from cardiofm.data import catalog
from cardiofm.data.readers import read
from cardiofm.signals import Record, SignalError
from cardiofm.web import page
from cardiofm.web.summary import summary
from test_readers import WRITERS, Pair

pytestmark = pytest.mark.shared

# dataset → (file, what must be said to read it, channels that are found, a word of each note)
FILES: dict[str, tuple[str, dict[str, Any], dict[str, tuple[str, str, float]], tuple[str, ...]]] = {
    "bidmc": ("bidmc/1.0.0/bidmc01.hea", {}, {"ecg": ("II", "mV", 125), "ppg": ("PLETH", "NU", 125)}, ()),
    "bidmc (csv)": (
        "bidmc/1.0.0/bidmc_csv/bidmc_01_Signals.csv", {}, {"ecg": ("II", "NU", 125), "ppg": ("PLETH", "NU", 125)}, (),
    ),
    "challenge-2015": (
        "challenge-2015/1.0.0/training/a103l.hea", {}, {"ecg": ("II", "mV", 250), "ppg": ("PLETH", "NU", 250)}, (),
    ),
    "challenge-2017": (
        "challenge-2017/1.0.0/training/A00/A00002.hea", {}, {"ecg": ("ECG", "mV", 300)}, ("is not stated",),
    ),
    "ieee-spc-2015": (
        "ieee-spc-2015/Training_data/DATA_01_TYPE01.mat", {"ecg": "1", "ppg": "2", "fs_hz": 125.0},
        {"ecg": ("sig 1", "NU", 125), "ppg": ("sig 2", "NU", 125)}, ("is not stated",),
    ),
    "ludb": ("ludb/1.0.1/data/10.hea", {}, {"ecg": ("ii", "mV", 500)}, ()),
    "mitdb": ("mitdb/1.0.0/100.hea", {}, {"ecg": ("MLII", "mV", 360)}, ()),
    "nstdb": ("nstdb/1.0.0/bw.hea", {"ecg": "noise1"}, {"ecg": ("noise1", "mV", 360)}, ("is not stated",)),
    "ppg-bp": (
        "ppg-bp/1.0/0_subject/100_1.txt", {"ppg": "1", "fs_hz": 1000.0}, {"ppg": ("1", "NU", 1000)}, ("lasts 2.1 s",),
    ),
    "ptb-xl": ("ptb-xl/1.0.1/records500/00000/00001_hr.hea", {}, {"ecg": ("II", "mV", 500)}, ()),
    "qtdb": ("qtdb/1.0.0/sel100.hea", {}, {"ecg": ("MLII", "mV", 250)}, ()),
    "welltory": (
        "welltory/data/subject_01/PPG.csv", {}, {"ppg": ("R", "NU", 29)}, ("uneven clock", "camera's red"),
    ),
    "wrist": (
        "wrist/1.0.0/s2_walk.edf", {}, {"ecg": ("chest_ecg", "NU", 256), "ppg": ("wrist_ppg", "mV", 256)},
        ("is not stated", "unit is not trusted"),
    ),
}  # fmt: skip
UNREADABLE = {
    "ieee-spc-2015": (["ieee-spc-2015/Training_data/DATA_01_TYPE01.mat"], "name one with --ecg or --ppg"),
    "its rate": (["ieee-spc-2015/Training_data/DATA_01_TYPE01.mat", "--ppg", "2"], "give it in Hz with --fs"),
    "nstdb": (["nstdb/1.0.0/bw.hea"], "found only noise1, noise2; name one with --ecg"),
    "ppg-bp": (["ppg-bp/1.0/0_subject/100_1.txt"], "name one with --ecg or --ppg"),
    "qtdb": (["qtdb/1.0.0/sel40.hea"], "found 2 equally good (ECG1, ECG2)"),
    "labels": (["ludb/1.0.1/ludb.csv"], "must"),
    "table": (["ptb-xl/1.0.1/ptbxl_database.csv"], "must"),
}


@pytest.fixture(scope="module")
def model(micro: Path) -> pipeline.Model:
    return pipeline.load(micro, "torch")


@pytest.fixture(scope="module")
def pair(data_root: Path) -> Pair:
    """Ten seconds of a real record."""
    values, _ = wfdb.rdsamp(str(data_root / "bidmc/1.0.0/bidmc01"), sampto=1250, channel_names=["II", "PLETH"])
    assert values is not None
    return values[:, 0], values[:, 1], 125.0


def analysed(model: pipeline.Model, record: Record) -> dict[str, Any]:
    """The figures of up to 12 seconds from the middle of a record, each of them sensible, and the page shows them."""
    middle_s = (record.start_s + record.end_s) / 2
    analysis = model.analyze(record.crop(middle_s - 6, middle_s + 6))
    row = summary(analysis)
    text = page.report([analysis], "micro")
    for modality in record.present:
        figures = row[modality]
        assert figures is not None, f"{modality} was read and then lost"
        assert 0 <= figures["quality"] <= 1
        assert np.isfinite([figures["prd_percent"], figures["r"], figures["bits_per_s"]]).all()
        assert f"<td>{figures['channel']}</td>" in text
    return row


@pytest.mark.parametrize("dataset", FILES)
def test_a_real_file_of_every_dataset(dataset: str, model: pipeline.Model, data_root: Path) -> None:
    name, options, expected, notes = FILES[dataset]
    row = analysed(model, read(data_root / name, **options))
    found = {m: (row[m]["channel"], row[m]["unit"], row[m]["fs_hz"]) for m in ("ecg", "ppg") if row[m]}
    assert found == expected
    said = [note for note in row["notes"] if not note.startswith(("drawn by", "lead ")) and "window of" not in note]
    short = [note for note in row["notes"] if "window of" in note]
    for word in notes:
        assert sum(word in note for note in said + short) == 1, row["notes"]
    assert len(said) <= len(notes), said


@pytest.mark.parametrize("dataset", catalog.datasets())
def test_the_first_entry_of_every_dataset(dataset: str, model: pipeline.Model, data_root: Path) -> None:
    entry = catalog.entries(dataset, data_root)[0]
    row = analysed(model, catalog.load(entry, data_root))
    if row["ecg"] and dataset != "ieee-spc-2015":
        assert row["ecg"]["unit"] == "mV"


@pytest.mark.parametrize("form", WRITERS)
def test_a_real_record_in_every_format(form: str, model: pipeline.Model, pair: Pair, tmp_path: Path) -> None:
    row = analysed(model, read(WRITERS[form][0](tmp_path, pair)))
    assert (row["ecg"]["unit"], row["ecg"]["fs_hz"], row["ppg"]["fs_hz"]) == ("mV", 125.0, 125.0)
    assert row["duration_s"] == 10.0


def test_real_records_in_the_remaining_formats(model: pipeline.Model, pair: Pair, tmp_path: Path) -> None:
    """A bare NPY matrix, a multi-segment WFDB record with a gap, and channels of different rates."""
    np.save(tmp_path / "x.npy", np.c_[pair[0], pair[1]])
    row = analysed(model, read(tmp_path / "x.npy", ecg="1", ppg="2", fs_hz=125.0))
    assert (row["ecg"]["channel"], row["ppg"]["channel"]) == ("1", "2")
    WRITERS["wfdb-16"][0](tmp_path, pair)
    (tmp_path / "long.hea").write_text("long/3 2 125 3125\nx 1250\n~ 625\nx 1250\n")
    record = read(tmp_path / "long.hea")
    assert record.ecg is not None
    assert np.isnan(record.ecg.read(10.0, 15.0)).all()
    assert np.isfinite(record.ecg.read(15.0, 25.0)).all()
    analysed(model, record)
    frames = np.c_[pair[0].reshape(-1, 2), pair[1][::2]]
    digital = np.rint(frames * 10_000).astype("<i2")
    digital.tofile(tmp_path / "y.dat")
    head = "y 2 62.5 625\ny.dat 16x2 10000/mV 16 0 0 0 0 II\ny.dat 16 10000/NU 16 0 0 0 0 PLETH\n"
    (tmp_path / "y.hea").write_text(head)
    row = analysed(model, read(tmp_path / "y.hea"))
    assert (row["ecg"]["fs_hz"], row["ppg"]["fs_hz"]) == (125.0, 62.5)


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_that_says_too_little_gets_its_one_sentence(kind: str, micro: Path, data_root: Path) -> None:
    (name, *options), sentence = UNREADABLE[kind]
    words = ["analyze", str(data_root / name), *options, "--json", "--model", str(micro), "--backend", "torch"]
    result = CliRunner().invoke(app, words)
    (line,) = result.stderr.strip().splitlines()
    assert result.exit_code == 2
    assert sentence in line


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_real_file_is_refused(keep: float, data_root: Path, tmp_path: Path) -> None:
    for name in ("bidmc/1.0.0/bidmc01", "mitdb/1.0.0/100"):
        source = data_root / name
        (tmp_path / f"{source.name}.hea").write_bytes(source.with_suffix(".hea").read_bytes())
        raw = source.with_suffix(".dat").read_bytes()
        (tmp_path / f"{source.name}.dat").write_bytes(raw[: int(keep * len(raw))])
        with pytest.raises(SignalError, match=rf"^{source.name}\.\w+ must"):
            read(tmp_path / f"{source.name}.hea")
