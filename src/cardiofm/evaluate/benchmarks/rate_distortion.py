"""What a bit buys: PRD by rate from one model, adaptive against uniform depth and a classical coder, and codebook use.

Writes results/rate_distortion.json and results/rate_distortion.png, on windows of five sets that were never trained on.
Uniform depth is the same model with as many bits in every window: "flat" spends as many levels on every token,
"uniform" keeps what each frequency of a block is worth on average, all blocks of tokens alike within one code. The rate
counts the codes; what it costs to say how deep each token is stands beside, and "paid" gives that to "uniform" too.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cardiofm.evaluate import codes, metrics, run
from cardiofm.evaluate.bootstrap import interval
from cardiofm.evaluate.drawing import decoded, encoded, flat_depths, mean_depth, uniform_depths
from cardiofm.evaluate.intervals import events
from cardiofm.evaluate.rows import Metric, Score, summarised
from cardiofm.evaluate.sample import CLEAN_RULE, HELD_OUT, ZERO_SHOT, Piece, is_clean, pieces, summary
from cardiofm.evaluate.wavelet import coded_windows
from cardiofm.model.encoded import Encoded, depths
from cardiofm.pipeline import MIN_S, Model, load
from cardiofm.signals import MODALITIES

RATES = (16.0, 32.0, 64.0, 128.0, 256.0, 512.0, None)  # bit/s a channel; None: all levels
TRAIN_WINDOWS = 16  # of each pretraining set's training split, for the wavelet coder's context model
ALL = "all five"
KEYS = ("set", "channel", "rate", "method")
METHODS = {
    "model": "CardioFM, adaptive depth",
    "flat": "the same codes, as many levels for every token, as many bits in each window",
    "uniform": "the same codes and bits, all blocks of tokens alike, each frequency as deep as it is worth on average",
    "paid": "the same as uniform, with as many bits more as saying the adaptive depths costs",
    "wavelet": "bior4.4 wavelet, rate-distortion quantiser, ideal length of an adaptive context model fitted on train",
}
METRICS = {
    "prd": Metric("PRD in %, mean removed, median over patients", "median", 2),
    "bits": Metric("bit/s spent on codes, mean over patients", "mean", 1),
}
BEAT_S = {"ecg": (-0.4, 0.6), "ppg": (-0.4, 0.8)}  # about the R peak, about the foot
STEP_S = 0.01
SHOWN_RATES = (64.0, 128.0, 256.0)  # of the bits under a beat
NEAR_S = 0.05  # the tokens that lie over the event


@dataclass(frozen=True)
class Coded:
    """The windows with their codes, and at each rate the depths and drawings of each method."""

    used: Sequence[Piece]
    code: Encoded
    depth: dict[tuple[str, float | None], NDArray[np.int64]]  # (W, C, S)
    drawn: dict[tuple[str, float | None], NDArray[np.float32]]  # (W, C, N)
    cost: dict[float, list[float]]  # bit/s of saying the depths, by channel


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    return run.parser(about, 40, "windows of each set, one a patient where there are as many")


def main(args: argparse.Namespace) -> None:
    """Draw at every rate, print the table, write the results."""
    model = load(args.model, backend=args.backend, threads=args.threads)
    with Progress(transient=True) as bar:
        job = bar.add_task("reading", total=2)
        used = [p for d in ZERO_SHOT for p in pieces(d, args.data_root, model.spec, args.limit)]
        usable = [p for p in used if (p.window.valid.sum(-1) >= MIN_S * model.spec.fs_hz).any()]
        bar.advance(job)
        train = [p for d in HELD_OUT for p in pieces(d, args.data_root, model.spec, TRAIN_WINDOWS, "train")]
        bar.advance(job)
        made = code_all(model, usable, train, bar)
    refused: Counter[tuple[Any, ...]] = Counter()
    scores = score(model, made, refused)
    rows = summarised(scores, KEYS, METRICS, refused)
    result = run.save(
        args.out / "rate_distortion.json", "rate_distortion", rows, args.model,
        summary(usable) | {"floors fitted on": summary(train)},
        methods=METHODS, metrics={k: m.meaning for k, m in METRICS.items()}, clean=CLEAN_RULE,
        windows_without_1_s=len(used) - len(usable),
        differences=differences(scores), falling=falling(rows), codebooks=codebooks(made.code, model),
        depth_cost=[
            {"channel": channel, "rate": _name(rate), "bits_per_second": round(cost[c], 2)}
            for rate, cost in made.cost.items() for c, channel in enumerate(MODALITIES)
        ], beats=(beats := bits_under_beats(made, model))[0], profiles=beats[1],
    )  # fmt: skip
    show(result)
    picture(result, args.out / "rate_distortion.png")


def code_all(model: Model, used: Sequence[Piece], train: Sequence[Piece], bar: Progress) -> Coded:
    """Every window encoded once and drawn at each rate in each way."""
    windows = [p.window for p in used]
    job = bar.add_task("coding", total=len(RATES) + 1)
    code = encoded(model, windows, np.stack([w.valid for w in windows]))
    bar.advance(job)
    made = Coded(used, code, {}, {}, {})
    for rate in RATES:
        made.depth["model", rate] = depth_WCS = depths(code.worth, code.coded, mean_depth(model, rate))
        if rate is not None:
            mean_WC1 = depth_WCS.sum(-1, keepdims=True) / np.maximum(code.coded.sum(-1, keepdims=True), 1)
            made.cost[rate] = depth_cost(depth_WCS, code, model)
            paid_C1 = np.array([[mean_depth(model, cost)] for cost in made.cost[rate]])
            made.depth["flat", rate] = flat_depths(code, mean_WC1)
            made.depth["uniform", rate] = uniform_depths(model, code, mean_WC1)
            made.depth["paid", rate] = uniform_depths(model, code, mean_WC1 + paid_C1)
        for method in ("model", "flat", "uniform", "paid"):
            if (method, rate) in made.depth:
                made.drawn[method, rate] = decoded(model, code, made.depth[method, rate])
        bits = codes.full_rate(model) if rate is None else rate
        made.drawn["wavelet", rate] = coded_windows([p.window for p in train], windows, bits, model.spec.fs_hz)
        bar.advance(job)
    return made


def _name(rate: float | None) -> str:
    return "all levels" if rate is None else f"{rate:g}"


def score(model: Model, made: Coded, refused: Counter[tuple[Any, ...]]) -> list[Score]:
    """One dict a window, channel, rate and method, by set and for all five together.

    Refused: a channel with less than 1 s of signal, or a constant one.
    """
    out = []
    per_second = codes.bits_per_code(model) / model.spec.token_s
    for (method, rate), drawn in made.drawn.items():
        for i, piece in enumerate(made.used):
            for c, channel in enumerate(MODALITIES):
                known_N, seen_S = piece.window.valid[c], made.code.coded[i, c]
                true = piece.window.values[c][known_N]
                if not known_N.any():
                    continue
                if known_N.sum() < MIN_S * model.spec.fs_hz or true.std() == 0:
                    refused.update((place, channel, _name(rate), method) for place in (piece.dataset, ALL))
                    continue
                found = {"channel": channel, "rate": _name(rate), "method": method, "patient": piece.patient}
                found |= {"window": (i, c), "prd": metrics.prd(true, drawn[i, c][known_N])}
                if method != "wavelet":
                    found["bits"] = float(made.depth[method, rate][i, c][seen_S].mean() * per_second)
                out += [found | {"set": place} for place in (piece.dataset, ALL)]
    return out


def differences(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """By how many % the model's PRD is above the others' on the same windows (below: negative), median of patients."""
    by: dict[tuple[Any, ...], dict[str, Score]] = {}
    for s in scores:
        by.setdefault((s["set"], s["channel"], s["rate"], s["window"]), {})[s["method"]] = s
    cells: dict[tuple[str, ...], list[tuple[float, str]]] = {}
    for (place, channel, rate, _), found in by.items():
        for other in ("flat", "uniform", "paid", "wavelet"):
            if other in found and found[other]["prd"] > 0:
                change = 100 * (found["model"]["prd"] / found[other]["prd"] - 1)
                cells.setdefault((place, channel, rate, other), []).append((change, found["model"]["patient"]))
    rows = []
    for (place, channel, rate, other), pairs in cells.items():
        values, patients = zip(*pairs, strict=True)
        names = {"set": place, "channel": channel, "rate": rate, "difference": f"model against {other}, % of its PRD"}
        rows.append(run.row(interval(values, patients, "median"), 2, **names))
    return rows


def falling(rows: Sequence[dict[str, Any]]) -> dict[str, bool]:
    """For each channel whether the median PRD over all five sets falls with every step of the rate."""
    order = [_name(rate) for rate in RATES]
    out = {}
    for channel in MODALITIES:
        found = {
            r["rate"]: r["value"]
            for r in rows
            if (r["set"], r["channel"], r["method"], r["metric"]) == (ALL, channel, "model", "prd")
        }
        values = [found[name] for name in order if name in found]
        out[channel] = all(after < before for before, after in pairwise(values))
    return out


def codebooks(code: Encoded, model: Model) -> list[dict[str, Any]]:
    """For each channel and level: share of the codes used at least once, and perplexity, over all coded tokens."""
    size, out = model.config["quantizer"]["codes"], []
    for c, channel in enumerate(MODALITIES):
        book_WS = np.broadcast_to(codes.books(model, code.codes.shape[2]), code.coded[:, c].shape)
        codes_MQ = (code.codes[:, c] + size * book_WS[..., None])[code.coded[:, c]]
        for q, (used, perplexity) in enumerate(zip(*codes.usage(codes_MQ, size * (1 + book_WS.max())), strict=True)):
            row = {"channel": channel, "level": q + 1, "used": round(used, 4), "perplexity": round(perplexity, 1)}
            out.append(row | {"tokens": len(codes_MQ), "codes": int(size * (1 + book_WS.max()))})
    return out


def depth_cost(depth_WCS: NDArray[np.int64], code: Encoded, model: Model) -> list[float]:
    """For each channel the bit/s that it would cost to say each token's depth."""
    out, levels = [], model.config["quantizer"]["levels"]
    for c in range(len(MODALITIES)):
        paths = [d_S[coded_S] for d_S, coded_S in zip(depth_WCS[:, c], code.coded[:, c], strict=True)]
        places = range(codes.group(model))  # each place of a block has its own habits
        bits = sum(codes.depth_bits([p[k :: len(places)] for p in paths], levels) for k in places)
        out.append(bits / max(sum(map(len, paths)) * model.spec.token_s, 1e-9))
    return out


