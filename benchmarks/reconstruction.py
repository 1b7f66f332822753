"""Reconstruction of real windows of patients the model never saw, beside floors on the same samples.

Writes results/reconstruction.json and results/reconstruction.png. Conditions: nothing hidden, through the codes; a span
of 0.5, 1 or 2 s hidden in one channel, the other channel visible or absent; one whole channel hidden. Scored are the
hidden samples, or all where nothing is hidden. PRD: median over patients; r: mean over patients; 95 % bootstrap over
patients. A channel that is wholly hidden is put into its unit by its own true mean and spread, for every method alike.
"""

from __future__ import annotations

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
from cardiofm.evaluate.bootstrap import Interval, difference, interval
from cardiofm.evaluate.drawing import draw, through_codes, unit
from cardiofm.evaluate.sample import HELD_OUT, ZERO_SHOT, Piece, pieces, summary
from cardiofm.pipeline import MIN_S, Model, load
from cardiofm.signals import MODALITIES

RATES = {"codes, all levels": None, "codes, 256 bit/s": 256.0, "codes, 64 bit/s": 64.0}
GAPS_S = (0.5, 1.0, 2.0)
EDGE_S = 0.5  # a hidden span stays this far from the ends of what is known
TRAIN_WINDOWS = 16  # of each pretraining set's training split, for the mean window and the untrained codebooks
METHODS = {
    "model": "CardioFM",
    "mean": "train-mean window, at the visible level",
    "line": "straight line across the gap",
    "match": "best-matching visible stretch",
    "untrained": "the network before training (seed 0): random attention, a cosine coder with k-means codebooks",
}
UNITS = {"prd": "%, median over patients", "r": "mean over patients", "r_lag": "r at the best lag within 1 s, mean"}


@dataclass(frozen=True)
class Case:
    """One window under one condition: what is visible, and which samples of which channel are scored."""

    piece: Piece
    condition: str
    channel: int
    other: str  # the other channel: "visible", "absent" or, from codes, "-"
    visible_CN: NDArray[np.bool_]
    scored_N: NDArray[np.bool_]
    gap: slice | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.condition, MODALITIES[self.channel], self.other


def main() -> None:
    """Score the model and the floors, print the table, write the results."""
    args = run.parser(__doc__, 12, "windows of each dataset, one a patient where there are as many").parse_args()
    model = load(args.model, backend=args.backend, threads=args.threads)
    used: list[Piece] = []
    train: list[Piece] = []
    with Progress(transient=True) as bar:
        job = bar.add_task("reading", total=len(HELD_OUT) * 2 + len(ZERO_SHOT))
        for dataset in HELD_OUT + ZERO_SHOT:
            split = "test" if dataset in HELD_OUT else None
            used += pieces(dataset, args.data_root, model.spec, args.limit, split)
            bar.advance(job)
            if split:
                train += pieces(dataset, args.data_root, model.spec, TRAIN_WINDOWS, "train")
                bar.advance(job)
        windows = [p.window for p in train]
        mean_CN, untrained = floors.mean_window(windows), floors.untrained(model, windows)
        cases, refused = all_cases(used, model.spec.fs_hz)
        scores: list[dict[str, Any]] = []
        job = bar.add_task("drawing", total=len(cases))
        for some in _groups(cases):
            scores += score(some, {"model": model, "untrained": untrained}, mean_CN)
            bar.advance(job, len(some))
    rows = table_rows(scores, refused)
    result = run.save(
        args.out / "reconstruction.json", "reconstruction", rows, args.model,
        summary(used) | {"floors fitted on": summary(train)},
        methods=METHODS, metrics=UNITS, differences=differences(scores),
        groups={"held-out": "test patients of the pretraining sets", "zero-shot": "sets never trained on"},
    )  # fmt: skip
    show(result)
    picture(cases, model, args.out / "reconstruction.png")


def all_cases(used: Sequence[Piece], fs_hz: float) -> tuple[list[Case], Counter[tuple[str, ...]]]:
    """Every case that can be scored, and how many were refused for each (dataset, condition, channel, other).

    Refused: less than 1 s left to see in all, or a truth that is constant or not there where it would be scored.
    """
    found, refused = [], Counter()
    for piece in used:
        for case in _cases(piece, fs_hz):
            true = piece.window.values[case.channel][case.scored_N]
            seen = (case.visible_CN.sum(-1) >= MIN_S * fs_hz).any()
            if seen and len(true) and true.std() > 0:
                found.append(case)
            else:
                refused[(piece.dataset, *case.key)] += 1
    return found, refused


