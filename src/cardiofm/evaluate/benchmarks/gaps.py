"""Half a second, one and two seconds hidden in the ECG, in the PPG or in both, drawn back, beside simple fillers.

Writes results/gaps.json and results/gaps.png, on windows of five sets that were never trained on. Scored are the
hidden samples: PRD and r, and F1 of the R peaks (pulse feet) that one detector finds there once the gap is filled,
against those that it finds in the whole original. The other channel is visible, absent, or hidden in the same place.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cardiofm.evaluate import floors, metrics, run
from cardiofm.evaluate.drawing import draw
from cardiofm.evaluate.intervals import event_counts, events
from cardiofm.evaluate.rows import Metric, Score, paired, summarised
from cardiofm.evaluate.sample import HELD_OUT, ZERO_SHOT, Piece, pieces, summary
from cardiofm.pipeline import MIN_S, Model, load
from cardiofm.signals import MODALITIES, InputSpec

GAPS_S = (0.5, 1.0, 2.0)
EDGE_S = 0.5  # a gap stays this far from the ends of what is known
TOLERANCE_S = 0.05
TRAIN_WINDOWS = 16  # of each pretraining set's training split, for the untrained network's codebooks
ALL = "all five"
KEYS = ("set", "channel", "gap_s", "other", "method")
METHODS = {
    "model": "CardioFM",
    "template": "median beat of the visible part, placed where its rhythm goes on; the line where beats are too few",
    "template at other": "the same beat at the other channel's beats, moved by their usual visible delay",
    "match": "best-matching visible stretch",
    "line": "straight line across the gap",
    "untrained": "the network before training (seed 0)",
}
METRICS = {
    "prd": Metric("PRD in % over the gap, mean removed, median over patients", "median", 2),
    "r": Metric("Pearson r over the gap, mean over patients", "mean", 4),
    "f1": Metric("F1 at 50 ms of R peaks (ECG) or pulse feet (PPG) in the gap, pooled", "pooled", 4),
}
TARGETS = {"gap_s": 1.0, "other": "visible", "r": {"ecg": 0.93, "ppg": 0.96}, "f1": {"ecg": 0.98}}


@dataclass(frozen=True)
class Case:
    """One gap in one window: what is visible, and which channels are scored there."""

    piece: Piece
    gap: slice
    gap_s: float
    other: str  # "visible", "absent" or "hidden too"
    scored: tuple[int, ...]
    visible_CN: NDArray[np.bool_]


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    return run.parser(about, 30, "windows of each set, one a patient where there are as many")


def main(args: argparse.Namespace) -> None:
    """Fill every gap, print the table, write the results."""
    model = load(args.model, backend=args.backend, threads=args.threads)
    spec = model.spec
    with Progress(transient=True) as bar:
        job = bar.add_task("reading", total=2)
        used = [p for d in ZERO_SHOT for p in pieces(d, args.data_root, spec, args.limit)]
        bar.advance(job)
        train = [p for d in HELD_OUT for p in pieces(d, args.data_root, spec, TRAIN_WINDOWS, "train")]
        bar.advance(job)
        cases, refused = all_cases(used, spec)
        untrained = floors.untrained(model, [p.window for p in train])
        scores: list[Score] = []
        job = bar.add_task("filling", total=len(cases))
        for first in range(0, len(cases), 64):
            some = cases[first : first + 64]
            windows, visible = [c.piece.window for c in some], np.stack([c.visible_CN for c in some])
            drawn = {name: draw(m, windows, visible) for name, m in (("model", model), ("untrained", untrained))}
            for i, case in enumerate(some):
                scores += score(case, {name: values[i] for name, values in drawn.items()}, spec)
            bar.advance(job, len(some))
    scores += [s | {"set": ALL} for s in scores]
    pairs = [("model", other) for other in METHODS if other != "model"]
    result = run.save(
        args.out / "gaps.json", "gaps", summarised(scores, KEYS, METRICS, refused), args.model,
        summary(used) | {"floors fitted on": summary(train)},
        methods=METHODS, metrics={k: m.meaning for k, m in METRICS.items()}, targets=TARGETS,
        differences=paired(scores, KEYS[:4], METRICS, pairs),
    )  # fmt: skip
    show(result)
    picture(cases, model, result, args.out / "gaps.png")


def all_cases(used: Sequence[Piece], spec: InputSpec) -> tuple[list[Case], Counter[tuple[Any, ...]]]:
    """Every gap that can be scored, and how many were refused, by set, channel, gap, other and method.

    Refused: no place for the gap, less than 1 s left to see in each channel that should be seen, a constant truth.
    """
    found, refused = [], Counter()
    for piece in used:
        has = [int(c) for c in np.flatnonzero(piece.window.valid.any(-1))]
        for gap_s in GAPS_S:
            gap = _gap(piece, has, round(gap_s * spec.fs_hz), round(EDGE_S * spec.fs_hz))
            for case in [] if gap is None else _cases(piece, has, gap, gap_s):
                seen_C = case.visible_CN.sum(-1) >= MIN_S * spec.fs_hz
                if seen_C[case.visible_CN.any(-1)].all() and _moves(case):
                    found.append(case)
                else:
                    refused.update(_names(case))
            if gap is None:
                refused.update(n for case in _cases(piece, has, slice(0, 0), gap_s) for n in _names(case))
    return found, refused


def _names(case: Case) -> list[tuple[Any, ...]]:
    places, methods = (case.piece.dataset, ALL), METHODS
    return [(p, MODALITIES[c], case.gap_s, case.other, m) for p in places for c in case.scored for m in methods]


def _moves(case: Case) -> bool:
    return all(case.piece.window.values[c][case.gap].std() > 0 for c in case.scored)


def _cases(piece: Piece, has: Sequence[int], gap: slice, gap_s: float) -> list[Case]:
    """One channel alone, one beside the other one, and both hidden at once."""
    valid_CN = piece.window.valid
    cases = []
    for c in has:
        alone_CN = np.zeros_like(valid_CN)
        alone_CN[c] = valid_CN[c]
        alone_CN[c, gap] = False
        cases.append(Case(piece, gap, gap_s, "absent", (c,), alone_CN))
        if len(has) == 2:
            beside_CN = valid_CN.copy()
            beside_CN[c, gap] = False
            cases.append(Case(piece, gap, gap_s, "visible", (c,), beside_CN))
    if len(has) == 2:
        both_CN = valid_CN.copy()
        both_CN[:, gap] = False
        cases.append(Case(piece, gap, gap_s, "hidden too", (0, 1), both_CN))
    return cases


def _gap(piece: Piece, has: Sequence[int], length: int, edge: int) -> slice | None:
    """A span that every channel knows, at a place that only the window's name and the length decide."""
    known_N = piece.window.valid[list(has)].all(0)
    run_N = np.convolve(known_N, np.ones(length + 2 * edge), mode="valid") > length + 2 * edge - 0.5
    starts = np.flatnonzero(run_N) + edge
    if not len(has) or not len(starts):
        return None
    name = f"{piece.dataset} {piece.record} {piece.window.start_s:.3f} {length}"
    start = int(starts[int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % len(starts)])
    return slice(start, start + length)


