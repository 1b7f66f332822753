"""What each part of the model is worth: the same budget without it, everything else alike, measured frozen.

Trains every file of configs/ablations (a `tiny` model each) into runs/ablations/NAME, where a run that is complete is
not repeated and one that was stopped goes on; settles each codec; measures each on windows of people it never saw and
writes results/ablations.json and .png. Every row has the difference to `full` on the same windows, paired, with its
95 % bootstrap interval over patients. `full_seed_1` shows what chance alone does; `untrained` is the floor.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from cardiofm.config import load as load_config
from cardiofm.data.store import Store
from cardiofm.evaluate import heldout, run
from cardiofm.evaluate.columns import LOWER, MEASURES, Column, Material, measured
from cardiofm.evaluate.sample import Piece, pieces, summary
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.checkpoint import read_provenance
from cardiofm.pipeline import Model, load
from cardiofm.signals import MODALITIES
from cardiofm.train.pretrain import PretrainConfig, pretrain
from cardiofm.train.settle import settle

FULL, UNTRAINED = "full", "untrained"
VARIANTS = {
    FULL: "the full model",
    "full_seed_1": "the full model, another seed",
    "no_cross": "no cross-modal attention",
    "ecg_from_ppg": "one direction: ECG looks at PPG",
    "ppg_from_ecg": "one direction: PPG looks at ECG",
    "no_lag_bias": "no lag bias",
    "no_contrastive": "no contrastive term",
    "no_targets": "no facts, no beats to tell",
    "uniform_depth": "uniform depth",
    "no_rvq": "no quantizer",
    "ecg_only": "ECG only",
    "ppg_only": "PPG only",
    "mask_50": "50 % hidden",
    "mask_75": "75 % hidden",
    "mask_90": "90 % hidden",
    UNTRAINED: "before training (floor)",
}
OTHER_CODES = ("full_seed_1", "ecg_only", "ppg_only")  # their first batch, which names what to guess, is another one
TEST_WINDOWS = 64  # of challenge-2015's test patients, for the terms of the objective
SHOWN = (  # columns of the table and the picture: measure, channel, shown
    ("codec_prd", "ecg", "ecg"),
    ("codec_prd", "ppg", "ppg"),
    ("gap_r_no_echo", "ecg", "both"),
    ("gap_r_no_echo", "ppg", "both"),
    ("gap_r", "ecg", "both"),
    ("gap_r", "ppg", "both"),
    ("across_r", "ecg", "ppg"),
    ("across_r", "ppg", "ecg"),
    ("guess", "both", "both"),
    ("diagnosis_auroc", "ecg", "ecg"),
    ("alarm_auroc", "both", "both"),
)


def main() -> None:
    """Train what is missing, measure what is missing, print the table, write the results."""
    parser = run.parser(__doc__, 40, "windows of each of the five sets")
    parser.add_argument("--store", type=Path, default=Path("store"), help="the folder that `prepare` wrote")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"), help="default: %(default)s")
    parser.add_argument(
        "--configs", type=Path, default=run.ROOT / "configs" / "ablations", help="default: configs/ablations"
    )
    parser.add_argument("--records", type=int, help="of each set with labels (default: all)")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), metavar="NAME", help="some of the variants")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    material, test = None, None
    for name in args.only:
        if name != UNTRAINED:
            pretrain(config_of(args.configs, name), args.store, args.runs / name)
        stamp = _stamp(args.runs / name, f"{args.limit} {args.records}")
        if not _is_measured(args.runs / name, stamp):
            spec = PretrainConfig().model.spec
            material = material or Material.read(args.data_root, spec, args.limit, args.records)
            test = test or pieces("challenge-2015", args.data_root, spec, TEST_WINDOWS, "test")
            _measure(name, args.runs, Store(args.store), material, test, stamp)
    found = {name: _read(args.runs / name) for name in args.only}
    result = run.save(
        args.out / "ablations.json", "ablations", rows(found), str(args.runs / FULL / "settled"),
        json.loads((args.runs / args.only[0] / "measured.json").read_text(encoding="utf-8"))["data"],
        variants={n: VARIANTS[n] for n in args.only}, metrics=MEASURES, runs=_runs(args.runs, args.only),
    )  # fmt: skip
    show(result)
    picture(result, args.out / "ablations.png")


def config_of(configs: Path, name: str) -> PretrainConfig:
    """The settings of one variant."""
    return load_config(PretrainConfig, configs / f"{name}.toml")


def _measure(name: str, runs: Path, store: Store, material: Material, test: list[Piece], stamp: str) -> None:
    """Write `measured.json` of one variant: every column of it."""
    folder = runs / name
    if name == UNTRAINED:
        columns = measured(_untrained(runs, store), material, MODALITIES)
    else:
        objective, config = heldout.trained(folder)
        known, rated = config.batches.modalities, not config.model.quantizer.bypass
        columns = measured(_loaded(folder, store), material, known, rated)
        columns += heldout.hidden_columns(objective, test, known)
    used = [*material.coded, *material.paired, *test, *material.diagnoses.pieces(), *material.alarms.pieces()]
    written = {"of": stamp, "data": summary(used), "columns": [asdict(c) for c in columns]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "measured.json").write_text(json.dumps(written), encoding="utf-8")
    Console(stderr=True).print(f"measured {name}", highlight=False)


def _untrained(runs: Path, store: Store) -> Model:
    """The network of the full model before training (seed 0), its codec settled like the others'."""
    torch.manual_seed(0)
    network = CardioFM(CardioFM.load(runs / FULL / "last" / "model").config)
    settle(network, store, batches=2)
    network.save(runs / UNTRAINED / "settled", {}, half=False)
    return load(runs / UNTRAINED / "settled", backend="torch")


