"""What a process costs that does nothing but embed one recording: peak memory, and its start beside an empty one's."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

import numpy as np

import cardiofm
from cardiofm.signals import Record

EMPTY = "numpy and onnxruntime imported"
_PEAK = """
for line in open("/proc/self/status"):
    if line.startswith("VmHWM:"):
        print(int(line.split()[1]) / 1024)
"""
_WORK = """
import sys
import numpy as np
import cardiofm
signals = np.load(sys.argv[1])
record = cardiofm.Record.from_arrays(ecg=(signals["ecg"], float(signals["ecg_hz"])),
                                     ppg=(signals["ppg"], float(signals["ppg_hz"])))
model = cardiofm.load(sys.argv[2], backend=sys.argv[3], threads=1)
model.embed(record)
if sys.argv[4] == "measure":
    model.measure(record)
"""
Job = tuple[str, str, str]  # model's name, backend, "embed" or "measure"


def processes(record: Record, folders: dict[str, Path], jobs: list[Job], rounds: int) -> list[dict[str, Any]]:
    """A row for the empty process and one for each job: peak MiB; seconds of processor time and on the wall, medians
    over rounds in turn; and how many times the empty one's, by processor time, within a round."""
    assert record.ecg is not None
    assert record.ppg is not None
    with tempfile.TemporaryDirectory() as home:
        signals = Path(home) / "signals.npz"
        np.savez(
            signals,
            ecg=record.ecg.values[:],
            ppg=record.ppg.values[:],
            ecg_hz=record.ecg.fs_hz,
            ppg_hz=record.ppg.fs_hz,
        )
        commands: dict[Job, list[str]] = {(EMPTY, "", ""): ["import numpy, onnxruntime" + _PEAK]}
        for name, backend, what in jobs:
            commands[name, backend, what] = [_WORK + _PEAK, str(signals), str(folders[name]), backend, what]
        times: dict[Job, list[tuple[float, float, float]]] = {job: [] for job in commands}
        for number in range(rounds + 1):
            for job, command in commands.items():
                found = _run([sys.executable, "-c", *command])
                if number:  # the first compiles modules, as installing does
                    times[job].append(found)
    empty = times[EMPTY, "", ""]
    return [
        {
            "model": name,
            "backend": backend,
            "what": what,
            "peak_mib": round(statistics.median(t[2] for t in found), 1),
            "processor_s": round(statistics.median(t[0] for t in found), 3),
            "wall_s": round(statistics.median(t[1] for t in found), 3),
            "times_empty": round(statistics.median(a[0] / b[0] for a, b in zip(found, empty, strict=True)), 2),
        }
        for (name, backend, what), found in times.items()
    ]


def _run(command: list[str]) -> tuple[float, float, float]:
    """Processor seconds, seconds on the wall and peak MiB of one process on one thread."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    start_s, before = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | one
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    wall_s, after = time.perf_counter() - start_s, getrusage(RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used_s, wall_s, json.loads(done.stdout)


def installed_mb() -> float:
    """Size of the package as it is installed, without its dependencies and without compiled copies, in MB."""
    home = Path(cardiofm.__file__).parent
    files = (p for p in home.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return sum(p.stat().st_size for p in files) / 1e6
