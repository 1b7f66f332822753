"""Reconstruction from all codes on five sets that were never trained on: waveform, beats and intervals, beside floors.

Writes results/zero_shot.json and results/zero_shot.png. Nothing is hidden. For each set and channel, on all windows
and on clean ones: PRD and r; F1 of the R peaks (or pulse feet) that one detector finds in the drawing, against those
that it finds in the original; and by how many ms QRS onset to T end differ when one delineator measures both on the
same beats.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cardiofm.evaluate import floors, metrics, run
from cardiofm.evaluate.codes import full_rate
from cardiofm.evaluate.drawing import decoded, encoded, unit
from cardiofm.evaluate.intervals import RULER, event_counts, events, qt_ms
from cardiofm.evaluate.rows import Metric, Score, paired, summarised
from cardiofm.evaluate.sample import CLEAN_RULE, HELD_OUT, ZERO_SHOT, Piece, is_clean, pieces, summary
from cardiofm.evaluate.wavelet import coded_windows
from cardiofm.pipeline import MIN_S, Model, load
from cardiofm.signals import MODALITIES, InputSpec

TRAIN_WINDOWS = 16  # of each pretraining set's training split: the mean window, codebooks, the wavelet's context model
TOLERANCE_S = 0.05
ALL = "all five"
KEYS = ("set", "channel", "quality", "method")
METHODS = {
    "model": "CardioFM, all levels",
    "wavelet": "bior4.4 wavelet coder at the same bit rate (ideal length of an adaptive context model)",
    "untrained": "the network before training (seed 0), its codebooks k-means of its own latents",
    "mean": "train-mean window, at the window's own mean and spread",
}
METRICS = {
    "prd": Metric("PRD in %, mean removed, median over patients", "median", 2),
    "r": Metric("Pearson r, mean over patients", "mean", 4),
    "f1": Metric("F1 at 50 ms of R peaks (ECG) or pulse feet (PPG), pooled", "pooled", 4),
    "interval_ms": Metric("|change of QRS onset to T end| a beat in ms, median over patients", "median", 2),
    "measurable": Metric("share of beats measured in the original and the drawing, pooled", "pooled", 3),
}
TARGETS = {"prd": {"ecg": 6, "ppg": 4}, "f1": {"ecg": 0.99}, "interval_ms": {"ecg": 4}}  # on clean windows


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    return run.parser(about, 40, "windows of each set, one a patient where there are as many")


def main(args: argparse.Namespace) -> None:
    """Score the model and the floors, print the table, write the results."""
    model = load(args.model, backend=args.backend, threads=args.threads)
    with Progress(transient=True) as bar:
        job = bar.add_task("reading", total=len(ZERO_SHOT) + len(HELD_OUT))
        used: list[Piece] = []
        train: list[Piece] = []
        for dataset in ZERO_SHOT + HELD_OUT:
            if dataset in ZERO_SHOT:
                used += pieces(dataset, args.data_root, model.spec, args.limit)
            else:
                train += pieces(dataset, args.data_root, model.spec, TRAIN_WINDOWS, "train")
            bar.advance(job)
        usable = [p for p in used if (p.window.valid.sum(-1) >= MIN_S * model.spec.fs_hz).any()]
        made = drawings(usable, model, train)
        scores: list[Score] = []
        refused: Counter[tuple[Any, ...]] = Counter()
        job = bar.add_task("measuring", total=len(usable))
        for i, piece in enumerate(usable):
            for channel in np.flatnonzero(piece.window.valid.any(-1)):
                drawn = {name: values[i, channel] for name, values in made.items()}
                scores += score(piece, int(channel), drawn, model.spec, refused)
            bar.advance(job)
    scores += [s | {"set": ALL} for s in scores]
    rows = summarised(scores, KEYS, METRICS, refused)
    pairs = [("model", other) for other in METHODS if other != "model"]
    result = run.save(
        args.out / "zero_shot.json", "zero_shot", rows, args.model,
        summary(usable) | {"floors fitted on": summary(train)},
        methods=METHODS, metrics={k: m.meaning for k, m in METRICS.items()}, targets=TARGETS, ruler=RULER,
        clean=CLEAN_RULE, bits_per_second=round(full_rate(model), 3), windows_without_1_s=len(used) - len(usable),
        differences=paired(scores, KEYS[:3], METRICS, pairs),
    )  # fmt: skip
    show(result)
    picture(usable, made, result, model.spec, args.out / "zero_shot.png")


def drawings(used: Sequence[Piece], model: Model, train: Sequence[Piece]) -> dict[str, NDArray[np.float32]]:
    """What each method makes of each window, `(W, C, N)` in the channels' units."""
    windows = [p.window for p in used]
    visible = np.stack([w.valid for w in windows])
    fitted_on = [p.window for p in train]
    made = {}
    for name, network in (("model", model), ("untrained", floors.untrained(model, fitted_on))):
        code = encoded(network, windows, visible)
        made[name] = decoded(network, code, code.coded * np.int64(model.config["quantizer"]["levels"]))
    units = [unit(w, w.valid) for w in windows]
    offset, scale = (np.stack(part)[..., None] for part in zip(*units, strict=True))
    made["mean"] = floors.mean_window(fitted_on) * scale + offset
    made["wavelet"] = coded_windows(fitted_on, windows, full_rate(model), model.spec.fs_hz)
    return made


