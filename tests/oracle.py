"""What a fiducial head would say if it knew the truth, up to drawn errors: for tests of what comes after it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardiofm.data.simulate import Simulated
from cardiofm.measure.confidence import Calibration
from cardiofm.measure.gather import HOP_S, Gathered, Gatherer
from cardiofm.measure.locate import BUMP_S, FOOT, R
from cardiofm.measure.whole import measurement
from cardiofm.signals import EVENTS, HeadOutputs, Measurement, Record

FS_HZ, WINDOW_S = 250.0, 10.0
SCALE = {"p": (0, 1), "qrs": (2, 4), "t": (5, 6)}


def truth(simulated: Simulated) -> NDArray[np.float64]:
    """Every event of every beat, `(B, K)` s: what the simulation does not say is put at a plausible distance."""
    b = simulated.beats
    ends = {
        "p_onset": b.qrs_onset_s - 0.15, "p_offset": b.qrs_onset_s - 0.05, "qrs_onset": b.qrs_onset_s,
        "r_peak": b.r_peak_s, "qrs_offset": b.r_peak_s + 0.05, "t_peak": b.t_end_s - 0.1, "t_end": b.t_end_s,
        "ppg_foot": b.ppg_foot_s, "ppg_peak": b.ppg_foot_s + 0.15,
    }  # fmt: skip
    return np.stack([ends[event] for event in EVENTS], axis=1)


def said(
    events_BK: NDArray[np.float64],
    start_s: float,
    *,
    error_s: float | NDArray[np.float64] = 0.0,
    seed: int = 0,
    height: float = 0.95,
    valid: NDArray[np.bool_] | None = None,
) -> HeadOutputs:
    """A window of 10 s: bumps and reaches, each with its own Laplace error of mean `error_s` (one, or `(K,)`)."""
    rng = np.random.default_rng([seed, round(start_s * 1000)])
    N = round(WINDOW_S * FS_HZ)
    t = start_s + np.arange(N) / FS_HZ
    error_K = np.broadcast_to(np.asarray(error_s, np.float64), (len(EVENTS),))
    chance, waves = np.zeros((len(EVENTS), N)), np.zeros((4, N))
    reach, spread = np.zeros((len(EVENTS), N)), np.tile(np.maximum(error_K, 0.001)[:, None], (1, N))
    valid = np.ones((2, N), bool) if valid is None else valid
    near_B = np.abs(np.nanmean(events_BK, axis=1) - start_s - WINDOW_S / 2) < WINDOW_S / 2 + 1.5
    for beat_K in events_BK[near_B]:
        at_K = beat_K + rng.laplace(0, 1, len(EVENTS)) * error_K
        far_K = beat_K + rng.laplace(0, 1, len(EVENTS)) * error_K
        for k in np.flatnonzero(np.isfinite(beat_K)):
            broad = np.hypot(BUMP_S[k], 3 * error_K[k])  # as real heads: broader than their error
            chance[k] = np.maximum(chance[k], height * np.exp(-0.5 * ((t - at_K[k]) / broad) ** 2))
            anchor, near_s = (R, 0.06) if k < FOOT else (FOOT, 0.1)
            near = np.abs(t - beat_K[anchor]) <= near_s
            reach[k, near] = far_K[k] - t[near]
        for w, (a, b) in enumerate(SCALE.values(), start=1):
            low = beat_K[a] - (0.05 if w == 3 else 0)
            waves[w] = np.maximum(waves[w], (t >= low) & (t < beat_K[b]))
    seen = np.concatenate([np.repeat(valid[:1], 7, 0), np.repeat(valid[1:], 2, 0)])
    waves[0] = 1 - waves[1:].max(0)
    as_float = [a.astype(np.float32) for a in (waves * valid[0], chance * seen, reach, spread)]
    return HeadOutputs(start_s, FS_HZ, *as_float, valid=valid)


def measured(
    record: Record,
    events_BK: NDArray[np.float64],
    *,
    smoothed: bool = True,
    calibration: Calibration | None = None,
    **how,
) -> Measurement:
    """The whole way from windows to the table; `how`: see `gathered`."""
    found = gathered(record, events_BK, **how)
    return measurement(record, found, WINDOW_S, calibration or Calibration(), smoothed=smoothed)


def gathered(
    record: Record,
    events_BK: NDArray[np.float64],
    *,
    gaps: dict[int, list[tuple[float, float]]] | None = None,
    **how,
) -> Gathered:
    """The beats of all windows; `gaps`: spans (s) in which a channel (0 ecg, 1 ppg) is not known."""
    gatherer, start_s = Gatherer(), record.start_s
    while True:
        t = start_s + np.arange(round(WINDOW_S * FS_HZ)) / FS_HZ
        channels = (record.ecg, record.ppg)
        valid = np.stack([(t >= s.start_s) & (t < s.end_s) if s else np.zeros(len(t), bool) for s in channels])
        for c, spans in (gaps or {}).items():
            for first, last in spans:
                valid[c] &= ~((t >= first) & (t < last))
        if valid.sum(1).max() >= FS_HZ:
            gatherer.add(said(events_BK, start_s, valid=valid, **how), np.array([0.9, 0.8], np.float32))
        if start_s + WINDOW_S >= record.end_s - 1e-9:
            break
        start_s += HOP_S
    return gatherer.finish()
