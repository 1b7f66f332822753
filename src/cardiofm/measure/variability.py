"""How the heart rate varies, from the intervals between beats: in time (ms) and in frequency (ms²).

After the Task Force of the European Society of Cardiology and NASPE, Circulation 93, 1996,
doi:10.1161/01.CIR.93.5.1043.
"""

from __future__ import annotations

import numpy as np

from cardiofm.measure.band import Bools, Floats
from cardiofm.measure.running import running_median

LF_HZ, HF_HZ = (0.04, 0.15), (0.15, 0.4)
LEAST_S = 120.0  # of intervals, for anything in frequency
FEW = 10  # intervals, for anything in time
_BLOCK_S = 300.0  # frequency is asked for in stretches of this length
_OFF = 0.2  # an interval further than this share from the median around is not from a normal beat to a normal beat
_AROUND = 5
_STEP_HZ = 0.002


def normal(rr_ms: Floats) -> Bools:
    """Which intervals lead from one normal beat to the next: within 20 % of the median of the ten around, `(B,)`.

    >>> normal(np.array([800.0, 810, 790, 500, 1100, 805, np.nan])).tolist()
    [True, True, True, False, False, True, False]
    """
    usual = running_median(rr_ms, _AROUND)
    with np.errstate(invalid="ignore"):
        return np.abs(rr_ms - usual) <= _OFF * usual


def variability(at_s: Floats, rr_ms: Floats) -> dict[str, float | None]:
    """sdnn_ms, rmssd_ms, pnn50 (%), lf_ms2, hf_ms2, lf_hf, and nn_share, the share of normal intervals; None: too few.

    `rr_ms (B,)`: the interval that ends at `at_s`, NaN where it is not known. SDNN is the standard deviation (n − 1);
    RMSSD and pNN50 are of intervals that follow each other. LF and HF are the areas of the Lomb–Scargle periodogram
    (which needs no resampling, and no filling of gaps) from 0.04 to 0.15 and from 0.15 to 0.4 Hz, means over stretches
    of 5 minutes, each of at least 2 minutes of intervals.

    >>> at = np.cumsum(np.tile([0.8, 0.9], 100))
    >>> said = variability(at, 1000 * np.tile([0.8, 0.9], 100))
    >>> round(said["rmssd_ms"]), said["pnn50"], round(said["sdnn_ms"])
    (100, 100.0, 50)
    """
    good = normal(rr_ms)
    out: dict[str, float | None] = dict.fromkeys(
        ("sdnn_ms", "rmssd_ms", "pnn50", "lf_ms2", "hf_ms2", "lf_hf", "nn_share")
    )
    nn, known = rr_ms[good], np.isfinite(rr_ms)
    if known.any():
        out["nn_share"] = float(good.sum() / known.sum())
    if len(nn) < FEW:
        return out
    step = np.diff(rr_ms)[good[1:] & good[:-1]]
    out["sdnn_ms"] = float(nn.std(ddof=1))
    if len(step) >= FEW - 1:
        out["rmssd_ms"] = float(np.sqrt(np.mean(step**2)))
        out["pnn50"] = float(100 * np.mean(np.abs(step) > 50))
    powers = _powers(at_s[good], nn)
    if powers is not None:
        out["lf_ms2"], out["hf_ms2"] = powers
        out["lf_hf"] = powers[0] / powers[1] if powers[1] > 0 else None
    return out


def _powers(at_s: Floats, nn_ms: Floats) -> tuple[float, float] | None:
    """Power in LF and in HF, ms²; None without a stretch that is long enough."""
    found = []
    blocks = ((at_s - at_s[0]) // _BLOCK_S).astype(np.int64)
    for block in range(int(blocks[-1]) + 1):
        own = blocks == block
        if nn_ms[own].sum() < 1000 * LEAST_S:
            continue
        from scipy.signal import lombscargle  # half a second and 40 MB to import, for long stretches alone

        hz = np.arange(LF_HZ[0] + _STEP_HZ / 2, HF_HZ[1], _STEP_HZ)
        t, x = at_s[own], nn_ms[own]
        x = x - np.polyval(np.polyfit(t - t[0], x, 1), t - t[0])
        power = lombscargle(t, x, 2 * np.pi * hz) * 2 * (t[-1] - t[0]) / len(t)  # ms² / Hz: a sine of 1 has 1/2
        found.append([float(power[(hz >= low) & (hz < high)].sum() * _STEP_HZ) for low, high in (LF_HZ, HF_HZ)])
    if not found:
        return None
    lf, hf = np.mean(found, axis=0)
    return float(lf), float(hf)
