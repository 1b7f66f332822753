"""Every format gives back what an independent writer put in; every bad file gives its one sentence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyedflib
import pytest
import scipy.io
import wfdb
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from vitaldb import VitalFile

from cardiofm.data.readers import KNOWN, read
from cardiofm.signals import SignalError

Pair = tuple[NDArray[np.float64], NDArray[np.float64], float]  # lead II in mV, PLETH, rate


def synthetic() -> Pair:
    """Ten seconds of spikes and pulses, 125 Hz."""
    t = np.arange(1250) / 125.0
    ecg = 1.2 * np.exp(-(((t % 0.8) - 0.2) ** 2) / 2e-4) + 0.05 * np.sin(2 * np.pi * 0.3 * t)
    return ecg, 0.5 + 0.3 * np.sin(2 * np.pi * t / 0.8 - 1.0), 125.0


@pytest.fixture(params=["synthetic", pytest.param("bidmc", marks=pytest.mark.shared)])
def pair(request: pytest.FixtureRequest) -> Pair:
    """The synthetic pair, and ten seconds of a real one."""
    if request.param == "synthetic":
        return synthetic()
    path = request.getfixturevalue("data_root") / "bidmc/1.0.0/bidmc01"
    values, _ = wfdb.rdsamp(str(path), sampto=1250, channel_names=["II", "PLETH"])
    assert values is not None
    return values[:, 0], values[:, 1], 125.0


def _wfdb(fmt: str) -> Callable[[Path, Pair], Path]:
    def write(folder: Path, pair: Pair) -> Path:
        ecg, ppg, fs = pair
        gain = [800.0, 800.0] if fmt == "212" else [10_000.0, 10_000.0]
        wfdb.wrsamp(
            "x", fs, ["mV", "NU"], ["II", "PLETH"], np.c_[ecg, ppg], fmt=[fmt] * 2, adc_gain=gain, baseline=[0, 0],
            write_dir=str(folder),
        )  # fmt: skip
        return folder / "x.hea"

    return write


def _wfdb_mat(folder: Path, pair: Pair) -> Path:
    """What `wfdb2mat` writes: a MATLAB v4 matrix of 16-bit samples, 24 bytes in front of them."""
    ecg, ppg, fs = pair
    digital = np.rint(np.c_[ecg, ppg].T * 10_000).astype("<i2")
    scipy.io.savemat(folder / "x.mat", {"val": digital}, format="4")
    lines = [f"x 2 {fs:g} {len(ecg)}", "x.mat 16+24 10000/mV 16 0 0 0 0 II", "x.mat 16+24 10000/NU 16 0 0 0 0 PLETH"]
    (folder / "x.hea").write_text("\n".join(lines) + "\n")
    return folder / "x.mat"


def _edf(kind: int, suffix: str) -> Callable[[Path, Pair], Path]:
    def write(folder: Path, pair: Pair) -> Path:
        ecg, ppg, fs = pair
        path = folder / f"x{suffix}"
        with pyedflib.EdfWriter(str(path), 2, kind) as writer:
            top = 32767 if suffix == ".edf" else 8388607
            for i, (label, unit, scale) in enumerate((("ECG II", "uV", 5000.0), ("Pleth", "", 2.0))):
                header = {"label": label, "dimension": unit, "sample_frequency": fs, "transducer": "", "prefilter": ""}
                limits = {"physical_max": scale, "physical_min": -scale, "digital_max": top, "digital_min": -top - 1}
                writer.setSignalHeader(i, header | limits)
            writer.writeSamples([ecg * 1000.0, ppg.copy()])
        return path

    return write


def _table(separator: str, suffix: str, header: str, scale: float = 1.0) -> Callable[[Path, Pair], Path]:
    def write(folder: Path, pair: Pair) -> Path:
        ecg, ppg, fs = pair
        rows = [
            separator.join((f"{k / fs:.6g}", f"{e * scale:.7g}", f"{p:.7g}"))
            for k, (e, p) in enumerate(zip(ecg, ppg, strict=True))
        ]
        path = folder / f"x{suffix}"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return write


def _parquet(folder: Path, pair: Pair) -> Path:
    ecg, ppg, fs = pair
    table = pa.table({"time_s": np.arange(len(ecg)) / fs, "ECG_II (mV)": ecg, "ppg": ppg})
    pq.write_table(table, folder / "x.parquet", row_group_size=300)
    return folder / "x.parquet"


def _npz(folder: Path, pair: Pair) -> Path:
    np.savez(folder / "x.npz", ecg_ii=pair[0] * 1000, ecg_ii_unit="uV", ppg=pair[1], fs=pair[2])
    return folder / "x.npz"


def _hdf5(folder: Path, pair: Pair) -> Path:
    with h5py.File(folder / "x.h5", "w") as file:
        for name, values, unit in (("waves/ECG II", pair[0], "mV"), ("waves/PLETH", pair[1], "NU")):
            item = file.create_dataset(name, data=values, compression="gzip")
            item.attrs["units"] = unit
        file["waves"].attrs["sampling_rate"] = pair[2]
    return folder / "x.h5"


def _matlab5(folder: Path, pair: Pair) -> Path:
    fields = {"val": np.stack(pair[:2]), "channels": np.array(["II", "PLETH"], object), "fs": pair[2]}
    fields["units"] = np.array(["mV", "NU"], object)
    scipy.io.savemat(folder / "x.mat", {"rec": fields})
    return folder / "x.mat"


def _matlab73(folder: Path, pair: Pair) -> Path:
    """MATLAB's own HDF5: 512 bytes in front, column-major, text as 16-bit numbers, cells as references."""

    def text(file: h5py.File, key: str, words: str) -> h5py.Dataset:
        item = file.create_dataset(key, data=np.array([[ord(c)] for c in words], np.uint16))
        item.attrs["MATLAB_class"] = np.bytes_("char")
        return item

    with h5py.File(folder / "x.mat", "w", userblock_size=512) as file:
        file.create_dataset("rec/val", data=np.stack(pair[:2]).T).attrs["MATLAB_class"] = np.bytes_("double")
        file.create_dataset("rec/fs", data=[[pair[2]]]).attrs["MATLAB_class"] = np.bytes_("double")
        for key, words in (("names", ["II", "PLETH"]), ("units", ["mV", "NU"])):
            references = [[text(file, f"#refs#/{key}{i}", w).ref] for i, w in enumerate(words)]
            cell = file.create_dataset(f"rec/{key}", data=np.array(references, h5py.ref_dtype), dtype=h5py.ref_dtype)
            cell.attrs["MATLAB_class"] = np.bytes_("cell")
    with (folder / "x.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return folder / "x.mat"


def _dicom(folder: Path, pair: Pair) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.9.1.2")  # General ECG
    meta.MediaStorageSOPInstanceUID = generate_uid()
    groups = []
    for values, name, unit, steps in ((pair[0], "Lead II", "uV", 0.1), (pair[1], "Pleth", "1", 1e-4)):
        source, sensitivity, channel, group = Dataset(), Dataset(), Dataset(), Dataset()
        source.CodeMeaning, source.CodeValue, source.CodingSchemeDesignator = name, "2:2", "MDC"
        sensitivity.CodeValue, sensitivity.CodingSchemeDesignator, sensitivity.CodeMeaning = unit, "UCUM", unit
        channel.ChannelSourceSequence, channel.ChannelSensitivityUnitsSequence = [source], [sensitivity]
        channel.ChannelSensitivity, channel.ChannelBaseline, channel.WaveformBitsStored = steps, 0, 16
        channel.ChannelSensitivityCorrectionFactor = 1
        group.ChannelDefinitionSequence, group.NumberOfWaveformChannels = [channel], 1
        group.NumberOfWaveformSamples, group.SamplingFrequency = len(values), pair[2]
        group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
        digital = np.rint(values * (1000 if unit == "uV" else 1) / steps).astype("<i2")
        group.WaveformData = digital.tobytes()
        groups.append(group)
    dataset = Dataset()
    dataset.file_meta, dataset.WaveformSequence = meta, groups
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.save_as(folder / "x.dcm", enforce_file_format=True)
    return folder / "x.dcm"


def _vital(folder: Path, pair: Pair) -> Path:
    ecg, ppg, fs = pair
    file = VitalFile()
    for name, values, unit in (("SNUADC/ECG_II", ecg, "mV"), ("SNUADC/PLETH", ppg, "")):
        packets = [{"dt": 1e9 + k / fs, "val": values[k : k + 125].astype("f4")} for k in range(0, len(values), 125)]
        file.add_track(name, packets, srate=int(fs), unit=unit)
    file.add_track("Solar8000/PLETH_HR", [{"dt": 1e9, "val": 61.0}, {"dt": 1e9 + 9, "val": 63.0}])
    file.dtstart, file.dtend = 1e9, 1e9 + len(ecg) / fs
    file.to_vital(str(folder / "x.vital"))
    return folder / "x.vital"


WRITERS: dict[str, tuple[Callable[[Path, Pair], Path], float]] = {
    "wfdb-16": (_wfdb("16"), 6e-5),
    "wfdb-212": (_wfdb("212"), 7e-4),
    "wfdb-flac": (_wfdb("516"), 6e-5),
    "wfdb-mat": (_wfdb_mat, 6e-5),
    "edf": (_edf(pyedflib.FILETYPE_EDF, ".edf"), 2e-4),
    "edf+": (_edf(pyedflib.FILETYPE_EDFPLUS, ".edf"), 2e-4),
    "bdf+": (_edf(pyedflib.FILETYPE_BDFPLUS, ".bdf"), 1e-6),
    "vital": (_vital, 1e-6),
    "csv": (_table(",", ".csv", "Time [s], ECG II (uV),  PLETH", 1000.0), 1e-6),
    "tsv": (_table("\t", ".tsv", "time_s\tII [mV]\tPLETH"), 1e-6),
    "parquet": (_parquet, 1e-6),
    "npz": (_npz, 1e-6),
    "hdf5": (_hdf5, 1e-6),
    "matlab-5": (_matlab5, 1e-6),
    "matlab-7.3": (_matlab73, 1e-6),
    "dicom": (_dicom, 1e-4),
}


@pytest.mark.parametrize("form", WRITERS)
def test_values_rate_unit_and_clock_survive_every_format(form: str, pair: Pair, tmp_path: Path) -> None:
    write, step = WRITERS[form]
    record = read(write(tmp_path, pair))
    assert record.name == "x"
    assert record.notes == ()
    assert record.ecg is not None
    assert record.ppg is not None
    assert record.ecg.unit == "mV"
    for signal, values in ((record.ecg, pair[0]), (record.ppg, pair[1])):
        assert signal.fs_hz == pytest.approx(pair[2], rel=1e-9)
        assert signal.start_s == 0.0
        np.testing.assert_allclose(signal.values, values, atol=step, rtol=1e-6)
        np.testing.assert_array_equal(signal.read(1.0, 2.0), signal.values[125:250])


@pytest.mark.parametrize("form", [f for f in WRITERS if f not in ("csv", "tsv")])
def test_a_truncated_file_gives_one_sentence(form: str, tmp_path: Path) -> None:
    path = WRITERS[form][0](tmp_path, synthetic())
    data = next((p for p in tmp_path.iterdir() if p.suffix in (".dat", ".mat")), path)
    raw = data.read_bytes()
    data.write_bytes(raw[: len(raw) * 6 // 10])
    with pytest.raises(SignalError, match=r"^x\.\w+") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [s for s in KNOWN if s != ".dat"])
def test_a_garbled_file_gives_one_sentence(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(SignalError, match=r"^x\.\w+") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_missing_unknown_empty_and_folder(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="must exist, found no such file"):
        read(tmp_path / "nothing.csv")
    (tmp_path / "x.docx").write_bytes(b"PK")
    with pytest.raises(SignalError, match=r"must be one of .*\.edf .*found \.docx"):
        read(tmp_path / "x.docx")
    (tmp_path / "x.csv").touch()
    with pytest.raises(SignalError, match="found an empty file"):
        read(tmp_path / "x.csv")
    with pytest.raises(SignalError, match="found a directory"):
        read(tmp_path)
    (tmp_path / "x.dat").write_bytes(b"12")
    with pytest.raises(SignalError, match=r"WFDB header x\.hea beside it"):
        read(tmp_path / "x.dat")


@pytest.mark.shared
def test_every_data_set_of_the_house_is_read(data_root: Path) -> None:
    for pattern, present in (
        ("bidmc/1.0.0/bidmc01.hea", ("ecg", "ppg")),
        ("bidmc/1.0.0/bidmc_csv/bidmc_01_Signals.csv", ("ecg", "ppg")),
        ("challenge-2015/1.0.0/training/a103l.hea", ("ecg", "ppg")),
        ("challenge-2017/1.0.0/training/*/A00002.hea", ("ecg",)),
        ("ludb/1.0.1/data/10.hea", ("ecg",)),
        ("mitdb/1.0.0/100.dat", ("ecg",)),
        ("ptb-xl/1.0.1/records500/*/00001_hr.hea", ("ecg",)),
        ("qtdb/1.0.0/sel100.hea", ("ecg",)),
        ("wrist/1.0.0/s2_walk.edf", ("ecg", "ppg")),
        ("welltory/data/subject_01/PPG.csv", ("ppg",)),
    ):
        record = read(next(data_root.glob(pattern)))
        assert record.present == present, pattern


def test_a_wfdb_record_goes_by_header_signal_file_or_bare_name(tmp_path: Path) -> None:
    _wfdb("16")(tmp_path, synthetic())
    for name in ("x", "x.hea", "x.dat"):
        assert read(tmp_path / name).name == "x"
    shutil.rmtree(tmp_path)
    with pytest.raises(SignalError, match="must exist"):
        read(tmp_path / "x")