def filled(case: Case, c: int, spec: InputSpec) -> dict[str, NDArray[np.float32]]:
    """The channel with its gap filled by each floor that applies, `(N,)` in its unit.

    For the template, visible beats are looked for with the gap bridged by the best match, which leaves no false edge.
    """
    x_N, visible_N, fs_hz = case.piece.window.values[c], case.visible_CN[c], spec.fs_hz
    line = floors.straight_line(x_N, visible_N)
    match = floors.best_match(x_N, visible_N, case.gap, fs_hz)
    bridged_N = np.where(visible_N, x_N, line if match is None else match)
    own_s = events(bridged_N, case.piece.window.valid[c], c, fs_hz)
    own_s = own_s[(own_s < case.gap.start / fs_hz) | (own_s >= case.gap.stop / fs_hz)]
    found = {"match": match, "template": floors.beat_template(x_N, visible_N, case.gap, fs_hz, own_s)}
    if case.other == "visible":
        other_s = events(case.piece.window.values[1 - c], case.visible_CN[1 - c], 1 - c, fs_hz)
        found["template at other"] = floors.beat_template(x_N, visible_N, case.gap, fs_hz, own_s, other_s)
    return {"line": line} | {name: line if values is None else values for name, values in found.items()}


def score(case: Case, drawn: dict[str, NDArray[np.float32]], spec: InputSpec) -> list[Score]:
    """One dict a hidden channel and method: where it belongs, and its metrics."""
    out = []
    span_s = (case.gap.start / spec.fs_hz, case.gap.stop / spec.fs_hz)
    for c in case.scored:
        true_N, known_N = case.piece.window.values[c], case.piece.window.valid[c]
        true_s = events(true_N, known_N, c, spec.fs_hz)
        made = filled(case, c, spec)
        for name, values_CN in drawn.items():
            made[name] = np.where(case.visible_CN[c], true_N, values_CN[c])
        where = {"set": case.piece.dataset, "channel": MODALITIES[c], "gap_s": case.gap_s, "other": case.other}
        where |= {"patient": case.piece.patient, "window": id(case.piece)}
        for method, values_N in made.items():
            found_s = events(values_N, known_N, c, spec.fs_hz)
            true, part = true_N[case.gap], values_N[case.gap]
            f1 = event_counts(true_s, found_s, TOLERANCE_S, span_s)
            found = {"prd": metrics.prd(true, part), "r": metrics.r(true, part), "f1": f1}
            out.append(where | {"method": method} | found)
    return out


