"""An ECG + PPG pair whose R times, QT and PAT are known exactly, because the waves are placed by formula.

Each ECG wave is a lobe with its own rise and fall, after the idea of one asymmetric bump per wave (McSharry et al.,
IEEE Trans Biomed Eng 50, 2003, doi:10.1109/TBME.2003.808805). The bumps here are raised cosines instead of Gaussians:
they are exactly zero outside their support, so that onset and end are points and not a matter of threshold.

Definitions, all in continuous time (a sample need not lie there):
- QRS onset: the instant where the first wave of the QRS leaves the baseline.
- R peak: the extremum of the R lobe. Neither Q nor S reaches it.
- T end: the instant where the T lobe reaches the baseline. The tangent at its steepest point meets the baseline
  0.18 of the fall earlier (about 17 ms), as it does on real T waves.
- PPG foot: where the tangent at the steepest point of the upstroke meets the horizontal through the minimum before it
  (intersecting tangents). The upstroke is a raised cosine, so this is 0.18 of its rise after the minimum.
- QT = T end − QRS onset; PAT = PPG foot − R peak of the same beat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from cardiofm.signals import Record, Signal, SignalError

RHYTHMS = ("sinus", "af", "bigeminy", "ectopy")
TANGENT = 0.5 - 1 / math.pi  # share of a raised-cosine flank between its zero and its steepest tangent's zero
EDGE_S = 3.0  # beats are laid out this far beyond both ends, so that the edges look like the middle
QT_LAG_S = 20.0  # time constant with which QT follows RR
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Beats:
    """The truth, one row per beat whose R peak lies in the record, `(B,)` float64; NaN: that point lies outside it."""

    r_peak_s: Floats
    qrs_onset_s: Floats
    t_end_s: Floats
    ppg_foot_s: Floats
    qt_ms: Floats
    pat_ms: Floats
    ectopic: NDArray[np.bool_]  # a ventricular beat: early, wide, T opposite to the QRS

    def __len__(self) -> int:
        return len(self.r_peak_s)


@dataclass(frozen=True)
class Simulated:
    """A simulated record (its notes say so) and the truth about each of its beats."""

    record: Record
    beats: Beats


@dataclass(frozen=True)
class _Person:
    """What stays the same from beat to beat; `_draw_person` gives the ranges."""

    p_mv: float
    q_mv: float
    r_mv: float
    s_mv: float
    st_mv: float
    t_mv: float
    pr_s: float  # P onset to QRS onset at RR = 1 s
    onset_to_r_s: float
    r_to_j_s: float  # R peak to the end of the QRS
    t_fall: float  # share of the QT interval
    t_skew: float  # rise of T / fall of T
    qtc_s: float  # QT at RR = 1 s (Fridericia)
    pat_s: float
    breath_hz: float
    lf: float  # slow (0.1 Hz) part of the RR variation, share of RR
    hf: float  # respiratory part
    breath_ecg: float  # respiratory modulation of the amplitude, share
    breath_ppg: float
    upstroke_s: float
    run_off: float  # how early the pulse falls: exponent of the falling flank's time
    notch: float  # height of the dicrotic wave, share of the pulse
    notch_at: float  # its place on the falling flank, share
    fib_mv: float  # height of the fibrillatory waves


def simulate(
    duration_s: float,
    *,
    fs_ecg_hz: float,
    fs_ppg_hz: float,
    seed: int,
    heart_rate_bpm: float | None = None,
    rhythm: str = "sinus",
    qt_ms: float | None = None,
    pat_ms: float | None = None,
    pat_drift_ms: float = 12.0,
    ecg_noise_mv: float = 0.0,
    ppg_noise: float = 0.0,
    ecg_wander_mv: float = 0.0,
    ppg_wander: float = 0.0,
) -> Simulated:
    """A record with ECG in mV and PPG in NU (one pulse is about 1 high), and its beats in seconds and ms.

    The person (wave shapes, amplitudes, heart rate, QTc, PAT, breathing) is drawn from `seed`; what is given is kept
    as given: `heart_rate_bpm` is the mean, `qt_ms` the QT at the mean RR (it follows the RR with exponent 1/3 and a
    20 s lag), `pat_ms` the mean PAT, around which it drifts by `pat_drift_ms` (standard deviation). Noise has its own
    random stream: the same seed without noise gives the same waves. Noise and wander are root mean squares, for the
    PPG as a share of the pulse. Rhythms: sinus; af (no P, irregular, fibrillatory waves); bigeminy (every second beat
    ventricular); ectopy (one ventricular beat in eight).

    >>> s = simulate(10, fs_ecg_hz=500, fs_ppg_hz=125, seed=1, heart_rate_bpm=60, qt_ms=400, pat_ms=250)
    >>> len(s.record.ecg.values), len(s.record.ppg.values), len(s.beats), s.record.notes
    (5000, 1250, 10, ('simulated',))
    >>> later = simulate(10, fs_ecg_hz=500, fs_ppg_hz=125, seed=1, heart_rate_bpm=60, qt_ms=400, pat_ms=290)
    >>> round(float(np.nanmax(later.beats.pat_ms - s.beats.pat_ms)), 6)
    40.0
    """
    if rhythm not in RHYTHMS:
        raise SignalError(f"rhythm must be one of {', '.join(RHYTHMS)}, found {rhythm!r}")
    if not duration_s > 0:
        raise SignalError(f"the duration must be longer than 0 s, found {duration_s:g}")
    rng_person, rng_beats, rng_noise = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
    person = _draw_person(rng_person)
    usual_bpm = rng_person.uniform(80, 120) if rhythm == "af" else rng_person.uniform(52, 95)
    bpm = usual_bpm if heart_rate_bpm is None else heart_rate_bpm
    if not 25 <= bpm <= 220:
        raise SignalError(f"the heart rate must be between 25 and 220 beats per minute, found {bpm:g}")

    rr_s, ectopic = _rr_intervals(rhythm, math.ceil((duration_s + 2 * EDGE_S) * bpm / 60) + 1, bpm, person, rng_beats)
    r_s = np.cumsum(rr_s) - rr_s[0] - EDGE_S
    onset_s = r_s - person.onset_to_r_s * np.where(ectopic, 1.5, 1.0)
    qt_s = _qt(rr_s, onset_s, ectopic, person.qtc_s if qt_ms is None else qt_ms / 1000 / (60 / bpm) ** (1 / 3))
    pat_s = (person.pat_s if pat_ms is None else pat_ms / 1000) + _drift(r_s, person.breath_hz, rng_beats) * (
        pat_drift_ms / 1000
    )

    t_ecg = np.arange(round(duration_s * fs_ecg_hz)) / fs_ecg_hz
    t_ppg = np.arange(round(duration_s * fs_ppg_hz)) / fs_ppg_hz
    ecg = _ecg(t_ecg, r_s, onset_s, onset_s + qt_s, ectopic, person, atrial=rhythm != "af")
    if rhythm == "af":
        ecg += _fibrillation(t_ecg, person.fib_mv, rng_beats)
    ppg = _ppg(t_ppg, r_s, r_s + pat_s, person)
    ecg += _noise(t_ecg, fs_ecg_hz, ecg_noise_mv, ecg_wander_mv, person.breath_hz, rng_noise)
    ppg += _noise(t_ppg, fs_ppg_hz, ppg_noise, ppg_wander, person.breath_hz, rng_noise)

    record = Record(
        f"simulated-{rhythm}-{seed}",
        Signal(ecg.astype(np.float32), float(fs_ecg_hz), "mV", "II"),
        Signal(ppg.astype(np.float32), float(fs_ppg_hz), "NU", "PLETH"),
        patient=f"simulated-{seed}",
        notes=("simulated",),
    )
    return Simulated(record, _truth(duration_s, r_s, onset_s, onset_s + qt_s, r_s + pat_s, ectopic))


def _draw_person(rng: np.random.Generator) -> _Person:
    t_mv = rng.choice([rng.uniform(0.15, 0.5), rng.uniform(0.06, 0.15), -rng.uniform(0.1, 0.35)], p=[0.75, 0.15, 0.1])
    return _Person(
        p_mv=rng.uniform(0.06, 0.2),
        q_mv=rng.choice([0.0, -rng.uniform(0.02, 0.2)], p=[0.3, 0.7]),
        r_mv=rng.uniform(0.5, 1.8),
        s_mv=-rng.uniform(0.0, 0.5),
        st_mv=rng.normal(0, 0.02),
        t_mv=t_mv,
        pr_s=rng.uniform(0.13, 0.2),
        onset_to_r_s=rng.uniform(0.033, 0.05),
        r_to_j_s=rng.uniform(0.04, 0.07),
        t_fall=rng.uniform(0.19, 0.27),
        t_skew=rng.uniform(1.1, 1.7),
        qtc_s=rng.normal(0.41, 0.022),
        pat_s=rng.uniform(0.18, 0.35),
        breath_hz=rng.uniform(0.17, 0.33),
        lf=rng.uniform(0.005, 0.04),
        hf=rng.uniform(0.005, 0.05),
        breath_ecg=rng.uniform(0.01, 0.08),
        breath_ppg=rng.uniform(0.02, 0.15),
        upstroke_s=rng.uniform(0.12, 0.2),
        run_off=rng.uniform(0.6, 0.9),
        notch=rng.uniform(0.03, 0.35),
        notch_at=rng.uniform(0.3, 0.42),
        fib_mv=rng.uniform(0.02, 0.08),
    )


def _rr_intervals(
    rhythm: str, beats: int, bpm: float, person: _Person, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """RR before each beat in seconds `(B,)`, whose mean is 60 / bpm, and which beats are ventricular `(B,)`."""
    rr_s = 60 / bpm
    t = np.arange(beats) * rr_s
    lf, hf, jitter = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi), rng.normal(0, 0.006, beats)
    relative = 1 + jitter + person.lf * np.sin(2 * np.pi * 0.1 * t + lf)
    relative += person.hf * np.sin(2 * np.pi * person.breath_hz * t + hf)
    ectopic = np.zeros(beats, bool)
    if rhythm == "af":
        relative = np.clip(rng.gamma(20, 1 / 20, beats), 0.6, 2.0)
    elif rhythm == "bigeminy":
        ectopic[1::2] = True
    elif rhythm == "ectopy":
        ectopic[1:-1] = rng.random(beats - 2) < 0.125
        ectopic[1:] &= ~ectopic[:-1]
    early = rng.uniform(0.28, 0.36)
    relative[ectopic] -= early
    relative[1:][ectopic[:-1]] += early  # the pause after an early beat makes up for it
    return relative / relative.mean() * rr_s, ectopic


def _qt(rr_s: Floats, onset_s: Floats, ectopic: NDArray[np.bool_], qtc_s: float) -> Floats:
    """QT of each beat in seconds `(B,)`: QTc · (lagged RR)^(1/3), at most up to shortly before the next QRS."""
    keep = math.exp(-float(rr_s.mean()) / QT_LAG_S)
    lagged = lfilter([1 - keep], [1, -keep], rr_s, zi=[keep * float(rr_s.mean())])[0]
    qt_s = qtc_s * np.cbrt(lagged) + np.where(ectopic, 0.03, 0.0)
    room = np.diff(onset_s, append=onset_s[-1] + rr_s[-1])
    return np.minimum(qt_s, 0.9 * room)


def _drift(t: Floats, breath_hz: float, rng: np.random.Generator) -> Floats:
    """A slow random course at times `t`, with a respiratory part, root mean square about 1 over minutes."""
    course = 0.7 * np.sin(2 * np.pi * breath_hz * t + rng.uniform(0, 2 * np.pi))
    for frequency_hz in (0.1, rng.uniform(0.015, 0.04), rng.uniform(0.003, 0.01)):
        course = course + 0.7 * np.sin(2 * np.pi * frequency_hz * t + rng.uniform(0, 2 * np.pi))
    return course


def _lobe(t: Floats, rise: Floats | float, fall: Floats | float) -> Floats:
    """Raised-cosine bump: 0 at −rise, 1 at 0, 0 at +fall, exactly 0 outside."""
    u = np.clip(t / np.where(t < 0, rise, fall), -1, 1)
    return 0.5 + 0.5 * np.cos(np.pi * u)


def _ecg(
    t: Floats,
    r_s: Floats,
    onset_s: Floats,
    t_end_s: Floats,
    ectopic: NDArray[np.bool_],
    person: _Person,
    *,
    atrial: bool,
) -> Floats:
    """ECG in mV at times `t`. The waves of two beats never overlap, so a sample gets one lobe of each kind at most."""
    p, qt_s = person, t_end_s - onset_s
    before_s = np.diff(r_s, prepend=r_s[0] - (r_s[1] - r_s[0]))
    free_s = onset_s - np.concatenate([[-np.inf], t_end_s[:-1]]) - 0.01
    pr_s = np.clip(
        p.pr_s * np.cbrt(before_s), 0, np.maximum(free_s, 0)
    )  # a P wave starts after the T before it, or is left out
    has_p = atrial & ~ectopic & (pr_s > 0.06)
    has_q = ~ectopic & (p.q_mv < 0)

    wide = np.where(ectopic, 1.8, 1.0)
    lead_s = r_s - onset_s
    j_s = np.minimum(p.r_to_j_s * wide, 0.35 * qt_s)
    fall_s = p.t_fall * qt_s
    peak_s = t_end_s - fall_s
    rise_s = np.clip(p.t_skew * fall_s, 0.01, np.maximum(peak_s - r_s - 0.5 * j_s, 0.01))
    height = 1 + p.breath_ecg * np.sin(2 * np.pi * p.breath_hz * r_s)
    t_mv = np.where(ectopic, -0.35 * p.r_mv, p.t_mv)
    p_half_s = np.minimum(0.05, 0.4 * pr_s)
    q_half_s = 0.4 * lead_s
    waves = [  # centre, height in mV, rise, fall; without a Q, the R leaves the baseline at the onset itself
        (onset_s - pr_s + p_half_s, np.where(has_p, p.p_mv, 0.0), p_half_s, p_half_s),
        (onset_s + q_half_s, np.where(has_q, p.q_mv, 0.0), q_half_s, lead_s - q_half_s),
        (r_s, p.r_mv * np.where(ectopic, 1.3, 1.0), np.where(has_q, 0.75, 1.0) * lead_s, 0.6 * j_s),
        (r_s + 0.55 * j_s, np.where(ectopic, 0.0, p.s_mv), 0.55 * j_s, 0.45 * j_s),
        (r_s + j_s, np.full_like(r_s, p.st_mv), 0.5 * j_s, np.maximum(peak_s - r_s - j_s, 0.02)),
        (peak_s, t_mv, rise_s, fall_s),
    ]

    ecg = np.zeros_like(t)
    for centre, mv, rise, fall in waves:
        first, last = np.searchsorted(t, centre - rise), np.searchsorted(t, centre + fall)
        beat = np.repeat(np.arange(len(r_s)), last - first)
        sample = np.arange(len(beat)) + np.repeat(first - np.cumsum(last - first) + (last - first), last - first)
        ecg[sample] += (mv * height)[beat] * _lobe(t[sample] - centre[beat], rise[beat], fall[beat])
    return ecg


def _ppg(t: Floats, r_s: Floats, foot_s: Floats, person: _Person) -> Floats:
    """PPG at times `t`: each pulse starts at its minimum, 0, and ends where the next one starts."""
    before_s = np.diff(r_s, prepend=r_s[0] - (r_s[1] - r_s[0]))
    after_s = np.diff(foot_s, append=foot_s[-1] + before_s[-1])
    rise_s = np.minimum(person.upstroke_s, 0.35 * after_s)
    start_s = foot_s - TANGENT * rise_s
    run_s = np.diff(start_s, append=start_s[-1] + before_s[-1]) - rise_s
    height = 1 + person.breath_ppg * np.sin(2 * np.pi * person.breath_hz * foot_s)
    height *= np.clip(before_s / before_s.mean(), 0.3, 1.3) ** 0.8  # a short filling time gives a small pulse

    beat = np.clip(np.searchsorted(start_s, t, side="right") - 1, 0, len(r_s) - 1)
    u = t - start_s[beat] - rise_s[beat]
    v = np.clip(u / run_s[beat], 0, 1)
    pulse = np.where(u < 0, _lobe(np.minimum(u, 0), rise_s[beat], 1.0), 0.5 + 0.5 * np.cos(np.pi * v**person.run_off))
    pulse += np.where(u < 0, 0.0, person.notch * _lobe(v - person.notch_at, 0.2, 0.4))
    return height[beat] * pulse


def _fibrillation(t: Floats, height_mv: float, rng: np.random.Generator) -> Floats:
    """Fibrillatory waves in mV at times `t`: 4–9 Hz, their rate and height wander."""
    rate_hz = rng.uniform(5, 8)
    phase = 2 * np.pi * rate_hz * t + 1.5 * np.sin(2 * np.pi * 0.23 * t) + rng.uniform(0, 2 * np.pi)
    return height_mv * (1 + 0.4 * np.sin(2 * np.pi * 0.31 * t)) * (np.sin(phase) + 0.3 * np.sin(2 * phase))


def _noise(t: Floats, fs_hz: float, noise: float, wander: float, breath_hz: float, rng: np.random.Generator) -> Floats:
    """Half-white, half-pink-like noise of that root mean square, and a baseline wander of that root mean square."""
    if noise == 0 and wander == 0:
        return np.zeros_like(t)
    white, walk = rng.normal(0, 1, (2, len(t)))
    keep = math.exp(-2 * math.pi * 3.0 / fs_hz)
    slow = lfilter([math.sqrt(1 - keep**2)], [1, -keep], walk)  # unit variance, 3 Hz corner
    return noise * (white + slow) / math.sqrt(2) + wander * _drift(t, breath_hz, rng)


def _truth(
    duration_s: float,
    r_s: Floats,
    onset_s: Floats,
    t_end_s: Floats,
    foot_s: Floats,
    ectopic: NDArray[np.bool_],
) -> Beats:
    seen = (r_s >= 0) & (r_s < duration_s)

    def inside(points_s: Floats) -> Floats:
        return np.where((points_s >= 0) & (points_s < duration_s), points_s, np.nan)[seen]

    onset, end, foot = inside(onset_s), inside(t_end_s), inside(foot_s)
    return Beats(r_s[seen], onset, end, foot, (end - onset) * 1000, (foot - r_s[seen]) * 1000, ectopic[seen])
