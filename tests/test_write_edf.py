"""EDF: what is written is read back by two readers, and what EDF cannot hold is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyedflib
import pytest

from cardiofm.data.readers import read
from cardiofm.data.simulate import simulate
from cardiofm.data.write import write
from cardiofm.signals import Record, SignalError


def record(fs_ecg_hz: float = 250, fs_ppg_hz: float = 125) -> Record:
    return simulate(12, fs_ecg_hz=fs_ecg_hz, fs_ppg_hz=fs_ppg_hz, seed=7, ecg_noise_mv=0.02).record


@pytest.mark.parametrize("rates", [(250, 125), (500, 64), (62.5, 125)])
def test_what_is_written_is_read_back(tmp_path: Path, rates: tuple[float, float]) -> None:
    made = record(*rates)
    write(made, tmp_path / "a.edf")
    again = read(tmp_path / "a.edf")
    with pyedflib.EdfReader(str(tmp_path / "a.edf")) as other:
        independent = {name: other.readSignal(k) for k, name in enumerate(other.getSignalLabels())}
    for modality in made.present:
        a, b = made.signal(modality), again.signal(modality)
        assert a is not None
        assert b is not None
        assert (a.fs_hz, a.unit) == (pytest.approx(b.fs_hz), b.unit)
        step = float(np.ptp(a.values)) / 60_000
        np.testing.assert_allclose(b.values[: len(a.values)], a.values, atol=step)
        np.testing.assert_allclose(independent[b.name][: len(a.values)], a.values, atol=step)


def test_what_edf_cannot_hold_is_refused(tmp_path: Path) -> None:
    made = record()
    assert made.ecg is not None
    assert made.ppg is not None
    gap = made.ecg.values.copy()
    gap[100:200] = np.nan
    for one, said in (
        (replace(made, ecg=replace(made.ecg, samples=gap)), "no absent samples"),
        (replace(made, ppg=replace(made.ppg, start_s=0.5)), "begin together"),
        (replace(made, ppg=replace(made.ppg, fs_hz=62.47123456)), "whole seconds"),
    ):
        with pytest.raises(SignalError, match=said):
            write(one, tmp_path / "b.edf")
    assert not (tmp_path / "b.edf").exists()
