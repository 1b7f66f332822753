"""What tells a pulse from steps where no R peak vouches for it: ICU pulses, as they are, in recorded noise, in motion.

`python -m cardiofm.train.lone MODEL --data-root DIR --store DIR` fits `lone.NUMBERS` for the fiducial head in MODEL and
puts the coefficients into its `fiducials.json`; `cardiofm.train.calibrate` does the same for new heads. A foot is right
where the rate of those around it is that of the R peaks. Motion is made: harmonics of a frequency that wanders, as
steps and arms draw them, so no recording of motion is looked at. Shapes: N samples, B feet, F numbers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.config import from_dict
from cardiofm.data import catalog
from cardiofm.data.store import Store
from cardiofm.data.windows import window_at
from cardiofm.measure.band import Bools, Floats, power_in_band
from cardiofm.measure.beats import r_peaks
from cardiofm.measure.company import company
from cardiofm.measure.confidence import Calibration, logistic
from cardiofm.measure.gather import Gathered
from cardiofm.measure.locate import FOOT, PPG, R
from cardiofm.measure.lone import lone
from cardiofm.measure.rows import rows
from cardiofm.model.checkpoint import HEAD
from cardiofm.signals import InputSpec, Record
from cardiofm.train.marked import recorded

DATASET = "challenge-2015"
RECORDS = {"train": 110, "valid": 60}  # at most; coefficients are learned from the first, the least odds from both
STRETCH_S = 64.0  # from the middle of each
KNOWN = 0.9  # share of it that both channels must have
STEPS_HZ = (0.6, 3.6)  # of arms and feet
STEPS_DB, NOISE_DB = (-12.0, 9.0), (-6.0, 9.0)  # below the pulse, in its band
FASTER = (0.85, 1.9)  # most recordings are of people at rest: they are played faster too
RIGHT = 0.93  # share of the feet given in motion whose rate has to be right: rates are off by 3 in the mean then
NEAR_S = 4.0  # of a foot: what its rate is taken from
WITHIN = (3.0, 0.04)  # per minute, or as a share: a rate is right
SAME_BPM = 2.0  # two detectors of R peaks have one rate
Gather = Callable[[Record], Gathered]
Noise = dict[str, NDArray[np.float32]]


def fitted(made: Calibration, gather: Gather, data_root: Path, noise: Noise, spec: InputSpec) -> tuple[float, ...]:
    """Coefficients of `lone.NUMBERS`: from 0 on feet are those of a heart, in motion in `RIGHT` of the cases.

    None of them, and so no rule, from a head that finds no pulse at all.
    """
    x: dict[tuple[str, bool], list[NDArray]] = {(s, moved): [] for s in RECORDS for moved in (False, True)}
    y: dict[tuple[str, bool], list[NDArray]] = {key: [] for key in x}
    made, rng = replace(made, lone=()), np.random.default_rng(3)
    for split, most in RECORDS.items():
        for ppg_N, true_s in _pulses(made, gather, data_root, split, most, spec):
            for values_N, moved, faster in disturbed(ppg_N, noise, spec.fs_hz, rng):
                record = Record.from_arrays(name=split, ppg=(values_N, spec.fs_hz * faster))
                numbers, right = _feet(made, gather(record), [t / faster for t in true_s])
                x[split, moved].append(numbers)
                y[split, moved].append(right)
    if not any(right.any() for moved in (False, True) for right in y["train", moved]):
        return ()
    b = _logistic(*(np.concatenate([*a["train", False], *a["train", True]]) for a in (x, y)))
    odds = np.concatenate([n @ b for s in RECORDS for n in x[s, True]])
    return tuple(float(v) for v in _moved(b, odds, np.concatenate([r for s in RECORDS for r in y[s, True]])))


def disturbed(
    ppg_N: NDArray[np.float32], noise: Noise, fs_hz: float, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.float32], bool, float]]:
    """A pulse as it is, twice in recorded noise, four times in motion: samples, whether it moves, how much faster."""
    valid_N = np.isfinite(ppg_N)
    clean = np.where(valid_N, ppg_N, 0).astype(np.float32)
    for kind in ("clean", "noise", "noise", *["steps"] * 4):
        added = np.zeros(len(clean))
        if kind == "noise":
            added = recorded(clean, valid_N, rng.uniform(*NOISE_DB), noise, 1, fs_hz, rng)
        elif kind == "steps":
            wave, snr_db = steps(len(clean), fs_hz, rng), rng.uniform(*STEPS_DB)
            power = power_in_band(clean, valid_N, fs_hz, "ppg") / power_in_band(wave, valid_N, fs_hz, "ppg")
            added = np.sqrt(power * 10 ** (-snr_db / 10)) * wave
        if rng.random() < 0.5:  # it begins or ends here
            at = (np.arange(len(clean)) / len(clean) - rng.uniform(0.2, 0.8)) * rng.choice([-1, 1])
            added = added / (1 + np.exp(-at * len(clean) / fs_hz / 0.5))
        faster = float(np.exp(rng.uniform(*np.log(FASTER)))) if rng.random() < 0.6 else 1.0
        yield np.where(valid_N, clean + added, np.nan).astype(np.float32), kind == "steps", faster


def steps(N: int, fs_hz: float, rng: np.random.Generator) -> Floats:
    """What steps and arms draw, `(N,)` about 0: harmonics of a frequency that wanders, swelling and fading."""

    def wander(every_s: float, size: float, summed: bool) -> Floats:
        knots = rng.normal(0, size, max(4, int(N / fs_hz / every_s)))
        return np.interp(np.linspace(0, len(knots) - 1, N), range(len(knots)), np.cumsum(knots) if summed else knots)

    hz = np.exp(rng.uniform(*np.log(STEPS_HZ)) + wander(5.0, rng.choice([0.005, 0.02, 0.05]), True))
    phase, falls = 2 * np.pi * np.cumsum(hz) / fs_hz, rng.uniform(0.4, 2.5)
    out = sum(rng.uniform(0.5, 1) * k**-falls * np.sin(k * phase + rng.uniform(0, 2 * np.pi)) for k in range(1, 6))
    if rng.random() < 0.4:  # an arm swings once in two steps
        out = out + rng.uniform(0, 1) * np.sin(phase / 2 + rng.uniform(0, 2 * np.pi))
    return out * np.exp(wander(rng.uniform(1, 8), rng.uniform(0.05, 0.5), False))


def _pulses(
    made: Calibration, gather: Gather, data_root: Path, split: str, most: int, spec: InputSpec
) -> Iterator[tuple[NDArray[np.float32], list[Floats]]]:
    """PPGs of `STRETCH_S` on the model's clock (NaN: unknown), and the R peaks by the head and by a detector (s)."""
    long = InputSpec(fs_hz=spec.fs_hz, window_s=STRETCH_S, patch=round(spec.fs_hz))
    entries = [e for e in catalog.entries(DATASET, data_root) if e.split == split]
    found = 0
    for k in np.random.default_rng(5).permutation(len(entries)):
        record = catalog.load(entries[k], data_root)
        if found == most or record.ecg is None or record.ppg is None:
            continue
        window = window_at(record, long, record.start_s + (record.duration_s - STRETCH_S) / 2)
        if window.valid.mean(1).min() < KNOWN:
            continue
        found += 1
        ecg, ppg = (np.where(v, x, np.nan).astype(np.float32) for x, v in zip(window.values, window.valid, strict=True))
        seen = gather(Record.from_arrays(name=record.name, ecg=(ecg, spec.fs_hz), ppg=(ppg, spec.fs_hz)))
        beat = rows(seen, (True, True), made).ecg
        yield ppg, [seen.ecg.at_s[beat[beat >= 0], R], r_peaks(ecg, spec.fs_hz, window.valid[0])]


