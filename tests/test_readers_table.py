"""Text and Parquet tables: separators, headers, units, clocks even and uneven."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cardiofm.data.readers import clock, read
from cardiofm.signals import Record, SignalError

N = 400
T = np.arange(N) / 100.0
ECG, PPG = np.round(np.sin(9 * T), 4), np.round(np.cos(7 * T), 4)


def _rows(times: list[str], separator: str = ",", comma: bool = False) -> str:
    text = "\n".join(separator.join((t, f"{e:.4f}", f"{p:.4f}")) for t, e, p in zip(times, ECG, PPG, strict=True))
    return (text.replace(".", ",") if comma else text) + "\n"


def _seconds(scale: float = 1.0, start: float = 0.0) -> list[str]:
    return [f"{start + t * scale:.12g}" for t in T]


def _read(tmp_path: Path, text: str, name: str = "x.csv", **given: float | str) -> Record:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read(tmp_path / name, **given)  # type: ignore[arg-type]


CLOCKS = [
    f"2026-03-01T23:59:58.{i * 10:03d}" if i < 100 else f"2026-03-01 23:59:59.{(i - 100) * 10:03d}" for i in range(200)
]
CLOCKS += [f"2026-03-02 00:00:0{i // 100}.{i % 100 * 10:03d}" for i in range(200)]


@pytest.mark.parametrize(
    "text",
    [
        "Time [s], II, PLETH\n" + _rows(_seconds(), ", "),
        "time,II,PLETH\n" + _rows(_seconds(1000)),
        "timestamp;II;PLETH\n" + _rows(_seconds(1000, 1.7e12), ";"),
        "timestamp,II,PLETH\n" + _rows(_seconds(1e6)),
        "# made by hand\n# in a cellar\n\ntime (ms)\tII (mV)\tPLETH\n" + _rows(_seconds(1000), "\t"),
        "Zeit\ntime_s;II;PLETH\n" + _rows(_seconds(), ";", comma=True),
        "'Elapsed time','II','PLETH'\n'seconds','mV','NU'\n" + _rows(_seconds()),
        '"time","II","PLETH"\n' + _rows([f'"{t}"' for t in _seconds()]),
        "  t   II   PLETH\n" + _rows(_seconds(), "   "),
        "\ufefftime,II,PLETH\r\n" + _rows(_seconds()).replace("\n", "\r\n"),
        "date,II,PLETH\n" + _rows(CLOCKS),
        "date,II,PLETH\n" + _rows([c[11:] for c in CLOCKS]),
        "time,II,PLETH,\n" + _rows(_seconds()).replace("\n", ",\n"),
        "time,label,II,PLETH\n" + "".join(f"{t},walk,{e},{p}\n" for t, e, p in zip(T, ECG, PPG, strict=True)),
    ],
)
def test_form_is_found_by_looking(text: str, tmp_path: Path) -> None:
    record = _read(tmp_path, text)
    assert record.ecg is not None
    assert record.ppg is not None
    assert (record.ecg.fs_hz, record.ppg.fs_hz, record.ecg.start_s) == (100.0, 100.0, 0.0)
    np.testing.assert_allclose(record.ecg.values, ECG, atol=1e-6)
    np.testing.assert_allclose(record.ppg.values, PPG, atol=1e-6)


def test_empty_cells_stay_empty(tmp_path: Path) -> None:
    lines = ("time_s,II,PLETH\n" + _rows(_seconds())).splitlines()
    words = ("", "NaN", "nan", "NA", "-", "null", " ", "  NaN ")
    for k, word in zip(range(50, 58), words, strict=True):
        lines[k + 1] = f"{T[k]:g},{word},{PPG[k]} "
    for separator in (",", ";", "\t"):
        record = _read(tmp_path, "\n".join(lines).replace(",", separator))
        assert record.ecg is not None
        assert np.isnan(record.ecg.values).nonzero()[0].tolist() == list(range(50, 58))


def test_a_micro_sign_of_one_byte_is_understood(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(
        ("time_s,II (µV)\n" + "".join(f"{k / 100},{k}\n" for k in range(50))).encode("latin-1")
    )
    record = read(tmp_path / "x.csv")
    assert record.ecg is not None
    assert record.ecg.unit == "mV"
    assert record.ecg.values[40] == pytest.approx(0.04)


def test_without_a_header_numbers_name_the_columns(tmp_path: Path) -> None:
    record = _read(tmp_path, _rows(_seconds()), ecg="2", ppg="3")
    assert record.ppg is not None
    assert record.ppg.fs_hz == 100.0
    np.testing.assert_allclose(record.ppg.values, PPG, atol=1e-6)
    with pytest.raises(SignalError, match="--fs"):
        _read(tmp_path, _rows([str(k) for k in range(N)]), ecg="2")


def test_samples_counted_in_a_column_are_no_clock(tmp_path: Path) -> None:
    text = "sample,II,PLETH\n" + _rows([str(k) for k in range(N)])
    with pytest.raises(SignalError, match="--fs"):
        _read(tmp_path, text)
    record = _read(tmp_path, text, fs_hz=100.0)
    assert record.duration_s == 4.0
    with pytest.raises(SignalError, match="samples or ms"):
        _read(tmp_path, text.replace("sample", "time"))
    record = _read(tmp_path, text.replace("sample", "time"), fs_hz=100.0)
    assert record.notes == ("time column 'time' not used: the rate was given",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("time,II\n" + "".join(f"{k},0.5\n" for k in (0.0, 0.01, 0.02, 0.015, 0.03)), "must increase, found 0.015"),
        ("time,II\nhello,world\n", "must hold rows of numbers"),
        ("time,II\n0.0,1\n0.01,2\n0.02,3\n0.03\n", r"^x\.csv must be a whole CSV file"),
        ("time_s,II\n" + "".join(f"{k / 10},{k % 7}\n" for k in range(50)), "found 10 Hz"),
        ("time,II\n" + "x1y,0.5\n" * 50, "must hold rows of numbers"),
        ("time,II,PLETH\n" + "noon,0.5,1\n" * 50, "time column 'time' must hold numbers or dates, found 'noon'"),
        ("time_s,RESP\n" + "".join(f"{k / 100},{k}\n" for k in range(50)), "found only RESP"),
        ("time_s,II\n" + "".join(f"{k / 100},0.25\n" for k in range(50)), "found the constant value 0.25"),
        ("time_s,II\n" + "".join(f"{k / 100},\n" for k in range(50)), "found no sample at all"),
        ("time_s,II\n" + "".join(f"{k / 100},{k}\n" for k in range(150)) + "1.5,oops\n", "must be a whole CSV file"),
    ],
)
def test_a_bad_table_gives_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(SignalError, match=sentence) as caught:
        _read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_an_uneven_clock_becomes_even_and_its_gap_stays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    t = np.cumsum(np.round(rng.normal(33.3, 3.0, 900)))
    t[500:] += 5000.0
    values = np.sin(2 * np.pi * 1.1 * t / 1000.0)
    record = _read(tmp_path, "time,ppg\n" + "".join(f"{a:g},{b:.6f}\n" for a, b in zip(t, values, strict=True)))
    assert record.ppg is not None
    assert record.ppg.fs_hz == 30.0
    assert record.notes == ("uneven clock (x.csv, time column 'time'): interpolated to 30 Hz, gaps left empty: 1",)
    out = record.ppg.values
    at_ms = 1000.0 * (record.ppg.start_s + np.arange(len(out)) / 30.0)
    inside = (at_ms > t[499] + 1) & (at_ms < t[500] - 1)
    assert np.isnan(out[inside]).all()
    np.testing.assert_allclose(out[~inside], np.sin(2 * np.pi * 1.1 * at_ms[~inside] / 1000.0), atol=0.02)


def test_clocks_rounded_to_milliseconds_are_even() -> None:
    for fs_hz in (360.0, 256.0, 62.5, 500.0, 1000.0):
        t = np.round(np.arange(20_000) / fs_hz, 3)
        found = clock.from_times("x", t, 1.0)
        assert found.fs_hz == fs_hz
        assert found.times_s is None


def test_a_gap_in_an_even_clock_keeps_samples_and_rate() -> None:
    t = np.concatenate([np.arange(1000), np.arange(1500, 2500)]) / 360.0
    found = clock.from_times("x", np.round(t, 3), 1.0)
    out = found.even(np.arange(2000.0))
    assert found.fs_hz == 360.0
    assert len(out) == 2500
    np.testing.assert_allclose(out[:1000], np.arange(1000), atol=0.25)  # ms stamps: a fifth of a step
    assert np.isnan(out[1001:1499]).all()


@pytest.mark.shared
def test_a_phone_camera(data_root: Path) -> None:
    """Times in ms, frames of 27-45 ms, some lost for good: the real clock is kept."""
    path = data_root / "welltory/data/subject_01/PPG.csv"
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    record = read(path)
    assert record.ppg is not None
    assert record.ppg.name == "R"
    assert record.ppg.fs_hz == round(1000.0 / np.median(np.diff(table[:, 0])))
    assert record.duration_s == pytest.approx((table[-1, 0] - table[0, 0]) / 1000.0, abs=0.1)
    at_ms = 1000.0 * np.arange(len(record.ppg.samples)) / record.ppg.fs_hz
    valid = np.isfinite(record.ppg.values)
    lost = np.diff(table[:, 0]).clip(0)
    assert (~valid).sum() / record.ppg.fs_hz == pytest.approx(lost[lost > 100].sum() / 1000.0, abs=1.0)
    expected = np.interp(at_ms, table[:, 0], table[:, 1])
    np.testing.assert_allclose(record.ppg.values[valid], expected[valid], rtol=1e-5)


@pytest.mark.shared
def test_time_stamps_coarser_than_the_rate(data_root: Path) -> None:
    """After 100 s the archive's own CSV writes times to 10 ms at 125 Hz: pairs of rows share a time."""
    record = read(data_root / "bidmc/1.0.0/bidmc_csv/bidmc_01_Signals.csv")
    reference = read(data_root / "bidmc/1.0.0/bidmc01.hea")
    assert record.ecg is not None
    assert reference.ecg is not None
    assert (record.ecg.name, record.ecg.fs_hz, record.notes) == ("II", 125.0, ())
    np.testing.assert_allclose(record.ecg.values, reference.ecg.values[: len(record.ecg.samples)], atol=3e-4)


