"""Ten-second windows per second of `measure` on this processor beside NeuroKit2 on the same records.

Writes results/measure_speed.json. The same two minutes and forty seconds of three BIDMC records go through every way,
in turn, in a shuffled order that changes each round; values are medians over the rounds, ratios are taken within a
round. NeuroKit2, window by window: ecg_clean + ecg_peaks + ecg_delineate (dwt) + ppg_process. CardioFM: the whole door,
from a record to its table of beats, smoothing and summaries. Memory: the peak of a process of its own that measures one
and twenty-four hours of a recording that is never in memory whole.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cardiofm.data import catalog
from cardiofm.data.windows import cut
from cardiofm.evaluate import run
from cardiofm.evaluate.sample import Piece, summary
from cardiofm.evaluate.timing import peak_mib, timed
from cardiofm.pipeline import load
from cardiofm.signals import InputSpec, Record, Signal

PEER = "neurokit2"
SPEC = InputSpec()
PART_S = 160.0  # of each record
HOURS = (1, 24)
Key = tuple[str, str, int]  # model, backend, threads
Way = Callable[[], int]  # does the work once and says how many ten-second windows that were


def main() -> None:
    """Time every way in interleaved rounds, measure memory, print the table, write the results."""
    parser = run.parser(__doc__, 5, "rounds")
    parser.set_defaults(threads=2)  # one thread is measured too
    parser.add_argument("--also", nargs="*", default=[], help="further model folders, such as one with int8 graphs")
    parser.add_argument("--no-memory", action="store_true", help="leave out the 24 hours, which take minutes")
    parser.add_argument("--memory", type=float, metavar="HOURS", help="used by the script itself")
    args = parser.parse_args()
    if args.memory:
        return _print_memory(args.model, args.backend, args.memory, args.data_root)
    records = [_part(catalog.load(e, args.data_root)) for e in catalog.entries("bidmc", args.data_root)[:3]]
    times = timed(_ways([args.model, *args.also], args.backend, records, sorted({1, args.threads})), args.limit)
    used = [Piece("bidmc", str(r.patient), r.name, w) for r in records for w in cut(r, SPEC)]
    result = run.save(
        args.out / "measure_speed.json", "measure_speed", _rows(times), args.model, summary(used),
        rounds=args.limit, window_s=SPEC.window_s,
        memory_mib={} if args.no_memory else _memory(args.model, args.backend, args.data_root),
        peer="NeuroKit2 ecg_clean + ecg_peaks + ecg_delineate (dwt) + ppg_process, window by window",
        metrics={"windows_per_s": "median over rounds", "ratio": f"to {PEER} in the same round, median"},
    )  # fmt: skip
    show(result)


def _part(record: Record) -> Record:
    return record.crop(record.start_s, record.start_s + PART_S)


def _ways(models: list[str], backend: str | None, records: list[Record], threads_list: list[int]) -> dict[Key, Way]:
    """Every way by (model, backend, threads), warmed up."""
    ways: dict[Key, Way] = {}
    for name in models:
        for threads in threads_list:
            for one in (backend,) if backend else ("onnx", "torch"):
                ways[Path(name).name, one, threads] = _measure(name, one, threads, records)
    ways[PEER, "numpy", 1] = _peer(records)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for way in ways.values():
            way()
    return ways


def _measure(name: str, backend: str, threads: int, records: list[Record]) -> Way:
    model = load(name, backend=backend, threads=threads)

    def once() -> int:
        if backend == "torch":  # its number of threads belongs to the process, not to the model
            import torch

            torch.set_num_threads(threads)
        for record in records:
            model.measure(record)
        return round(sum(r.duration_s for r in records) / SPEC.window_s)

    return once


def _peer(records: list[Record]) -> Way:
    import neurokit2 as nk

    fs_hz = round(SPEC.fs_hz)
    pairs = [(w.values[0].astype(float), w.values[1].astype(float)) for r in records for w in cut(r, SPEC)]

    def once() -> int:
        for ecg, ppg in pairs:
            clean = nk.ecg_clean(ecg, sampling_rate=fs_hz)
            peaks = nk.ecg_peaks(clean, sampling_rate=fs_hz)[1]["ECG_R_Peaks"]
            nk.ecg_delineate(clean, peaks, sampling_rate=fs_hz, method="dwt")
            nk.ppg_process(ppg, sampling_rate=fs_hz)
        return len(pairs)

    return once


def _rows(times: dict[Key, list[float]]) -> list[dict[str, Any]]:
    """One row a way: median, lowest and highest round, and the ratio to NeuroKit2."""
    peer = times[PEER, "numpy", 1]
    return [
        dict(zip(("model", "backend", "threads"), key, strict=True))
        | {
            "metric": "windows_per_s",
            "value": round(statistics.median(v), 2),
            "low": round(min(v), 2),
            "high": round(max(v), 2),
            "ratio": round(statistics.median(a / b for a, b in zip(v, peer, strict=True)), 3),
        }
        for key, v in times.items()
    ]


class Repeated:
    """Samples over and over again, `length` of them, made when they are read: a long recording of no size."""

    def __init__(self, samples_N: np.ndarray, length: int) -> None:
        self.samples_N, self.length = samples_N, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: slice, /) -> np.ndarray:
        start, stop, _ = index.indices(self.length)
        return self.samples_N[np.arange(start, stop) % len(self.samples_N)]


def _long(record: Record, hours: float) -> Record:
    """The record over and over again for so many hours."""

    def longer(signal: Signal) -> Signal:
        length = round(hours * 3600 * signal.fs_hz)
        return Signal(Repeated(signal.values, length), signal.fs_hz, signal.unit, signal.name)

    assert record.ecg is not None
    assert record.ppg is not None
    return Record(record.name, longer(record.ecg), longer(record.ppg), record.patient)


def _memory(model: str, backend: str | None, data_root: Path) -> dict[str, float]:
    """Peak memory in MiB of a process that measures so many hours, by hours."""
    found = {}
    for hours in HOURS:
        command = [sys.executable, __file__, "--model", model, "--data-root", str(data_root), "--memory", str(hours)]
        command += ["--backend", backend] if backend else []
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found[f"{hours} h"] = round(json.loads(out)["mib"], 1)
    return found


def _print_memory(name: str, backend: str | None, hours: float, data_root: Path) -> None:
    """Measure a long recording in this process and print its peak memory and its beats."""
    entry = catalog.entries("bidmc", data_root)[0]
    beats = len(load(name, backend=backend, threads=1).measure(_long(catalog.load(entry, data_root), hours)))
    print(json.dumps({"mib": peak_mib(), "beats": beats}))


def show(result: dict[str, Any]) -> None:
    """The table on the terminal."""
    table = Table(title="measure: ten-second windows per second", caption=result["hardware"])
    for name in ("model", "backend", "threads", "windows/s", "lowest - highest", "ratio"):
        table.add_column(name)
    for r in result["rows"]:
        first = (str(r[k]) for k in ("model", "backend", "threads"))
        table.add_row(*first, f"{r['value']:.1f}", f"{r['low']:.1f} - {r['high']:.1f}", f"{r['ratio']:.2f}")
    Console(width=110).print(table)
    Console(width=110).print("peak memory, MiB:", ", ".join(f"{k} {v:.0f}" for k, v in result["memory_mib"].items()))


if __name__ == "__main__":
    main()
