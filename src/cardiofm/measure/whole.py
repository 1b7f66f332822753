"""What was located in a record, to its `Measurement`."""

from __future__ import annotations

from cardiofm.measure.confidence import Calibration
from cardiofm.measure.gather import Gathered
from cardiofm.measure.intervals import beat_table
from cardiofm.measure.rows import rows
from cardiofm.measure.summary import RhythmOf, summaries
from cardiofm.signals import Measurement, Record


def measurement(
    record: Record,
    found: Gathered,
    window_s: float,
    calibration: Calibration,
    *,
    smoothed: bool = True,
    rhythm_of: RhythmOf | None = None,
) -> Measurement:
    """The table of a record's beats and its summaries, from what its windows (each of `window_s`) gave."""
    beats = rows(found, (record.ecg is not None, record.ppg is not None), calibration)
    table = beat_table(found, beats, calibration, smoothed)
    whole, stretches = summaries(table, found, (record.start_s, record.end_s), window_s, rhythm_of, beats.paired)
    whole = {"record": record.name, **whole, "notes": list(record.notes)}
    stretches = tuple({"record": record.name, **stretch} for stretch in stretches)
    return Measurement(record.name, table.values, table.confidence, table.reason, whole, stretches)
