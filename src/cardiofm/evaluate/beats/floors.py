"""The tools that a reader would reach for today, each as a method: record → table of beats.

NeuroKit2 (clean + peaks + delineation by wavelets or by prominence; its pulses with intersecting tangents), openecg's
int8 codec, wfdb's xqrs, and the classical detectors of `cardiofm.measure`. Boundaries are attached to R by time. A tool
that fails on a record gives no beats there.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from cardiofm.data.windows import window_at
from cardiofm.evaluate.beats.kept import kept
from cardiofm.evaluate.beats.table import Floats, Method, Table, attached, table
from cardiofm.measure.beats import pulses, r_peaks
from cardiofm.signals import InputSpec, Record, Signal

FINE_HZ = 500.0  # tools that answer in whole samples are given at least this rate for PAT
OPENECG_HZ = 500.0  # of its codec
_WAVES = {
    "p_onset": "ECG_P_Onsets",
    "p_offset": "ECG_P_Offsets",
    "qrs_onset": "ECG_R_Onsets",
    "qrs_offset": "ECG_R_Offsets",
    "t_peak": "ECG_T_Peaks",
    "t_end": "ECG_T_Offsets",
}
_CODECS = {"openecg": "v6", "openecg v1": "v1"}  # its default, and the one that fits its training records best
_OPENECG = {1: "p", 2: "qrs", 3: "t"}  # its frame classes; class 4 is a paced QRS
_FOOT_BEFORE_S = 0.6  # of a systolic peak, at most
_TOOL_ERRORS = (ValueError, IndexError, KeyError, ZeroDivisionError, TypeError, RuntimeError)
Feet = Callable[[Record], Floats]


def delineators() -> dict[str, Method]:
    """The methods that give QRS, P and T of an ECG, by their names in the results."""
    return {
        "neurokit2 dwt": kept(_neurokit("dwt"), f"neurokit2 {version('neurokit2')} dwt 1"),
        "neurokit2 prominence": kept(_neurokit("prominence"), f"neurokit2 {version('neurokit2')} prominence 1"),
        **{name: kept(_openecg(v), f"openecg {version('openecg')} {v} int8 1") for name, v in _CODECS.items()},
    }


def r_detectors() -> dict[str, Method]:
    """The methods that give R peaks alone."""
    return {
        "neurokit2": kept(lambda r: table(neurokit_r(r)), f"neurokit2 {version('neurokit2')} peaks 1"),
        "xqrs": kept(_xqrs, f"wfdb {version('wfdb')} xqrs 1"),
        "openecg": kept(_openecg_r, f"openecg {version('openecg')} detect_qrs 1"),
        "classical": lambda r: table(classical_r(r)),
    }


def version(package: str) -> str:
    """The installed version of a package, "none" where it is absent."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def whole(record: Record, fs_hz: float) -> tuple[NDArray[np.float32], NDArray[np.bool_], float]:
    """Both channels of a record on one clock `(2, N)`, which samples are known, and the record time of the first."""
    start_s = record.start_s
    samples = max(1, int((record.end_s - start_s) * fs_hz))
    spec = InputSpec(fs_hz=fs_hz, window_s=samples / fs_hz, patch=1)
    window = window_at(record, spec, start_s)
    return window.values, window.valid, start_s


def classical_r(record: Record) -> Floats:
    """R peaks of `cardiofm.measure.beats`, record time in seconds."""
    if record.ecg is None:
        return np.empty(0)
    values = record.ecg.values
    return record.ecg.start_s + r_peaks(values, record.ecg.fs_hz, np.isfinite(values))


def classical_feet(record: Record) -> Floats:
    """Feet of `cardiofm.measure.beats`, record time in seconds."""
    if record.ppg is None:
        return np.empty(0)
    values = record.ppg.values
    return record.ppg.start_s + pulses(values, record.ppg.fs_hz, np.isfinite(values)).foot_s