def _loaded(folder: Path, store: Store) -> Model:
    """The model of a run with its codec settled (not where nothing goes through codes), run by torch."""
    out = folder / "settled"
    weights = CardioFM.load(folder / "last" / "model")
    if not weights.config.quantizer.bypass:
        settle(weights, store, batches=2)
    weights.save(out, read_provenance(folder / "last" / "model"), half=False)
    return load(out, backend="torch")


def _is_measured(folder: Path, stamp: str) -> bool:
    path = folder / "measured.json"
    return path.is_file() and json.loads(path.read_text(encoding="utf-8"))["of"] == stamp


def _stamp(folder: Path, sample: str) -> str:
    """Of the weights, of what is measured and on how much: another stamp, and a variant is measured again."""
    weights = folder / "last" / "model" / "model.safetensors"
    weights = weights if weights.is_file() else folder.parent / FULL / "last" / "model" / "model.safetensors"
    return hashlib.sha256(weights.read_bytes() + f"{sample} {json.dumps(MEASURES)}".encode()).hexdigest()


def _read(folder: Path) -> dict[tuple[str, str, str], Column]:
    written = json.loads((folder / "measured.json").read_text(encoding="utf-8"))
    return {c.key: c for c in (Column(**one) for one in written["columns"])}


def _runs(runs: Path, names: list[str]) -> dict[str, Any]:
    """Of each variant: settings that differ from `full`, steps, hours seen and parameters."""
    out: dict[str, Any] = {}
    full = _flat(read_provenance(runs / FULL / "last" / "model")["config"])
    for name in (n for n in names if n != UNTRAINED):
        of = read_provenance(runs / name / "last" / "model")
        changed = {k: v for k, v in _flat(of["config"]).items() if v != full.get(k) and k != "model.name"}
        out[name] = {"settings": changed, "parameters_m": of["parameters_m"]["all"]}
        out[name] |= {k: of[k] for k in ("step", "hours_seen", "wall_s", "commit")}
    return out


