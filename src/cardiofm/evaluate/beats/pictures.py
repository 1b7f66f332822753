"""Pictures of the benchmark of intervals: agreement with the readers, error against noise, the worst ten beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cardiofm.data import catalog
from cardiofm.data.marks import marks
from cardiofm.evaluate.beats.own import NAME
from cardiofm.evaluate.beats.pat_rows import Scored
from cardiofm.evaluate.beats.qt import Beats

_SHOWN = (NAME, "openecg", "openecg v1", "neurokit2 prominence", "neurokit2 dwt")
_COLOURS = {NAME: "#b4252d", "neurokit2": "#1f5fa8", "neurokit2, 10-s median": "#6aa3dc", "classical": "#3b8a5a"}
_LIMIT_MS = 150.0  # of the axis of differences; beyond it points stand at the edge
_PANELS = (
    ("mae_ms", "mean absolute error, ms"),
    ("block_median_ms", "30-s median, error in ms"),
    ("changes_r", "beat-to-beat changes, r"),
    ("coverage", "share of beats"),
)
_AROUND_S = 0.7  # of the R peak, in the drawn beats
WORST = 10


def draw(
    beats: Mapping[str, Beats],
    noise: Mapping[float | None, dict[str, list[Scored]]],
    result: dict[str, Any],
    out: Path,
    data_root: Path,
) -> None:
    """Write the pictures that the measured parts allow into the folder `out`."""
    import matplotlib

    matplotlib.use("Agg")
    if beats:
        _agreement(beats, result, out / "intervals_agreement.png")
        _worst(beats, out / "intervals_worst.png", data_root)
    if noise:
        _noise(result["rows"], out / "intervals_noise.png")


def _agreement(beats: Mapping[str, Beats], result: dict[str, Any], path: Path) -> None:
    """Bland–Altman: difference from the reader against the mean of both, a panel for each set and method."""
    from matplotlib import pyplot as plt

    methods = [m for m in _SHOWN if any(m in b.found_ms for b in beats.values())]
    figure, axes = plt.subplots(len(beats), len(methods), figsize=(3.1 * len(methods), 2.9 * len(beats)),
                                sharex="row", sharey=True, squeeze=False, layout="constrained")  # fmt: skip
    for row, (name, own) in zip(axes, beats.items(), strict=True):
        true = np.asarray(own.true_ms)
        for ax, method in zip(row, methods, strict=True):
            found = own.of(method)
            known = np.isfinite(found)
            off = (found - true)[known]
            colour = _COLOURS[NAME] if method == NAME else "#555555"
            ax.scatter((found + true)[known] / 2, np.clip(off, -_LIMIT_MS, _LIMIT_MS), s=4, alpha=0.35, color=colour,
                       linewidths=0)  # fmt: skip
            bias, spread = float(off.mean()), 1.96 * float(off.std())
            for y, style in ((bias, "-"), (bias - spread, "--"), (bias + spread, "--")):
                if abs(y) <= _LIMIT_MS:
                    ax.axhline(y, color="black", lw=0.8, ls=style)
            ax.set_title(f"{name.upper()}: {method}", fontsize=9)
            text = f"bias {bias:.1f}, ±1.96 sd {spread:.0f} ms\n{100 * known.mean():.0f} % of {len(true)} beats"
            ax.text(0.03, 0.97, text, transform=ax.transAxes, va="top", fontsize=8)
            ax.set_ylim(-_LIMIT_MS * 1.05, _LIMIT_MS * 1.45)
    figure.supxlabel("mean of found and marked QT, ms", fontsize=9)
    figure.supylabel("found − marked QT, ms", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _noise(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Four panels against the ratio of signal to noise, over the sets together; clean at the right."""
    from matplotlib import pyplot as plt

    own = [r for r in rows if r["task"] == "pat" and " + " in r["set"]]
    levels = sorted({r["snr_db"] for r in own if r["snr_db"] is not None})
    places = {**{v: i for i, v in enumerate(levels)}, None: len(levels)}
    figure, axes = plt.subplots(1, len(_PANELS), figsize=(13.5, 3.4), layout="constrained")
    for ax, (metric, label) in zip(axes, _PANELS, strict=True):
        for method in dict.fromkeys(r["method"] for r in own):
            line = sorted((places[r["snr_db"]], r) for r in own if r["method"] == method and r["metric"] == metric)
            x = [p for p, _ in line]
            y = np.array([[r["value"], r["low"] or r["value"], r["high"] or r["value"]] for _, r in line])
            bars = [y[:, 0] - y[:, 1], y[:, 2] - y[:, 0]]
            ax.errorbar(x, y[:, 0], np.maximum(bars, 0), marker="o", ms=4, lw=1.6, capsize=2, label=method,
                        color=_COLOURS.get(method))  # fmt: skip
        ax.set_xticks(list(places.values()), [*(f"{v:g} dB" for v in levels), "clean"])
        ax.set_ylim(bottom=0)
        ax.set_title(label, fontsize=10)
        ax.grid(alpha=0.25)
    axes[0].legend(fontsize=8, frameon=False)
    figure.supxlabel("recorded noise on ECG and PPG, in band", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _worst(beats: Mapping[str, Beats], path: Path, data_root: Path) -> None:
    """The ten largest errors of QT of the model (of openecg where there is none), at most one a record."""
    from matplotlib import pyplot as plt

    method = NAME if any(NAME in b.found_ms for b in beats.values()) else "openecg"
    ranked = sorted(
        ((abs(e), name, i) for name, b in beats.items() for i, e in enumerate(b.of(method) - np.asarray(b.true_ms))
         if np.isfinite(e)), reverse=True)  # fmt: skip
    chosen: dict[str, tuple[str, int]] = {}
    for _, name, i in ranked:
        chosen.setdefault(f"{name} {beats[name].record[i]}", (name, i))
        if len(chosen) == WORST:
            break
    figure, axes = plt.subplots(2, WORST // 2, figsize=(16, 6), squeeze=False, layout="constrained")
    for ax in axes.ravel():
        ax.set_axis_off()
    for ax, (label, (name, i)) in zip(axes.ravel(), chosen.items(), strict=False):
        _beat(ax, label, beats[name], i, name, data_root, method)
    figure.suptitle(f"largest errors of QT, {method}: marked QT shaded, found QT as a bar", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _beat(ax: Any, label: str, beats: Beats, i: int, dataset: str, data_root: Path, method: str) -> None:
    """One beat with its marked QT (shaded) and the found one, laid from the marked onset on."""
    entry = next(e for e in catalog.entries(dataset, data_root) if e.record == beats.record[i])
    r_s = beats.r_s[i]
    record = catalog.load(entry, data_root).crop(r_s - _AROUND_S, r_s + 1.6 * _AROUND_S)
    assert record.ecg is not None
    t = record.ecg.start_s + np.arange(len(record.ecg.values)) / record.ecg.fs_hz - r_s
    own = marks(entry, data_root)
    row = int(np.argmin(np.abs(own.of("r_peak") - r_s)))
    onset, end = own.of("qrs_onset")[row] - r_s, own.of("t_end")[row] - r_s
    x = record.ecg.values
    ax.set_axis_on()
    ax.plot(t, x, color="black", lw=0.9)
    ax.axvspan(onset, end, color="#f2c14e", alpha=0.45, lw=0)
    low = np.nanmin(x) - 0.06 * np.ptp(x)
    found = beats.of(method)[i]
    ax.plot([onset, onset + found / 1000], [low, low], color=_COLOURS[NAME], lw=3, solid_capstyle="butt")
    ax.set_title(f"{label}: marked {beats.true_ms[i]:.0f}, found {found:.0f} ms", fontsize=9)
    ax.set_yticks([])
    ax.tick_params(labelsize=8)
