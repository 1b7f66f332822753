"""What a stream says: at the end what the whole recording gives, soon after each beat nearly that, whatever comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cardiofm.data import catalog
from cardiofm.data.simulate import simulate
from cardiofm.measure.confidence import Calibration
from cardiofm.pipeline import Model, load
from cardiofm.signals import MEASURES, CheckpointError, Record, SignalError
from cardiofm.stream import BeatAt, EmbeddingAt, Event, Notice, Stream
from cardiofm.stream.beats import AROUND_S, AT_ONCE_S, Beats
from oracle import said, truth

FAST = {"embed_every_s": None, "beats_every_s": None}


@pytest.fixture(scope="module")
def model() -> Model:
    return load("base")


@pytest.fixture(scope="module")
def small(micro_graphs: Path) -> Model:
    return load(micro_graphs)


def stream_of(model: Model, record: Record, **how) -> Stream:
    rates = {f"{m}_hz": s.fs_hz for m in record.present if (s := record.signal(m))}
    return Stream(model, **rates, **how)


def packets(record: Record, sizes_s: Iterator[float], stamped: bool = True) -> Iterator[dict]:
    """A recording in pieces."""
    t = record.start_s
    while t < record.end_s:
        end, out = t + next(sizes_s), {}
        for m in record.present:
            signal = record.signal(m)
            if signal is not None and (part := signal.crop(t, end)) is not None:
                out[m] = (part.start_s if stamped else None, part.values)
        yield out
        t = end


def played(running: Stream, parts: Iterator[dict]) -> list[Event]:
    return [event for part in parts for event in running.push(**part)] + running.close()


def sizes(low: float, high: float, seed: int = 0) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    while True:
        yield float(rng.uniform(low, high))


def embeddings(events: list[Event]) -> list[EmbeddingAt]:
    return [e for e in events if isinstance(e, EmbeddingAt)]


def beats(events: list[Event], final: bool) -> list[BeatAt]:
    return [e for e in events if isinstance(e, BeatAt) and e.final is final]


def column(events: list[BeatAt], name: str) -> np.ndarray:
    return np.array([e.values.get(name, np.nan) for e in events])


def recording(data_root: Path, dataset: str, name: str, start_s: float, end_s: float) -> Record:
    (entry,) = (e for e in catalog.entries(dataset, data_root) if e.record == name)
    part = catalog.load(entry, data_root).crop(start_s, end_s)
    moved = {m: replace(s, start_s=s.start_s - start_s) for m in part.present if (s := part.signal(m))}
    return replace(part, ecg=moved.get("ecg"), ppg=moved.get("ppg"))


@pytest.mark.parametrize(
    ("low", "high", "stamped", "fs"),
    [(0.02, 0.3, True, (360, 64)), (1.0, 15.0, True, (250, 125)), (70.0, 71.0, False, (500, 25))],
)
def test_embeddings_are_those_of_the_whole_recording(
    small: Model, low: float, high: float, stamped: bool, fs: tuple[int, int]
) -> None:
    record = simulate(23.3, fs_ecg_hz=fs[0], fs_ppg_hz=fs[1], seed=3).record
    running = stream_of(small, record, beats=False)
    found = embeddings(played(running, packets(record, sizes(low, high), stamped)))
    whole = small.embed(record, hop_s=1.0, batch=1)
    assert [e.start_s for e in found] == whole.start_s.tolist()
    np.testing.assert_array_equal(np.stack([e.values for e in found]), whole.values)
    np.testing.assert_array_equal([e.quality for e in found], whole.quality)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("dataset", "name", "start_s", "lasts_s"), [("challenge-2015", "a225l", 0, 60), ("mitdb", "105", 600, 40)]
)
def test_final_beats_are_those_of_the_whole_recording(
    model: Model, data_root: Path, dataset: str, name: str, start_s: float, lasts_s: float
) -> None:
    record = recording(data_root, dataset, name, start_s, start_s + lasts_s)
    found = beats(played(stream_of(model, record, **FAST), packets(record, sizes(0.05, 3.0))), final=True)
    whole = model.measure(record, batch=1)
    assert len(found) == len(whole) > 40
    for name in MEASURES:
        np.testing.assert_array_equal(column(found, name), whole.values[name], err_msg=name)
        assert [e.reason.get(name, "") for e in found] == whole.reasons(name)


@pytest.mark.shared
def test_provisional_beats_come_within_two_seconds(model: Model, data_root: Path) -> None:
    record = recording(data_root, "challenge-2015", "a142s", 100, 120)
    events = played(stream_of(model, record, embed_every_s=None), packets(record, sizes(0.02, 0.1)))
    soon, final = beats(events, final=False), beats(events, final=True)
    assert all(0 < e.said_s - e.at_s <= 2.0 for e in soon)
    at_s = np.array([e.at_s for e in soon])
    assert (np.diff(at_s) > 0.2).all()
    true = np.array([e.at_s for e in final if 1.0 < e.at_s < record.end_s - 2])
    near = np.array([np.abs(at_s - x).argmin() for x in true])
    assert (np.abs(at_s[near] - true) < 0.01).mean() > 0.9
    pairs = [(soon[i], e) for i, e in zip(near, (e for e in final if e.at_s in true), strict=True)]
    off = np.array([a.values["qt_ms"] - b.values["qt_ms"] for a, b in pairs if "qt_ms" in a.values & b.values.keys()])
    assert len(off) > 10
    assert np.median(np.abs(off)) < 10


def final_rows(seconds: float, gap: tuple[float, float] | None = None) -> tuple[list[float], Beats, int]:
    """Final beats of windows that a head that knows the truth has looked at, and the most points ever kept."""
    simulated, kept, found = simulate(seconds, fs_ecg_hz=25, fs_ppg_hz=25, seed=1), 0, []
    gathered = Beats(Calibration())
    for start_s in np.arange(0.0, seconds - 10, 8.0):
        if gap and gap[0] < start_s < gap[1]:
            continue
        gathered.add(said(truth(simulated), float(start_s), error_s=0.004), np.ones(2, np.float32))
        found += [beat.at_s for beat in gathered.final((True, True))]
        kept = max(kept, sum(len(points) for points in gathered._past.points))
    return found + [b.at_s for b in gathered.final((True, True), at_end=True)], gathered, kept


def test_points_are_kept_for_five_minutes() -> None:
    found, _, kept = final_rows(600)
    assert len(found) > 600
    assert (np.diff(found) > 0.2).all()
    assert kept < 2.5 * 1.3 * (2 * AROUND_S + AT_ONCE_S + 30)


def test_a_long_gap_loses_no_beat() -> None:
    found, _, _ = final_rows(600, gap=(150.0, 400.0))
    at = np.array(found)
    assert (np.diff(at) > 0.2).all()
    assert at[at < 165].max() > 152.5
    assert at[at > 165].min() < 406


def test_a_jump_of_the_time_stamps_is_a_gap(small: Model) -> None:
    record = simulate(25, fs_ecg_hz=250, fs_ppg_hz=125, seed=3).record
    running, events = stream_of(small, record, beats=False), []
    for start_s in (1.7e9, 1.7e9 + 86_400):
        for part in packets(record, sizes(0.5, 0.5)):
            events += running.push(**{m: (start_s + t, x) for m, (t, x) in part.items()})
    found = embeddings(events + running.close())
    starts = np.array([e.start_s for e in found]) - 1.7e9
    whole = small.embed(record, hop_s=1.0, batch=1)
    first = np.stack([e.values for e in found])[:14]
    np.testing.assert_allclose(first, whole.values[:14], atol=1e-4)
    assert starts.max() - starts.min() == pytest.approx(86_400 + 15)
    assert np.sum(np.diff(starts) > 1.5) == 1
    assert all(len(channel.buffer._values) < 60 * 500 for channel in running.channels.values())


def test_a_silent_sensor_is_waited_for_and_then_given_up(small: Model) -> None:
    record = simulate(40, fs_ecg_hz=250, fs_ppg_hz=125, seed=3).record
    running, found = stream_of(small, record, beats=False, late_s=3.0), []
    for part in packets(record, sizes(0.5, 0.5)):
        if part["ecg"][0] >= 15:
            del part["ppg"]
        found += embeddings(running.push(**part))
    assert [e.present for e in found if e.end_s > 25.5] == [(True, False)] * sum(e.end_s > 25.5 for e in found)
    assert found[-1].end_s == 34.0  # 3 s and the margin of the cut late
    assert all(e.said_s - e.end_s < 6.0 for e in found)


def test_drifting_sensors_are_put_on_one_clock(small: Model) -> None:
    """After ten minutes a PPG that is 200 ppm slow would be 120 ms off."""
    fs_hz, slow = 125.0, 1 + 2e-4
    running = Stream(small, ecg_hz=fs_hz, ppg_hz=fs_hz, embed_every_s=None, beats=False)
    rng = np.random.default_rng(0)

    def wave(t: np.ndarray) -> np.ndarray:
        return np.exp(4 * np.cos(2 * np.pi * 1.1 * t)).astype(np.float32)

    for n in range(0, round(600 * fs_hz), 50):
        at = np.arange(n, n + 50) / fs_hz
        late_s = np.abs(rng.normal(0, 0.004, 2))
        running.push(ecg=(at[0] + late_s[0], wave(at)), ppg=(at[0] * slow + late_s[1], wave(at * slow)))
    record = running._record()
    assert record is not None
    ecg, ppg = (record.signal(m) for m in ("ecg", "ppg"))
    assert ecg is not None
    assert ppg is not None
    window_s = np.arange(585, 595, 1 / 250)
    drawn = [np.interp(window_s, p.start_s + np.arange(len(p.samples)) / p.fs_hz, p.values) for p in
             (s.crop(580, 600) for s in (ecg, ppg)) if p is not None]  # fmt: skip
    lags = np.arange(-100, 101)
    likeness = [np.corrcoef(drawn[0][200:-200], np.roll(drawn[1], lag)[200:-200])[0, 1] for lag in lags]
    assert abs(lags[int(np.argmax(likeness))]) * 4 <= 4  # ms
    assert ppg.fs_hz * slow == pytest.approx(fs_hz, rel=2e-5)


def test_notices_and_counts(small: Model) -> None:
    x = np.random.default_rng(0).normal(size=250)
    running = Stream(small, ecg_hz=250, beats=False)
    events = [event for i in range(14) for event in running.push(ecg=(0.9 * i, x))]
    assert [e.text.split(":")[0] for e in events if isinstance(e, Notice)] == ["ecg"]
    assert running.counts == {"ecg": {"samples twice": 13 * 25}}
    running.push(ecg=(-3.0, x))
    assert running.counts["ecg"]["samples too late"] == 250


def test_what_cannot_be_is_refused(small: Model) -> None:
    with pytest.raises(SignalError, match="found neither"):
        Stream(small)
    with pytest.raises(SignalError, match="beats_every_s"):
        Stream(small, ecg_hz=250, beats_every_s=3)
    with pytest.raises(SignalError, match="at most a window"):
        Stream(small, ecg_hz=250, embed_every_s=30)
    running = Stream(small, ecg_hz=250)
    with pytest.raises(SignalError, match="give ppg_hz"):
        running.push(ppg=np.zeros(5))
    with pytest.raises(SignalError, match="one row"):
        running.push(ecg=(0.0, np.zeros((2, 5))))
    with pytest.raises(SignalError, match="number in s"):
        running.push(ecg=(np.nan, np.zeros(5)))
    assert running.push(ecg=np.zeros(0)) == running.push() == running.close() == running.close() == []
    with pytest.raises(SignalError, match="closed"):
        running.push(ecg=np.zeros(5))


def test_a_model_without_a_head_says_so() -> None:
    running = Stream(load("tiny"), ecg_hz=250)
    with pytest.raises(CheckpointError, match="measure"):
        running.push(ecg=np.random.default_rng(0).normal(size=5000))