def _cases(piece: Piece, fs_hz: float) -> list[Case]:
    valid_CN = piece.window.valid
    has_C = valid_CN.any(-1)
    cases = []
    for c in np.flatnonzero(has_C):
        cases += [Case(piece, name, int(c), "-", valid_CN, valid_CN[c]) for name in RATES]
        for gap_s in GAPS_S:
            gap = _gap(piece, int(c), round(gap_s * fs_hz), round(EDGE_S * fs_hz))
            scored_N = np.zeros(valid_CN.shape[1], bool)
            if gap is not None:
                scored_N[gap] = True
            alone_CN = np.zeros_like(valid_CN)
            alone_CN[c] = valid_CN[c] & ~scored_N
            both_CN = valid_CN.copy()
            both_CN[c] &= ~scored_N
            cases.append(Case(piece, f"{gap_s:g} s hidden", int(c), "absent", alone_CN, scored_N, gap))
            if has_C.all():
                cases.append(Case(piece, f"{gap_s:g} s hidden", int(c), "visible", both_CN, scored_N, gap))
        if has_C.all():
            other_CN = valid_CN.copy()
            other_CN[c] = False
            cases.append(Case(piece, "all hidden", int(c), "visible", other_CN, valid_CN[c]))
    return cases


def _gap(piece: Piece, channel: int, length: int, edge: int) -> slice | None:
    """A span of known samples at a place that only the window's name, the channel and the length decide."""
    known_N = piece.window.valid[channel]
    run_N = np.convolve(known_N, np.ones(length + 2 * edge), mode="valid") > length + 2 * edge - 0.5
    starts = np.flatnonzero(run_N) + edge
    if not len(starts):
        return None
    name = f"{piece.dataset} {piece.record} {piece.window.start_s:.3f} {channel} {length}"
    start = int(starts[int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % len(starts)])
    return slice(start, start + length)


def _groups(cases: Sequence[Case], size: int = 16) -> list[list[Case]]:
    """Cases that run together: the three rates of the same windows, otherwise one condition at a time."""
    by: dict[tuple[str, ...], list[Case]] = {}
    for case in cases:
        kind = ("codes", str(case.visible_CN.any(-1))) if case.other == "-" else (*case.key,)
        by.setdefault(kind, []).append(case)
    out = []
    for kind, own in by.items():
        step = size * len(RATES) * 2 if kind[0] == "codes" else size
        out += [own[i : i + step] for i in range(0, len(own), step)]
    return out


def drawn_by(model: Model, cases: Sequence[Case]) -> list[NDArray[np.float32]]:
    """What the model draws in each case `(C, N)`, windows shared between cases encoded once."""
    if cases[0].other != "-":
        return list(draw(model, [c.piece.window for c in cases], np.stack([c.visible_CN for c in cases])))
    unique = {id(c.piece): c for c in cases}
    order = {key: i for i, key in enumerate(unique)}
    visible = np.stack([c.visible_CN for c in unique.values()])
    made = through_codes(model, [c.piece.window for c in unique.values()], visible, list(RATES.values()))
    by_rate = dict(zip(RATES, made, strict=True))
    return [by_rate[c.condition][order[id(c.piece)]] for c in cases]


def filled_by_floors(case: Case, mean_CN: NDArray[np.float32], fs_hz: float) -> dict[str, NDArray[np.float32]]:
    """The floors that apply to a case, `(N,)` each in the channel's unit."""
    c, window = case.channel, case.piece.window
    offset_C, scale_C = unit(window, case.visible_CN)
    made = {"mean": mean_CN[c] * scale_C[c] + offset_C[c]}
    if case.gap is not None:
        made["line"] = floors.straight_line(window.values[c], case.visible_CN[c])
        match = floors.best_match(window.values[c], case.visible_CN[c], case.gap, fs_hz)
        made["match"] = made["line"] if match is None else match
    return made


def score(cases: Sequence[Case], models: dict[str, Model], mean_CN: NDArray[np.float32]) -> list[dict[str, Any]]:
    """One dict a case and method: where it belongs, and its metrics."""
    fs_hz = models["model"].spec.fs_hz
    made = {name: drawn_by(model, cases) for name, model in models.items()}
    out = []
    for i, case in enumerate(cases):
        drawn = {name: drawn[i][case.channel] for name, drawn in made.items()}
        drawn |= filled_by_floors(case, mean_CN, fs_hz)
        true = case.piece.window.values[case.channel][case.scored_N]
        condition, channel, other = case.key
        keys = {"dataset": case.piece.dataset, "patient": case.piece.patient, "window": id(case.piece)}
        keys |= {"condition": condition, "channel": channel, "other": other}
        for name, values in drawn.items():
            part = values[case.scored_N]
            found = {"prd": metrics.prd(true, part), "r": metrics.r(true, part)}
            if condition == "all hidden":
                found["r_lag"] = metrics.r_at_best_lag(true, part, fs_hz)
            out.append(keys | {"method": name} | found)
    return out


def table_rows(scores: Sequence[dict[str, Any]], refused: Counter[tuple[str, ...]]) -> list[dict[str, Any]]:
    """Rows by dataset and by group: each condition, channel, method and metric."""
    cells: dict[tuple[str, ...], list[tuple[float, str]]] = {}
    for s in scores:
        for place in (s["dataset"], _group(s["dataset"])):
            for metric in (m for m in UNITS if m in s):
                key = (place, s["condition"], s["channel"], s["other"], s["method"], metric)
                cells.setdefault(key, []).append((s[metric], s["patient"]))
    lost = Counter(refused)
    for (dataset, *key), n in refused.items():
        lost[(_group(dataset), *key)] += n
    rows = []
    for (place, condition, channel, other, method, metric), found in cells.items():
        names = {"set": place, "condition": condition, "channel": channel, "other": other}
        value = _interval(metric, [v for v, _ in found], [p for _, p in found])
        count = lost[(place, condition, channel, other)]
        rows.append(run.row(value, 4 if metric != "prd" else 2, **names, method=method, metric=metric, refused=count))
    return rows