def bits_under_beats(made: Coded, model: Model) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows: bits of a token over the event, divided by the window's mean; profiles: bits and waveform about the event.

    Over all beats of clean windows that have the whole span, each beat once.
    """
    rows, profiles = [], []
    for c, channel in enumerate(MODALITIES):
        offset_T = np.arange(round(BEAT_S[channel][0] / STEP_S), round(BEAT_S[channel][1] / STEP_S) + 1) * STEP_S
        for rate in SHOWN_RATES:
            bits, waves, ratios = [], [], []
            for i, piece in enumerate(made.used):
                if not (is_clean(piece.window, c, model.spec.fs_hz) and piece.window.valid[c].all()):
                    continue
                bits_S = made.depth["model", rate][i, c] * codes.bits_per_code(model)
                bits_S = codes.block_means(bits_S, codes.group(model))
                x_N = piece.window.values[c]
                z_N = (x_N - x_N.mean()) / x_N.std()
                at_s = events(x_N, piece.window.valid[c], c, model.spec.fs_hz)
                at_s = at_s[(at_s + offset_T[0] >= 0) & (at_s + offset_T[-1] < model.spec.window_s - STEP_S)]
                if not len(at_s) or bits_S.mean() == 0:
                    continue
                t_ET = at_s[:, None] + offset_T
                found = bits_S[(t_ET / model.spec.token_s).astype(int)]
                bits.append(found)
                waves.append(z_N[np.round(t_ET * model.spec.fs_hz).astype(int)])
                near = found[:, np.abs(offset_T) <= NEAR_S].mean() / bits_S.mean()
                ratios.append((float(near), piece.patient))
            if not bits:
                continue
            names = {"channel": channel, "rate": _name(rate), "metric": "bits over the event / mean bits"}
            values, patients = zip(*ratios, strict=True)
            rows.append(run.row(interval(values, patients), 3, **names))
            profiles.append(
                {"channel": channel, "rate": _name(rate), "beats": sum(map(len, bits))}
                | {"offset_s": offset_T.round(3).tolist(), "bits": np.concatenate(bits).mean(0).round(3).tolist()}
                | {"wave_z": np.concatenate(waves).mean(0).round(3).tolist()}
            )
    return rows, profiles


def show(result: dict[str, Any]) -> None:
    """All five sets as a table, and the codebooks."""
    table = Table(title="rate and distortion, all five sets: PRD % (95 %)")
    for name in (
        "channel",
        "bit/s",
        *METHODS,
        *(f"against {m} %" for m in METHODS if m != "model"),
        "depth cost bit/s",
    ):
        table.add_column(name)
    by = {(r["channel"], r["rate"], r["method"]): r for r in result["rows"] if (r["set"], r["metric"]) == (ALL, "prd")}
    change = {(r["channel"], r["rate"], r["difference"]): r for r in result["differences"] if r["set"] == ALL}
    cost = {(r["channel"], r["rate"]): r["bits_per_second"] for r in result["depth_cost"]}
    for channel, rate in dict.fromkeys(key[:2] for key in sorted(by, key=lambda k: k[0])):
        cells = [_cell(by.get((channel, rate, m))) for m in METHODS]
        against = [f"model against {m}, % of its PRD" for m in METHODS if m != "model"]
        cells += [_cell(change.get((channel, rate, name))) for name in against]
        table.add_row(channel, rate, *cells, str(cost.get((channel, rate), "–")))
    console = Console(width=210)
    console.print(table)
    for channel in MODALITIES:
        own = [f"{b['used']:.0%} ({b['perplexity']:.0f})" for b in result["codebooks"] if b["channel"] == channel]
        console.print(f"{channel}: codes used (perplexity) a level: {', '.join(own)}; PRD falls: {result['falling']}")
    for row in result["beats"]:
        console.print(f"{row['channel']} {row['rate']} bit/s: {row['metric']} {_cell(row)}")


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    bounds = "" if row["low"] is None else f" [{row['low']:.1f}, {row['high']:.1f}]"
    return f"{row['value']:.1f}{bounds}"


def picture(result: dict[str, Any], path: Path) -> None:
    """Above: PRD by rate. Below: bits of a token about the R peak and the pulse foot, under the average beat."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
    lines = {
        "model": ("tab:red", "CardioFM, adaptive depth"),
        "flat": ("0.6", "every token alike"),
        "uniform": ("tab:orange", "every block alike"),
        "paid": ("tab:olive", "every block alike, paid"),
        "wavelet": ("tab:blue", "wavelet"),
    }
    rows = [r for r in result["rows"] if (r["set"], r["metric"]) == (ALL, "prd") and r["rate"] != "all levels"]
    for axis, channel in zip(axes[0], MODALITIES, strict=True):
        for method, (colour, name) in lines.items():
            own = [r for r in rows if (r["channel"], r["method"]) == (channel, method)]
            rate = [float(r["rate"]) for r in own]
            low, high = ([r["value"] if r[k] is None else r[k] for r in own] for k in ("low", "high"))
            axis.fill_between(rate, low, high, color=colour, alpha=0.15, lw=0)
            axis.plot(rate, [r["value"] for r in own], "o-", color=colour, ms=4, label=name)
        axis.set(xscale="log", yscale="log", xlabel="bit/s a channel", ylabel="PRD in % (median, 95 %)")
        axis.set_xticks([r for r in RATES if r], [f"{r:g}" for r in RATES if r])
        axis.set_title(f"{channel.upper()}, five zero-shot sets", fontsize=10, loc="left")
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, frameon=False)
    for axis, channel in zip(axes[1], MODALITIES, strict=True):
        own = [p for p in result["profiles"] if p["channel"] == channel]
        for profile, colour in zip(own, ("#fdae6b", "#e6550d", "#7f2704"), strict=False):
            label = f"{profile['rate']} bit/s"
            axis.plot(profile["offset_s"], profile["bits"], color=colour, lw=1.6, label=label)
        axis.set(xlabel=f"seconds from the {'R peak' if channel == 'ecg' else 'pulse foot'}", ylabel="bits a token")
        axis.set_ylim(0, 1.2 * axis.get_ylim()[1])
        axis.legend(fontsize=8, frameon=False, loc="upper right", ncols=3)
        if own:
            beat = axis.twinx()
            beat.plot(own[0]["offset_s"], own[0]["wave_z"], color="0.5", lw=1.0)
            beat.set_yticks([])
            low, high = beat.get_ylim()
            beat.set_ylim(low, high + 0.2 * (high - low))
            axis.set_title(f"bits under {own[0]['beats']} beats; grey: the average beat", fontsize=10, loc="left")
    figure.savefig(path, dpi=110)
    plt.close(figure)
