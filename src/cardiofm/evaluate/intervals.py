"""What a drawing does to beats and intervals: one ruler on the original and on the drawing, beat by beat.

The ruler is a public delineator (NeuroKit2's discrete-wavelet one) and not the model's, so that nobody measures
himself. Shapes: N samples, B beats.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from cardiofm.measure.beats import ppg_feet, r_peaks
from cardiofm.measure.bridge import matched

FINE = 4  # the delineator answers in whole samples, so it is given this many times more of them
RULER = "NeuroKit2 ecg_clean and ecg_delineate(method='dwt') at four times the model's rate, on the original's R peaks"


def events(x_N: NDArray[np.floating], known_N: NDArray[np.bool_], channel: int, fs_hz: float) -> NDArray[np.floating]:
    """R peaks of an ECG (channel 0) or feet of a PPG (1), in seconds from the first sample."""
    return (r_peaks, ppg_feet)[channel](x_N, fs_hz, known_N)


def event_counts(
    true_s: NDArray[np.floating],
    found_s: NDArray[np.floating],
    tolerance_s: float,
    span_s: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[int, int]:
    """(2 * pairs, true + found) of the events within `span_s`: an F1 when pooled.

    Events are paired over the whole window first, so one at the edge may find its partner just outside; a pair counts
    when its true event lies within.
    """
    pairs = matched(true_s, found_s, tolerance_s)
    start_s, end_s = span_s
    inside = [bool(start_s <= true_s[i] < end_s) for i, _ in pairs]
    lone_true = np.delete(np.asarray(true_s), [i for i, _ in pairs])
    lone_found = np.delete(np.asarray(found_s), [j for _, j in pairs])
    lone = sum(int(((t >= start_s) & (t < end_s)).sum()) for t in (lone_true, lone_found))
    return 2 * sum(inside), 2 * sum(inside) + lone


def qt_ms(x_N: NDArray[np.floating], r_peak_s: NDArray[np.floating], fs_hz: float) -> NDArray[np.float64]:
    """QRS onset to T end of each beat in ms `(B,)`, NaN where the ruler gives none. Needs NeuroKit2."""
    import neurokit2

    none = np.full(len(r_peak_s), np.nan)
    if len(r_peak_s) < 3:
        return none
    rate = FINE * round(fs_hz)
    fine = resample_poly(np.asarray(x_N, np.float64), FINE, 1)
    peaks = np.clip(np.round(np.asarray(r_peak_s) * rate).astype(int), 0, len(fine) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            clean = neurokit2.ecg_clean(fine, sampling_rate=rate)
            waves = neurokit2.ecg_delineate(clean, peaks, sampling_rate=rate, method="dwt")[1]
        except (ValueError, IndexError, KeyError, ZeroDivisionError, TypeError):  # its own, on beats it cannot follow
            return none
    ends = [np.asarray(waves[name], np.float64) for name in ("ECG_R_Onsets", "ECG_T_Offsets")]
    if any(len(e) != len(peaks) for e in ends):
        return none
    found = (ends[1] - ends[0]) * 1000 / rate
    return np.where(found > 0, found, np.nan)
