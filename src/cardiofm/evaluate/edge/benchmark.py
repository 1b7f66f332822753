"""Time, memory and start of the released models on one core, against aims, beside others: results/edge.json.

One real 10-second window of ECG and PPG (bidmc), batch 1, one thread; processor time, medians over shuffled rounds,
ratios within a round. `encoder`: a prepared window to its embedding; `embed`: from a recording at its own rate;
`embed + measure`: and its table of beats. The limit: operations of the network by the rate of the best matrix product
of the same round. --no-quality leaves out what fewer bits take away. OpenVINO and ExecuTorch are
added where they are installed.
"""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import tempfile
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cardiofm.data import catalog
from cardiofm.data.windows import cut
from cardiofm.edge import targets
from cardiofm.edge.calibration import real_windows
from cardiofm.edge.quantize import quantize
from cardiofm.edge.runtime import EMBEDDERS, int8_name, source_hash
from cardiofm.evaluate import cached, run
from cardiofm.evaluate.edge import process, speed
from cardiofm.evaluate.edge.quality import quality, read
from cardiofm.evaluate.sample import Piece, summary
from cardiofm.evaluate.timing import Key
from cardiofm.pipeline import Model, load
from cardiofm.signals import Record

START_S = 30.0  # of the window in its record
BASE, TINY, STATIC = "base", "tiny", "static"
OPTIONAL = {"openvino": "embed.xml", "executorch": "embed.pte"}  # what is written for them
ORT = "ONNX Runtime"
Times = dict[Key, list[float]]


def parser() -> ArgumentParser:
    """The arguments of the benchmark."""
    made = run.parser(__doc__, 7, "rounds")
    made.add_argument(
        "--quality", action=BooleanOptionalAction, default=True, help="what fewer bits take away, minutes"
    )
    made.add_argument("--probe-records", type=int, default=1200, help="records of ptb-xl (default: %(default)s)")
    cached.add_argument(made)
    made.add_argument("--beats-records", type=int, default=12, help="records of bidmc (default: %(default)s)")
    made.add_argument("--tiny", default=TINY, help="the smaller model's name or folder (default: tiny)")
    made.add_argument("--prepared", type=Path, help="folder for what is exported, kept from run to run")
    return made


def main(args: Namespace) -> None:
    """Measure everything, print the tables, write the results."""
    record, entry = _record(args.data_root)
    with tempfile.TemporaryDirectory() as scratch:
        home = args.prepared or Path(scratch)
        folders = prepared(home, args.model, args.tiny, args.data_root)
        absent = [name for name in OPTIONAL if importlib.util.find_spec(name) is None]
        models = _models(folders)
        every = speed.ways(record, models) | speed.rate_ways()
        others, millions = speed.other_ways(record, home)
        optional, cosine = speed.optional_ways(record, models[BASE, "fp32"], folders[BASE], set(OPTIONAL) - set(absent))
        times = speed.rounds(every | others | optional, args.limit)
        jobs = [(BASE, "onnx", "embed"), (BASE, "onnx", "measure"), (BASE, "onnx-int8", "embed")]
        jobs += [(TINY, "onnx", "embed"), (TINY, "onnx-int8", "embed")]
        started = process.processes(record, folders, jobs, max(3, args.limit - 2))
        lost, differences, probe = [], [], []
        if args.quality:
            known = read(models[BASE, "fp32"], args.data_root, args.probe_records, args.beats_records)
            probe = known[0].pieces()
            lost, differences = quality(models, *known, args.cache)
        cost = {name: speed.costs(models[name, "fp32"]) for name in (BASE, TINY)}
    installed = round(process.installed_mb(), 1)
    limit = _limits(times, cost)
    used = [Piece("bidmc", str(record.patient), record.name, w) for w in cut(record, models[BASE, "fp32"].spec)]
    result = run.save(
        args.out / "edge.json", "edge", _rows(times), args.model, summary([*used, *probe]),
        rounds=args.limit, clock="processor time of the process, one thread", record=entry,
        aims=aims(times, started, installed, limit), limits=limit, processes=started, installed_mb=installed,
        costs={n: {k: vars(c) for k, c in one.items()} for n, one in cost.items()},
        others_million_parameters=millions, absent=absent, cosine=cosine, quality=lost,
        differences=differences,
    )  # fmt: skip
    show(result)


def _record(data_root: Path) -> tuple[Record, str]:
    entry = catalog.entries("bidmc", data_root)[0]
    record = catalog.load(entry, data_root)
    return record.crop(record.start_s + START_S, record.start_s + START_S + 10.0), entry.record


def _models(folders: dict[str, Path]) -> dict[tuple[str, str], Model]:
    """By (name, precision); the first is the released one."""
    found = {(n, "fp32"): load(folders[n], backend="onnx", threads=1) for n in (BASE, TINY)}
    found |= {(n, "int8"): load(folders[n], backend="onnx-int8", threads=1) for n in (BASE, TINY)}
    found[BASE, "int8 static"] = load(folders[STATIC], backend="onnx-int8", threads=1)
    found[BASE, "bf16"] = speed.bf16(found[BASE, "fp32"])
    return found