def show(result: dict[str, Any]) -> None:
    """BIDMC and all five sets as a table: PRD / r / F1 of every method."""
    table = Table(title="gaps: PRD % / r / F1 at 50 ms", caption="PRD: median, r: mean over patients, F1: pooled")
    for name in (*KEYS[:4], *METHODS, "patients", "windows", "refused"):
        table.add_column(name)
    by: dict[tuple[Any, ...], dict[tuple[str, str], dict[str, Any]]] = {}
    for row in result["rows"]:
        if row["set"] in ("bidmc", ALL):
            by.setdefault(tuple(row[k] for k in KEYS[:4]), {})[row["method"], row["metric"]] = row
    for key, found in sorted(by.items()):
        cells = ["–"] * len(METHODS)
        for i, m in enumerate(METHODS):
            if (m, "prd") in found:
                prd, r, f1 = (found.get((m, k), {"value": float("nan")})["value"] for k in METRICS)
                cells[i] = f"{prd:.0f} / {r:.2f} / {f1:.2f}"
        counts = [str(found["model", "prd"][k]) for k in ("patients", "windows", "refused")]
        table.add_row(*map(str, key), *cells, *counts)
    Console(width=190).print(table)


def picture(cases: Sequence[Case], model: Model, result: dict[str, Any], path: Path) -> None:
    """Above: one real gap for each of four conditions, the first patient and not the best. Below: BIDMC by length."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    wanted = [("bidmc", 0, 1.0, "absent"), ("bidmc", 0, 1.0, "visible"), ("bidmc", 1, 1.0, "visible")]
    wanted.append(("bidmc", 0, 2.0, "hidden too"))
    figure = plt.figure(figsize=(12, 10.5), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(2.6, 1))
    above, below = parts
    axes = above.subplots(len(wanted), 1)
    fs_hz = model.spec.fs_hz
    for axis, (dataset, c, gap_s, other) in zip(axes, wanted, strict=True):
        case = next(
            (k for k in cases if (k.piece.dataset, k.gap_s, k.other) == (dataset, gap_s, other) and c in k.scored), None
        )
        if case is None:
            continue
        drawn = draw(model, [case.piece.window], case.visible_CN[None])[0][c]
        t_N = np.arange(model.spec.samples) / fs_hz
        axis.plot(t_N, case.piece.window.values[c], color="black", lw=1.2, label="truth")
        axis.axvspan(t_N[case.gap.start], t_N[case.gap.stop - 1], color="0.92")
        for name, values_N in filled(case, c, model.spec).items():
            if name.startswith("template"):
                axis.plot(t_N[case.gap], values_N[case.gap], color=COLOURS[name], lw=1.0, ls="--", label=name)
        axis.plot(t_N[case.gap], drawn[case.gap], color=COLOURS["model"], lw=1.3, label="CardioFM")
        middle = (t_N[case.gap.start] + t_N[case.gap.stop - 1]) / 2
        axis.set_xlim(max(0, middle - 3), min(t_N[-1], middle + 3))
        axis.set_title(
            f"{case.piece.record}: {MODALITIES[c].upper()}, {gap_s:g} s, other channel {other}", fontsize=9, loc="left"
        )
        axis.legend(fontsize=7, loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False)
    curves(below.subplots(1, 4), result)
    figure.savefig(path, dpi=110)
    plt.close(figure)


COLOURS = {
    "model": "tab:red",
    "template": "tab:blue",
    "template at other": "tab:green",
    "match": "tab:purple",
    "line": "0.6",
    "untrained": "tab:orange",
}


def curves(axes: Any, result: dict[str, Any]) -> None:
    """r and F1 on BIDMC by the length of the gap, the other channel visible."""
    for axis, (channel, metric) in zip(axes, ((c, m) for c in MODALITIES for m in ("r", "f1")), strict=True):
        for method, colour in COLOURS.items():
            own = [
                r
                for r in result["rows"]
                if (r["set"], r["channel"], r["metric"], r["method"], r["other"])
                == ("bidmc", channel, metric, method, "visible")
            ]
            above = 3 if method == "model" else 2
            x, y = [r["gap_s"] for r in own], [r["value"] for r in own]
            axis.plot(x, y, "o-", color=colour, ms=4, label=method, zorder=above)
        axis.set(xscale="log", xlabel="gap in s", ylim=(-0.05, 1.02))
        axis.set_xticks(GAPS_S, [f"{g:g}" for g in GAPS_S])
        axis.minorticks_off()
        axis.set_title(f"bidmc {channel.upper()}: {'r' if metric == 'r' else 'F1 at 50 ms'}", fontsize=9, loc="left")
    axes[0].legend(fontsize=7, frameon=False)
