"""Windows per second on this processor: our models by ONNX Runtime and torch, and every system that runs here.

Writes results/throughput.json. The same real 10-second ECG + PPG windows (BIDMC) go through every way, in turn, in a
shuffled order that changes each round; values are medians over the rounds, ratios are taken within a round. `encode`:
prepared windows; `embed`: the whole door, from a Record; `extract`: 16 windows to the numbers of a system, with the
preparation that its input contract asks for. Weights do not matter for speed: a peer whose weights are not here runs
with random ones of its real architecture. NeuroKit2 does clean + peaks of both channels, one window after another. Peak
memory is that of a process of its own that does nothing else. With --repo NAME=CHECKOUT come the peers whose code a
user has; --only limits what is run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cardiofm import weights
from cardiofm.data import catalog
from cardiofm.data.windows import cut
from cardiofm.evaluate import run
from cardiofm.evaluate.extractors.crafted import hand_crafted
from cardiofm.evaluate.extractors.extractor import Extractor
from cardiofm.evaluate.extractors.own import alone, embedding
from cardiofm.evaluate.extractors.rocket import minirocket
from cardiofm.evaluate.sample import Piece, summary
from cardiofm.evaluate.timing import peak_mib, timed
from cardiofm.pipeline import Model, load
from cardiofm.signals import MODALITIES, InputSpec, Record, Window

BATCHES = (1, 16, 128)
PEER = "neurokit2"
OURS = ("base", "tiny")
FLOORS = ("model", "ecg alone", "ppg alone", "hand-crafted", "minirocket")
SPEC = InputSpec()  # of both models
Way = Callable[[], int]  # does the work once and says how many windows that were


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    found = run.parser(about, 3, "rounds")
    found.set_defaults(threads=2)  # one thread is measured too
    found.add_argument("--only", nargs="+", metavar="NAME", help="models and systems (default: all that run here)")
    found.add_argument("--repo", nargs="+", default=[], metavar="NAME=PATH", help="checkouts of peers' code")
    found.add_argument("--memory", nargs=3, metavar=("WAY", "FOLDER", "THREADS"), help="used by itself")
    return found


def main(args: argparse.Namespace) -> None:
    """Time every way in interleaved rounds, measure memory, print the table, write the results."""
    records = _records(args.data_root)
    if args.memory:
        return _print_memory(*args.memory, args=args, record=records[0])
    from cardiofm.evaluate.extractors.peers import PEERS  # brings torch, which the others do without

    only = run.only(args, (*OURS, *FLOORS, *PEERS), "model or system")
    folders = {name: folder for name, folder in _folders(args.model).items() if name in only}
    windows, used = _windows(records)
    threads = sorted({1, args.threads})
    ways = _ways(folders, windows, records[0], threads)
    systems, absent = _extractors(only, args.model, windows, args.repo, 1)
    for n in threads:
        for one in systems if n == 1 else _extractors(only, args.model, windows, args.repo, n)[0]:
            ways["extract", one.name, "", n, BATCHES[1]] = _extract(one, windows[: BATCHES[1]], n)
    times = timed(ways, args.limit)
    memory = _memory(folders, [one.name for one in systems], args)
    result = run.save(
        args.out / "throughput.json", "throughput", _rows(times), args.model, summary(used),
        rounds=args.limit, memory_mib=memory, window_s=SPEC.window_s, systems={e.name: _about(e) for e in systems},
        absent=absent,
        peer="NeuroKit2 ecg_clean + ecg_peaks + ppg_clean + ppg_peaks, default methods, window by window",
        metrics={"windows_per_s": "median over rounds", "ratio": f"to {PEER} in the same round, median"},
    )  # fmt: skip
    show(result)


def _records(data_root: Path) -> list[Record]:
    """The first three BIDMC records."""
    return [catalog.load(entry, data_root) for entry in catalog.entries("bidmc", data_root)[:3]]


def _windows(records: list[Record]) -> tuple[list[Window], list[Piece]]:
    pairs = [(record, window) for record in records for window in cut(record, SPEC)][: max(BATCHES)]
    return [w for _, w in pairs], [Piece("bidmc", str(r.patient), r.name, w) for r, w in pairs]


def _folders(model: str) -> dict[str, Path]:
    """The model's folder and, where it is installed, that of the released tiny model; both must hold their graphs."""
    found = {"base": run.model_folder(model)}
    if "tiny" in weights.installed():
        found["tiny"] = run.model_folder("tiny")
    for folder in found.values():
        load(folder, backend="onnx")  # says what to do where the graphs are missing
    return found


def _ways(
    folders: dict[str, Path], windows: list[Window], record: Record, threads_list: list[int]
) -> dict[tuple[Any, ...], Way]:
    """Every way by (what, model, backend, threads, batch), warmed up."""
    ways: dict[tuple[Any, ...], Way] = {}
    minutes = record.crop(record.start_s, record.start_s + 160.0)
    for name, folder in folders.items():
        for threads in threads_list:
            for backend in ("onnx", "torch"):
                model = load(folder, backend=backend, threads=threads)
                for batch in BATCHES:
                    ways["encode", name, backend, threads, batch] = _encode(model, windows, batch, backend, threads)
                ways["embed", name, backend, threads, 16] = _embed(model, minutes, backend, threads)
                _encode(model, windows, 1, backend, threads)()
    peer = [(w.values[0].astype(float), w.values[1].astype(float)) for w in windows[:16]]
    ways["clean + peaks", PEER, "numpy", 1, 1] = _peer(peer, round(SPEC.fs_hz))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _peer(peer[:1], round(SPEC.fs_hz))()
    return ways


