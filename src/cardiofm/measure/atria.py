"""What the ECG says of the atria and of itself: P waves, fibrillatory waves, alike beats, noise; as named numbers.

Amplitudes are shares of the QRS's height, so the scale does not matter. Beats are cut around given R peaks; what the
ventricles draw is the median beat, and what is left without it is looked at for waves of the atria and for noise.
"""

from __future__ import annotations

import numpy as np

from cardiofm.measure.band import Bools, Floats, band_pass
from cardiofm.measure.shape import ECG_SHAPE, ECG_SPAN_S, STEP_S, beats_at, ecg_shape

WIDE_HZ = (0.5, 40.0)
LEAST = 4  # beats below which nothing is said

_QRS_S = (-0.08, 0.1)
_P_S = {"p": (-0.27, -0.06), "narrow_p": (-0.2, -0.06)}
_T_S = (0.14, 0.42)
_ALIKE = 0.85  # a QRS with a lower correlation with the median one is of another kind
_PICTURE_S = tuple(np.round(np.arange(-0.28, 0.5, 0.02), 2).tolist())  # where the median beat is read
_HZ = tuple(range(3, 16))  # lower edges of 1-Hz bands of what the ventricles do not explain
_ATRIAL_HZ = (4.0, 9.5)  # fibrillatory waves
_VENTRICLES_S = 0.075  # before R: their template begins
_FAR, _FAR_SHARE = 2.0, 0.1  # times the usual distance from the median beat, and of the QRS's height
_PIECE_S = 2.0  # noise is looked at in pieces, since it comes and goes

NAMES: tuple[str, ...] = (
    *(f"beat_{name}" for name in ECG_SHAPE),
    "alike", "alike_low", "alike_least", "qrs_alike", "qrs_alike_low", "other_kind",
    "other_kind_early", "height_spread",
    *(f"{p}_{name}" for p in (*_P_S, "t") for name in ("size", "halves", "agree", "sure", "rest")),
    "p_at_s", "p_top", "p_width_s",
    *(f"picture_{round(1000 * t)}" for t in _PICTURE_S),
    "left", "left_p", "left_locked", "left_peak", "left_peak_hz", "left_flat", "left_high",
    *(f"left_{hz}hz" for hz in _HZ),
    "noise_mid", "noise_high", "noise_least", "skewness", "kurtosis", "log_wander", "log_slow", "log_fast",
    "piece_height_low", "piece_height_high",
)  # fmt: skip


def atria(x_N: Floats, good_N: Bools, r_s: Floats, fs_hz: float) -> Floats:
    """The numbers named in `NAMES` of an ECG with R peaks at `r_s` seconds; NaN where there are too few beats.

    `x_N` as `band.clean` returns it. For P (two widths) and T: `size` of the median wave, correlation of the median of
    every other beat with that of the rest (`halves`), mean correlation of a beat with the median wave (`agree`), how
    far from zero its projection on it is (`sure`, mean over standard deviation), and what is not it (`rest`).
    """
    wide, pad = band_pass(x_N, good_N, fs_hz, WIDE_HZ)
    out = np.full(len(NAMES), np.nan)
    if wide is None or len(r_s) < LEAST:
        return out
    wave = wide[pad : pad + len(x_N)]
    cut = beats_at(np.where(good_N, wave, np.nan), r_s, fs_hz, *ECG_SPAN_S, round(sum(ECG_SPAN_S) / STEP_S) + 1)
    if len(cut) < LEAST:
        return out
    rr_s = np.diff(r_s)
    middle = np.median(cut, axis=0)
    shape, height = ecg_shape(middle, float(np.median(rr_s)))
    if not height > 0:
        return out
    found = {f"beat_{name}": value for name, value in zip(ECG_SHAPE, shape, strict=True)}
    cut, middle, wave = cut / height, middle / height, wave / height
    t = np.linspace(-ECG_SPAN_S[0], ECG_SPAN_S[1], len(middle))
    found |= _alike(cut, t) | _kinds(wave, good_N, r_s, rr_s, fs_hz, t)
    for name, span_s in {**_P_S, "t": _T_S}.items():
        found |= _wave(cut[:, (t >= span_s[0]) & (t <= span_s[1])], name)
    found |= _p_place(middle, t)
    level = float(np.median(middle[(t >= -0.09) & (t <= -0.06)]))
    found |= {
        f"picture_{round(1000 * s)}": v
        for s, v in zip(_PICTURE_S, np.interp(_PICTURE_S, t, middle) - level, strict=True)
    }
    found |= _left(wave, good_N, r_s, middle - level, t, fs_hz) | _noise(wave, x_N, good_N, fs_hz)
    return np.array([found.get(name, np.nan) for name in NAMES], np.float64)


