"""One signal damaged, the other one clean: what the frozen model still draws, and what probes still read from it.

Writes results/robustness.json and results/robustness.png; with --without-cross, which adds a model without cross-modal
attention, results/robustness_without_cross.json and .png. A channel gets recorded noise (the last ten minutes of nstdb,
never trained on) at 24 to -6 dB in its band, or 0 to 100 % of the window is cut out; given are both signals, the clean
one alone, or the damaged one alone. Curves: error of the drawing of the damaged channel's clean truth; error of a
heart-rate probe; AUROC of an alarm probe, and of an AF probe for an ECG alone. Probes are linear, fitted on clean
training patients, one for each set of channels. With both given a model should never be worse than with the clean one
alone: paired differences say so. A probe that saw two clean signals only cannot know that one may be bad, so method
"taught" reads both together and each alone by a probe fitted on damaged training windows too, with noise that training
may hear. The stricter count, by the clean probes, is given first and stands beside it.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from cardiofm.data import catalog
from cardiofm.evaluate import noise as recorded
from cardiofm.evaluate import robustness, run
from cardiofm.evaluate.noise import Noise
from cardiofm.evaluate.robustness import GIVEN, SNR_DB, View, af_pieces, alarm_pieces, usable
from cardiofm.evaluate.rows import Metric, Score, paired, summarised
from cardiofm.evaluate.sample import Piece, pieces, summary
from cardiofm.heads import scores
from cardiofm.pipeline import Model, load

FIT = {"train": 10.0, "valid": 2.5}  # alarms that the probes are fitted and chosen on, for each test window
AF = {"train": 5.0, "valid": 1.5, "test": 1.0}  # records with AF, and as many without, likewise
METHODS = {
    "model": "CardioFM, from codes of all levels where the damaged channel is seen throughout, else drawn",
    "taught": "CardioFM, both signals together and each alone, by a probe fitted on damaged training windows too",
    "low rate": "CardioFM from codes of 64 bit/s a channel",
    "denoised": "CardioFM, the damaged channel cleaned: `reconstruct --denoise`",
    "no-cross": "the same without cross-modal attention",
    "no network": "noise left as it is, a cut filled by the best-matching visible stretch; beats counted by a detector",
    "band-pass": "the noisy channel within its band",
    "mean": "mean heart rate of the training windows",
}
METRICS = {
    "prd": Metric("PRD of the damaged channel's clean truth, %, median over patients", "median", 2),
    "r": Metric("r of the damaged channel's clean truth, mean over patients", "mean", 4),
    "error_bpm": Metric("absolute error of the heart rate, per minute, mean over patients", "mean", 3),
}
AUROC = {"alarm": "AUROC of true against false alarms", "af": "AUROC of AF against normal and other rhythms"}
KINDS: dict[str, Any] = {"heart rate": "regression", "alarm": "binary"}  # of probes
KEYS: tuple[str, ...] = ("task", "set", "channel", "kind", "level", "given", "method")


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    found = run.parser(about, 24, "windows of each dataset, one a patient where there are as many")
    found.add_argument("--without-cross", metavar="MODEL_FOLDER", help="also score this model, as method no-cross")
    return found


def main(args: argparse.Namespace) -> None:
    """Fit the probes, damage, draw, score, print the table, write the results and the picture."""
    models = {"model": load(args.model, backend=args.backend, threads=args.threads)}
    if args.without_cross:
        models["no-cross"] = load(args.without_cross, threads=args.threads)
    spec = models["model"].spec
    noise = recorded.held_out(args.data_root, spec.fs_hz)
    fit = {split: alarm_pieces(args.data_root, spec, split, round(n * args.limit))[0] for split, n in FIT.items()}
    alarms, truth = alarm_pieces(args.data_root, spec, "test", args.limit)
    used, refused = usable([*pieces("bidmc", args.data_root, spec, args.limit), *alarms], spec.fs_hz)
    af = {split: af_pieces(args.data_root, spec, split, round(n * args.limit)) for split, n in AF.items()}
    found = []
    kept = {s: usable(own, spec.fs_hz)[0] for s, own in fit.items()}
    for name, model in models.items():
        heads = fit_heads(model, kept, args.data_root)
        found += scored(name, model, used, heads, truth, noise)
        found += af_scored(name, model, af, noise)
    found += mean_rate(found, kept["train"], spec.fs_hz)
    rows, compared = together(found, refused)
    seen = fit["train"] + [p for p, _ in af["train"]]
    task = "robustness_without_cross" if args.without_cross else "robustness"
    result = run.save(
        args.out / f"{task}.json", task, rows, args.model,
        summary([*used, *(p for p, _ in af["test"])]) | {"probes fitted on": summary(seen)},
        methods=METHODS, metrics={n: m.meaning for n, m in METRICS.items()} | AUROC, differences=compared,
        noise=str(recorded.__doc__).splitlines()[0],
        never_worse=verdict(compared, "model"), never_worse_taught=verdict(compared, "taught"),
        without_cross=run.checkpoint(args.without_cross) if args.without_cross else None,
    )  # fmt: skip
    show(result)
    picture(result, args.out / f"{task}.png")


def fit_heads(model: Model, fit: dict[str, list[Piece]], data_root: Path) -> dict[str, Any]:
    """The probes of heart rate and of alarms for each set of channels: task → how they were fitted → probes."""
    train, valid = ([p.window for p in fit[s]] for s in ("train", "valid"))
    known = {e.record: e.labels["true_alarm"] for e in catalog.entries("challenge-2015", data_root)}
    heard, found = recorded.heard(data_root, model.spec.fs_hz), {}
    for task, kind in KINDS.items():
        y = {
            s: robustness.labels(fit[s], model.spec.fs_hz)
            if task == "heart rate"
            else [known[p.record] for p in fit[s]]
            for s in ("train", "valid")
        }
        clean = robustness.fit_probes(model, train, valid, y["train"], y["valid"], kind)
        found[task] = {"clean": clean, "taught": clean | {(0, 1): robustness.taught(model, fit, y, kind, heard)}}
    return found


def scored(
    name: str, model: Model, used: Sequence[Piece], heads: dict[str, Any], truth: dict[str, bool], noise: Noise
) -> list[Score]:
    """One score a task, damage, way of giving and window; the rows without a network stand beside those of "model"."""
    fs_hz, found = model.spec.fs_hz, []
    with Progress(transient=True) as bar:
        job = bar.add_task(f"drawing, {name}", total=len(used))
        for first in range(0, len(used), 4):
            some = used[first : first + 4]
            own = list(robustness.cells(some, fs_hz, noise))
            made = robustness.outputs(model, [view for *_, view in own])
            for piece, damage, given, view in own:
                output = made[id(view)]
                keys = {"set": piece.dataset, "patient": piece.patient, "method": name}
                keys |= {"window": f"{piece.record} {piece.window.start_s:.3f}"} | robustness.named(damage, given)
                for way, wave_CN in robustness.waves_of(damage, given, output).items():
                    other = way in ("low rate", "denoised")
                    if not other or name == "model":
                        who = {"method": way if other else name, "task": "reconstruction"}
                        found.append(keys | who | robustness.reconstruction(piece, damage, wave_CN))
                rate = robustness.heart_rate(piece.window, 0, piece.window.valid[0], fs_hz)
                for how, method in (("clean", name), ("taught", "taught"))[: 2 if name == "model" else 1]:
                    own_keys = keys | {"method": method}
                    values_E = output.beside_E if how == "taught" else output.embedding_E
                    said = {
                        task: robustness.read_out(heads[task][how], view, values_E, kind, fs_hz)
                        for task, kind in KINDS.items()
                    }
                    off = {"truth": rate, "error_bpm": _apart(said["heart rate"], rate)}
                    found.append(own_keys | {"task": "heart rate"} | off)
                    if piece.dataset == "challenge-2015":
                        answer = {"truth": truth[piece.record], "score": said["alarm"]}
                        found.append(own_keys | {"task": "alarm"} | answer)
                if name == "model":
                    found += _plain(keys | {"method": "no network"}, piece, damage, given, view, rate, fs_hz)
            bar.advance(job, len(some))
    return found


def _plain(
    keys: dict[str, Any], piece: Piece, damage: robustness.Damage, given: str, view: View, rate: Any, fs_hz: float
) -> list[Score]:
    """What the damaged signal alone, or the clean one alone, tells without a network."""
    found: list[Score] = []
    if given == "both":
        return found
    c = damage.channel if given == "damaged alone" else 1 - damage.channel
    counted = robustness.heart_rate(view.window, c, view.visible_CN[c], fs_hz)
    found.append(keys | {"task": "heart rate", "truth": rate, "error_bpm": _apart(counted, rate)})
    if given == "damaged alone":
        for name, wave_CN in robustness.untouched(piece, damage, view, fs_hz).items():
            fit = robustness.reconstruction(piece, damage, wave_CN)
            found.append(keys | {"task": "reconstruction", "method": name} | fit)
    return found


def _apart(said: float | None, true: float | None) -> float | None:
    return None if said is None or true is None else abs(said - true)


def mean_rate(found: Sequence[Score], train: Sequence[Piece], fs_hz: float) -> list[Score]:
    """The heart rate told without looking: the mean of the training windows."""
    mean = float(np.mean([rate for rate in robustness.labels(train, fs_hz) if rate is not None]))
    own = [s for s in found if s["task"] == "heart rate" and s["method"] == "model"]
    return [s | {"method": "mean", "error_bpm": _apart(mean, s["truth"])} for s in own]


def af_scored(name: str, model: Model, af: dict[str, list[tuple[Piece, bool]]], noise: Noise) -> list[Score]:
    """An AF probe on ECGs alone, clean and with noise; beside it the irregularity of the detected beats."""
    fs_hz, found = model.spec.fs_hz, []
    train, valid = ([p.window for p, _ in af[s]] for s in ("train", "valid"))
    known = [[is_af for _, is_af in af[s]] for s in ("train", "valid")]
    probe = robustness.fit_probes(model, train, valid, known[0], known[1], "binary")
    for level in track((None, *SNR_DB), f"atrial fibrillation, {name}", transient=True):
        given = []
        for piece, _ in af["test"]:
            loud = piece.window
            if level is not None:
                loud = recorded.noisy(loud, 0, level, fs_hz, noise, f"{piece.dataset} {piece.record}")
            given.append(View(loud, loud.valid))
        made = robustness.outputs(model, given)
        for (piece, is_af), view in zip(af["test"], given, strict=True):
            keys = {"task": "af", "set": piece.dataset, "channel": "ecg", "given": "damaged alone", "truth": is_af}
            keys |= {"patient": piece.patient, "window": piece.record}
            keys |= {"kind": "cut", "level": 0.0} if level is None else {"kind": "noise", "level": level}
            score = robustness.read_out(probe, view, made[id(view)].embedding_E, "binary", fs_hz)
            found.append(keys | {"method": name, "score": score})
            if name == "model":
                found.append(keys | {"method": "no network", "score": robustness.irregularity(view.window, fs_hz)})
    return found


def together(found: Sequence[Score], refused: Counter[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of every curve, and the paired differences of the ways of giving and of the two models."""
    plain = [s for s in found if s["task"] not in AUROC]
    lost = {tuple(s[k] for k in KEYS): refused[s["set"]] for s in plain}
    rows = summarised(plain, KEYS, METRICS, lost)
    ways = [("both", "clean alone"), ("both", "damaged alone")]
    compared = paired(plain, [k for k in KEYS if k != "given"], METRICS, ways, "given")
    for method in ("no-cross", "taught", "low rate", "denoised", "no network", "band-pass", "mean"):
        compared += paired(plain, [k for k in KEYS if k != "method"], METRICS, [("model", method)])
    by: dict[tuple[Any, ...], dict[str, Score]] = {}
    for s in found:
        if s["task"] in AUROC:
            by.setdefault(tuple(s[k] for k in KEYS), {})[s["window"]] = s
    for key, own in by.items():
        names = dict(zip(KEYS, key, strict=True))
        value = scores.scored(scores.auroc, *_columns(own), [s["patient"] for s in own.values()])
        lost_here = refused[names["set"]] if names["task"] == "alarm" else 0
        rows.append(run.row(value, 4, **names, metric="auroc", refused=lost_here))
        pairs = [("given", other) for other in GIVEN[1:] if names["given"] == "both"]
        pairs += [("method", other) for other in ("no-cross", "taught", "no network") if names["method"] == "model"]
        for which, other in pairs:
            rest = by.get(tuple((names | {which: other})[k] for k in KEYS))
            if rest and set(rest) == set(own):
                truth, score = _columns(own)
                second = _columns({w: rest[w] for w in own})[1]
                value = scores.paired(scores.auroc, truth, score, second, [s["patient"] for s in own.values()])
                rest_names = {k: v for k, v in names.items() if k != which}
                compared.append(run.row(value, 4, **rest_names, difference=f"{names[which]} - {other}", metric="auroc"))
    return rows, compared


