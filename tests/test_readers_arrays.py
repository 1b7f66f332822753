"""Named arrays (NumPy, HDF5, MATLAB): where rate, unit, start and names are found, and what is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from cardiofm.data.readers import read
from cardiofm.data.readers.array import from_named
from cardiofm.signals import SignalError

WAVE = np.sin(np.arange(1000) / 7.0)


def test_no_rate_no_reading(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.sin(np.arange(1000.0)))
    with pytest.raises(SignalError, match="--ecg or --ppg"):
        read(tmp_path / "x.npy")
    with pytest.raises(SignalError, match=r"no sampling rate.*--fs"):
        read(tmp_path / "x.npy", ppg="1")
    record = read(tmp_path / "x.npy", ppg="1", fs_hz=100.0)
    assert record.ppg is not None
    assert record.ppg.duration_s == 10.0
    with pytest.raises(SignalError, match="between 20 and 100000 Hz, found 10 Hz"):
        read(tmp_path / "x.npy", ppg="1", fs_hz=10.0)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    np.save(tmp_path / "x.npy", np.array([Trap()], object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", ecg=np.array([Trap()], object))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(SignalError, match=rf"^{name} must be a whole"):
            read(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_hdf5_data_outside_the_file_is_refused(tmp_path: Path) -> None:
    np.arange(1000.0).tofile(tmp_path / "secret.bin")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("ecg", (1000,), "f8", external=[(str(tmp_path / "secret.bin"), 0, 8000)])
    with pytest.raises(SignalError, match="must lie in the file itself"):
        read(tmp_path / "x.h5", fs_hz=100.0)


def test_channels_of_an_hdf5_file_may_differ_in_rate_and_start(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for key, n, fs, start_s in (("ecg/signal", 5000, 500.0, 0.0), ("ppg/signal", 1000, 125.0, 1.5)):
            file[key] = np.sin(np.arange(n))
            file[key].parent.attrs.update({"fs": fs, "start_s": start_s})
    record = read(tmp_path / "x.h5")
    assert record.ecg is not None
    assert record.ppg is not None
    assert (record.ecg.fs_hz, record.ppg.fs_hz, record.ppg.start_s) == (500.0, 125.0, 1.5)
    assert record.end_s == 10.0


@pytest.mark.shared
def test_a_file_without_names_or_rate_is_read_when_both_are_given(data_root: Path) -> None:
    path = next(data_root.glob("ppg-bp/1.0/0_subject/100_1.txt"))
    record = read(path, ppg="1", fs_hz=1000.0)
    assert record.ppg is not None
    assert record.ppg.duration_s == pytest.approx(2.1)
    path = next(data_root.glob("ieee-spc-2015/Training_data/*.mat"))
    record = read(path, ecg="sig 1", ppg="sig 2", fs_hz=125.0)
    expected = scipy.io.loadmat(path)["sig"]
    assert record.ecg is not None
    np.testing.assert_allclose(record.ecg.values, expected[0], rtol=1e-6)


@pytest.mark.parametrize(
    "beside",
    [
        {"fs": 100},
        {"sampling_rate": np.array([[100.0]])},
        {"Fs": 100.0, "other/fs": 3.0},
        {"ecg_fs": 100.0, "fs": 3.0},
        {"ecg/fs": 100.0, "fs": 3.0},
        {"fs_ecg": 100.0},
        {"time": np.arange(1000) / 100.0},
        {"time_ms": np.arange(1000) * 10.0},
    ],
)
def test_the_rate_stands_beside_the_signal(beside: dict) -> None:
    (channel,) = from_named("x", {"ecg": WAVE, **beside})
    assert channel.fs_hz == 100.0


def test_a_matrix_has_its_longer_side_as_time_and_names_beside_it() -> None:
    matrix = np.stack([WAVE, -WAVE])
    for value in (matrix, matrix.T):
        a, b = from_named("x", {"p/val": value, "p/labels": ["II", "PLETH"], "p/units": ["uV", "NU"], "fs": 100.0})
        assert (a.name, a.unit, b.name, b.unit) == ("II", "mV", "PLETH", "NU")
        np.testing.assert_allclose(a.samples[10:20], WAVE[10:20] / 1000.0, rtol=1e-6)
        np.testing.assert_allclose(b.samples[10:20], -WAVE[10:20], rtol=1e-6)


def test_a_rate_that_is_no_number_gives_one_sentence() -> None:
    with pytest.raises(SignalError, match="must be a number, found 'fast'"):
        from_named("x", {"ecg": WAVE, "fs": "fast"})