def trusted(x_N: Floats, good_N: Bools, r_s: Floats, fs_hz: float) -> Bools:
    """Which beats look like the others, `(B,)`: False where artefacts (or another kind of beat) may have drawn them.

    A beat is not trusted when its distance from the median beat is far above the usual one. The beats at the ends,
    which cannot be cut whole, are taken as they are.
    """
    wide, pad = band_pass(x_N, good_N, fs_hz, WIDE_HZ)
    out = np.ones(len(r_s), bool)
    whole = (r_s >= ECG_SPAN_S[0]) & (r_s + ECG_SPAN_S[1] <= (len(x_N) - 1) / fs_hz)
    if wide is None or whole.sum() < LEAST:
        return out
    points = round(sum(ECG_SPAN_S) / STEP_S) + 1
    cut = beats_at(wide[pad : pad + len(x_N)], r_s[whole], fs_hz, *ECG_SPAN_S, points)
    cut = cut - np.median(cut, axis=1, keepdims=True)
    middle = np.median(cut, axis=0)
    apart = np.sqrt(np.mean((cut - middle) ** 2, axis=1))
    out[whole] = apart <= np.maximum(_FAR * np.median(apart), _FAR_SHARE * np.ptp(middle))
    return out


def _alike(cut: Floats, t: Floats) -> dict[str, float]:
    """How well beats agree with the median beat: correlations from 200 ms before R to 400 ms after, and of the QRS."""
    whole = _correlations(cut[:, (t >= -0.2) & (t <= 0.4)])
    qrs = _correlations(cut[:, (t >= _QRS_S[0]) & (t <= _QRS_S[1])])
    height = np.ptp(cut[:, (t >= _QRS_S[0]) & (t <= _QRS_S[1])], axis=1)
    return {
        "alike": float(np.median(whole)),
        "alike_low": float(np.quantile(whole, 0.1)),
        "alike_least": float(whole.min()),
        "qrs_alike": float(np.median(qrs)),
        "qrs_alike_low": float(np.quantile(qrs, 0.1)),
        "height_spread": float(np.median(np.abs(height - np.median(height)))),
    }


def _kinds(wave: Floats, good: Bools, r_s: Floats, rr_s: Floats, fs_hz: float, t: Floats) -> dict[str, float]:
    """Share of beats with a QRS of another kind, and how early those come (their interval as a share of the median)."""
    points = round((_QRS_S[1] - _QRS_S[0]) / STEP_S) + 1
    inside = (r_s + _QRS_S[0] >= 0) & (r_s + _QRS_S[1] <= (len(wave) - 1) / fs_hz)
    inside[0] = False  # the first beat has no interval
    cut = beats_at(wave, r_s[inside], fs_hz, -_QRS_S[0], _QRS_S[1], points)
    before = (rr_s / np.median(rr_s))[inside[1:]][: len(cut)]
    if len(cut) < LEAST:
        return {}
    other = _correlations(cut) < _ALIKE
    early = float(np.mean(before[other])) if other.any() else 1.0
    return {"other_kind": float(other.mean()), "other_kind_early": early}


def _wave(cut: Floats, name: str) -> dict[str, float]:
    """Whether a wave stands in a stretch of every beat: see `atria`. Its line is taken away first."""
    cut = _without_line(cut)
    middle = np.median(cut, axis=0)
    size = float(np.sqrt(np.mean(middle**2)))
    unit = middle / max(float(np.sqrt(middle @ middle)), 1e-9)
    along = cut @ unit
    rest = cut - along[:, None] * unit
    odd, even = np.median(cut[1::2], axis=0), np.median(cut[::2], axis=0)
    return {
        f"{name}_size": float(np.ptp(middle)),
        f"{name}_halves": _pearson(odd, even),
        f"{name}_agree": float(np.median(_correlations(cut))),
        f"{name}_sure": float(np.mean(along) / max(float(along.std()), 1e-9)),
        f"{name}_rest": float(np.log10(max(float(np.sqrt(np.mean(rest**2))), 1e-6) / max(size, 1e-6))),
    }


def _p_place(middle: Floats, t: Floats) -> dict[str, float]:
    """Where, how high and how wide the bump before the QRS is, above the line through the stretch's ends."""
    at = (t >= -0.27) & (t <= -0.06)
    y, s = middle[at], t[at]
    y = y - np.linspace(y[0], y[-1], len(y))
    top = int(np.argmax(np.abs(y)))
    wide = float(np.mean(np.abs(y) > 0.5 * abs(y[top])) * (s[-1] - s[0]))
    return {"p_at_s": float(s[top]), "p_top": float(y[top]), "p_width_s": wide}


