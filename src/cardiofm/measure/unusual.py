"""The most unusual stretch of the last seconds: runs of beats unlike the others, and waves that are no beats at all.

Shapes: B beats, N samples at `FS_HZ`, K stretches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardiofm.measure.band import Floats, band_pass, clean
from cardiofm.measure.locate import ECG_EVENTS, Points, R
from cardiofm.signals import Signal

FS_HZ = 125.0
_LONG_S, _HOP_S = 3.0, 0.5  # of a stretch
_HALF_S = 0.15  # of a beat's shape, about its R peak
_FEW = 4  # beats that have a median
_ONSET, _OFFSET = ECG_EVENTS.index("qrs_onset"), ECG_EVENTS.index("qrs_offset")
_OF_STRETCH = {
    "hz": "strongest frequency of the ECG, Hz",
    "alone": "share of its power about that frequency",
    "harmonic": "share of its power about that frequency and twice and three times it",
    "kurtosis": "fourth standardised moment (1.5: a sine, above 5: beats)",
    "height": "log of its standard deviation over that of the recording",
    "slope": "steepest step of a sample over the largest value",
    "beats": "likely R peaks in it",
    "chance": "their mean chance",
    "qrs_s": "their median width of the QRS, s",
    "p": "how much of a P wave the head sees before them, 0 to 1",
    "ppg_height": "log of the PPG's standard deviation over that of the recording",
    "repeats": "largest autocorrelation at 0.25-2 s",
    "ago_s": "from its start to the alarm, s",
}
_KEYS = tuple(_OF_STRETCH)
_EXTREME = {  # which stretch is the unusual one
    "flat_topped": "least kurtosis",
    "high": "greatest height",
    "gentle": "least slope",
    "low": "least height",
    "one_tone": "one frequency without a steep step",
}
_OF_EITHER = {
    "hz": "strongest frequency, Hz",
    "alone": "share of the power about that frequency",
    "fast": "share of the power in 2-9 Hz",
    "height": "log of the standard deviation over that of the time before the last seconds",
    "kurtosis": "fourth standardised moment",
}
_ENDS = {"least": np.min, "most": np.max, "mean": np.mean}
_OF_WAVE = {
    "repeats_10_s": "largest autocorrelation at 0.25-2 s of the last ten seconds",
    "repeats_least": "least such value of five seconds in a row among them",
    "unit_height": "log of the standard deviation of the last eight seconds, in the signal's own unit",
}
_SHAPE = {
    "qrs_widest_s": "widest QRS of the last beats, s",
    "qrs_s": "median width of the QRS of the last beats, s",
    "qrs_usual_s": "the same of all beats, s",
    "like_least": "least correlation of a last beat with the recording's median beat",
    "like": "mean of these correlations",
    "like_each_other": "mean correlation of the last beats with each other",
    "highest": "log of the highest last beat over the usual one",
    "lowest": "log of the lowest",
    **{
        f"odd{n}_{k}": f"the {n} beats in a row least like the median beat: {v}"
        for n in (3, 5)
        for k, v in {"like": "mean correlation", "bpm": "rate", "qrs_s": "mean width of the QRS, s"}.items()
    },
    "odd5_each_other": "the same five: mean correlation with each other",
    "odd5_ago_s": "the same five: from their end to the alarm, s",
    "fast5_like": "the five fastest beats in a row: mean correlation with the median beat",
    "fast5_qrs_s": "the five fastest beats in a row: mean width of the QRS, s",
}
STRETCH: dict[str, str] = {
    **{f"{name}_{k}": f"3 s with {why}: {v}" for name, why in _EXTREME.items() for k, v in _OF_STRETCH.items()},
    **{f"median_{k}": f"median over 3-s stretches: {_OF_STRETCH[k]}" for k in _KEYS[:-1]},
    **{
        f"{m}_{end}_{k}": f"{end} over 3-s stretches of the {m.upper()}: {v}"
        for m in ("ecg", "ppg")
        for end in _ENDS
        for k, v in _OF_EITHER.items()
    },
    **{f"{m}_{k}": f"{m.upper()}: {v}" for m in ("ecg", "ppg") for k, v in _OF_WAVE.items()},
    **{f"shape_{k}": v for k, v in _SHAPE.items()},
}


def wave(signal: Signal | None, band_hz: tuple[float, float], start_s: float, end_s: float) -> Floats | None:
    """The signal in its band at `FS_HZ` from start to end, `(N,)`; None where it is absent or does not move."""
    part = None if signal is None else signal.crop(start_s, end_s)
    if part is None:
        return None
    x, good = clean(part.values, part.fs_hz, None)
    made, pad = band_pass(x, good, part.fs_hz, (band_hz[0], min(band_hz[1], 0.45 * part.fs_hz)))
    if made is None:
        return None
    at_s = part.start_s + np.arange(len(x)) / part.fs_hz
    clock_s = start_s + np.arange(round((end_s - start_s) * FS_HZ)) / FS_HZ
    return np.interp(clock_s, at_s, made[pad : pad + len(x)])


def stretches(
    points: Points, ecg: Floats | None, ppg: Floats | None, start_s: float, end_s: float, last_s: float
) -> dict[str, float]:
    """Numbers of the most unusual 3 s among the last `last_s`, by several measures of unusual."""
    told: dict[str, float] = {}
    first = max(0, round((end_s - last_s - start_s) * FS_HZ))
    places = range(first, round((end_s - start_s) * FS_HZ) - round(_LONG_S * FS_HZ) + 1, round(_HOP_S * FS_HZ))
    if ecg is not None and len(places):
        found = np.array([_stretch(points, ecg, ppg, a, start_s, end_s) for a in places])
        by = dict(zip(_KEYS, found.T, strict=True))
        at = {
            "flat_topped": by["kurtosis"].argmin(),
            "high": by["height"].argmax(),
            "gentle": by["slope"].argmin(),
            "low": by["height"].argmin(),
            "one_tone": (by["alone"] - by["slope"]).argmax(),
        }
        told |= {f"{name}_{k}": float(by[k][i]) for name, i in at.items() for k in _KEYS}
        told |= {f"median_{k}": _median(by[k]) for k in _KEYS[:-1]}
    for modality, x in (("ecg", ecg), ("ppg", ppg)):
        if x is not None and len(places):
            told |= {f"{modality}_{k}": v for k, v in _of_either(x, places).items()}
    return told


def _stretch(points: Points, ecg: Floats, ppg: Floats | None, a: int, start_s: float, end_s: float) -> list[float]:
    n = round(_LONG_S * FS_HZ)
    x = ecg[a : a + n] - ecg[a : a + n].mean()
    hz, power, peak = _spectrum(x)
    total = power[(hz > 0.8) & (hz < 25)].sum() + 1e-12
    alone, *more = (power[np.abs(hz - k * peak) < 0.5].sum() / total for k in (1, 2, 3))
    height = float(np.abs(x).max()) + 1e-9
    at_s, begin_s = points.at_s[:, R], start_s + a / FS_HZ
    own = (points.chance[:, R] >= 0.3) & (at_s >= begin_s) & (at_s < begin_s + _LONG_S)
    width_s = (points.at_s[:, _OFFSET] - points.at_s[:, _ONSET])[own]
    return [
        peak, float(alone), float(alone + sum(more)), float(np.mean(x**4) / (x.var() ** 2 + 1e-12)),
        _height(ecg, a), float(np.abs(np.diff(x)).max()) / height, float(own.sum()),
        float(points.chance[own, R].mean()) if own.any() else 0.0, _median(width_s),
        float(points.presence[own, 0].mean()) if own.any() else 0.0,
        np.nan if ppg is None else _height(ppg, a), _repeats(x), end_s - begin_s,
    ]  # fmt: skip


def _of_either(wave_N: Floats, places: range) -> dict[str, float]:
    usual, rows = float(wave_N[: places[0]].std()) if places[0] else float(wave_N.std()), []
    for a in places:
        x = wave_N[a : a + round(_LONG_S * FS_HZ)]
        x = x - x.mean()
        hz, power, peak = _spectrum(x)
        total = power[(hz > 0.5) & (hz < 30)].sum() + 1e-12
        alone, fast = power[np.abs(hz - peak) < 0.5].sum() / total, power[(hz > 2) & (hz < 9)].sum() / total
        height = np.log(x.std() / (usual + 1e-9) + 1e-3)
        rows.append([peak, alone, fast, height, np.mean(x**4) / (x.var() ** 2 + 1e-12)])
    found = np.array(rows)
    told = {f"{end}_{k}": float(of(v)) for end, of in _ENDS.items() for k, v in zip(_OF_EITHER, found.T, strict=True)}
    second, end = round(FS_HZ), len(wave_N)
    five = [_repeats(wave_N[end - (5 + k) * second : end - k * second]) for k in range(6) if end >= (5 + k) * second]
    told["repeats_10_s"] = _repeats(wave_N[-10 * second :])
    if five:
        told["repeats_least"] = min(five)
    return told | {"unit_height": float(np.log(wave_N[-8 * second :].std() + 1e-9))}


def _spectrum(x: Floats) -> tuple[Floats, Floats, float]:
    """Frequencies, power, and the strongest frequency between 1 and 8 Hz."""
    hz = np.asarray(np.fft.rfftfreq(len(x), 1 / FS_HZ), np.float64)
    power = np.asarray(np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2, np.float64)
    return hz, power, float(hz[np.argmax(power * ((hz > 1) & (hz < 8)))])


def _height(wave_N: Floats, a: int) -> float:
    return float(np.log(wave_N[a : a + round(_LONG_S * FS_HZ)].std() / (wave_N.std() + 1e-9) + 1e-3))


def _repeats(wave_N: Floats) -> float:
    x = wave_N - wave_N.mean()
    size = 1 << (2 * len(x) - 1).bit_length()
    auto = np.fft.irfft(np.abs(np.fft.rfft(x, size)) ** 2)[: len(x)]
    return float((auto / (auto[0] + 1e-12))[int(0.25 * FS_HZ) : int(2 * FS_HZ)].max())


def unlike(points: Points, ecg: Floats | None, start_s: float, end_s: float, last_s: float) -> dict[str, float]:
    """How the last beats differ in shape and width from the usual ones; `points`: likely beats in time order."""
    at_s, width_s = points.at_s[:, R], points.at_s[:, _OFFSET] - points.at_s[:, _ONSET]
    last = at_s > end_s - last_s
    told = {"qrs_s": _median(width_s[last]), "qrs_usual_s": _median(width_s)}
    told["qrs_widest_s"] = float(np.nanmax(width_s[last])) if np.isfinite(width_s[last]).any() else np.nan
    half = round(_HALF_S * FS_HZ)
    if ecg is not None:
        place = np.round((at_s - start_s) * FS_HZ).astype(np.int64)
        inside = (place >= half) & (place < len(ecg) - half)
        if inside.sum() >= _FEW and (inside & last).any():
            beats = np.stack([ecg[i - half : i + half] for i in place[inside]])
            told |= _shapes(beats, at_s[inside], width_s[inside], last[inside], end_s)
    return {f"shape_{k}": v for k, v in told.items()}


def _shapes(beats: Floats, at_s: Floats, width_s: Floats, last: NDArray[np.bool_], end_s: float) -> dict[str, float]:
    beats = beats - beats.mean(1, keepdims=True)
    norm = np.linalg.norm(beats, axis=1) + 1e-9
    unit, median = beats / norm[:, None], np.median(beats, axis=0)
    like = (unit @ (median / (np.linalg.norm(median) + 1e-9)))[last]
    height = np.log(norm / np.median(norm))[last]
    each, at_s, width_s = (unit @ unit.T)[np.ix_(last, last)], at_s[last], width_s[last]
    told = {
        "like_least": float(like.min()), "like": float(like.mean()), "like_each_other": _mean_pair(each),
        "highest": float(height.max()), "lowest": float(height.min()),
    }  # fmt: skip
    for n in (3, 5):
        if len(like) < n:
            continue
        run = np.convolve(like, np.full(n, 1 / n), "valid")
        k = int(run.argmin())
        rate = 60 * (n - 1) / (at_s[k + n - 1] - at_s[k] + 1e-9)
        told |= {f"odd{n}_like": float(run[k]), f"odd{n}_bpm": float(rate), f"odd{n}_qrs_s": _mean(width_s[k : k + n])}
        if n == 5:
            told |= {"odd5_each_other": _mean_pair(each[k : k + n, k : k + n]), "odd5_ago_s": end_s - at_s[k + n - 1]}
            k = int((at_s[n - 1 :] - at_s[: len(at_s) - n + 1]).argmin())
            told |= {"fast5_like": float(run[k]), "fast5_qrs_s": _mean(width_s[k : k + n])}
    return told


def _mean_pair(like_BB: Floats) -> float:
    n = len(like_BB)
    return float((like_BB.sum() - np.trace(like_BB)) / (n * (n - 1))) if n > 1 else np.nan


def _median(values: Floats) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else np.nan


def _mean(values: Floats) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan
