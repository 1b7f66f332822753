"""The last seconds before an arrhythmia alarm to named numbers: is there really a pause, a fast or a wide rhythm?

Alarms are defined on few beats (five slow ones, seventeen fast ones, five wide ones, four seconds without one), so it
is the most unusual stretch of both signals that decides, and what the other signal shows there. After the rules of
Clifford et al., "The PhysioNet/Computing in Cardiology Challenge 2015" (doi:10.1109/CIC.2015.7408639). NaN wherever
something cannot be measured. Shapes: B beats, N samples, K stretches.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure.band import Floats
from cardiofm.measure.gather import Gathered, Known
from cardiofm.measure.locate import FOOT, PPG, Points, R
from cardiofm.measure.unusual import STRETCH, stretches, unlike, wave
from cardiofm.signals import Record

LOOK_S = 40.0  # of the recording: its usual beat and height
LAST_S = 16.0  # before the alarm: where it must be
_BAND_HZ = {"ecg": (1.0, 30.0), "ppg": (0.5, 10.0)}
_SURE = {"likely": 0.3, "sure": 0.6}  # chance of a beat from which on it is counted
_FEW = 3
_RUNS: dict[str, tuple[int, Callable[[Floats], float]]] = {  # beats in a row, the interval that decides
    "slowest_5_bpm": (5, lambda rr: float(rr.max())),
    "fastest_5_bpm": (5, lambda rr: float(rr.min())),
    "fastest_12_bpm": (12, lambda rr: float(rr.min())),
    "fastest_17_bpm": (17, lambda rr: float(rr.min())),
}
_BEATS = {
    "beats": "beats, counted from a chance of 0.3 (likely) or 0.6 (sure) on",
    "gap_s": "longest time without a beat, the ends of the span included, s",
    "slowest_5_bpm": "slowest rate of five beats in a row, beats a minute",
    "fastest_5_bpm": "fastest rate of five beats in a row",
    "fastest_12_bpm": "fastest rate of twelve beats in a row",
    "fastest_17_bpm": "fastest rate of seventeen beats in a row",
    "sd_s": "standard deviation of the intervals, s",
    "rr_s": "median interval, s",
    "rmssd_s": "root mean square of successive differences, s",
}
_SEEN = {
    "chance": "mean chance of the beats",
    "chance_low": "lowest fifth of the chances of the beats",
    "known": "share of the span that is known",
    "known_least": "share of its least known second",
    "quality": "mean quality of the windows",
    "quality_least": "least quality of the windows",
}


def _meaning() -> dict[str, str]:
    found = {}
    for modality in ("ecg", "ppg"):
        found |= {f"{modality}_{sure}_{k}": v for sure in _SURE for k, v in _BEATS.items()}
        found |= {f"{modality}_{k}": v for k, v in _SEEN.items()}
    return found | STRETCH


MEANING: dict[str, str] = _meaning()
NAMES = tuple(MEANING)


def numbers(record: Record, found: Gathered, alarm_s: float) -> NDArray[np.float64]:
    """The numbers of `NAMES` `(F,)` at an alarm at `alarm_s` (record time).

    `found` is what the fiducial head located in the record; nothing after the alarm is looked at.
    """
    told: dict[str, float] = {}
    parts: tuple[tuple[str, Points, int, int], ...] = (
        ("ecg", found.ecg, R, 0),
        ("ppg", found.ppg, FOOT - PPG.start, 1),
    )
    for modality, points, anchor, channel in parts:
        at_s, chance = points.at_s[:, anchor], points.chance[:, anchor]
        inside = (at_s > alarm_s - LAST_S) & (at_s <= alarm_s)
        for name, least in _SURE.items():
            counted = np.sort(at_s[inside & (chance >= least)])
            told |= {f"{modality}_{name}_{k}": v for k, v in _of_beats(counted, alarm_s).items()}
        quality = found.quality[found.window_s >= alarm_s - LAST_S - 4, channel]
        seen = _of_view(chance[inside], found.known[channel], quality, alarm_s)
        told |= {f"{modality}_{k}": v for k, v in seen.items()}
    start_s = max(record.start_s, alarm_s - LOOK_S)
    ecg, ppg = (wave(record.signal(m), _BAND_HZ[m], start_s, alarm_s) for m in ("ecg", "ppg"))
    told |= stretches(found.ecg, ecg, ppg, start_s, alarm_s, LAST_S)
    told |= unlike(_until(found.ecg, alarm_s), ecg, start_s, alarm_s, LAST_S)
    return np.array([told.get(name, np.nan) for name in NAMES], np.float64)


def _until(points: Points, alarm_s: float) -> Points:
    at_s = points.at_s[:, R]
    likely = (points.chance[:, R] >= _SURE["likely"]) & (at_s <= alarm_s)
    rows = np.flatnonzero(likely)
    return points.rows(rows[np.argsort(at_s[rows], kind="stable")])


def _of_beats(at_s: Floats, alarm_s: float) -> dict[str, float]:
    rr_s = np.diff(at_s)
    told = {"beats": float(len(at_s)), "gap_s": float(np.diff([alarm_s - LAST_S, *at_s, alarm_s]).max())}
    for name, (count, decides) in _RUNS.items():
        if len(at_s) >= count:
            told[name] = 60 / max(decides((at_s[count - 1 :] - at_s[: len(at_s) - count + 1]) / (count - 1)), 1e-3)
    if len(rr_s):
        told["rr_s"] = float(np.median(rr_s))
    if len(rr_s) >= _FEW:
        told |= {"sd_s": float(rr_s.std()), "rmssd_s": float(np.sqrt(np.mean(np.diff(rr_s) ** 2)))}
    return told


def _of_view(
    chance: NDArray[np.float32], known: Known, quality: NDArray[np.float32], alarm_s: float
) -> dict[str, float]:
    second_s = alarm_s - np.arange(LAST_S, 0, -1.0)
    share = known.between_s(second_s, second_s + 1)
    told = {"known": float(share.mean()), "known_least": float(share.min())}
    if len(chance):
        told |= {"chance": float(chance.mean()), "chance_low": float(np.percentile(chance, 20))}
    if len(quality):
        told |= {"quality": float(quality.mean()), "quality_least": float(quality.min())}
    return told
