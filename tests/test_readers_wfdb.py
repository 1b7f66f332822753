"""WFDB records: segments, rates, gaps, long recordings, and headers that must be refused."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import wfdb

from cardiofm.data.readers import read
from cardiofm.data.readers import wfdb as reader
from cardiofm.signals import Record, Signal, SignalError

FS_HZ = 125.0


def _wave(n: int, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).integers(-5, 6, (n, 2)), axis=0) / 100.0


def _write(folder: Path, name: str, values: np.ndarray, names: list[str], units: list[str] | None = None) -> None:
    width = values.shape[1]
    wfdb.wrsamp(
        name, FS_HZ, units or ["mV"] * width, names, values, fmt=["16"] * width, adc_gain=[1000.0] * width,
        baseline=[0] * width, write_dir=str(folder),
    )  # fmt: skip


def _ecg(record: Record) -> Signal:
    assert record.ecg is not None
    return record.ecg


def test_fixed_layout_joins_segments_and_keeps_the_gap(tmp_path: Path) -> None:
    a, b = _wave(1000), _wave(700, 1)
    _write(tmp_path, "a", a, ["II", "PLETH"])
    _write(tmp_path, "b", b, ["II", "PLETH"])
    (tmp_path / "m.hea").write_text("m/3 2 125 2000\na 1000\n~ 300\nb 700\n")
    ecg = _ecg(read(tmp_path / "m.hea"))
    np.testing.assert_allclose(ecg.values, np.concatenate([a[:, 0], np.full(300, np.nan), b[:, 0]]), atol=6e-4)
    np.testing.assert_array_equal(ecg.samples[990:1310], ecg.values[990:1310])


def test_variable_layout_finds_channels_by_name(tmp_path: Path) -> None:
    """The shape of MIMIC's records; wfdb's own joining is the reference."""
    a, b = _wave(1000), _wave(700, 1)
    _write(tmp_path, "a", a, ["PLETH", "II"])
    _write(tmp_path, "b", b, ["II", "RESP"])
    layout = "lay 3 125 0\n~ 0 1000/mV 16 0 0 0 0 II\n~ 0 1000/mV 16 0 0 0 0 PLETH\n~ 0 1000/mV 16 0 0 0 0 RESP\n"
    (tmp_path / "lay.hea").write_text(layout)
    (tmp_path / "m.hea").write_text("m/4 3 125 2000\nlay 0\na 1000\n~ 300\nb 700\n")
    record = read(tmp_path / "m")
    expected = wfdb.rdrecord(str(tmp_path / "m"))
    assert isinstance(expected, wfdb.Record)
    assert expected.p_signal is not None
    assert record.ppg is not None
    np.testing.assert_allclose(_ecg(record).values, expected.p_signal[:, 0], atol=1e-6)
    np.testing.assert_allclose(record.ppg.values, expected.p_signal[:, 1], atol=1e-6)
    assert np.isnan(record.ppg.values[1000:]).all()


def test_channels_of_different_rates_and_any_slice(tmp_path: Path) -> None:
    ecg, ppg = _wave(4000)[:, 0], _wave(1000, 2)[:, 0]
    wfdb.Record(
        record_name="x", n_sig=2, fs=FS_HZ, sig_len=1000, samps_per_frame=[4, 1], fmt=["16", "16"],
        file_name=["x.dat", "x.dat"], adc_gain=[1000.0, 1000.0], baseline=[0, 0], units=["uV", "NU"], adc_res=[16, 16],
        adc_zero=[0, 0], init_value=[0, 0], checksum=[0, 0], block_size=[0, 0], sig_name=["ECG II", "Pleth"],
        e_d_signal=[np.rint(ecg * 1000).astype(int), np.rint(ppg * 1000).astype(int)], byte_offset=[None, None],
        skew=[None, None],
    ).wrsamp(expanded=True, write_dir=str(tmp_path))  # fmt: skip
    record = read(tmp_path / "x.dat")
    assert record.ppg is not None
    assert (_ecg(record).fs_hz, record.ppg.fs_hz, record.duration_s) == (500.0, 125.0, 8.0)
    np.testing.assert_allclose(_ecg(record).values, ecg / 1000.0, atol=1e-6)  # uV to mV
    np.testing.assert_allclose(record.ppg.values, ppg, atol=6e-4)
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, last = sorted(rng.integers(0, 4000, 2))
        fresh = _ecg(read(tmp_path / "x.dat"))
        np.testing.assert_array_equal(fresh.samples[first:last], _ecg(record).values[first:last])


def test_invalid_samples_are_nan(tmp_path: Path) -> None:
    values = _wave(500)
    values[100:150, 0] = np.nan
    _write(tmp_path, "x", values, ["II", "PLETH"])
    assert np.isnan(_ecg(read(tmp_path / "x")).values).nonzero()[0].tolist() == list(range(100, 150))


def test_digital_values_for_data_sets_with_a_wrong_gain(tmp_path: Path) -> None:
    values = _wave(500)
    values[:50] = np.nan
    _write(tmp_path, "x", values, ["II", "PLETH"])
    ecg = _ecg(reader.read(tmp_path / "x.hea", digital=True))
    assert ecg.unit == "adu"
    np.testing.assert_array_equal(ecg.values, np.rint(values[:, 0] * 1000))


@pytest.mark.shared
def test_digital_values_of_a_real_record(data_root: Path) -> None:
    path = data_root / "ludb/1.0.1/data/10.hea"
    expected = wfdb.rdrecord(str(path.with_suffix("")), physical=False, channel_names=["ii"]).d_signal[:, 0]  # type: ignore
    np.testing.assert_array_equal(_ecg(reader.read(path, digital=True)).values, expected)


@pytest.mark.shared
def test_a_flac_record_reads_the_same_in_pieces(data_root: Path) -> None:
    path = data_root / "mitdb/1.0.0/100"
    expected, _ = wfdb.rdsamp(str(path), channels=[0])
    ecg = pickle.loads(pickle.dumps(_ecg(read(path))))  # as sent to a worker
    pieces = [ecg.read(k, k + 10.0) for k in range(0, 1810, 10)]
    np.testing.assert_allclose(np.concatenate(pieces), np.asarray(expected)[:, 0], atol=1e-6)


def test_a_day_is_read_in_constant_memory(tmp_path: Path) -> None:
    n = 24 * 3600 * 125
    np.tile(np.arange(-500, 500, dtype="<i2"), n // 1000).tofile(tmp_path / "day.dat")
    (tmp_path / "day.hea").write_text(f"day 1 125 {n}\nday.dat 16 1000/mV 16 0 0 0 0 II\n")
    ecg = _ecg(read(tmp_path / "day.hea"))
    assert ecg.duration_s == 86_400.0
    tracemalloc.start()
    total = sum(float(ecg.read(k, k + 600.0).sum(dtype=np.float64)) for k in range(0, 86_400, 600))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == pytest.approx(-0.5 * n / 1000, abs=0.1)
    assert peak < 16e6


@pytest.mark.parametrize("name", ["../secret.dat", "/etc/passwd", "..\\secret.dat", "C:\\x.dat", "s3://bucket/x.dat"])
def test_a_header_that_points_outside_its_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.dat").write_bytes(bytes(4000))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "x.hea").write_text(f"x 1 125 1000\n{name} 16 1000/mV 16 0 0 0 0 II\n")
    with pytest.raises(SignalError, match=r"x\.hea must name files of its own folder.*refused"):
        read(folder / "x.hea")
    (folder / "m.hea").write_text(f"m/1 1 125 1000\n{name} 1000\n")
    with pytest.raises(SignalError, match=r"m\.hea must name files of its own folder.*refused"):
        read(folder / "m.hea")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must start with a WFDB record line"),
        ("# only a comment\n", "must start with a WFDB record line"),
        ("x two 125\nx.dat 16 200 16 0 0 0 0 II\n", "must describe the two channels that it states"),
        ("x 2 125 500\nx.dat 16 200 16 0 0 0 0 II\n", "must describe the 2 channels that it states, found 1"),
        ("x 1 125 500\nx.dat sixteen 200 16 0 0 0 0 II\n", "must be a whole WFDB file"),
        ("x 1 125 500\ny.dat 16 200 16 0 0 0 0 II\n", "must have its signal file y.dat beside it"),
        ("x 1 125 501\nx.dat 16 200 16 0 0 0 0 II\n", "must hold 1002 bytes .* found 1000: truncated"),
        ("x 1 10 500\nx.dat 16 200 16 0 0 0 0 II\n", "between 20 and 100000 Hz, found 10 Hz"),
        ("x 1\nx.dat 16 200 16 0 0 0 0 II\n", "states no sampling rate"),
        ("x 1 125 500\nx.dat 16 200 16 0 0 0 0 ABP\n", "must have an ECG or a PPG channel, found only ABP"),
        ("x 1\nx.dat 516 200 16 0 0 0 0 II\n", "must state how many samples its FLAC signal files hold"),
        ("x 1 125 0\nx.dat 16 200 16 0 0 0 0 II\n", "must hold"),
        ("m/1 1 125 500\nother 500\n", r"must have its segment other\.hea beside it"),
        ("m/1 1 125 500\nx 500\n", "must be a single segment"),
    ],
)
def test_a_wrong_header_gives_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    np.arange(500, dtype="<i2").tofile(tmp_path / "x.dat")
    (tmp_path / "x.hea").write_text(text)
    with pytest.raises(SignalError, match=sentence) as caught:
        read(tmp_path / "x.hea")
    assert "\n" not in str(caught.value)


@pytest.mark.shared
@pytest.mark.parametrize("keep", [2, 0.3, 0.97])
def test_a_truncated_real_record_gives_one_sentence(keep: float, data_root: Path, tmp_path: Path) -> None:
    for name in ("bidmc01.hea", "bidmc01.dat"):
        raw = (data_root / "bidmc/1.0.0" / name).read_bytes()
        (tmp_path / name).write_bytes(
            raw if name.endswith("hea") else raw[: int(keep if keep > 1 else keep * len(raw))]
        )
    with pytest.raises(SignalError, match=r"^bidmc01\.dat must"):
        read(tmp_path / "bidmc01.hea")


def test_a_header_without_gain_has_no_millivolts(tmp_path: Path) -> None:
    np.arange(500, dtype="<i2").tofile(tmp_path / "x.dat")
    for gain in ("", " 0", " 0/mV"):
        (tmp_path / "x.hea").write_text(f"x 1 125 500\nx.dat 16{gain}\n")
        assert read(tmp_path / "x.hea", ecg="1").present == ("ecg",)
        assert _ecg(read(tmp_path / "x.hea", ecg="1")).unit == "NU"
