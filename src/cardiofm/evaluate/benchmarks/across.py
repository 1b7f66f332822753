"""One signal from the other one alone, on people the model never saw: ECG from PPG and PPG from ECG, beside floors.

Writes results/across.json and results/across.png. Windows of bidmc (never trained on) and of the test patients of
challenge-2015; the wanted channel is hidden throughout. Every method is put into the unit by the channel's own true
mean and spread. Monitors delay the pulse by a fixed unknown time, so r and the F1 of beats are also given at the best
lag within 1 s, for every method alike. Cycles (cut at the beats of the given signal) are scored one by one, beside
paired dictionaries, a cosine-transform map and the mean cycle, all fitted on training patients of challenge-2015.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cardiofm.evaluate import floors, run
from cardiofm.evaluate.across import (
    CYCLES,
    LAG_S,
    TOLERANCES_MS,
    Case,
    Fitted,
    Floats,
    all_cases,
    all_drawn,
    cycle_scores,
    fit_floors,
    score,
    trusted,
)
from cardiofm.evaluate.bootstrap import Interval, difference, interval, ratio
from cardiofm.evaluate.sample import pieces, summary
from cardiofm.pipeline import load
from cardiofm.signals import MODALITIES

SETS = {"bidmc": None, "challenge-2015": "test"}
FIT = {"train": 600, "valid": 100}  # windows of challenge-2015 for templates, dictionaries and the untrained codebooks
METHODS = {
    "model": "CardioFM",
    "untrained": "the network before training (seed 0)",
    "mean": "train-mean window",
    "pat": "average training beat at the other signal's beats, moved by the training median delay",
    "pat-known": "the same, moved by the window's own true median delay (which nobody knows)",
    "mis-paired": "CardioFM given another patient's signal",
}
CYCLE_METHODS = {
    "model": "CardioFM, its drawing cut into the same cycles",
    "untrained": METHODS["untrained"],
    "mis-paired": METHODS["mis-paired"],
    "dictionary": "paired dictionaries with a linear map between sparse codes",
    "cosine": "ridge map between cosine-transform coefficients",
    "mean": "mean training cycle",
}
METRICS = {
    "prd": "%, median over patients",
    "r": "mean over patients",
    "r_lag": f"r at the best lag within {LAG_S:g} s, mean over patients",
    **{f"f1_{t}": f"F1 of beats within {t} ms, of pooled counts" for t in TOLERANCES_MS},
    "f1_50_lag": "F1 of beats within 50 ms after moving the drawing by its best lag, of pooled counts",
    "cycle_r": "r of each cycle, cut at the given signal's beats, mean over patients",
    "cycle_r_aligned": "the same, the true delay known to all: the wanted signal is cut at its own beats, a drawing of "
    "the whole window is moved by its best lag; mean over patients",
}


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    return run.parser(about, 80, "windows of each dataset, one a patient where there are as many")


def main(args: argparse.Namespace) -> None:
    """Draw, score, print the table, write the results and the picture."""
    model = load(args.model, backend=args.backend, threads=args.threads)
    fs_hz = model.spec.fs_hz
    with Progress(transient=True) as bar:
        job = bar.add_task("reading", total=len(SETS) + len(FIT))
        used, fit = [], {}
        for dataset, split in SETS.items():
            used += pieces(dataset, args.data_root, model.spec, args.limit, split)
            bar.advance(job)
        for split, number in FIT.items():
            fit[split] = pieces("challenge-2015", args.data_root, model.spec, number, split)
            bar.advance(job)
        cases, refused = all_cases(used, fs_hz)
        fitting = {split: trusted(own, fs_hz) for split, own in fit.items()}
        job = bar.add_task("fitting", total=2)
        fitted = []
        for channel in range(2):
            fitted.append(fit_floors(fitting["train"], fitting["valid"], channel, fs_hz))
            bar.advance(job)
        untrained = floors.untrained(model, [c.piece.window for c in fitting["train"][:16]])
        job = bar.add_task("drawing", total=len(cases))
        scores, shown = [], []
        for own in _by_key(cases).values():
            drawn = all_drawn(own, {"model": model, "untrained": untrained}, fitted[own[0].channel], fs_hz)
            scores += [s for i, case in enumerate(own) for s in score(case, {m: d[i] for m, d in drawn.items()}, fs_hz)]
            scores += cycle_scores(own, drawn, fitted[own[0].channel], fs_hz)
            shown.append((own[0], {m: d[0] for m, d in drawn.items()}))
            bar.advance(job, len(own))
    result = run.save(
        args.out / "across.json", "across", table_rows(scores, refused), args.model,
        summary(used) | {"floors fitted on": summary(fit["train"]), "floors chosen on": summary(fit["valid"])},
        methods=METHODS, cycle_methods=CYCLE_METHODS, metrics=METRICS, differences=differences(scores),
        fitted={MODALITIES[c]: _said(f) for c, f in enumerate(fitted)},
    )  # fmt: skip
    show(result)
    picture(shown, result, args.out / "across.png", fs_hz)


def _by_key(cases: Sequence[Case]) -> dict[tuple[str, str], list[Case]]:
    out: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        out.setdefault(case.key, []).append(case)
    return out


def table_rows(scores: Sequence[dict[str, Any]], refused: Counter[tuple[str, ...]]) -> list[dict[str, Any]]:
    """A row for each set, channel, method and metric."""
    by: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for s in scores:
        for metric in METRICS:
            if metric in s or metric in s.get("counts", {}):
                by.setdefault((s["set"], s["channel"], s["method"], metric), []).append(s)
    rows = []
    for (dataset, channel, method, metric), own in by.items():
        names: dict[str, Any] = {"set": dataset, "channel": channel, "method": method, "metric": metric}
        lost = refused[dataset, channel]
        if metric in CYCLES:
            names["cycles"] = sum(s["cycles"] for s in own)
            lost += len({s["window"] for s in scores if (s["set"], s["channel"]) == (dataset, channel)}) - len(own)
        rows.append(run.row(_value(own, metric), 2 if metric == "prd" else 4, **names, refused=lost))
    return rows


def _value(own: Sequence[dict[str, Any]], metric: str) -> Interval:
    who = [s["patient"] for s in own]
    if metric.startswith("f1"):
        pairs, events = zip(*(s["counts"][metric] for s in own), strict=True)
        return ratio(pairs, events, who)
    return interval([s[metric] for s in own], who, "median" if metric == "prd" else "mean")


def differences(scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The model minus every other method on the same windows: r, r at the best lag, r of cycles, F1 of each window."""
    by: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for s in scores:
        kind = next((way for way in CYCLES if way in s), "window")
        by.setdefault((s["set"], s["channel"], kind, s["window"]), {})[s["method"]] = s
    pairs: dict[tuple[str, ...], list[tuple[float, float, str]]] = {}
    for (dataset, channel, _, _), found in by.items():
        for method in (m for m in found if m != "model"):
            a, b = found["model"], found[method]
            for metric in METRICS:
                x, y = _of_window(a, metric), _of_window(b, metric)
                if x is not None and y is not None:
                    key = (dataset, channel, f"model - {method}", metric)
                    pairs.setdefault(key, []).append((x, y, a["patient"]))
    rows = []
    for (dataset, channel, what, metric), found in pairs.items():
        a, b, who = zip(*found, strict=True)
        value = difference(a, b, who, "median" if metric == "prd" else "mean")
        names = {"set": dataset, "channel": channel, "difference": what, "metric": metric}
        rows.append(run.row(value, 2 if metric == "prd" else 4, **names))
    return rows


