"""Ways of doing one thing timed side by side in shuffled rounds, so that noise is everybody's; memory of a process."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import Progress

Way = Callable[[], int]  # does the work once, says how many windows that were
Key = tuple[Any, ...]


def timed(ways: dict[Key, Way], rounds: int, clock: Callable[[], float] = time.perf_counter) -> dict[Key, list[float]]:
    """Windows per second of every way in every round, by the clock on the wall or that of the process.

    >>> sorted(timed({("a",): lambda: 3, ("b",): lambda: 4}, 2)), len(timed({("a",): lambda: 1}, 3)[("a",)])
    ([('a',), ('b',)], 3)
    """
    times: dict[Key, list[float]] = {key: [] for key in ways}
    with Progress(transient=True) as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        job = bar.add_task("timing", total=rounds * len(ways))
        for number in range(rounds):
            order = list(ways)
            random.Random(number).shuffle(order)
            for key in order:
                start_s = clock()
                done = ways[key]()
                times[key].append(done / (clock() - start_s))
                bar.advance(job)
    return times


def peak_mib() -> float:
    """Peak memory of this process since it began, MiB; `ru_maxrss` would count the process that started it too."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("peak memory is read from /proc/self/status, which has no VmHWM here; run this on Linux")