def differences(scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Paired on the same windows, by group: the model minus each floor, and the other channel visible minus absent."""
    by: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for s in scores:
        by.setdefault((s["window"], s["condition"], s["channel"], s["other"]), {})[s["method"]] = s
    pairs: dict[tuple[str, ...], list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for (window, condition, channel, other), found in by.items():
        own = found["model"]
        names = (_group(own["dataset"]), condition, channel, other)
        for method in (m for m in METHODS if m in found and m != "model"):
            pairs.setdefault((*names, f"model - {method}"), []).append((own, found[method]))
        absent = by.get((window, condition, channel, "absent"))
        if other == "visible" and absent:
            pairs.setdefault((*names, "other visible - absent"), []).append((own, absent["model"]))
    rows = []
    for (place, condition, channel, other, what), found in pairs.items():
        for metric in ("prd", "r"):
            a, b, who = zip(*((x[metric], y[metric], x["patient"]) for x, y in found), strict=True)
            value = difference(a, b, who, "median" if metric == "prd" else "mean")
            names = {"set": place, "condition": condition, "channel": channel, "other": other}
            rows.append(run.row(value, 2 if metric == "prd" else 4, **names, difference=what, metric=metric))
    return rows


def _group(dataset: str) -> str:
    return "held-out" if dataset in HELD_OUT else "zero-shot"


def _interval(metric: str, values: list[float], patients: list[str]) -> Interval:
    return interval(values, patients, "median" if metric == "prd" else "mean")


def show(result: dict[str, Any]) -> None:
    """The two groups as a table: PRD / r of every method."""
    table = Table(title="reconstruction: PRD % / r", caption="PRD: median, r: mean over patients; lower PRD is better")
    for name in ("set", "condition", "channel", "other", *METHODS, "patients", "refused"):
        table.add_column(name)
    by: dict[tuple[str, ...], dict[tuple[str, str], dict[str, Any]]] = {}
    for r in result["rows"]:
        if r["set"] in ("held-out", "zero-shot"):
            key = (r["set"], r["condition"], r["channel"], r["other"])
            by.setdefault(key, {})[r["method"], r["metric"]] = r
    for key, found in by.items():
        cells = [
            f"{found[m, 'prd']['value']:.1f} / {found[m, 'r']['value']:.2f}" if (m, "prd") in found else "-"
            for m in METHODS
        ]
        first = found["model", "prd"]
        table.add_row(*key, *cells, str(first["patients"]), str(first["refused"]))
    Console(width=170).print(table)


def picture(cases: Sequence[Case], model: Model, path: Path) -> None:
    """One real window for each of six conditions: truth, model and floors; the first patient of each, not the best."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    wanted = [
        ("ludb", "codes, 256 bit/s", "ecg", "-"),
        ("ludb", "1 s hidden", "ecg", "absent"),
        ("bidmc", "codes, 256 bit/s", "ppg", "-"),
        ("bidmc", "2 s hidden", "ppg", "visible"),
        ("bidmc", "all hidden", "ppg", "visible"),
        ("bidmc", "all hidden", "ecg", "visible"),
    ]
    shown = [case for key in wanted if (case := next((c for c in cases if (c.piece.dataset, *c.key) == key), None))]
    figure, axes = plt.subplots(len(shown), 1, figsize=(11, 1.9 * len(shown)), sharex=True, layout="constrained")
    for axis, case in zip(np.atleast_1d(axes), shown, strict=True):
        c, window = case.channel, case.piece.window
        t_N = np.arange(len(case.scored_N)) / model.spec.fs_hz
        axis.plot(t_N, np.where(window.valid[c], window.values[c], np.nan), color="black", lw=1.0, label="truth")
        if case.gap is not None:
            axis.axvspan(t_N[case.gap.start], t_N[case.gap.stop - 1], color="0.92")
            for name, drawn in filled_by_floors(case, np.zeros_like(window.values), model.spec.fs_hz).items():
                if name != "mean":
                    axis.plot(t_N[case.gap], drawn[case.gap], lw=0.8, ls="--", label=METHODS[name])
        drawn = drawn_by(model, [case])[0][c]
        axis.plot(t_N, np.where(case.scored_N, drawn, np.nan), color="tab:red", lw=1.0, label=METHODS["model"])
        other = "" if case.other == "-" else f", other channel {case.other}"
        axis.set_title(f"{case.piece.record}: {MODALITIES[c]}, {case.condition}{other}", fontsize=9, loc="left")
        axis.set_ylabel("mV" if window.in_mv[c] else "NU", fontsize=8)
        axis.legend(fontsize=7, loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False)
    np.atleast_1d(axes)[-1].set_xlabel("s")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