def prepared(home: Path, base: str, tiny: str, data_root: Path) -> dict[str, Path]:
    """Copies of the models in `home` with their eight-bit graphs, and base for OpenVINO and ExecuTorch where these are
    installed. What is there already, of the same weights and graphs, is left as it is."""
    folders = {name: home / name for name in (BASE, TINY, STATIC)}
    for name, model in ((BASE, base), (TINY, tiny), (STATIC, base)):
        source, folder = run.model_folder(model), folders[name]
        graph = EMBEDDERS[0, 1]
        same = (folder / int8_name(graph)).is_file() and source_hash(folder) == source_hash(source)
        if not same or (folder / graph).read_bytes() != (source / graph).read_bytes():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(source, folder)
            quantize(folder, real_windows(folder, data_root) if name == STATIC else None)
    for name, file in OPTIONAL.items():
        if importlib.util.find_spec(name) is not None and not (folders[BASE] / file).is_file():
            int8 = name == "openvino"
            targets.write(folders[BASE], name, int8, real_windows(folders[BASE], data_root) if int8 else None)
    return folders


def _limits(times: Times, cost: dict[str, Any]) -> dict[str, float]:
    """The best rate of the core and, of base in fp32, how many times longer each work takes than its arithmetic."""
    rates = [v for key, v in times.items() if key[0] == speed.RATE]
    best = [max(one) * 1e3 for one in zip(*rates, strict=True)]  # operations a second, by round
    base = cost[BASE]
    work = {"encoder": base["encoder"], "embed": base["encoder"]}
    operations = {name: one.operations for name, one in work.items()}
    if "measure" in base:
        operations["embed + measure"] = base["encoder"].operations + base["measure"].operations
    found = {"gflop_per_s": round(statistics.median(best) / 1e9, 1)}
    for what, count in operations.items():
        taken = times.get((what, BASE, "fp32", ORT))
        if taken is not None:
            found[what] = round(statistics.median(b / w / count for b, w in zip(best, taken, strict=True)), 2)
    return found


def ratio(times: Times, faster: Key, slower: Key) -> float:
    """How many times the windows per second of `slower` those of `faster` are, the median of the rounds."""
    pairs = zip(times[faster], times[slower], strict=True)
    return round(statistics.median(a / b for a, b in pairs), 2)


def aims(
    times: Times, started: list[dict[str, Any]], installed: float, limit: dict[str, float]
) -> list[dict[str, Any]]:
    """What was wanted beside what was found."""
    of = {(r["model"], r["backend"], r["what"]): r for r in started}

    def embed(name: str, precision: str) -> Key:
        return "embed", name, precision, ORT

    int8 = max(("int8", "int8 static"), key=lambda p: statistics.median(times[embed(BASE, p)]))
    full, eight = embed(BASE, "fp32"), embed(BASE, int8)
    net, transformer = (("encoder", n, "fp32", ORT) for n in ("PaPaGei-S-sized", "ECG-FM-sized"))
    base, tiny = of[BASE, "onnx", "embed"], of[TINY, "onnx", "embed"]
    measuring = [r for r in started if (r["model"], r["what"]) == (BASE, "measure")]
    start = "start to the first embedding, times an empty start"
    found = [
        (f"{what} of base in fp32, times its arithmetic limit", "at most", 1.4, limit[what])
        for what in speed.WORK
        if what in limit
    ]
    found += [
        (f"base in {int8}, times as fast as in fp32", "at least", 2.5, ratio(times, eight, full)),
        ("tiny, times as fast as base", "at least", 10.0, ratio(times, embed(TINY, "fp32"), full)),
        (f"base in {int8}, times as fast as a PaPaGei-S-sized network", "at least", 1.0, ratio(times, eight, net)),
        (f"base in {int8}, times as fast as an ECG-FM-sized one", "at least", 8.0, ratio(times, eight, transformer)),
        ("peak memory of base, MiB", "at most", 250.0, base["peak_mib"]),
        *(("peak memory of base that measures too, MiB", "at most", 250.0, r["peak_mib"]) for r in measuring),
        ("peak memory of tiny, MiB", "at most", 120.0, tiny["peak_mib"]),
        (f"base, {start}", "at most", 3.0, base["times_empty"]),
        (f"tiny, {start}", "at most", 3.0, tiny["times_empty"]),
        ("installed package without dependencies, MB", "at most", 90.0, installed),
    ]
    return [
        {"aim": aim, "wanted": f"{how} {bound:g}", "found": value, "met": (value - bound) * sign >= 0}
        for aim, how, bound, value in found
        for sign in (-1 if how == "at most" else 1,)
    ]


def _rows(times: Times) -> list[dict[str, Any]]:
    base = times["encoder", BASE, "fp32", ORT]
    rows = []
    for (what, model, precision, by), found in times.items():
        row = {"what": what, "model": model, "precision": precision, "by": by}
        if what == speed.RATE:
            row |= {"gflop_per_s": round(statistics.median(found) / 1e6, 1)}
        else:
            each_ms = [1000 / v for v in found]
            row |= {"ms": round(statistics.median(each_ms), 2), "low": round(min(each_ms), 2)}
            row |= {"high": round(max(each_ms), 2)}
            row |= {"times_base": round(statistics.median(b / a for a, b in zip(found, base, strict=True)), 3)}
        rows.append(row)
    return rows


def show(result: dict[str, Any]) -> None:
    """The tables on the terminal."""
    table = Table(title="one window on one core", caption=result["hardware"])
    for name in ("what", "model", "precision", "by", "ms", "times base"):
        table.add_column(name)
    for r in result["rows"]:
        if "ms" in r:
            table.add_row(r["what"], r["model"], r["precision"], r["by"], f"{r['ms']:.2f}", f"{r['times_base']:.2f}")
    console = Console(width=120)
    console.print(table)
    for one in result["aims"]:
        console.print(f"{'met' if one['met'] else 'MISSED':7}{one['aim']}: {one['found']:g} ({one['wanted']})")
    for one in (*result["processes"], *result["quality"], *result["differences"]):
        console.print(one)