def _of_window(s: dict[str, Any], metric: str) -> float | None:
    """One number of a window, an F1 from its own counts; None where it has none."""
    if metric in s.get("counts", {}):
        pairs, events = s["counts"][metric]
        return pairs / events if events else None
    return s.get(metric)


def _said(fitted: Fitted) -> dict[str, Any]:
    """What was chosen, for the results file."""
    maps = {
        way: {name: {"valid_r": round(m.valid_r, 4)} | m.chosen for name, m in own.items()}
        for way, own in fitted.maps.items()
    }
    return {"delay_ms": round(1000 * fitted.delay_s), "cycle_maps": maps}


def show(result: dict[str, Any]) -> None:
    """The methods as a table for the terminal."""
    for names in (METHODS, CYCLE_METHODS):
        metric_names = list(CYCLES) if names is CYCLE_METHODS else [m for m in METRICS if m not in CYCLES]
        table = Table(title="one signal from the other one alone")
        for name in ("set", "channel", "metric", *names, "patients", "windows", "refused"):
            table.add_column(name)
        by = {(r["set"], r["channel"], r["metric"], r["method"]): r for r in result["rows"]}
        for dataset, channel in dict.fromkeys((r["set"], r["channel"]) for r in result["rows"]):
            for metric in metric_names:
                cells = [f"{by[dataset, channel, metric, m]['value']:.3g}" for m in names]
                first = by[dataset, channel, metric, "model"]
                table.add_row(
                    dataset, channel, metric, *cells, *(str(first[k]) for k in ("patients", "windows", "refused"))
                )
        Console(width=150).print(table)