def _left(wave: Floats, good: Bools, r_s: Floats, beat: Floats, t: Floats, fs_hz: float) -> dict[str, float]:
    """What the median beat does not explain: size, spectrum, a peak at 4-9.5 Hz, and what the P wave explains of it."""
    now = np.arange(len(wave)) / fs_hz
    after = np.searchsorted(r_s, now, "right")
    since = now - np.concatenate(([-np.inf], r_s))[after]
    until = np.concatenate((r_s, [np.inf]))[after] - now
    lead = until <= ECG_SPAN_S[0]
    ventricles = np.where(until < _VENTRICLES_S, np.interp(-until, t, beat), np.interp(since, t, beat, right=0.0))
    with_p = np.where(lead & (until >= _VENTRICLES_S), np.interp(-until, t, beat), ventricles)
    quiet = good & (np.minimum(since, until) > 0.09)
    keeps_p, rest = wave - ventricles, wave - with_p
    size = {name: np.where(quiet, x, 0.0) for name, x in (("p", keeps_p), ("rest", rest))}
    step, hz, power = _spectrum(size["rest"], fs_hz)
    bands = np.array([power[(hz >= low) & (hz < low + 1)].sum() for low in _HZ])
    whole = float(power[(hz >= 1) & (hz < 16)].sum())
    atrial = (hz >= _ATRIAL_HZ[0]) & (hz <= _ATRIAL_HZ[1])
    smooth = np.convolve(power, np.ones(step) / step, "same")
    _, _, power_p = _spectrum(size["p"], fs_hz)
    slow = (hz >= 2) & (hz < 12)
    if not whole > 0 or not power[atrial].sum() > 0:
        return {}
    share = smooth[atrial] / smooth[atrial].sum()
    out = {f"left_{low}hz": float(np.log10(max(b / whole, 1e-6))) for low, b in zip(_HZ, bands, strict=True)}
    out["left"] = _log_rms(rest[quiet])
    out["left_p"] = _log_rms(keeps_p[quiet & lead]) - out["left"]
    out["left_locked"] = float(np.log10(power_p[slow].sum() / max(power[slow].sum(), 1e-12)))
    out["left_peak"] = float(share.max() * len(share))
    out["left_peak_hz"] = float(hz[atrial][np.argmax(share)])
    out["left_flat"] = float(-np.sum(share * np.log(share + 1e-12)) / np.log(len(share)))
    out["left_high"] = float(np.log10(max(power[(hz >= 16) & (hz < 40)].sum() / whole, 1e-6)))
    return out


def _spectrum(x: Floats, fs_hz: float) -> tuple[int, Floats, Floats]:
    """Samples per half hertz, frequencies, and power."""
    size = 1 << (len(x) - 1).bit_length()
    power = np.abs(np.fft.rfft(x, size)) ** 2 / len(x)
    hz = np.asarray(np.fft.rfftfreq(size, 1 / fs_hz), np.float64)
    return max(1, round(0.5 * size / fs_hz)), hz, power


def _noise(wave: Floats, x: Floats, good: Bools, fs_hz: float) -> dict[str, float]:
    """How the signal's size and its fast part change from piece to piece, its moments, and power outside the band."""
    step = max(1, round(_PIECE_S * fs_hz))
    count = max(1, len(wave) // step)
    pieces = wave[: count * step].reshape(count, -1)
    tall = np.ptp(pieces, axis=1)
    fast = np.diff(pieces, n=2, axis=1)
    rough = np.sqrt(np.quantile(fast**2, 0.5, axis=1))  # half of a piece holds no QRS
    known = wave[good] - wave[good].mean()
    spread = max(float(known.std()), 1e-12)
    _, hz, power = _spectrum(x - x.mean(), fs_hz)
    whole = max(float(power[(hz >= 0.5) & (hz < 40)].sum()), 1e-12)

    def log_share(low: float, high: float) -> float:
        return float(np.log10(max(power[(hz >= low) & (hz < high)].sum() / whole, 1e-6)))

    log_rough = np.log10(rough * (fs_hz / 300.0) ** 2 + 1e-6)
    return {
        "noise_mid": float(np.median(log_rough)), "noise_high": float(log_rough.max()),
        "noise_least": float(log_rough.min()),
        "skewness": float(np.mean(known**3)) / spread**3, "kurtosis": float(np.mean(known**4)) / spread**4,
        "log_wander": log_share(0.05, 0.5), "log_slow": log_share(0.5, 4.0), "log_fast": log_share(16.0, 40.0),
        "piece_height_low": float(np.log10(tall.min() + 1e-3)), "piece_height_high": float(np.log10(tall.max() + 1e-3)),
    }  # fmt: skip


def _without_line(cut: Floats) -> Floats:
    """Rows without their least-squares line."""
    t = np.linspace(-1, 1, cut.shape[1])
    return cut - cut.mean(1, keepdims=True) - (cut @ t / (t @ t))[:, None] * t


def _correlations(cut: Floats) -> Floats:
    """Pearson correlation of every row with the median row; 0 where one does not move."""
    centred = cut - cut.mean(1, keepdims=True)
    middle = np.median(centred, axis=0)
    middle = middle - middle.mean()
    scale = np.sqrt((centred**2).sum(1) * (middle @ middle))
    return np.divide(centred @ middle, scale, out=np.zeros(len(cut)), where=scale > 1e-12)


def _pearson(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 1e-12 else 0.0


def _log_rms(x: Floats) -> float:
    return float(np.log10(max(float(np.sqrt(np.mean(x**2))), 1e-6))) if len(x) else float("nan")
