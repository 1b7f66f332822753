"""Small datasets in their home layout, of simulated beats, and the training store made from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wfdb

from cardiofm.data.prepare import prepare

SETS = ("challenge-2015", "challenge-2017")


def write(header: Path, fs_hz: float, channels: dict[str, tuple[str, np.ndarray]]) -> None:
    header.parent.mkdir(parents=True, exist_ok=True)
    units, signals = zip(*channels.values(), strict=True)
    wfdb.wrsamp(
        header.stem,
        fs=fs_hz,
        units=list(units),
        sig_name=list(channels),
        p_signal=np.stack(signals, 1),
        fmt=["16"] * len(units),
        write_dir=str(header.parent),
    )


def heart(seconds: float, fs_hz: float, seed: int = 0) -> np.ndarray:
    """Narrow beats, a slow wave and noise; another seed is another heart."""
    rng = np.random.default_rng(seed)
    t_s = np.arange(round(seconds * fs_hz)) / fs_hz
    beat_s, at_s = 0.7 + 0.4 * rng.random(), 0.3 + 0.2 * rng.random()
    wave = np.exp(-(((t_s % beat_s - at_s) / (0.015 + 0.02 * rng.random())) ** 2))
    return wave + 0.05 * np.sin(t_s) + 0.01 * rng.normal(size=len(t_s))


def paired_datasets(root: Path, patients: int = 12, seconds: float = 60.0) -> Path:
    """`root` with ICU records of ECG and pleth, each of one patient."""
    icu = root / "challenge-2015" / "1.0.0" / "training"
    names = [f"a{i}l" for i in range(1, patients + 1)]
    for i, name in enumerate(names):
        pleth = 1000 + 50 * heart(seconds, 250.0, i + 100)
        pleth[i * 500 : i * 1000] = np.nan  # a gap of 2 s more each, so that no two processes have as many samples
        write(icu / f"{name}.hea", 250.0, {"II": ("mV", heart(seconds, 250.0, i)), "PLETH": ("NU", pleth)})
    (icu / "ALARMS").write_text("".join(f"{name},Asystole,0\n" for name in names))
    return root


def small_store(folder: Path, patients: int = 12) -> Path:
    """A store of that many patients, a minute each, below `folder`; its sources lie beside it."""
    prepare(["challenge-2015"], paired_datasets(folder / "data", patients), folder / "store")
    return folder / "store"
