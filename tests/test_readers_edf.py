"""EDF and BDF: the same numbers as edflib, gaps of discontinuous files, headers that must be refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyedflib
import pytest

from cardiofm.data.readers import read
from cardiofm.signals import SignalError


def _write(path: Path, onsets_s: list[float], reserved: str = "EDF+D", **wrong: str) -> np.ndarray:
    """An EDF+ file, by hand from its specification: one-second records of II (100 Hz, uV) and PLETH (50 Hz)."""
    counts, labels = (100, 50, 15), ("II", "PLETH", "EDF Annotations")
    head = {"records": f"{len(onsets_s)}", "duration": "1", "signals": "3"} | wrong
    text = f"{'0':8}{'X X X X':80}{'Startdate X X X X':80}01.01.0112.00.00{256 * 4:<8}{reserved:44}"
    text += f"{head['records']:8}{head['duration']:8}{head['signals']:4}"
    columns = [(16, labels), (80, ("",) * 3), (8, ("uV", "", "")), (8, ("-3276.8", "-1", "-1"))]
    columns += [(8, ("3276.7", "1", "1")), (8, ("-32768",) * 3), (8, ("32767",) * 3), (80, ("",) * 3)]
    columns += [(8, tuple(str(c) for c in counts)), (32, ("",) * 3)]
    text += "".join(f"{cell:{width}}" for width, cells in columns for cell in cells)
    values = np.random.default_rng(0).integers(-3000, 3000, (len(onsets_s), 150)).astype("<i2")
    with path.open("wb") as file:
        file.write(text.encode())
        for onset_s, row in zip(onsets_s, values, strict=True):
            file.write(row.tobytes() + f"+{onset_s:g}\x14\x14\0".encode().ljust(30, b"\0"))
    return values


def test_gaps_of_a_discontinuous_file_are_nan(tmp_path: Path) -> None:
    values = _write(tmp_path / "x.edf", [0, 1, 4.5, 5.5])
    record = read(tmp_path / "x.edf")
    assert record.ecg is not None
    assert record.ppg is not None
    expected = np.full(650, np.nan)
    for k, first in enumerate((0, 100, 450, 550)):
        expected[first : first + 100] = values[k, :100] / 10_000.0  # 0.1 uV per step
    np.testing.assert_allclose(record.ecg.values, expected, atol=1e-6)
    assert (record.ecg.duration_s, record.ppg.duration_s) == (6.5, 6.5)
    for first, last in ((0, 10), (150, 460), (210, 440), (440, 650), (649, 650)):
        fresh = read(tmp_path / "x.edf").ecg
        assert fresh is not None
        np.testing.assert_allclose(fresh.samples[first:last], expected[first:last], atol=1e-6)


def test_the_same_file_marked_continuous_agrees_with_edflib(tmp_path: Path) -> None:
    _write(tmp_path / "x.edf", [0, 1, 2, 3], "EDF+C")
    record = read(tmp_path / "x.edf")
    assert record.ecg is not None
    with pyedflib.EdfReader(str(tmp_path / "x.edf")) as reference:
        np.testing.assert_allclose(record.ecg.values, reference.readSignal(0) / 1000.0, atol=1e-6)


@pytest.mark.shared
def test_a_real_file_agrees_with_edflib(data_root: Path) -> None:
    path = data_root / "wrist/1.0.0/s2_walk.edf"
    record = read(path)
    with pyedflib.EdfReader(str(path)) as reference:
        for signal, index in ((record.ecg, 0), (record.ppg, 1)):
            assert signal is not None
            assert signal.fs_hz == 256.0
            np.testing.assert_allclose(signal.values, reference.readSignal(index), rtol=1e-5, atol=1e-6)
            expected = reference.readSignal(index, 2560, 256)
            np.testing.assert_allclose(signal.read(10.0, 11.0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"records": "9"}, r"must hold \d+ bytes for its 9 data records, found \d+: truncated"),
        ({"records": "many"}, "must be a whole EDF file"),
        ({"signals": "0"}, "must hold signals"),
        ({"signals": "99"}, "header of 25600 bytes"),
        ({"duration": "0"}, "must have an ECG or a PPG"),
        ({"duration": "10"}, "between 20 and 100000 Hz, found 10 Hz"),
    ],
)
def test_a_wrong_header_gives_one_sentence(wrong: dict[str, str], sentence: str, tmp_path: Path) -> None:
    _write(tmp_path / "x.edf", [0, 1, 2], "EDF+C", **wrong)
    with pytest.raises(SignalError, match=sentence):
        read(tmp_path / "x.edf")


def test_data_records_that_overlap_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "x.edf", [0, 1, 1.5])
    with pytest.raises(SignalError, match="follow each other"):
        read(tmp_path / "x.edf")


@pytest.mark.shared
@pytest.mark.parametrize("keep", [100, 600, 0.5, -200])
def test_a_truncated_real_edf_gives_one_sentence(keep: float, data_root: Path, tmp_path: Path) -> None:
    raw = (data_root / "wrist/1.0.0/s2_walk.edf").read_bytes()
    path = tmp_path / "walk.edf"
    path.write_bytes(raw[: int(keep * len(raw)) if isinstance(keep, float) else keep])
    with pytest.raises(SignalError, match=r"^walk\.edf must"):
        read(path)
