"""What company tells beats from noise: windows without a heart against beats marked by hand, clean and in noise.

`hearts` is the last step of `cardiofm.train.calibrate`, which brings beats of people whom the heads never saw. Noise is
that which training may hear, half of the time at another speed, backwards or upside down, so that no head knows
it by heart; and white noise and hum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure.band import Bools, Floats
from cardiofm.measure.company import ANCHORS, EVENTS_OF, company
from cardiofm.measure.confidence import Calibration, logistic
from cardiofm.measure.gather import Gathered
from cardiofm.measure.rows import confidences
from cardiofm.signals import MODALITIES, InputSpec, Record, Signal

EMPTY = 700  # windows without a heart
SILENT = {"ecg": 0.998, "ppg": 0.995}  # share of them in which no top may pass
MOST = 6000  # beats learned from, of each modality
SAME_S = {"ecg": 0.15, "ppg": 0.05}  # a top this near to a marked beat is that beat

Noise = dict[str, NDArray[np.float32]]  # kind → (K, M)
Marked = tuple[Gathered, dict[str, Floats]]  # a recording's tops, and the times of its R peaks and feet


def hearts(
    calibration: Calibration,
    gather: Callable[[Record], Gathered],
    marked: Iterable[Marked],
    noise: Noise,
    spec: InputSpec,
    number: int = EMPTY,
) -> dict[str, tuple[float, ...]]:
    """Coefficients of `company.NUMBERS` by modality: from 0 on the company of a top is that of beats."""
    empty = [gather(record) for record in nothing(noise, spec, number)]
    beats = list(marked)
    return {m: _fitted(calibration, m, empty, beats) for m in MODALITIES}


def nothing(noise: Noise, spec: InputSpec, number: int) -> Iterator[Record]:
    """Windows of recorded noise on both channels (five of seven), white noise, or hum; the same every time."""
    rng = np.random.default_rng(5)
    kinds, N = sorted(noise), spec.samples
    t = np.arange(N) / spec.fs_hz
    for k in range(number):
        if k % 7 < 5:
            recordings = noise[kinds[k % len(kinds)]]
            pair = [_played(recordings[rng.integers(len(recordings))], N, rng) for _ in range(2)]
        elif k % 2:
            pair = [rng.normal(0, s, N) for s in rng.uniform(0.02, 0.5, 2)]
        else:
            hum = 2 * np.pi * rng.choice([50.0, 60.0]) * t
            pair = [np.sin(hum + p) + rng.normal(0, 0.05, N) for p in rng.uniform(0, 6.3, 2)]
        ecg, ppg = (np.asarray(x, np.float32) for x in pair)
        yield Record(f"nothing {k}", Signal(ecg, spec.fs_hz, "mV", "II"), Signal(ppg, spec.fs_hz, "NU", "PLETH"))


def _played(recording: NDArray, N: int, rng: np.random.Generator) -> Floats:
    """A window of a recording, half of the time at another speed, maybe backwards and upside down."""
    changed = rng.random() < 0.5
    speed = rng.uniform(0.75, 1.3) if changed else 1.0
    length = int(N * speed) + 2
    start = rng.integers(len(recording) - length + 1)
    piece = np.interp(np.arange(N) * speed, np.arange(length), recording[start : start + length])
    return piece[:: rng.choice([1, -1])] * rng.choice([1, -1]) if changed else piece


def _fitted(calibration: Calibration, modality: str, empty: list[Gathered], beats: list[Marked]) -> tuple[float, ...]:
    """Logistic regression of tops that would be given, moved so that `SILENT` of the empty windows give none."""
    rng = np.random.default_rng(11)
    void = [_given(calibration, modality, found)[0] for found in empty]
    heart = []
    for found, true_s in beats:
        x, at_s = _given(calibration, modality, found)
        heart.append(x[_near(at_s, true_s[modality], SAME_S[modality])])
    x1, x0 = np.concatenate(heart), np.concatenate(void)
    if not len(x1) or not len(x0):  # a head that noise never deceives, or that finds no beat: nothing to tell apart
        return (0.0,) * x1.shape[1]
    x1 = x1[rng.permutation(len(x1))[:MOST]]
    x, y = np.concatenate([x0, x1]), np.concatenate([np.zeros(len(x0)), np.ones(len(x1))])
    mean, sd = x.mean(0), np.maximum(x.std(0), 1e-6)
    mean[0], sd[0] = 0.0, 1.0
    b = logistic((x - mean) / sd, y) / sd
    b[0] -= b @ mean
    loudest = [float((w @ b).max()) if len(w) else -np.inf for w in void]
    b[0] -= np.quantile(loudest, SILENT[modality], method="higher")
    return tuple(float(v) for v in b)


def _given(calibration: Calibration, modality: str, found: Gathered) -> tuple[Floats, Floats]:
    """Company and times of the tops that are sure enough, were their company that of beats."""
    points, events = (found.ecg if modality == "ecg" else found.ppg), EVENTS_OF[modality]
    anchor = events.index(ANCHORS[modality])
    sure = confidences(points, events, calibration)[:, anchor] >= calibration.given_from(ANCHORS[modality])
    return company(points, modality)[sure], points.at_s[sure, anchor]


def _near(at_s: Floats, true_s: Floats, far_s: float) -> Bools:
    true_s = np.sort(true_s[np.isfinite(true_s)])
    return np.searchsorted(true_s, at_s - far_s) < np.searchsorted(true_s, at_s + far_s)