def _columns(own: dict[str, Score]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([s["truth"] for s in own.values()]), np.array([s["score"] for s in own.values()])


def verdict(compared: Sequence[dict[str, Any]], read_by: str) -> dict[str, Any]:
    """How often both were compared with the clean one alone, and where the whole interval is on the bad side.

    Probes are those of method `read_by`. What is reconstructed beside noise is the cleaned channel; from codes of all
    levels it has its noise, by intent.
    """
    own = [
        d
        for d in compared
        if d["difference"] == "both - clean alone" and d["low"] is not None and d["method"] == _answering(d, read_by)
    ]
    worse = [d for d in own if (d["low"] > 0 if d["metric"] in ("prd", "error_bpm") else d["high"] < 0)]
    names = ("task", "set", "channel", "kind", "level", "metric", "value", "low", "high")
    return {"compared": len(own), "worse": [{k: d[k] for k in names} for d in worse]}


def _answering(row: dict[str, Any], read_by: str) -> str:
    if row["task"] != "reconstruction":
        return read_by
    return "denoised" if row["kind"] == "noise" else "model"


def show(result: dict[str, Any]) -> None:
    """The curves as a table: a row for each task, damage and level, a column for each way of giving."""
    methods = ("model", "taught", "denoised", "no-cross", "no network")
    columns = [(given, method) for method, given in product(methods, GIVEN)]
    columns = [c for c in columns if any((r["given"], r["method"]) == c for r in result["rows"])]
    table = Table(title="one signal damaged", caption="PRD %, r, error of heart rate per minute, AUROC")
    for name in ("task", "set", "channel", "kind", "level", "metric", *(f"{m}: {g}" for g, m in columns), "n"):
        table.add_column(name)
    by: dict[tuple[Any, ...], dict[tuple[str, str], dict[str, Any]]] = {}
    for r in result["rows"]:
        key = (r["task"], r["set"], r["channel"], r["kind"], r["level"], r["metric"])
        by.setdefault(key, {})[r["given"], r["method"]] = r
    for key, found in by.items():
        cells = [f"{found[c]['value']:.3g}" if c in found else "-" for c in columns]
        first = next(iter(found.values()))
        table.add_row(*map(str, key), *cells, f"{first['windows']} ({first['refused']})")
    console = Console(width=170)
    console.print(table)
    for name, by_whom in (("never_worse", "probes of clean windows"), ("never_worse_taught", "taught probes")):
        worse, compared = len(result[name]["worse"]), result[name]["compared"]
        console.print(f"both worse than the clean one alone, {by_whom}: {worse} of {compared} comparisons")


def picture(result: dict[str, Any], path: Path) -> None:
    """Curves with intervals: a row for each task and set, a column for each damaged channel and kind."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = [
        ("reconstruction", "bidmc", "r"), ("reconstruction", "challenge-2015", "r"),
        ("heart rate", "bidmc", "error_bpm"), ("heart rate", "challenge-2015", "error_bpm"),
        ("alarm", "challenge-2015", "auroc"), ("af", "challenge-2017", "auroc"),
    ]  # fmt: skip
    columns = list(product(("ecg", "ppg"), ("noise", "cut")))
    colours = dict(zip(GIVEN, ("tab:red", "tab:blue", "tab:gray"), strict=True))
    styles = {"model": "-", "taught": (0, (5, 1)), "denoised": "-.", "no-cross": "--", "no network": ":"}
    labelled: dict[str, Any] = {}
    figure, axes = plt.subplots(len(lines), 4, figsize=(15, 2.5 * len(lines)), sharey="row", layout="constrained")
    for (row, (task, dataset, metric)), (column, (channel, kind)) in product(enumerate(lines), enumerate(columns)):
        axis = axes[row, column]
        own = [
            r for r in result["rows"]
            if (r["task"], r["set"], r["metric"], r["channel"], r["kind"]) == (task, dataset, metric, channel, kind)
        ]  # fmt: skip
        for given, method in product(GIVEN, styles):
            curve = sorted((r for r in own if (r["given"], r["method"]) == (given, method)), key=lambda r: r["level"])
            if len(curve) < 2:
                continue
            own_label = f"{method}: {given}"
            x, y, low, high = (
                [math.nan if r[k] is None else r[k] for r in curve] for k in ("level", "value", "low", "high")
            )
            (line,) = axis.plot(
                x, y, linestyle=styles[method], color=colours[given], marker="o", ms=3, lw=1.2, label=own_label
            )
            if method == "model":
                axis.fill_between(x, low, high, color=colours[given], alpha=0.12, lw=0)
            labelled[own_label] = line
        if not axis.lines:
            axis.set_visible(False)
            continue
        if kind == "noise":
            axis.invert_xaxis()
        axis.set_title(f"{dataset}: {channel} damaged", fontsize=8, loc="left")
        axis.set_xlabel("SNR in band, dB" if kind == "noise" else "share of the window cut out", fontsize=8)
        axis.set_ylabel(f"{task}: {metric}" if column == 0 else "", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(lw=0.3)
        if task == "heart rate":
            axis.set_ylim(0, 40)
    figure.legend(
        list(labelled.values()), list(labelled), loc="outside upper center", ncols=5, fontsize=8, frameon=False
    )
    figure.savefig(path, dpi=100)
    plt.close(figure)
