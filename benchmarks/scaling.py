"""What limits the model: its loss against hours seen, steps and parameters, on windows of people it never saw.

Trains every file of configs/scaling into runs/scaling/NAME (resumed, not repeated), takes configs/ablations/full from
runs/ablations, and evaluates the objective's terms of each on the same windows of validation patients and of training
patients, with the same parts hidden. Mean over patients, 95 % bootstrap over patients. Curves are of the runs' own
logs. Writes results/scaling.json and results/scaling.png.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cardiofm.config import load as load_config
from cardiofm.evaluate import heldout, run
from cardiofm.evaluate.bootstrap import Interval, difference, interval
from cardiofm.evaluate.sample import HELD_OUT, Piece, pieces, summary
from cardiofm.model.checkpoint import read_provenance
from cardiofm.signals import InputSpec
from cardiofm.train.pretrain import PretrainConfig, pretrain

SIZES = ("small", "medium", "full", "large")  # by parameters, at the same steps
LONGER = "longer"  # than `full`
SPLITS = ("valid", "train")
TERMS = {
    "guess": ("masked", "masked_guess", "codes of hidden tokens, cross-entropy in nats"),
    "wave": ("masked", "masked_wave", "hidden waveform, Huber error in units of its spread"),
    "across": ("cross", "from_ecg_guess", "codes of a PPG never shown, from its ECG, nats"),
    "codec": ("codec", "codec_wave", "waveform from codes at rates from 0.1 code a token to all, Huber error"),
}
CURVES = ("masked_guess", "masked_wave", "codec_wave", "contrastive")  # of the logs
POINTS = 10  # of a curve


def main() -> None:
    """Train what is missing, evaluate, print the table, write the results."""
    parser = run.parser(__doc__, 24, "windows of each dataset and split")
    parser.add_argument("--store", type=Path, default=Path("store"), help="the folder that `prepare` wrote")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="holds scaling/ and ablations/full")
    parser.add_argument("--configs", type=Path, default=run.ROOT / "configs", help="default: configs")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    names = (*SIZES, LONGER)
    for name in names:
        config = load_config(PretrainConfig, args.configs / _place(name).with_suffix(".toml"))
        pretrain(config, args.store, args.runs / _place(name))
    spec = InputSpec()
    used = {s: [p for d in HELD_OUT for p in pieces(d, args.data_root, spec, args.limit, s)] for s in SPLITS}
    found = {(n, s): _terms(args.runs / _place(n), used[s]) for n in names for s in SPLITS}
    rows = _rows(found, used, args.runs)
    contrasts = _contrasts(found, used)
    result = run.save(
        args.out / "scaling.json", "scaling", rows, str(args.runs / _place("full") / "last" / "model"),
        {split: summary(own) for split, own in used.items()},
        metrics={name: text for name, (_, _, text) in TERMS.items()}, contrasts=contrasts,
        limit=_sentence(contrasts), curves={n: _curve(args.runs / _place(n)) for n in names},
    )  # fmt: skip
    show(result)
    picture(result, args.out / "scaling.png")


def _place(name: str) -> Path:
    """Of a run below the runs, and of its settings below configs/."""
    return Path("ablations", name) if name == "full" else Path("scaling", name)


def _terms(folder: Path, used: list[Piece]) -> dict[str, list[float]]:
    """Each term of every window; NaN where a window has not what the term needs."""
    objective, _ = heldout.trained(folder)
    out: dict[str, list[float]] = {}
    for mode in dict.fromkeys(mode for mode, _, _ in TERMS.values()):
        modes_terms: list[dict[str, float]] = [{} for _ in used]
        for shown in ("both",) if mode == "cross" else ("both", "ecg"):
            missing = [i for i, one in enumerate(modes_terms) if not one]
            again = heldout.terms(objective, [used[i] for i in missing], mode, shown)
            for i, one in zip(missing, again, strict=True):
                modes_terms[i] = one
        for name, (own, key, _) in TERMS.items():
            if own == mode:
                out[name] = [one.get(key, np.nan) for one in modes_terms]
    return out


def _rows(
    found: dict[tuple[str, str], dict[str, list[float]]], used: dict[str, list[Piece]], runs: Path
) -> list[dict[str, Any]]:
    rows = []
    for (name, split), values in found.items():
        of = read_provenance(runs / _place(name) / "last" / "model")
        keys = {"run": name, "split": split, "parameters_m": of["parameters_m"]["all"]}
        keys |= {"step": of["step"], "hours_seen": round(of["hours_seen"], 2)}
        for term, each in values.items():
            kept = np.isfinite(each)
            patients = [p.patient for p, k in zip(used[split], kept, strict=True) if k]
            value = interval(np.array(each)[kept], patients)
            rows.append(run.row(value, 4, **keys, metric=term, refused=int((~kept).sum())))
    return rows


def _contrasts(
    found: dict[tuple[str, str], dict[str, list[float]]], used: dict[str, list[Piece]]
) -> list[dict[str, Any]]:
    """Paired on the same validation windows: what more parameters, or more steps, take off each term."""
    valid = [p.patient for p in used["valid"]]
    out = []
    pairs = [(f"parameters: {b} - {a}", a, b) for a, b in pairwise(SIZES)]
    for what, a, b in [*pairs, (f"steps: {LONGER} - full", "full", LONGER)]:
        for term in TERMS:
            x, y = np.array(found[a, "valid"][term]), np.array(found[b, "valid"][term])
            kept = np.isfinite(x) & np.isfinite(y)
            value = difference(y[kept], x[kept], [p for p, k in zip(valid, kept, strict=True) if k])
            out.append(run.row(value, 4, difference=what, metric=term))
    for name in (*SIZES, LONGER):
        for term in TERMS:
            here, there = (_interval(found[name, split][term], used[split]) for split in SPLITS)
            value = here.value - there.value  # two sets of people, so the half-widths add up in squares
            half = float(np.hypot((here.high - here.low) / 2, (there.high - there.low) / 2))
            row = run.row(Interval(value, value - half, value + half, here.patients, here.windows), 4)
            out.append({"difference": f"unseen people: {name}", "metric": term} | row)
    return out


def _interval(values: list[float], own: list[Piece]) -> Interval:
    kept = np.isfinite(values)
    return interval(np.array(values)[kept], [p.patient for p, k in zip(own, kept, strict=True) if k])


def _sentence(contrasts: list[dict[str, Any]]) -> str:
    """What limits, from the guess of hidden codes: the largest of the three that is away from zero."""
    by = {r["difference"]: r for r in contrasts if r["metric"] == "guess"}
    more = {
        "capacity": -by[f"parameters: {SIZES[-1]} - full"]["value"],
        "steps": -by[f"steps: {LONGER} - full"]["value"],
        "data": by[f"unseen people: {LONGER}"]["value"],
    }
    first = max(more, key=lambda k: more[k])
    return (
        f"At this budget {first} limit{'' if first in ('steps', 'data') else 's'} the guess of hidden codes most: "
        f"three times the parameters take off {more['capacity']:.3f} nats, twice the steps {more['steps']:.3f}, "
        f"and unseen people are {more['data']:.3f} nats harder than those of the training set."
    )


def _curve(folder: Path) -> dict[str, list[list[float]]]:
    """Of each logged term [hours seen, mean] at ten points of the run."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    hours = max(line["hours_seen"] for line in lines)
    out: dict[str, list[list[float]]] = {name: [] for name in CURVES}
    for k in range(POINTS):
        part = [x for x in lines if k / POINTS < x["hours_seen"] / hours <= (k + 1) / POINTS]
        for name in CURVES:
            values = [x[name] for x in part if x.get(name) is not None]
            if values:
                out[name].append([round((k + 0.5) / POINTS * hours, 3), round(float(np.mean(values)), 4)])
    return out


