"""Pictures of results: few labels as curves, pooling as differences and shares of attention, a map of windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_COLOURS = {
    "model": "#b4252d", "hand-crafted": "#3b8a5a", "minirocket": "#1f5fa8", "untrained": "#999999",
    "model + hand-crafted": "#7a4f9a",
}  # fmt: skip
_NAMES = {
    "model": "CardioFM", "minirocket": "MiniRocket", "untrained": "untrained network",
    "model + hand-crafted": "CardioFM + hand-crafted",
}  # fmt: skip
_GROUPS = ("#d62728", "#1f77b4", "#2ca02c", "#ff9f1c", "#7a4f9a", "#222222")
_GOOD, _BAD, _OPEN = "#1a7f5a", "#b3261e", "#555555"


def few_labels(result: dict[str, Any], path: Path) -> None:
    """A panel a task: the score against the number of labelled patients, a line a method, bars for the interval."""
    plt = _pyplot()
    rows = result["rows"]
    asked = list(dict.fromkeys((r["set"], r["task"], r["metric"]) for r in rows))
    figure, axes = plt.subplots(1, len(asked), figsize=(3.5 * len(asked), 3.8), squeeze=False, layout="constrained")
    for axis, key in zip(axes[0], asked, strict=True):
        own = [r for r in rows if (r["set"], r["task"], r["metric"]) == key]
        sizes = sorted({r["labelled"] for r in own})
        methods = list(dict.fromkeys(r["method"] for r in own))
        for k, method in enumerate(methods):
            line = sorted((r for r in own if r["method"] == method), key=lambda r: r["labelled"])
            x = np.array([sizes.index(r["labelled"]) for r in line]) + 0.06 * (k - (len(methods) - 1) / 2)
            y = np.array([[r["value"], r["low"], r["high"]] for r in line]).T
            axis.errorbar(x, y[0], np.maximum([y[0] - y[1], y[2] - y[0]], 0), marker="o", ms=4, lw=1.6, capsize=2,
                          color=_COLOURS.get(method), label=_NAMES.get(method, method))  # fmt: skip
        axis.axhline(0.5, color="black", lw=0.7, ls=":")
        axis.set_xticks(range(len(sizes)), [str(s) for s in sizes])
        axis.set_title(f"{key[0].upper()}: {key[1]}, {key[2]}", fontsize=9)
        axis.grid(alpha=0.25)
        axis.tick_params(labelsize=8)
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside upper center", ncols=5
    )
    figure.supxlabel(f"labelled patients, mean of {result['draws']} draws, 95 % over draws and patients", fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def pooling(result: dict[str, Any], path: Path) -> None:
    """Left the paired differences, so that right of 0 is better; right the attention by time before the alarm."""
    plt = _pyplot()
    found, looks = result["differences"], result["looked"]
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 0.32 * len(found) + 1.8), layout="constrained")
    for k, d in enumerate(found):
        years, sign = "years" in d["metric"], -1 if "MAE" in d["metric"] else 1
        scale = sign * (0.1 if years else 1.0)
        low, high = sorted((scale * d["low"], scale * d["high"]))
        colour = _GOOD if low > 0 else _BAD if high < 0 else _OPEN
        axes[0].plot([low, high], [k, k], color=colour, lw=2)
        axes[0].plot(scale * d["value"], k, "o", color=colour, ms=5)
    axes[0].axvline(0, color="black", lw=0.8)
    axes[0].set_yticks(range(len(found)), [f"{d['set']}, {d['task']}: {_minus(d['difference'])}" for d in found])
    axes[0].invert_yaxis()
    axes[0].set_xlabel("gain of AUROC; of an error in tens of years", fontsize=8)
    seconds = sorted(map(int, looks))
    axes[1].bar([-s + 5 for s in seconds], [looks[str(s)] for s in seconds], width=8, color=_COLOURS["model"])
    axes[1].axhline(1 / max(1, len(seconds)), color="black", lw=0.8, ls=":")
    axes[1].set_xlabel("seconds before the alarm", fontsize=8)
    axes[1].set_ylabel("mean share of attention", fontsize=8)
    for axis in axes:
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def maps(
    place_W2: NDArray[np.floating], share: Sequence[float], colours: Mapping[str, Sequence[str]], title: str, path: Path
) -> None:
    """The same map of windows once for each way to colour them; `share`: of the variance that each axis holds."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(colours), figsize=(5.2 * len(colours), 4.6), squeeze=False, layout="constrained")
    for axis, (name, groups) in zip(axes[0], colours.items(), strict=True):
        which = np.array(groups)
        names = sorted(dict.fromkeys(groups), key=lambda g: (g == "not known", g))
        for k, group in enumerate(names):
            at = which == group
            colour = "#cccccc" if group == "not known" else _GROUPS[k % len(_GROUPS)]
            axis.scatter(*place_W2[at].T, s=10, alpha=0.7, lw=0, color=colour, label=f"{group} ({at.sum()})",
                         zorder=1 if group == "not known" else 2)  # fmt: skip
        axis.set_title(f"by {name}", fontsize=10)
        axis.set_xlabel(f"first principal axis, {share[0]:.0%} of the variance", fontsize=8)
        axis.set_ylabel(f"second, {share[1]:.0%}", fontsize=8)
        axis.legend(fontsize=7, framealpha=0.85, edgecolor="none", markerscale=1.6, loc="upper right")
        axis.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _minus(difference: str) -> str:
    return difference.replace(" - ", " − ")


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
