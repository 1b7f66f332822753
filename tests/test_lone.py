"""A pulse that no R peak vouches for is told from steps by how its feet rise and follow each other, or is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cardiofm.data import catalog
from cardiofm.data.simulate import simulate
from cardiofm.measure.band import power_in_band
from cardiofm.measure.company import company
from cardiofm.measure.gather import Gathered
from cardiofm.measure.locate import Points
from cardiofm.measure.lone import NUMBERS, lone
from cardiofm.measure.rows import rows
from cardiofm.pipeline import Model, load
from cardiofm.signals import InputSpec, Record
from cardiofm.train import lone as training

FS_HZ = 250.0


@pytest.fixture(scope="module")
def model() -> Model:
    return load("base")


def feet(at_s: np.ndarray, rise_s: np.ndarray) -> Points:
    some, error_s = np.full((len(at_s), 2), 0.9, np.float32), np.full((len(at_s), 2), 0.01, np.float32)
    return Points(np.stack([at_s, at_s + rise_s], axis=1), error_s, error_s, some, some, some < 0)


def moving(ppg: np.ndarray, snr_db: float, seed: int) -> Record:
    """A pulse in motion, that far above it or below."""
    wave, known = training.steps(len(ppg), FS_HZ, np.random.default_rng(seed)), np.isfinite(ppg)
    power = power_in_band(ppg, known, FS_HZ, "ppg") / power_in_band(wave, known, FS_HZ, "ppg")
    moved = ppg + np.sqrt(power * 10 ** (-snr_db / 10)) * wave
    return Record.from_arrays(ppg=(moved.astype(np.float32), FS_HZ))


def test_the_numbers_say_how_feet_rise_and_follow_each_other() -> None:
    at_s = np.arange(0.0, 30.0, 0.8)
    pulse, steps = feet(at_s, np.full(len(at_s), 0.16)), feet(at_s, 0.4 + 0.1 * np.sin(np.arange(len(at_s)) ** 2))
    a, b = (dict(zip(NUMBERS, lone(p, company(p, "ppg"), np.arange(len(p))).T, strict=True)) for p in (pulse, steps))
    np.testing.assert_allclose(a["evenness"], 1.0)
    np.testing.assert_allclose(a["rise in s"], 0.16)
    np.testing.assert_allclose(a["rise in intervals"], 0.2)
    assert a["change of the rise in s"].max() < 1e-9 < 0.02 < b["change of the rise in s"].min()
    for few in (0, 1, 2):
        some = pulse.rows(np.arange(few))
        numbers = lone(some, company(some, "ppg"), np.arange(few))
        assert numbers.shape == (few, len(NUMBERS))
        assert np.isfinite(numbers).all()


def test_a_simulated_pulse_is_given_and_what_steps_draw_over_it_is_not(model: Model) -> None:
    made = simulate(60, fs_ecg_hz=250, fs_ppg_hz=250, seed=5, heart_rate_bpm=70, ppg_noise=0.02).record.ppg
    assert made is not None
    alone = model.measure(Record("pulse", None, made))
    assert 66 <= len(alone) <= 74
    given = [len(model.measure(moving(made.values, -12.0, seed))) for seed in range(8)]
    assert sum(n > 20 for n in given) <= 1


@pytest.mark.shared
@pytest.mark.parametrize("name", ["v255l", "v748s"])
def test_real_pulses_alone_are_given(model: Model, data_root: Path, name: str) -> None:
    (entry,) = (e for e in catalog.entries("challenge-2015", data_root) if e.record == name)
    record = catalog.load(entry, data_root).crop(100, 220)
    both, alone = model.measure(record), model.measure(replace(record, ecg=None))
    assert np.isfinite(both.values["ppg_foot_s"]).sum() > 150
    assert len(alone) > 0.8 * np.isfinite(both.values["ppg_foot_s"]).sum()


def test_the_least_odds_are_those_from_which_on_enough_are_right() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 2, 4000)
    right = rng.random(4000) < 1 / (1 + np.exp(-odds))
    b = training._moved(np.array([1.0, 0.5]), odds, right)
    assert b[1] == 0.5
    assert right[odds + b[0] - 1.0 >= 0].mean() == pytest.approx(training.RIGHT, abs=0.01)
    never = training._moved(np.array([1.0, 0.5]), odds, np.zeros(4000, bool))
    assert never[1] == 0.5
    assert (odds + never[0] - 1.0 < 0).all()


@pytest.mark.shared
def test_a_head_that_finds_no_pulse_gets_no_rule(
    model: Model, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "RECORDS", {"train": 1, "valid": 1})
    noise = {"em": np.random.default_rng(0).normal(0, 1, (1, 20_000)).cumsum(1).astype(np.float32)}

    def blind(record: Record) -> Gathered:
        return replace(model.gather(record), ppg=feet(np.empty(0), np.empty(0)))

    assert training.fitted(model.calibration, blind, data_root, noise, InputSpec()) == ()


@pytest.mark.shared
def test_coefficients_are_fitted_to_icu_pulses_in_motion(
    model: Model, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "RECORDS", {"train": 5, "valid": 2})
    monkeypatch.setattr(training, "RIGHT", 0.6)  # of so few
    noise = {"em": np.random.default_rng(0).normal(0, 1, (1, 20_000)).cumsum(1).astype(np.float32)}
    found = training.fitted(model.calibration, model.gather, data_root, noise, InputSpec())
    assert len(found) == len(NUMBERS)
    assert np.isfinite(found).all()
    entry = next(e for e in catalog.entries("challenge-2015", data_root) if e.record == "v748s")
    ppg = catalog.load(entry, data_root).crop(60, 120).ppg
    assert ppg is not None
    odds = []
    for record in (Record("clean", None, ppg), moving(ppg.values, -9.0, 1)):
        seen = model.gather(record)
        given = rows(seen, (False, True), replace(model.calibration, lone=())).ppg
        odds.append(np.median(lone(seen.ppg, company(seen.ppg, "ppg"), given) @ np.array(found)))
    assert odds[0] > odds[1] + 1