def picture(shown: Sequence[tuple[Case, dict[str, Floats]]], result: dict[str, Any], path: Path, fs_hz: float) -> None:
    """The first window of each set and channel, and every method's r at the best lag and F1 with intervals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colours = dict(zip(METHODS, ("tab:red", "tab:gray", "black", "tab:blue", "tab:cyan", "tab:orange"), strict=True))
    by = {(r["set"], r["channel"], r["metric"], r["method"]): r for r in result["rows"]}
    figure, axes = plt.subplots(
        len(shown), 2, figsize=(13, 2.2 * len(shown)), layout="constrained", width_ratios=(3, 2)
    )
    for (case, drawn), (trace, dots) in zip(shown, axes, strict=True):
        t_N = np.arange(len(case.scored_N)) / fs_hz
        truth = np.where(case.scored_N, case.piece.window.values[case.channel], np.nan)
        trace.plot(t_N, truth, color="black", lw=1.0, label="truth")
        for name in ("pat-known", "model"):
            trace.plot(t_N, drawn[name], color=colours[name], lw=0.9, label=name)
        dataset, channel = case.key
        trace.set_title(f"{case.piece.record} ({dataset}): {channel} from the other alone", fontsize=9, loc="left")
        trace.set_ylabel("mV" if case.piece.window.in_mv[case.channel] else "NU", fontsize=8)
        for k, metric in enumerate(("r_lag", "f1_50", "f1_50_lag")):
            for j, name in enumerate(METHODS):
                row = by[dataset, channel, metric, name]
                low, high = (row[b] if row[b] is not None else row["value"] for b in ("low", "high"))
                place = k + (j - len(METHODS) / 2) * 0.12
                dots.plot([place, place], [low, high], color=colours[name], lw=2, alpha=0.5)
                dots.plot(place, row["value"], "o", ms=4, color=colours[name], label=name if k == 0 else None)
        dots.set_xticks(range(3), ["r, best lag", "F1 50 ms", "F1 50 ms, best lag"], fontsize=8)
        dots.set_ylim(-0.1, 1.02)
        dots.grid(axis="y", lw=0.3)
    axes[0, 0].legend(fontsize=7, ncols=3, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    axes[0, 1].legend(fontsize=7, ncols=3, frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    axes[-1, 0].set_xlabel("s")
    figure.savefig(path, dpi=110)
    plt.close(figure)