def _feet(made: Calibration, found: Gathered, true_s: list[Floats]) -> tuple[Floats, Bools]:
    """The numbers of the feet whose true rate is known, `(B, F)`, and whether theirs is right, `(B,)`."""
    given = rows(found, (False, True), made).ppg
    at_s = found.ppg.at_s[given, FOOT - PPG.start]
    own, one, other = (np.array([rate(s, t) for t in at_s]) for s in (at_s, *true_s))
    true = (one + other) / 2
    known = np.isfinite(own) & (np.abs(one - other) <= SAME_BPM)
    numbers = lone(found.ppg, company(found.ppg, "ppg"), given)
    return numbers[known], (np.abs(own - true) <= np.maximum(WITHIN[0], WITHIN[1] * true))[known]


def rate(beat_s: Floats, at_s: float) -> float:
    """Beats per minute within `NEAR_S` of a time, of the intervals that are like their median; NaN for fewer than two.

    >>> rate(np.array([0.0, 1.0, 2.0, 3.0, 3.2, 4.2]), 2.0)
    60.0
    """
    interval_s = np.diff(beat_s[np.abs(beat_s - at_s) <= NEAR_S])
    like = interval_s[np.abs(interval_s / np.median(interval_s) - 1) < 0.5] if len(interval_s) > 1 else interval_s[:0]
    return float(60 / like.mean()) if len(like) else np.nan


def _logistic(x: NDArray, y: NDArray) -> Floats:
    """Coefficients in the numbers' own units; the first number is 1."""
    mean, sd = x.mean(0), np.maximum(x.std(0), 1e-6)
    mean[0], sd[0] = 0.0, 1.0
    b = logistic((x - mean) / sd, y.astype(np.float64)) / sd
    b[0] -= b @ mean
    return b


def _moved(b: Floats, odds: Floats, right: Bools) -> Floats:
    """With the least odds at 0 from which on `RIGHT` of the feet in motion are right; where none are, above all."""
    order = np.argsort(-odds, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(share >= RIGHT)
    least = float(odds[order[enough[-1]]]) if len(enough) else float(odds.max(initial=0.0)) + 1.0
    return b - least * np.eye(len(b))[0]


def main() -> None:
    """Fit for the released head of a model and write its `fiducials.json` again."""
    import torch

    from cardiofm.model.backend import TorchBackend
    from cardiofm.train.calibrate import gather

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="the model folder, with its fiducial head")
    parser.add_argument("--data-root", type=Path, required=True, help="the folder of recordings")
    parser.add_argument("--store", type=Path, default=Path("store"), help="the folder that `cardiofm prepare` wrote")
    given = parser.parse_args()
    torch.set_num_threads(1)
    backend, path = TorchBackend(given.model), given.model / HEAD
    about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    spec = backend.model.config.spec
    made = from_dict(Calibration, about["calibration"])
    found = fitted(made, lambda r: gather(backend, r, spec), given.data_root, Store(given.store).noise, spec)
    about["calibration"] = asdict(replace(made, lone=found))
    path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
