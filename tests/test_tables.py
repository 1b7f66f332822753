"""Beats in files: one row per beat, null with a reason, the same in Parquet and CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from cardiofm.data import tables
from cardiofm.data.simulate import simulate
from cardiofm.data.tables import write_beats, write_stretches
from cardiofm.signals import EVENTS, MEASURES, Measurement, SignalError
from oracle import measured, truth


@pytest.fixture(scope="module")
def pair() -> list[Measurement]:
    s = simulate(40, fs_ecg_hz=250, fs_ppg_hz=125, seed=8)
    events = truth(s)
    events[5, :2] = np.nan
    nothing = np.empty((0, len(EVENTS)))
    return [
        measured(s.record, events, gaps={1: [(20.0, 25.0)]}),
        measured(s.record, nothing),
        measured(s.record, events),
    ]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_beats_survive(pair: list[Measurement], tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_PART", 16)  # rows written at once: fewer than a record has
    path = tmp_path / f"beats{suffix}"
    assert write_beats(iter(pair), path) == sum(len(m) for m in pair)
    table = pq.read_table(path) if suffix == ".parquet" else pyarrow.csv.read_csv(path)
    assert table.column_names[:4] == ["record", "beat", "r_peak_s", "r_peak_s_confidence"]
    assert set(MEASURES) < set(table.column_names)
    columns = table.to_pydict()
    n = len(pair[0])
    assert columns["beat"][:n] == list(range(1, n + 1))
    for name in MEASURES:
        got = np.array([np.nan if v is None else v for v in columns[name][:n]])
        np.testing.assert_allclose(got, pair[0].values[name], rtol=1e-6)
        assert [v is None for v in columns[f"{name}_confidence"][:n]] == np.isnan(got).tolist()
    assert "no P wave seen: p_onset_s p_offset_s pr_ms" in columns["reasons"][5]
    assert any("no signal: ppg_foot_s" in r for r in columns["reasons"][:n])


def test_without_any_beat_the_file_has_its_columns(pair: list[Measurement], tmp_path: Path) -> None:
    assert write_beats(iter(pair[1:2]), tmp_path / "none.parquet") == 0
    table = pq.read_table(tmp_path / "none.parquet")
    assert (table.num_rows, table.column_names[-1]) == (0, "reasons")


def test_stretches(pair: list[Measurement], tmp_path: Path) -> None:
    stretches = [s for m in pair for s in m.stretches]
    for name in ("s.parquet", "s.csv"):
        write_stretches(stretches, tmp_path / name)
    table = pq.read_table(tmp_path / "s.parquet")
    assert table.num_rows == 6
    assert str(table.schema.field("qt_ms").type) == "double"
    assert pyarrow.csv.read_csv(tmp_path / "s.csv").column_names == table.column_names


def test_a_wrong_name_is_refused_first(pair: list[Measurement], tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="must end in"):
        write_beats(iter(pair), tmp_path / "beats.xlsx")
    with pytest.raises(SignalError, match="must exist"):
        write_stretches([], tmp_path / "no" / "s.csv")