def _flat(config: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


def rows(found: dict[str, dict[tuple[str, str, str], Column]]) -> list[dict[str, Any]]:
    """One row a variant and measurement, with the difference to `full`; a measurement that cannot be says why."""
    out = []
    keys = list(dict.fromkeys(key for columns in found.values() for key in columns))
    for name, columns in found.items():
        for key in keys:
            names = {"variant": name, **dict(zip(("metric", "channel", "shown"), key, strict=True))}
            column, full = columns.get(key), found.get(FULL, {}).get(key)
            if column is None:
                out.append(names | {"value": None, "why": _why(name, key)})
                continue
            row = run.row(column.interval(), 4, **names, refused=column.refused)
            if full is not None and name != FULL and not (key[0] == "guess" and name in OTHER_CODES):
                row["difference"] = {
                    k: v for k, v in run.row(column.difference(full), 4).items() if k in ("value", "low", "high")
                }
            out.append(row)
    return out


def _why(name: str, key: tuple[str, str, str]) -> str:
    if name == "no_rvq":
        return "no codes, so no bit rate"
    return "its heads are untrained" if name == UNTRAINED else f"it has not seen {' with '.join(sorted(set(key[1:])))}"


def show(result: dict[str, Any]) -> None:
    """The table on the terminal; * where the difference to `full` has an interval without 0."""
    table = Table(title="ablations", caption="* the paired difference to the full model has an interval without 0")
    table.add_column("variant")
    for key in SHOWN:
        table.add_column(_head(key))
    by = {(r["variant"], r["metric"], r["channel"], r["shown"]): r for r in result["rows"]}
    for name, text in result["variants"].items():
        table.add_row(text, *(_cell(by.get((name, *key))) for key in SHOWN))
    Console(width=190).print(table)


def _head(key: tuple[str, str, str]) -> str:
    short = {"codec_prd": "PRD %", "gap_r": "gap r", "gap_r_no_echo": "gap r, no echo", "across_r": "across r"}
    short |= {"guess": "guess, nats", "diagnosis_auroc": "PTB-XL AUROC", "alarm_auroc": "alarm AUROC"}
    return short[key[0]] + ("" if key[1] == "both" or "AUROC" in short[key[0]] else f" {key[1].upper()}")


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return "-"
    away = "difference" in row and row["difference"]["low"] * row["difference"]["high"] > 0
    return f"{row['value']:.3g}" + ("*" if away else "")


def picture(result: dict[str, Any], path: Path) -> None:
    """Differences to the full model with their intervals, one panel a measurement; right of the line is better."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [n for n in result["variants"] if n != FULL]
    figure, axes = plt.subplots(2, 6, figsize=(17, 0.33 * len(names) * 2 + 2.4), sharey=True, layout="constrained")
    by = {(r["variant"], r["metric"], r["channel"], r["shown"]): r for r in result["rows"]}
    for axis, key in zip(axes.flat, SHOWN, strict=False):
        sign = -1 if key[0] in LOWER else 1
        full = by.get((FULL, *key))
        for place, name in enumerate(names):
            row = by.get((name, *key))
            if row is None or row["value"] is None or "difference" not in row or row["difference"]["low"] is None:
                continue
            d = row["difference"]
            color = "0.6" if d["low"] * d["high"] <= 0 else "tab:red" if sign * d["value"] < 0 else "tab:green"
            axis.plot([sign * d["low"], sign * d["high"]], [place, place], color=color, lw=2)
            axis.plot(sign * d["value"], place, "o", color=color, ms=4)
        axis.axvline(0, color="black", lw=0.8)
        axis.set_title(_head(key) + (f"\nfull: {full['value']:.3g}" if full and full["value"] else ""), fontsize=9)
        axis.tick_params(labelsize=8)
        axis.locator_params(axis="x", nbins=4)
    axes[0, 0].set_yticks(range(len(names)), [VARIANTS[n] for n in names])
    axes[0, 0].invert_yaxis()
    for axis in axes.flat[len(SHOWN) :]:
        axis.axis("off")
    figure.supxlabel("difference to the full model, right is better (95 % interval, paired, over patients)", fontsize=9)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