def show(result: dict[str, Any]) -> None:
    """The table on the terminal: each term on unseen and on seen people."""
    table = Table(title="scaling: unseen people (people of the training set)", caption=result["limit"])
    for name in ("run", "parameters, M", "hours seen", *TERMS):
        table.add_column(name)
    by = {(r["run"], r["split"], r["metric"]): r for r in result["rows"]}
    for name in dict.fromkeys(r["run"] for r in result["rows"]):
        first = by[name, "valid", "guess"]
        cells = [
            f"{v['value']:.3f} [{v['low']:.3f}, {v['high']:.3f}] ({by[name, 'train', t]['value']:.3f})"
            for t in TERMS
            for v in [by[name, "valid", t]]
        ]
        table.add_row(name, f"{first['parameters_m']:.2f}", f"{first['hours_seen']:.0f}", *cells)
    Console(width=170).print(table)


def picture(result: dict[str, Any], path: Path) -> None:
    """Above: the logged terms against hours seen. Below: each term against parameters, unseen and seen people."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(TERMS), figsize=(13, 6), layout="constrained")
    for axis, name in zip(axes[0], CURVES, strict=True):
        for run_name, curve in result["curves"].items():
            points = np.array(curve[name])
            if len(points):
                axis.plot(points[:, 0], points[:, 1], label=run_name, lw=1.2)
        axis.set_title(f"{name} in training", fontsize=9)
        axis.set_xlabel("hours seen", fontsize=8)
    axes[0, 0].legend(fontsize=7)
    for axis, term in zip(axes[1], TERMS, strict=True):
        for split, color, shift in (("valid", "tab:red", 1.0), ("train", "0.5", 1.04)):
            own = [r for r in result["rows"] if r["metric"] == term and r["split"] == split]
            for mark, longer in (("o-", False), ("^", True)):
                rows = [r for r in own if (r["run"] == LONGER) is longer]
                x, y = [r["parameters_m"] * shift for r in rows], np.array([r["value"] for r in rows])
                error = [y - [r["low"] for r in rows], [r["high"] for r in rows] - y]
                label = None if longer else f"{'unseen' if split == 'valid' else 'training'} people"
                axis.errorbar(x, y, error, fmt=mark, color=color, ms=4, lw=1, label=label)
        axis.set_xscale("log")
        sizes = sorted({r["parameters_m"] for r in result["rows"]})
        axis.set_xticks(sizes, [f"{size:.2g}" for size in sizes])
        axis.minorticks_off()
        axis.set_title(f"{term} (triangle: twice the steps)", fontsize=9)
        axis.set_xlabel("parameters, M", fontsize=8)
    axes[1, 0].legend(fontsize=7)
    for axis in axes.flat:
        axis.tick_params(labelsize=7)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
