from __future__ import annotations

import json

import pytest

from cardiofm.train.journal import Journal, keep_lines


def test_lines_after_the_checkpoint_and_torn_lines_are_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    keep_lines(path, 3)
    assert not path.exists()
    path.write_text('{"step": 2, "loss": 0.1}\n{"step": 3}\n{"step": 4}\n{"step": 5, "lo')
    keep_lines(path, 3)
    assert path.read_text() == '{"step": 2, "loss": 0.1}\n{"step": 3}\n'


def test_where_there_is_no_terminal_it_says_one_line_a_minute(tmp_path, capfd, monkeypatch):
    import cardiofm.train.journal as journal

    clock = [100.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: clock[0])
    with Journal(tmp_path, steps=1000, start=10) as told:
        for step in range(11, 161):
            clock[0] += 1.0
            told.tick(step, 0.5, windows=8)
    lines = capfd.readouterr().err.strip().splitlines()
    assert lines == [
        "step 11/1000  loss 0.5000  8.0 windows/s  16 min left",
        "step 71/1000  loss 0.5000  8.0 windows/s  15 min left",
        "step 131/1000  loss 0.5000  8.0 windows/s  14 min left",
    ]


def test_a_line_has_the_values_and_the_speed_since_the_line_before(tmp_path, monkeypatch):
    import cardiofm.train.journal as journal

    clock = [0.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: clock[0])
    with Journal(tmp_path, steps=9, start=0) as told:
        for step in (1, 2):
            clock[0] += 2.0 * step
            told.tick(step, 0.5, windows=8)
            told.write({"step": step, "loss": 0.5, "odd": float("nan")})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["windows_per_s"] for line in lines] == [4.0, 2.0]
    assert lines[0] == {"step": 1, "loss": 0.5, "odd": None, "windows_per_s": 4.0}


def test_tensorboard_can_read_the_values(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Journal(tmp_path, steps=9, start=0) as told:
        told.write({"step": 3, "loss": 0.5})
    read = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(e.step, e.value) for e in read.Scalars("loss")] == [(3, 0.5)]


def test_points_after_the_checkpoint_give_way_when_a_run_goes_on(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for start, values in ((0, {1: 0.9, 2: 0.8, 3: 0.7}), (2, {3: 0.5, 4: 0.4})):
        with Journal(tmp_path, steps=9, start=start) as told:
            for step, loss in values.items():
                told.write({"step": step, "loss": loss})
    read = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(e.step, round(e.value, 3)) for e in read.Scalars("loss")] == [(1, 0.9), (2, 0.8), (3, 0.5), (4, 0.4)]


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path, capfd):
    with Journal(None, steps=9, start=0) as told:
        told.tick(1, 0.5, windows=8)
        told.write({"step": 1, "loss": 0.5})
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().err == ""