def neurokit_r(record: Record) -> Floats:
    """NeuroKit2's R peaks (clean + peaks, default methods), record time in seconds."""
    import neurokit2

    if record.ecg is None:
        return np.empty(0)
    x, good, fs_hz = _filled(record.ecg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            clean = neurokit2.ecg_clean(x, sampling_rate=fs_hz)
            found = neurokit2.ecg_peaks(clean, sampling_rate=fs_hz)[1]["ECG_R_Peaks"]
        except _TOOL_ERRORS:
            return np.empty(0)
    return _known(np.asarray(found, np.float64), good, fs_hz, record.ecg.start_s)


def neurokit_feet(record: Record, as_cleaned: bool = True) -> Floats:
    """Intersecting tangents before NeuroKit2's systolic peaks (default method), record time in seconds.

    On its cleaned PPG (0.5-8 Hz), or on the PPG below 16 Hz, which is the second opinion of the consensus.
    """
    import neurokit2

    if record.ppg is None:
        return np.empty(0)
    x, good, fs_hz = _filled(record.ppg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            clean = neurokit2.ppg_clean(x, sampling_rate=fs_hz)
            peaks = neurokit2.ppg_peaks(clean, sampling_rate=fs_hz)[1]["PPG_Peaks"]
        except _TOOL_ERRORS:
            return np.empty(0)
    wave = clean if as_cleaned else sosfiltfilt(butter(4, 16.0, fs=fs_hz, output="sos"), x)
    return _known(tangents(np.asarray(wave, np.float64), np.asarray(peaks, np.int64), fs_hz), good, fs_hz,
                  record.ppg.start_s)  # fmt: skip


def tangents(wave_N: Floats, peaks: NDArray[np.int64], fs_hz: float) -> Floats:
    """Feet before peaks, in samples `(B,)`: the tangent at the steepest point meets the minimum before it.

    NaN where there is no rise. The minimum lies between the peak before and the peak, at most 0.6 s before it.
    """
    slope = np.gradient(wave_N)
    feet = np.full(len(peaks), np.nan)
    for k, peak in enumerate(peaks):
        first = max(int(peak) - round(_FOOT_BEFORE_S * fs_hz), int(peaks[k - 1]) + 1 if k else 0)
        if peak - first < 3:
            continue
        steep = first + int(np.argmax(slope[first : peak + 1]))
        low = first + int(np.argmin(wave_N[first : steep + 1]))
        if slope[steep] > 0:
            feet[k] = steep - (wave_N[steep] - wave_N[low]) / slope[steep]
    return feet


def _neurokit(method: str) -> Method:
    def measure(record: Record) -> Table:
        import neurokit2

        if record.ecg is None:
            return table([])
        x, good, fs_hz = _filled(record.ecg)
        start_s = record.ecg.start_s
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                clean = neurokit2.ecg_clean(x, sampling_rate=fs_hz)
                peaks = neurokit2.ecg_peaks(clean, sampling_rate=fs_hz)[1]["ECG_R_Peaks"]
                waves = neurokit2.ecg_delineate(clean, peaks, sampling_rate=fs_hz, method=method)[1]
            except _TOOL_ERRORS:
                return table([])
        events = {p: _known(np.asarray(waves.get(n, []), np.float64), good, fs_hz, start_s) for p, n in _WAVES.items()}
        return attached(_known(np.asarray(peaks, np.float64), good, fs_hz, start_s), events)

    return measure


@cache
def _codec(version: str) -> object:
    import openecg

    return openecg.load_codec_onnx(version=version)


def _openecg(version: str) -> Method:
    return lambda record: _of_codec(record, version)


def _of_codec(record: Record, version: str) -> Table:
    """openecg's int8 codec in its own sliding windows at 500 Hz; R peaks by its own detector."""
    import openecg

    if record.ecg is None:
        return table([])
    values, valid, start_s = whole(Record(record.name, record.ecg), OPENECG_HZ)
    x = np.where(valid[0], values[0], 0.0).astype(np.float32)
    stream = openecg.encode_stream(x, fs=int(OPENECG_HZ), model=_codec(version))
    events: dict[str, list[float]] = {f"{w}_{side}": [] for w in ("p", "qrs", "t") for side in ("onset", "offset")}
    for first, end, kind in stream.events("frame", drop_class=0):
        wave = _OPENECG.get(2 if kind == 4 else kind)
        if wave is not None:
            events[f"{wave}_onset"].append(start_s + first / OPENECG_HZ)
            events[f"{wave}_offset"].append(start_s + end / OPENECG_HZ)
    named = {**events, "t_end": events["t_offset"]}
    r_s = start_s + np.asarray(openecg.detect_qrs(x, int(OPENECG_HZ)), np.float64) / OPENECG_HZ
    return attached(r_s, named)


def _openecg_r(record: Record) -> Table:
    import openecg

    if record.ecg is None:
        return table([])
    x, good, fs_hz = _filled(record.ecg)
    try:
        found = np.asarray(openecg.detect_qrs(x, fs_hz), np.float64)
    except _TOOL_ERRORS:
        return table([])
    return table(_known(found, good, fs_hz, record.ecg.start_s))


def _xqrs(record: Record) -> Table:
    from wfdb import processing

    if record.ecg is None:
        return table([])
    x, good, fs_hz = _filled(record.ecg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = np.asarray(processing.xqrs_detect(x, fs=fs_hz, verbose=False), np.float64)
        except _TOOL_ERRORS:
            return table([])
    return table(_known(found, good, fs_hz, record.ecg.start_s))


def _filled(signal: Signal) -> tuple[Floats, NDArray[np.bool_], int]:
    """Samples with the gaps bridged by lines (the tools know no gaps), which are real, and the whole-number rate."""
    x = signal.values.astype(np.float64)
    good = np.isfinite(x)
    if not good.any():
        return np.zeros(len(x)), good, round(signal.fs_hz)
    return np.interp(np.arange(len(x)), np.flatnonzero(good), x[good]), good, round(signal.fs_hz)


def _known(at: Floats, good: NDArray[np.bool_], fs_hz: float, start_s: float) -> Floats:
    """Sample places to record time in seconds; those within gaps are left out."""
    at = at[np.isfinite(at)]
    inside = good[np.clip(np.round(at).astype(np.int64), 0, len(good) - 1)]
    return start_s + at[inside] / fs_hz
