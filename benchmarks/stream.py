"""A recording sent packet by packet: what it costs, how soon and how well beats are given, and memory over a day.

Writes results/stream.json. BIDMC, packets of a quarter of a second. Live: an embedding every second, the newest
seconds looked at twice a second for provisional beats, final beats. Catching up: an embedding every ten seconds and
final beats. Provisional and final beats are held against `measure` of the whole recording; processor time is that of
this process, so that other work on the machine counts little. Memory: resident, while one record repeated for --hours
passes.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cardiofm.data import catalog
from cardiofm.evaluate import run
from cardiofm.pipeline import Model, load
from cardiofm.signals import Measurement, Record
from cardiofm.stream import BeatAt, Event, Stream

PACKET_S = 0.25
MODES: dict[str, dict[str, Any]] = {
    "live": {},
    "catching up": {"embed_every_s": 10.0, "beats_every_s": None},
}
COMPARED = {"r_peak_s": 1000.0, "qrs_ms": 1.0, "qt_ms": 1.0, "ppg_foot_s": 1000.0, "pat_ms": 1.0}  # to ms
_NEAR_S = 0.05


def main() -> None:
    """Run the benchmark."""
    parser = run.parser(__doc__, 4, "records")
    parser.add_argument("--seconds", type=float, default=120.0, help="of each record (default: %(default)g)")
    parser.add_argument("--hours", type=float, default=24.0, help="simulated, for memory (default: %(default)g)")
    args = parser.parse_args()
    model = load(args.model, args.backend, args.threads)
    entries = list(catalog.entries("bidmc", args.data_root))[: args.limit]
    records = [catalog.load(e, args.data_root).crop(0.0, args.seconds) for e in entries]
    rows = []
    for mode, how in MODES.items():
        played = [_played(model, record, how) for record in records]
        cpu_s = sum(p[1] for p in played) / sum(r.duration_s for r in records)
        rows.append({"mode": mode, "metric": "processor_s_per_s", "value": round(cpu_s, 4)})
        if mode == "live":
            whole = [model.measure(record, batch=1) for record in records]
            rows += _agreement([p[0] for p in played], whole)
    memory, speed = _day(model, catalog.load(entries[0], args.data_root), args.hours)
    about = {"set": "bidmc", "records": len(records), "seconds": args.seconds, "packet_s": PACKET_S}
    result = run.save(
        args.out / "stream.json", "stream", rows, args.model, about, memory_mib=memory, times_real_time=speed
    )
    for row in result["rows"]:
        Console().print(row)
    Console().print("resident MiB by hour:", memory, f"{speed:g} times real time, by processor time")


def _packets(record: Record) -> Iterator[dict[str, Any]]:
    for start_s in np.arange(0.0, record.duration_s, PACKET_S):
        parts = {m: s.crop(start_s, start_s + PACKET_S) for m in record.present if (s := record.signal(m))}
        yield {m: (p.start_s, p.values) for m, p in parts.items() if p is not None}


def _stream(model: Model, record: Record, how: dict[str, Any]) -> Stream:
    return Stream(model, **{f"{m}_hz": s.fs_hz for m in record.present if (s := record.signal(m))}, **how)


def _played(model: Model, record: Record, how: dict[str, Any]) -> tuple[list[Event], float]:
    """Everything that is said, and the processor time in s."""
    running, begun_s = _stream(model, record, how), time.process_time()
    said = [event for packet in _packets(record) for event in running.push(**packet)]
    return said + running.close(), time.process_time() - begun_s


def _agreement(said: list[list[Event]], whole: list[Measurement]) -> list[dict[str, Any]]:
    """How final beats, and provisional ones, differ from those of the whole recordings."""
    beats = [[e for e in events if isinstance(e, BeatAt)] for events in said]
    soon = [b for some in beats for b in some if not b.final]
    late_s = np.array([b.said_s - b.at_s for b in soon])
    rows = [
        {"mode": "provisional", "metric": "delay_s", "value": round(float(np.median(late_s)), 2)}
        | {"high": round(float(late_s.max()), 2)}
    ]
    for kind, final in (("provisional", False), ("final", True)):
        for name, factor in COMPARED.items():
            off, owed = list[float](), 0
            for some, one in zip(beats, whole, strict=True):
                owed += int((np.isfinite(one.values[name]) & np.isfinite(one.values["r_peak_s"])).sum())
                off += [factor * x for x in _apart([b for b in some if b.final is final], one, name)]
            median, most = (float(np.quantile(off, q)) for q in (0.5, 0.95)) if off else (None, None)
            rows.append(
                {"mode": kind, "metric": name, "value": None if median is None else round(median, 2)}
                | {"p95": None if most is None else round(most, 2), "given": len(off), "of": owed}
            )
    return rows


def _apart(beats: list[BeatAt], whole: Measurement, name: str) -> list[float]:
    """How far a value is from that of the whole recording, of every beat that has it in both."""
    at_s, out = np.array([b.at_s for b in beats]), []
    for r_s, value in zip(whole.values["r_peak_s"], whole.values[name], strict=True):
        near = np.abs(at_s - r_s)
        if np.isfinite(value) and len(near) and near.min() < _NEAR_S:
            found = beats[int(near.argmin())].values.get(name)
            out += [] if found is None else [abs(found - value)]
    return out


def _day(model: Model, record: Record, hours: float) -> tuple[dict[str, float], float]:
    """Resident memory in MiB by simulated hours, and how many times real time that went, by processor time."""
    running, memory, begun_s, done_s = _stream(model, record, MODES["catching up"]), {}, time.process_time(), 0.0
    total_s, step_s = 3600 * hours, 3600 * hours / 12
    while done_s < total_s:
        for packet in _packets(record):
            running.push(**{m: (done_s + t, x) for m, (t, x) in packet.items()})
            now_s = done_s + next(iter(packet.values()))[0]
            if now_s >= step_s * (len(memory) + 1):
                gc.collect()
                memory[f"{now_s / 3600:.2f}"] = round(_resident_mib(), 1)
            if now_s >= total_s:
                break
        done_s += round(record.duration_s / PACKET_S) * PACKET_S
    running.close()
    return memory, round(min(done_s, total_s) / (time.process_time() - begun_s), 1)


def _resident_mib() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("memory is read from /proc/self/status, which has no VmRSS here; run this on Linux")


if __name__ == "__main__":
    main()