def _extractors(
    names: Sequence[str], model: str, windows: list[Window], repos: list[str], threads: int
) -> tuple[list[Extractor], dict[str, str]]:
    """The systems of these names that run here, and why the others do not."""
    found: list[Extractor] = []
    if set(names) & set(FLOORS):
        network = load(model, threads=threads)
        found = [embedding(network, ""), *(alone(network, "", m) for m in MODALITIES), hand_crafted(SPEC)]
        found = [one for one in [*found, minirocket(windows, (0, 1), SPEC)] if one.name in names]
    if not set(names) - set(FLOORS) - set(OURS):
        return found, {}
    from cardiofm.evaluate.extractors import peers

    more, absent = peers.untrained([name for name in peers.PEERS if name in names], repos, SPEC)
    return [*found, *more], absent


def _about(one: Extractor) -> dict[str, Any]:
    return {"meaning": one.meaning, "numbers": one.size, "parameters": one.parameters}


def _extract(one: Extractor, windows: list[Window], threads: int) -> Way:
    def once() -> int:
        _set_threads("torch" if "torch" in sys.modules else "", threads)
        one(windows)
        return len(windows)

    once()
    return once


def _encode(model: Model, windows: list[Window], batch: int, backend: str, threads: int) -> Way:
    """Batches of prepared windows to embeddings; batch 1 does eight."""
    some = windows[: max(batch, 8)]
    x, seen = (np.stack([getattr(w, n) for w in some]) for n in ("values", "valid"))
    in_mv = np.stack([w.in_mv for w in some])

    def once() -> int:
        _set_threads(backend, threads)
        for first in range(0, len(some), batch):
            at = slice(first, first + batch)
            model.backend.encode(x[at], seen[at], in_mv[at])
        return len(some)

    return once


def _embed(model: Model, record: Record, backend: str, threads: int) -> Way:
    def once() -> int:
        _set_threads(backend, threads)
        return len(model.embed(record))

    return once


def _peer(pairs: list[tuple[Any, Any]], fs_hz: int) -> Way:
    import neurokit2 as nk

    def once() -> int:
        for ecg, ppg in pairs:
            nk.ecg_peaks(nk.ecg_clean(ecg, sampling_rate=fs_hz), sampling_rate=fs_hz)
            nk.ppg_peaks(nk.ppg_clean(ppg, sampling_rate=fs_hz), sampling_rate=fs_hz)
        return len(pairs)

    return once


def _set_threads(backend: str, threads: int) -> None:
    """torch's number of threads belongs to the process, not to the model."""
    if backend == "torch":
        import torch

        torch.set_num_threads(threads)


def _rows(times: dict[tuple[Any, ...], list[float]]) -> list[dict[str, Any]]:
    """One row a way: median, lowest and highest round, and the ratio to NeuroKit2."""
    (peer,) = (v for k, v in times.items() if k[1] == PEER)
    return [
        dict(zip(("what", "model", "backend", "threads", "batch"), key, strict=True))
        | {
            "metric": "windows_per_s",
            "value": round(statistics.median(v), 2),
            "low": round(min(v), 2),
            "high": round(max(v), 2),
            "ratio": round(statistics.median(a / b for a, b in zip(v, peer, strict=True)), 3),
        }
        for key, v in times.items()
    ]


def _memory(folders: dict[str, Path], systems: list[str], args: argparse.Namespace) -> dict[str, float]:
    """Peak memory in MiB of processes that do 16 windows one way each."""
    jobs = [(backend, name, str(folder)) for name, folder in folders.items() for backend in ("onnx", "torch")]
    jobs += [("extract", name, name) for name in systems]
    found = {}
    for backend, name, folder in [*jobs, (PEER, "", ""), ("reading", "", "")]:
        command = [sys.executable, "-m", __spec__.name, "--data-root", str(args.data_root), "--model", args.model]
        command += [*(["--repo", *args.repo] if args.repo else []), "--memory", backend, folder or "-", "1"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found[f"{name} {backend}".strip()] = round(json.loads(out)["mib"], 1)
    return found


def _print_memory(way: str, folder: str, threads: str, args: argparse.Namespace, record: Record) -> None:
    """Do one thing in this process and print its peak memory; "reading" does nothing beyond reading the records."""
    if way == "extract":
        windows = list(islice(cut(record, SPEC), BATCHES[1]))
        (one,), _ = _extractors([folder], args.model, windows, args.repo, int(threads))
        _extract(one, windows, int(threads))
        return print(json.dumps({"mib": peak_mib()}))
    minutes = record.crop(record.start_s, record.start_s + 160.0)
    if way == PEER:
        pairs = [(w.values[0].astype(float), w.values[1].astype(float)) for w in islice(cut(minutes, SPEC), 16)]
        _peer(pairs, round(SPEC.fs_hz))()
    elif way != "reading":
        load(folder, backend=way, threads=int(threads)).embed(minutes)
    print(json.dumps({"mib": peak_mib()}))


def show(result: dict[str, Any]) -> None:
    """The table on the terminal."""
    table = Table(title="windows per second", caption=f"{result['hardware']}; ratio: to {PEER} in the same round")
    for name in ("what", "model", "backend", "threads", "batch", "windows/s", "lowest - highest", "ratio"):
        table.add_column(name)
    for r in result["rows"]:
        first = (str(r[k]) for k in ("what", "model", "backend", "threads", "batch"))
        table.add_row(*first, f"{r['value']:.1f}", f"{r['low']:.1f} - {r['high']:.1f}", f"{r['ratio']:.2f}")
    Console(width=120).print(table)
    Console(width=120).print("peak memory, MiB:", ", ".join(f"{k} {v:.0f}" for k, v in result["memory_mib"].items()))


if __name__ == "__main__":
    main(parser().parse_args())
