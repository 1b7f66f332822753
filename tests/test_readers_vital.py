"""VitalDB files: gaps stay gaps, trends are left out, nothing is guessed after a truncation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vitaldb import VitalFile

from cardiofm.data.readers import read


def test_a_vital_gap_stays_a_gap_on_the_file_s_clock(tmp_path: Path) -> None:
    file = VitalFile()
    packet = np.sin(np.arange(500) / 9.0).astype("f4")
    file.add_track("A/ECG_II", [{"dt": 1e9 + s, "val": packet} for s in (0, 1, 4)], srate=500, unit="mV")
    file.add_track("A/PLETH", [{"dt": 1e9 + 2, "val": packet[::5]}], srate=100)
    file.dtstart, file.dtend = 1e9, 1e9 + 5
    for packed in (True, False):
        file.to_vital(str(tmp_path / "x.vital"), packed=packed)
        record = read(tmp_path / "x.vital")
        assert record.ecg is not None
        assert record.ppg is not None
        assert record.ppg.start_s == pytest.approx(2.0)
        absent = np.isnan(record.ecg.values)
        assert absent[1000:2000].all()
        assert not absent[:1000].any()
        assert not absent[2000:].any()
