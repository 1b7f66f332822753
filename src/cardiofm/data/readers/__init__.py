"""Any recording in: one short file per format, one function for all of them."""

from __future__ import annotations

from pathlib import Path

from cardiofm.data.readers.channels import Channel
from cardiofm.data.readers.channels import record as _record
from cardiofm.data.readers.lazy import one_sentence
from cardiofm.signals import Record, SignalError

__all__ = ["KNOWN", "read"]

FORMS = {
    ".hea": "WFDB",
    ".dat": "WFDB",
    ".mat": "MATLAB",
    ".edf": "EDF",
    ".bdf": "BDF",
    ".vital": "VitalDB",
    ".csv": "CSV",
    ".tsv": "TSV",
    ".txt": "text table",
    ".parquet": "Parquet",
    ".npy": "NPY",
    ".npz": "NPZ",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".dcm": "DICOM",
}
KNOWN = tuple(FORMS)  # the extensions that `read` takes


def read(path: str | Path, *, ecg: str | None = None, ppg: str | None = None, fs_hz: float | None = None) -> Record:
    """The ECG and the PPG of a recording, in mV where the file states a voltage, each with its own rate and start.

    Channels are found by the field's names; lead II is preferred and another lead is said in `Record.notes`.
    `ecg` and `ppg` name a channel instead, or give its number from 1; a "-" in front turns it upside down ("-I");
    "none" leaves the modality out. `fs_hz` is for files that state no rate, or a wrong one. Long recordings are
    read from the file piece by piece when their samples are sliced; absent samples are NaN.

    WFDB records may be given as header, signal file or bare name. Errors: `SignalError`.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "walk.csv"
    >>> _ = path.write_text("Time [s], II [uV], PLETH\\n" + "".join(f"{k / 100},{k * 500},{k}\\n" for k in range(50)))
    >>> record = read(path)
    >>> record.name, record.ecg.fs_hz, record.ecg.unit, record.ecg.values[:3].tolist(), record.ppg.name
    ('walk', 100.0, 'mV', [0.0, 0.5, 1.0], 'PLETH')
    """
    path = Path(path)
    if path.is_dir():
        raise SignalError(f"{path} must be one recording, found a directory; name a file in it")
    suffix = path.suffix.lower()
    bare = path.with_name(path.name + ".hea").is_file()
    if bare or suffix in (".hea", ".dat") or (suffix == ".mat" and path.with_suffix(".hea").is_file()):
        from cardiofm.data.readers import wfdb

        return wfdb.read(path, ecg, ppg, fs_hz)
    if not path.is_file():
        raise SignalError(f"{path} must exist, found no such file; check the path")
    if suffix == ".cfm":
        raise SignalError(f"{path.name} holds codes; `cardiofm decode {path.name} -o FILE.parquet` gives the recording")
    if suffix not in FORMS:
        raise SignalError(f"{path.name} must be one of {' '.join(KNOWN)}, found {suffix or 'no extension'}; convert it")
    if path.stat().st_size == 0:
        raise SignalError(f"{path.name} must hold a recording, found an empty file; get the file again")
    with one_sentence(path, FORMS[suffix]):
        return _record(path.stem, _channels(path, suffix, fs_hz), ecg, ppg, fs_hz)


def _channels(path: Path, suffix: str, fs_hz: float | None) -> list[Channel]:
    """All channels of a file that is not WFDB; each format's own libraries are imported only when it is read."""
    if suffix in (".edf", ".bdf"):
        from cardiofm.data.readers import edf

        return edf.channels(path)
    if suffix == ".vital":
        from cardiofm.data.readers import vital

        return vital.channels(path)
    if suffix in (".csv", ".tsv", ".txt"):
        from cardiofm.data.readers import table

        return table.channels(path, fs_hz)
    if suffix == ".parquet":
        from cardiofm.data.readers import parquet

        return parquet.channels(path, fs_hz)
    if suffix == ".dcm":
        from cardiofm.data.readers import dicom

        return dicom.channels(path)
    from cardiofm.data.readers import array, hdf5, matlab

    if suffix in (".npy", ".npz"):
        return array.channels(path)
    if suffix in (".h5", ".hdf5") or hdf5.is_hdf5(path):
        return hdf5.channels(path)
    return matlab.channels(path)