def score(
    piece: Piece, channel: int, drawn: dict[str, NDArray[np.float32]], spec: InputSpec, refused: Counter[tuple]
) -> list[Score]:
    """One dict a method, twice where the window is clean: where it belongs, and its metrics."""
    known_N, true_N = piece.window.valid[channel], piece.window.values[channel]
    which = ["all", "clean"] if is_clean(piece.window, channel, spec.fs_hz) else ["all"]
    if known_N.sum() < MIN_S * spec.fs_hz or true_N[known_N].std() == 0:
        refused.update((place, MODALITIES[channel], "all", m) for m in METHODS for place in (piece.dataset, ALL))
        return []
    beats_s = events(true_N, known_N, channel, spec.fs_hz)
    bridged_N = floors.straight_line(true_N, known_N)
    before_ms = qt_ms(bridged_N, beats_s, spec.fs_hz) if channel == 0 else np.empty(0)
    where = {"set": piece.dataset, "channel": MODALITIES[channel], "patient": piece.patient, "window": id(piece)}
    out = []
    if channel == 0:
        share = (int(np.isfinite(before_ms).sum()), len(beats_s))
        out += [where | {"method": "original", "quality": w, "measurable": share} for w in which]
    for method, values_N in drawn.items():
        found = {
            "prd": metrics.prd(true_N[known_N], values_N[known_N]),
            "r": metrics.r(true_N[known_N], values_N[known_N]),
            "f1": event_counts(beats_s, events(values_N, known_N, channel, spec.fs_hz), TOLERANCE_S),
        }
        if channel == 0 and method != "mean":  # a mean has no beats to measure
            change_ms = np.abs(qt_ms(floors.straight_line(values_N, known_N), beats_s, spec.fs_hz) - before_ms)
            measured = np.isfinite(change_ms)
            found |= {"interval_ms": change_ms[measured].tolist(), "measurable": (int(measured.sum()), len(beats_s))}
        out += [where | {"method": method, "quality": w} | found for w in which]
    return out


def clean_ones(used: Sequence[Piece], spec: InputSpec) -> list[tuple[int, Piece, int]]:
    """Index, piece and channel of whatever is clean, in order."""
    return [(i, p, c) for i, p in enumerate(used) for c in range(2) if is_clean(p.window, c, spec.fs_hz)]


def show(result: dict[str, Any]) -> None:
    """The clean windows as a table: model and floors for each set and channel."""
    table = Table(title="zero-shot reconstruction from all codes", caption=f"clean: {result['clean']}")
    for name in (*KEYS, "PRD %", "r", "F1", "interval ms", "measurable", "patients", "windows", "refused"):
        table.add_column(name)
    by: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for row in result["rows"]:
        by.setdefault(tuple(row[k] for k in KEYS), {})[row["metric"]] = row
    for key, found in sorted((k, f) for k, f in by.items() if k[2] == "clean"):
        cells = [f"{found[m]['value']:.{METRICS[m].digits}f}" if m in found else "–" for m in METRICS]
        counts = [str(next(iter(found.values()))[k]) for k in ("patients", "windows", "refused")]
        table.add_row(*key, *cells, *counts)
    Console(width=150).print(table)


def picture(
    used: Sequence[Piece], made: dict[str, NDArray[np.float32]], result: dict[str, Any], spec: InputSpec, path: Path
) -> None:
    """Left: three seconds of each set, the first clean window and not the best. Right: PRD of every method, clean."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    places = [(d, c) for d in ZERO_SHOT for c in range(2)]
    first = {(p.dataset, c): i for i, p, c in clean_ones(used, spec)[::-1]}
    places = [place for place in places if place in first]
    figure, axes = plt.subplots(
        len(places), 2, figsize=(12, 1.5 * len(places)), layout="constrained", width_ratios=(3, 2), squeeze=False
    )
    colours = {"model": "tab:red", "wavelet": "tab:blue", "untrained": "tab:orange", "mean": "0.6"}
    for (left, right), (dataset, c) in zip(axes, places, strict=True):
        i = first[dataset, c]
        window = used[i].window
        start = int(np.flatnonzero(window.valid[c])[0])
        part = slice(start, min(start + round(3 * spec.fs_hz), spec.samples))
        t_n = np.arange(part.stop - part.start) / spec.fs_hz
        known = window.valid[c][part]
        left.plot(t_n, np.where(known, window.values[c][part], np.nan), color="black", lw=1.4, label="original")
        left.plot(t_n, np.where(known, made["model"][i, c][part], np.nan), color="tab:red", lw=0.9, label="CardioFM")
        left.set_title(f"{used[i].record}: {MODALITIES[c].upper()}", fontsize=9, loc="left")
        left.set_ylabel("mV" if window.in_mv[c] else "NU", fontsize=8)
        rows = {
            r["method"]: r
            for r in result["rows"]
            if (r["set"], r["channel"], r["quality"], r["metric"]) == (dataset, MODALITIES[c], "clean", "prd")
        }
        for y, method in enumerate(m for m in METHODS if m in rows):
            row = rows[method]
            low, high = (row["value"] if row[k] is None else row[k] for k in ("low", "high"))
            right.plot([low, high], [-y, -y], color=colours[method], lw=2)
            right.plot(row["value"], -y, "o", color=colours[method], ms=5)
        right.axvline(TARGETS["prd"][MODALITIES[c]], color="0.4", lw=0.8, ls=":")
        right.set_xscale("log")
        right.set_xlim(0.03, 200)
        right.set_ylim(0.6 - len(rows), 0.6)
        right.set_yticks([-y for y in range(len(rows))], [m for m in METHODS if m in rows], fontsize=8)
        right.set_title(f"{dataset} {MODALITIES[c].upper()}, clean windows", fontsize=9, loc="left")
    axes[0][0].legend(fontsize=7, loc="upper right", ncols=2, frameon=False)
    axes[-1][0].set_xlabel("s")
    axes[-1][1].set_xlabel("PRD in % (median and 95 % interval; dotted: the aim)")
    figure.savefig(path, dpi=110)
    plt.close(figure)
