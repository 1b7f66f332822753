"""Manual waves: beats out of marks in time order, and what the three annotated sets hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cardiofm.data import catalog
from cardiofm.data.marks import POINTS, beats_of, marks
from cardiofm.signals import SignalError


def test_a_beat_owns_the_last_p_before_it_and_the_first_t_after_it() -> None:
    at_s = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.8, 0.9, 1.2, 1.3])
    rows = beats_of(["p", ")", "p", "(", "N", ")", "t", ")", "N", "t"], at_s)
    assert rows.shape == (2, len(POINTS))
    assert rows[0, POINTS.index("p_peak")] == 0.2
    assert np.isnan(rows[0, POINTS.index("p_offset")])
    assert rows[0, POINTS.index("t_end")] == 0.9
    assert rows[1, POINTS.index("t_peak")] == 1.3
    assert np.isnan(rows[1, POINTS.index("p_peak")])


@pytest.mark.shared
@pytest.mark.parametrize(("dataset", "least"), [("ludb", 1400), ("qtdb", 2800)])
def test_waves_of_real_beats_are_in_order(dataset: str, least: int, data_root: Path) -> None:
    beats = [marks(e, data_root) for e in catalog.entries(dataset, data_root)]
    rows = np.concatenate([b.s for b in beats])
    assert len(rows) >= least
    for row in rows:
        known = row[np.isfinite(row)]
        assert (np.diff(known) >= 0).all()
    qt_s = np.concatenate([b.of("t_end") - b.of("qrs_onset") for b in beats])
    assert np.nanmin(qt_s) > 0.2
    assert np.nanmax(qt_s) < 0.7


@pytest.mark.shared
def test_mitdb_has_r_peaks_alone_and_an_unknown_reader_is_named(data_root: Path) -> None:
    entry = catalog.entries("mitdb", data_root)[0]
    found = marks(entry, data_root)
    assert len(found) == 2273  # of record 100: the archive's own count of beats
    assert np.isfinite(found.of("r_peak")).all()
    assert np.isnan(found.of("t_end")).all()
    ludb = catalog.entries("ludb", data_root)[0]
    with pytest.raises(SignalError, match="q1c"):
        marks(ludb, data_root, "q1c")
