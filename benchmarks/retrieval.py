"""Whose heart is it? The nearest neighbour of a window's embedding on BIDMC, a set the model was never trained on.

Writes results/retrieval.json. Every window looks for its nearest neighbour (cosine) among the windows of other records
and those of its own record that lie at least 2 minutes away; counted is the share whose neighbour is the same patient,
averaged over patients, with a 95 % bootstrap over patients. Beside it: chance (the share of the same patient among
those windows), the same network untrained, and twenty hand-crafted numbers without any heart rate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cardiofm.data import catalog
from cardiofm.data.windows import window_at
from cardiofm.evaluate import floors, run
from cardiofm.evaluate.bootstrap import difference, interval
from cardiofm.evaluate.sample import Piece, summary
from cardiofm.pipeline import Model, load
from cardiofm.signals import Record

APART_S = 120.0
METHODS = {
    "model": "CardioFM embedding",
    "untrained": "the same network before training (seed 0)",
    "hand-crafted": "20 numbers: mean, sd, skewness, kurtosis, six band shares a channel, z-scored",
    "chance": "by counts",
}


def main() -> None:
    """Embed the records, look up the neighbours, print the table, write the results."""
    args = run.parser(__doc__, 12, "windows of each record, evenly spaced").parse_args()
    model = load(args.model, backend=args.backend, threads=args.threads)
    entries = catalog.entries("bidmc", args.data_root)
    excerpts: list[Record] = []
    used: list[Piece] = []
    for entry in track(entries, "reading", transient=True):
        record = catalog.load(entry, args.data_root)
        for part in _excerpts(record, model.spec.window_s, args.limit):
            excerpts.append(part)
            used.append(Piece("bidmc", entry.patient, entry.record, window_at(part, model.spec, part.start_s)))
    untrained = floors.untrained(model, [p.window for p in used[:: max(1, len(used) // 16)]])
    crafted = np.stack([floors.hand_crafted(p.window, model.spec.fs_hz) for p in used])
    values = {
        "model": _embedded(model, excerpts, "the model"),
        "untrained": _embedded(untrained, excerpts, "untrained"),
        "hand-crafted": (crafted - crafted.mean(0)) / np.maximum(crafted.std(0), 1e-9),
    }
    patients = [p.patient for p in used]
    allowed = eligible([p.record for p in used], np.array([p.window.start_s for p in used]))
    hits = {name: same_patient(v, patients, allowed) for name, v in values.items()}
    hits["chance"] = chance(patients, allowed)
    result = run.save(
        args.out / "retrieval.json", "retrieval", _rows(hits, patients), args.model, summary(used),
        methods=METHODS, metrics={"same patient": "share of windows, mean over patients"}, apart_s=APART_S,
        records=len(entries),
        differences=[
            run.row(difference(hits["model"], hits[name], patients), 4, difference=f"model - {name}")
            for name in METHODS if name != "model"
        ],
    )  # fmt: skip
    show(result)


def _excerpts(record: Record, window_s: float, number: int) -> list[Record]:
    """Windows that start evenly over the record, each as a record of its own."""
    number = min(number, max(1, int(record.duration_s // window_s)))
    step_s = (record.duration_s - window_s) / max(1, number - 1)
    starts = [record.start_s + round(k * step_s) for k in range(number)]
    return [record.crop(start_s, start_s + window_s) for start_s in starts]


def _embedded(model: Model, excerpts: list[Record], name: str) -> NDArray[np.float32]:
    made = track(model.embed_each(excerpts), f"embedding, {name}", total=len(excerpts), transient=True)
    rows = []
    for one in made:
        if isinstance(one, Exception):
            raise one
        rows.append(one.values[0])
    return np.stack(rows)


def eligible(records: list[str], start_s: NDArray[np.floating], apart_s: float = APART_S) -> NDArray[np.bool_]:
    """Which windows may be the neighbour of which `(W, W)`: of another record, or far enough away in the same one."""
    name = np.array(records)
    return (name[:, None] != name) | (np.abs(start_s[:, None] - start_s) >= apart_s)


def same_patient(values: NDArray[np.floating], patients: list[str], allowed: NDArray[np.bool_]) -> NDArray[np.floating]:
    """1 where the nearest allowed neighbour by cosine is the same patient, else 0, `(W,)`."""
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    nearest = np.where(allowed, unit @ unit.T, -np.inf).argmax(1)
    name = np.array(patients)
    return (name[nearest] == name).astype(np.float64)


def chance(patients: list[str], allowed: NDArray[np.bool_]) -> NDArray[np.floating]:
    """The share of the same patient among the allowed neighbours, `(W,)`."""
    name = np.array(patients)
    return (allowed & (name[:, None] == name)).sum(1) / allowed.sum(1)


def _rows(hits: dict[str, NDArray[np.floating]], patients: list[str]) -> list[dict[str, Any]]:
    names = {"set": "bidmc", "metric": "same patient"}
    return [run.row(interval(hits[m], patients), 4, **names, method=m, refused=0) for m in METHODS]


def show(result: dict[str, Any]) -> None:
    """The table on the terminal."""
    first = result["rows"][0]
    table = Table(title=f"nearest neighbour, {first['patients']} patients, {first['windows']} windows of bidmc")
    for name in ("method", "same patient", "95 %"):
        table.add_column(name)
    for r in result["rows"]:
        table.add_row(METHODS[r["method"]], f"{r['value']:.1%}", f"{r['low']:.1%} - {r['high']:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
