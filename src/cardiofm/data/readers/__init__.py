"""Any recording in: one short file per format, one function for all of them."""

from __future__ import annotations

from pathlib import Path

from cardiofm.data.readers import channels as _channels
from cardiofm.data.readers import wfdb as _wfdb
from cardiofm.data.readers.lazy import one_sentence
from cardiofm.signals import Record, SignalError

__all__ = ["read"]

KNOWN = ".hea .dat .mat"


def read(path: str | Path, *, ecg: str | None = None, ppg: str | None = None, fs_hz: float | None = None) -> Record:
    """The ECG and the PPG of a recording, in mV where the file states a voltage, each with its rate and clock."""
    path = Path(path)
    return _wfdb.read(path, ecg, ppg, fs_hz)
