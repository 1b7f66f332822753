"""Cleaning by bands: a clean wave stays, noise goes, a hopeless channel ends near its level, and two channels help."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.measure.cleaning import bands, cleaned, fitted, kept_share
from cardiofm.signals import MODALITIES, InputSpec

SPEC = InputSpec()


@pytest.fixture(scope="module")
def waves() -> np.ndarray:
    """A simulated ECG and PPG `(C, N)`, each about zero and of standard deviation 1."""
    record = simulate(10, fs_ecg_hz=250, fs_ppg_hz=250, seed=6, heart_rate_bpm=72).record
    x_CN = window_at(record, SPEC, 0.0).values.astype(np.float64)
    return (x_CN - x_CN.mean(-1, keepdims=True)) / x_CN.std(-1, keepdims=True)


def drift(samples: int, spread: float) -> np.ndarray:
    """Motion as electrodes have it: a random walk, `spread` standard deviations."""
    walk_N = np.random.default_rng(3).normal(size=samples).cumsum()
    return spread * (walk_N - walk_N.mean()) / walk_N.std()


def prd(true_N: np.ndarray, made_N: np.ndarray) -> float:
    error_N = made_N - true_N
    return float(100 * (error_N - error_N.mean()).std() / true_N.std())


@pytest.mark.parametrize("channel", [0, 1])
def test_a_clean_wave_stays_and_drift_goes(waves: np.ndarray, channel: int) -> None:
    true_N, modality = waves[channel], MODALITIES[channel]
    assert prd(true_N, cleaned(true_N, SPEC.fs_hz, modality)) < 15
    assert kept_share(true_N, SPEC.fs_hz, modality) > 0.9
    loud_N = true_N + drift(len(true_N), 2.0)
    assert prd(true_N, cleaned(loud_N, SPEC.fs_hz, modality)) < 0.6 * prd(true_N, loud_N)
    assert kept_share(loud_N, SPEC.fs_hz, modality) < kept_share(true_N, SPEC.fs_hz, modality) - 0.2


@pytest.mark.parametrize("channel", [0, 1])
def test_unit_level_and_company_change_nothing(waves: np.ndarray, channel: int) -> None:
    loud_N, modality = waves[channel] + drift(waves.shape[1], 1.0), MODALITIES[channel]
    made_N = cleaned(loud_N, SPEC.fs_hz, modality)
    np.testing.assert_allclose(cleaned(0.2 * loud_N + 3, SPEC.fs_hz, modality), 0.2 * made_N + 3, atol=1e-4)
    np.testing.assert_allclose(cleaned(np.stack([waves[channel], loud_N]), SPEC.fs_hz, modality)[1], made_N, atol=1e-5)
    flat_N = np.full(500, 4.0)
    np.testing.assert_allclose(cleaned(flat_N, SPEC.fs_hz, modality), flat_N, atol=1e-5)
    assert kept_share(np.zeros(500), SPEC.fs_hz, modality) == 1


def test_what_is_taken_away_comes_from_the_other_guess(waves: np.ndarray) -> None:
    """The right guess in place of noise helps; beside a clean wave even a wrong one does little."""
    true_N = waves[1]
    loud_N = true_N + drift(len(true_N), 6.0) + np.random.default_rng(5).normal(size=len(true_N))
    alone = prd(true_N, cleaned(loud_N, SPEC.fs_hz, "ppg"))
    assert prd(true_N, cleaned(loud_N, SPEC.fs_hz, "ppg", true_N)) < 0.8 * alone
    assert prd(true_N, cleaned(true_N, SPEC.fs_hz, "ppg", -true_N)) < 30


def test_bands_add_up_and_the_numbers_fit_them(waves: np.ndarray) -> None:
    parts_KCN = bands(waves, SPEC.fs_hz)
    np.testing.assert_allclose(parts_KCN.sum(0), waves, atol=1e-9)
    K = len(parts_KCN)
    assert fitted().shape == (2, K, K + 1)


def test_the_network_is_asked_again_only_where_a_channel_is_doubted(
    micro, waves: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from cardiofm import pipeline
    from cardiofm.redraw import draw_cleaned, draw_hidden

    backend = pipeline.load(micro, backend="torch", threads=1).backend
    loud_CN = waves + np.stack([drift(waves.shape[1], 6.0), np.zeros(waves.shape[1])])
    x_BCN = np.stack([waves, loud_CN]).astype(np.float32)
    visible_BCN = np.ones(x_BCN.shape, bool)
    visible_BCN[:, 1, 1000:1500] = False
    in_mv_BC = np.array([[True, False]] * 2)
    code = backend.encode(np.where(visible_BCN, x_BCN, 0), visible_BCN, in_mv_BC)
    net_BCN = backend.draw(code, denoise=True)
    made_BCN = draw_cleaned(backend, code, x_BCN, visible_BCN, in_mv_BC, SPEC.fs_hz)
    drawn_BCN = draw_hidden(backend, code, x_BCN, visible_BCN, in_mv_BC, SPEC.fs_hz)
    np.testing.assert_array_equal(made_BCN[:, 1, 1000:1500], drawn_BCN[:, 1, 1000:1500])  # drawn, not cleaned
    assert np.abs(made_BCN[1, 0] - net_BCN[1, 0]).max() > 0.5
    asked, encode = [], backend.encode

    def counted(x_BCN, *rest):
        asked.append(len(x_BCN))
        return encode(x_BCN, *rest)

    monkeypatch.setattr(backend, "encode", counted)
    again_BCN = draw_cleaned(backend, code, x_BCN, visible_BCN, in_mv_BC, SPEC.fs_hz)
    np.testing.assert_array_equal(again_BCN, made_BCN)
    assert asked[:2] == [2, 1]  # what the ECG says of the gaps in the PPG; of the ECG only the noisy window


@pytest.mark.shared
def test_a_noisy_recording_is_drawn_nearer_to_the_clean_one(data_root) -> None:
    """A validation patient of challenge-2015, the released tiny, noise that training may hear."""
    from dataclasses import replace

    from cardiofm import pipeline
    from cardiofm.data import catalog
    from cardiofm.signals import Record

    noise = catalog.load(next(e for e in catalog.entries("nstdb", data_root) if e.labels["kind"] == "em"), data_root)
    entry = next(e for e in catalog.entries("challenge-2015", data_root) if e.record == "a109l")
    record = catalog.load(entry, data_root)
    ecg = record.ecg
    assert entry.split == "valid"
    assert ecg is not None
    assert noise.ecg is not None
    first = 60 * round(ecg.fs_hz)
    true_N = np.asarray(ecg.samples[first : first + 20 * round(ecg.fs_hz)], np.float64)
    at_s, heard_N = np.arange(len(true_N)) / ecg.fs_hz, np.asarray(noise.ecg.samples[:10_000])
    piece_N = np.interp(at_s, np.arange(len(heard_N)) / noise.ecg.fs_hz, heard_N)
    loud_N = (true_N + piece_N * true_N.std() / piece_N.std()).astype(np.float32)
    loud = Record("loud", ecg=replace(ecg, samples=loud_N, start_s=0.0))
    made = pipeline.load("tiny").reconstruct(loud, denoise=True).ecg
    assert made is not None
    assert prd(true_N, np.asarray(made.samples)) < 0.7 * prd(true_N, loud_N)
