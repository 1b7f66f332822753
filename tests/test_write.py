"""What is written is read back: values, rates, units, start times, polarity, notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cardiofm.data import catalog
from cardiofm.data.readers import channels, read
from cardiofm.data.simulate import simulate
from cardiofm.data.write import write
from cardiofm.signals import Record, Signal, SignalError

FORMATS = (".hea", ".parquet", ".npz", ".csv")
SEVERAL_RATES = (".hea", ".parquet", ".npz")


def record(fs_ecg_hz: float = 250, fs_ppg_hz: float = 250, seconds: float = 20) -> Record:
    return simulate(seconds, fs_ecg_hz=fs_ecg_hz, fs_ppg_hz=fs_ppg_hz, seed=7, ecg_noise_mv=0.02, ppg_noise=0.02).record


def samples(signal: Signal | None) -> np.ndarray:
    """The values without the empty cells that a table may have at either end."""
    assert signal is not None
    there = np.flatnonzero(np.isfinite(signal.values))
    return signal.values[there[0] : there[-1] + 1]


def first_s(signal: Signal | None) -> float:
    assert signal is not None
    return signal.start_s + float(np.flatnonzero(np.isfinite(signal.values))[0]) / signal.fs_hz


def assert_same(again: Record, original: Record, suffix: str) -> None:
    """Parquet and NPZ keep each channel as it is; WFDB and CSV have one clock and fill what is shorter with NaN."""
    assert again.present == original.present
    own_clocks = suffix in (".parquet", ".npz")
    for modality in original.present:
        a, b = again.signal(modality), original.signal(modality)
        assert a is not None
        assert b is not None
        assert a.fs_hz == pytest.approx(b.fs_hz, rel=1e-9)
        assert a.unit == b.unit
        assert first_s(a) == pytest.approx(first_s(b), abs=1e-6)
        if own_clocks:
            assert a.start_s == b.start_s
            assert len(a.samples) == len(b.samples)
        x, y = (a.values, b.values) if own_clocks else (samples(a), samples(b))
        assert len(x) == len(y)
        np.testing.assert_array_equal(np.isnan(x), np.isnan(y))
        assert np.nanmax(np.abs(x - y)) < 1e-4 * np.ptp(y[np.isfinite(y)])
    longest_frame_s = {".hea": 1.0, ".csv": 1e-6}.get(suffix, 0.0)
    assert original.end_s <= again.end_s + 1e-6
    assert again.end_s <= original.end_s + longest_frame_s


@pytest.mark.parametrize("suffix", FORMATS)
def test_both_channels_at_one_rate(suffix: str, tmp_path: Path) -> None:
    original = record()
    write(original, tmp_path / f"out{suffix}")
    again = read(tmp_path / f"out{suffix}")
    assert_same(again, original, suffix)
    assert again.ecg is not None
    assert again.ppg is not None
    assert (again.ecg.name, again.ppg.name) == ("II", "PLETH")


@pytest.mark.parametrize("suffix", SEVERAL_RATES)
@pytest.mark.parametrize("rates", [(500, 125), (125, 500), (500, 64), (360, 62.5)], ids=str)
def test_channels_of_different_rates(suffix: str, rates: tuple[float, float], tmp_path: Path) -> None:
    original = record(*rates)
    write(original, tmp_path / f"out{suffix}")
    assert_same(read(tmp_path / f"out{suffix}"), original, suffix)


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_rates_without_a_common_frame(suffix: str, tmp_path: Path) -> None:
    original = record(256, 30.015)
    write(original, tmp_path / f"out{suffix}")
    assert_same(read(tmp_path / f"out{suffix}"), original, suffix)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("modality", ["ecg", "ppg"])
def test_one_channel_alone(suffix: str, modality: str, tmp_path: Path) -> None:
    original = replace(record(360, 360), **{"ppg" if modality == "ecg" else "ecg": None})
    write(original, tmp_path / f"out{suffix}")
    assert_same(read(tmp_path / f"out{suffix}"), original, suffix)


@pytest.mark.parametrize("suffix", FORMATS)
def test_gaps_stay_gaps_and_starts_differ(suffix: str, tmp_path: Path) -> None:
    base = record()
    assert base.ecg is not None
    assert base.ppg is not None
    ecg = base.ecg.values.copy()
    ecg[1000:1500] = np.nan
    original = replace(
        base,
        ecg=replace(base.ecg, samples=ecg, start_s=2.0),
        ppg=replace(base.ppg, samples=base.ppg.values[:3000], start_s=3.5),
    )
    write(original, tmp_path / f"out{suffix}")
    assert_same(read(tmp_path / f"out{suffix}"), original, suffix)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("ecg_name", "ppg_name", "inverted"),
    [
        ("MLII", "PPG", False),
        ("aVR", "R", True),
        ("aVR", "R", False),
        ("-aVR", "R", False),
        ("-II", "BVP", True),
        ("3", "7", False),
        ("V", "wrist_ppg", False),
        ("", "", False),
        ("ECG (raw), mV", "a/b", False),
    ],
)
def test_any_name_is_found_again_the_same_way_up(
    suffix: str, ecg_name: str, ppg_name: str, inverted: bool, tmp_path: Path
) -> None:
    base = record()
    assert base.ecg is not None
    assert base.ppg is not None
    ecg = replace(base.ecg, name=ecg_name, inverted=inverted)
    original = replace(base, ecg=ecg, ppg=replace(base.ppg, name=ppg_name, inverted=inverted))
    write(original, tmp_path / f"out{suffix}")
    assert_same(read(tmp_path / f"out{suffix}"), original, suffix)


def test_wfdb_is_read_by_the_reference_library_with_its_checksums(tmp_path: Path) -> None:
    import wfdb

    original = record(500, 125, 30)
    write(original, tmp_path / "out.hea")
    raw = wfdb.rdrecord(str(tmp_path / "out"), physical=False, smooth_frames=False)
    assert isinstance(raw, wfdb.Record)
    assert raw.checksum is not None
    assert raw.adc_gain is not None
    assert raw.calc_checksum(expanded=True) == [c % 65536 for c in raw.checksum]
    assert raw.comments == ["note: simulated"]
    assert raw.samps_per_frame == [4, 1]
    assert original.ecg is not None
    spread = np.ptp(original.ecg.values)
    assert 1 / raw.adc_gain[0] < 1e-4 * spread


@pytest.mark.parametrize("suffix", [".hea", ".parquet", ".npz"])
@pytest.mark.parametrize(
    "notes",
    [("simulated",), (), ("its mV are µV: divided by 1000", "a; b\n# c", "drawn by the model 'x' from tokens")],
    ids=len,
)
def test_notes_are_read_back_one_by_one(suffix: str, notes: tuple[str, ...], tmp_path: Path) -> None:
    original = replace(record(500, 125, 5), notes=notes)
    write(original, tmp_path / f"out{suffix}")
    again = read(tmp_path / f"out{suffix}")
    assert [" ".join(note.split()) for note in again.notes] == [" ".join(note.split()) for note in notes]
    assert_same(again, original, suffix)
    write(again, tmp_path / f"again{suffix}")
    assert read(tmp_path / f"again{suffix}").notes == again.notes


def test_other_comments_of_a_header_are_no_notes(tmp_path: Path) -> None:
    write(record(), tmp_path / "out.hea")
    with (tmp_path / "out.hea").open("a") as file:
        file.write("# 69 M 1085 1629 x1\n# Note the artefact\n#note: moved\n# note:\n")
    assert read(tmp_path / "out.hea").notes == ("simulated", "moved")


def test_a_small_pulse_on_a_large_offset_keeps_its_shape(tmp_path: Path) -> None:
    base = record()
    assert base.ppg is not None
    original = Record("x", ppg=replace(base.ppg, samples=base.ppg.values + 2400))
    write(original, tmp_path / "out.hea")
    again = read(tmp_path / "out.hea").ppg
    assert again is not None
    np.testing.assert_allclose(again.values - 2400, base.ppg.values, atol=5e-4)  # float32 at 2400


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="one rate, found 125 and 500 Hz; write "):
        write(record(500, 125), tmp_path / "out.csv")
    with pytest.raises(SignalError, match=r"must end in \.hea, \.parquet, \.npz, \.csv"):
        write(record(), tmp_path / "out.xyz")
    with pytest.raises(SignalError, match="must exist, found none"):
        write(record(), tmp_path / "nowhere" / "out.csv")
    with pytest.raises(SignalError, match="letters, digits"):
        write(record(), tmp_path / "my record.hea")
    with pytest.raises(SignalError, match="common frame"):
        write(record(360.01234567, 62.4725), tmp_path / "out.hea")
    base = record()
    assert base.ppg is not None
    late = replace(base, ppg=replace(base.ppg, start_s=0.0017))
    with pytest.raises(SignalError, match="whole number of samples"):
        write(late, tmp_path / "out.hea")
    with pytest.raises(SignalError, match="whole number of samples"):
        write(replace(base, ecg=None, ppg=replace(base.ppg, start_s=-1.0)), tmp_path / "out.hea")
    assert list(tmp_path.iterdir()) == []  # nothing half-written is left


def test_a_record_can_be_written_over_its_own_lazy_file(tmp_path: Path) -> None:
    original = record(500, 125)
    write(original, tmp_path / "out.hea")
    write(read(tmp_path / "out.hea").crop(5, 15), tmp_path / "out.hea")
    assert_same(read(tmp_path / "out.hea"), original.crop(5, 15), ".hea")


def test_a_table_column_of_a_slow_channel_ends_where_the_channel_ends(tmp_path: Path) -> None:
    write(record(500, 125, 30), tmp_path / "out.parquet")
    ppg = read(tmp_path / "out.parquet").ppg
    assert ppg is not None
    assert ppg.duration_s == 30.0
    assert np.isfinite(ppg.values).all()
    table = pq.read_table(tmp_path / "out.parquet").slice(0, 2000)
    pq.write_table(table, tmp_path / "cut.parquet")
    with pytest.raises(SignalError, match=r"column 'II' must hold the 15000 samples it states, found 2000 rows"):
        read(tmp_path / "cut.parquet")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_turned_lead_stays_turned_after_a_crop(suffix: str, tmp_path: Path) -> None:
    base = record()
    assert base.ecg is not None
    down = replace(base.ecg, name="aVR", samples=-base.ecg.values)
    write(replace(base, ecg=replace(down, name="-aVR", samples=base.ecg.values)), tmp_path / f"in{suffix}")
    upright = channels.record("x", [channels.Channel("aVR", 250.0, down.values, "mV")])
    for original in (read(tmp_path / f"in{suffix}"), upright):
        cropped = original.crop(0.0, 10.0)
        assert cropped.ecg is not None
        assert cropped.ecg.name == "-aVR"
        np.testing.assert_allclose(cropped.ecg.values, base.ecg.read(0.0, 10.0), atol=1e-3)
        write(cropped, tmp_path / f"out{suffix}")
        assert_same(read(tmp_path / f"out{suffix}"), cropped, suffix)


@pytest.mark.shared
@pytest.mark.parametrize("dataset", ["bidmc", "ludb", "wrist", "welltory", "ppg-bp"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_real_records_survive(dataset: str, suffix: str, data_root: Path, tmp_path: Path) -> None:
    original = catalog.load(catalog.entries(dataset, data_root)[0], data_root)
    write(original, tmp_path / f"out{suffix}")
    assert_same(read(tmp_path / f"out{suffix}"), original, suffix)


@pytest.mark.shared
@pytest.mark.parametrize("dataset", ["challenge-2015", "mitdb", "bidmc", "ludb"])
def test_wfdb_keeps_the_converter_of_a_recording(dataset: str, data_root: Path, tmp_path: Path) -> None:
    """Samples that came from a converter of at most 16 bits come back bit for bit."""
    original = catalog.load(catalog.entries(dataset, data_root)[3], data_root)
    original = original.crop(original.start_s, original.start_s + 700)
    write(original, tmp_path / "again.hea")
    again = read(tmp_path / "again.hea")
    for modality in original.present:
        np.testing.assert_array_equal(samples(again.signal(modality)), samples(original.signal(modality)))


def test_samples_of_no_converter_keep_their_range(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(0, 1, 5000).astype(np.float32)
    write(Record.from_arrays(ecg=(x, 250.0)), tmp_path / "x.hea")
    again = samples(read(tmp_path / "x.hea").ecg)
    assert 0 < np.abs(again - x).max() < 1e-4
