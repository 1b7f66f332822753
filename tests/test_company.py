"""A heart's beats are told from noise by what is around them, and doubtful beats count where a heart is near."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm import weights
from cardiofm.data.simulate import simulate
from cardiofm.measure.company import NUMBERS, around, company, within
from cardiofm.measure.confidence import Calibration
from cardiofm.measure.gather import Gathered, Gatherer
from cardiofm.measure.rows import rows
from cardiofm.pipeline import Model, calibration, load
from cardiofm.signals import EVENTS, InputSpec, Record, SignalError
from cardiofm.train.company import hearts, nothing
from oracle import said, truth

MODALITIES = ("ecg", "ppg")


def gathered(events: np.ndarray, seconds: float, **how):
    gatherer = Gatherer()
    for start_s in np.arange(0.0, seconds - 2, 8.0):
        gatherer.add(said(events, float(start_s), **how), np.ones(2, np.float32))
    return gatherer.finish()


def test_the_numbers_have_names_and_stay_with_the_clock() -> None:
    made = simulate(30, fs_ecg_hz=250, fs_ppg_hz=125, seed=4, heart_rate_bpm=70)
    found = gathered(truth(made), 30.0)
    for modality in MODALITIES:
        points = found.ecg if modality == "ecg" else found.ppg
        x = company(points, modality)
        assert x.shape == (len(points), len(NUMBERS[modality]))
        assert np.isfinite(x).all()
        assert x[:, NUMBERS[modality].index("change of the interval")].max() < 0.1
        assert company(points.rows(np.arange(0)), modality).shape == (0, len(NUMBERS[modality]))
    uneven = truth(simulate(30, fs_ecg_hz=250, fs_ppg_hz=125, seed=4, heart_rate_bpm=70, rhythm="af"))
    assert company(gathered(uneven, 30.0).ecg, "ecg")[:, -1].min() > 0.1


def test_around_and_within() -> None:
    assert around(np.array([0.0, 4.0, 20.0]), np.array([[1.0, 0.0], [3.0, 0.0], [9.0, 1.0]])).tolist() == [
        [2.0, 0.0], [2.0, 0.0], [9.0, 1.0],
    ]  # fmt: skip
    assert within(np.array([1.0, 161.1]), np.array([41.0])).tolist() == [True, False]
    assert within(np.array([1.0]), np.empty(0)).tolist() == [False]


def test_doubtful_company_counts_where_a_heart_is_near() -> None:
    found = gathered(truth(simulate(60, fs_ecg_hz=250, fs_ppg_hz=125, seed=4, heart_rate_bpm=70)), 60.0)
    never = {m: (-1.0, *([0.0] * (len(NUMBERS[m]) - 1))) for m in MODALITIES}
    always = {m: (1.0, *([0.0] * (len(NUMBERS[m]) - 1))) for m in MODALITIES}
    assert len(rows(found, (True, True), Calibration(heart=never))) == 0
    both = rows(found, (True, True), Calibration(heart=always))
    assert (both.ecg >= 0).sum() == pytest.approx(70, abs=3)
    one = rows(found, (True, True), Calibration(heart=never | {"ppg": always["ppg"]}))  # one heart beats in both
    assert np.array_equal(one.ecg, both.ecg)


def test_a_calibration_of_other_numbers_is_an_error() -> None:
    with pytest.raises(SignalError, match="for 'ecg'"):
        Calibration(heart={"ecg": (1.0, 2.0)})
    with pytest.raises(SignalError, match="for 'lone'"):
        Calibration(lone=(1.0, 2.0))


@pytest.fixture(scope="module")
def model() -> Model:
    return load("base")


def test_the_released_head_is_silent_in_hum_and_white_noise_and_hears_a_short_record(model: Model) -> None:
    assert set(calibration(weights.folder("base")).heart) == set(MODALITIES)
    drift = np.sin(np.arange(10_000, dtype=np.float32) / 250)[None]
    assert all(len(model.measure(record)) == 0 for record in nothing({"drift": drift}, model.spec, 8))
    short = simulate(5, fs_ecg_hz=250, fs_ppg_hz=125, seed=6, heart_rate_bpm=80, ecg_noise_mv=0.02, ppg_noise=0.02)
    assert 5 <= len(model.measure(short.record)) <= 8


@pytest.mark.shared
def test_a_loose_electrode_is_no_heart(model: Model, data_root) -> None:
    from cardiofm.data import catalog

    entry = next(e for e in catalog.entries("nstdb", data_root) if e.record == "em-1")
    ecg = catalog.load(entry, data_root).ecg
    assert ecg is not None
    heard = [len(model.measure(Record(f"{s}", ecg.crop(s, s + 10)))) for s in np.arange(30.0, 1200.0, 117.0)]
    assert sum(n > 0 for n in heard) <= 1


def test_what_is_fitted_tells_beats_from_bumps() -> None:
    def bumps(record: Record) -> Gathered:
        rng = np.random.default_rng(int(record.name.split()[1]))
        at_s = np.sort(rng.uniform(0, 10, 14))
        events = at_s[:, None] + rng.normal(0, 0.1, (14, len(EVENTS)))
        gatherer = Gatherer()
        gatherer.add(said(events, 0.0, error_s=0.02, height=0.8, seed=3), np.ones(2, np.float32))
        return gatherer.finish()

    marked = []
    for seed in range(6):
        made = simulate(30, fs_ecg_hz=250, fs_ppg_hz=125, seed=seed, heart_rate_bpm=60 + 15 * seed)
        true_s = {"ecg": made.beats.r_peak_s, "ppg": made.beats.ppg_foot_s}
        marked.append((gathered(truth(made), 30.0, error_s=0.01, seed=seed), true_s))
    wave = np.zeros((2, 10_000), np.float32)
    fitted = Calibration(heart=hearts(Calibration(), bumps, marked, {"em": wave}, InputSpec(), 140))
    whole = [len(rows(found, (True, True), fitted)) for found, _ in marked]
    assert min(whole) >= 28
    heard = [len(rows(bumps(Record.from_arrays(ecg=(np.zeros(9), 250), name=f"x {k}")), (True, True), fitted))
             for k in range(800, 850)]  # fmt: skip
    assert np.mean(np.array(heard) > 0) < 0.06


def test_a_head_that_nothing_deceives_needs_no_map() -> None:
    silent = Gatherer().finish()
    made = simulate(30, fs_ecg_hz=250, fs_ppg_hz=125, seed=1)
    found = gathered(truth(made), 30.0), {"ecg": made.beats.r_peak_s, "ppg": made.beats.ppg_foot_s}
    wave = np.zeros((2, 10_000), np.float32)
    fitted = hearts(Calibration(), lambda _: silent, [found], {"em": wave}, InputSpec(), 7)
    assert {m: set(b) for m, b in fitted.items()} == {"ecg": {0.0}, "ppg": {0.0}}
    assert len(rows(found[0], (True, True), Calibration(heart=fitted))) >= 25