def test_parquet_metadata_time_stamps_gaps_and_slices(tmp_path: Path) -> None:
    ecg = pa.array([None if 50 <= k < 60 else float(v) for k, v in enumerate(ECG)])
    plain = pa.table({"II": ecg, "PLETH": PPG, "label": ["a"] * N})
    fields = [plain.schema.field("II").with_metadata({"unit": "uV", "fs_hz": "200", "start_s": "1.5"})]
    fields += [plain.schema.field("PLETH"), plain.schema.field("label")]
    pq.write_table(plain.cast(pa.schema(fields, {"fs_hz": "100"})), tmp_path / "x.parquet", row_group_size=64)
    record = read(tmp_path / "x.parquet")
    assert record.ecg is not None
    assert record.ppg is not None
    assert (record.ecg.fs_hz, record.ecg.start_s, record.ecg.unit, record.ppg.fs_hz) == (200.0, 1.5, "mV", 100.0)
    assert np.isnan(record.ecg.values[50:60]).all()
    np.testing.assert_allclose(record.ecg.values[60:], ECG[60:] / 1000.0, rtol=1e-5)
    np.testing.assert_allclose(read(tmp_path / "x.parquet").ppg.samples[60:200], PPG[60:200], rtol=1e-6)  # type: ignore
    stamps = pa.array((np.datetime64("2026-03-01T12:00:00") + (T * 1000).astype("timedelta64[ms]")).tolist())
    pq.write_table(pa.table({"timestamp": stamps, "PLETH": PPG}), tmp_path / "y.parquet")
    record = read(tmp_path / "y.parquet")
    assert record.ppg is not None
    assert (record.ppg.fs_hz, record.ppg.start_s) == (100.0, 0.0)
    pq.write_table(pa.table({"PLETH": PPG}), tmp_path / "z.parquet")
    with pytest.raises(SignalError, match="--fs"):
        read(tmp_path / "z.parquet")


def test_times_that_may_be_slow_seconds_or_fast_milliseconds_are_asked_about() -> None:
    with pytest.raises(SignalError, match="10 Hz in s or 10000 Hz in a smaller unit; give the rate with --fs"):
        clock.from_times("time", np.arange(600) * 0.1, None)
    assert clock.from_times("time", np.arange(600) * 4.0, None).fs_hz == 250
    assert clock.from_times("time", np.arange(600) * 0.1, 1e-3).fs_hz == 10_000
