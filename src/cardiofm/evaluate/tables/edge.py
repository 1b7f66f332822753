"""One window on one core: aims beside what was found, times, processes, and what fewer bits take away."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number, ranged

SAID = {"": "", "onnx": "fp32", "onnx-int8": "int8", "embed": "embed", "measure": "embed + measure"}


def edge(result: dict[str, Any]) -> list[str]:
    """Four tables; the last where it was asked for."""
    rate, costs = result["limits"]["gflop_per_s"], result["costs"]
    counted = "; ".join(
        f"{name} {number(one['encoder']['operations'] / 1e9, 2)} GFLOP"
        + (f" and {number(one['measure']['operations'] / 1e9, 2)} to measure" if "measure" in one else "")
        for name, one in costs.items()
    )
    lines = [
        f"**At the edge**: one 10-second ECG + PPG window of bidmc, batch 1, one core, processor time, median of "
        f"{result['rounds']} interleaved rounds, ratios within a round: {result['hardware']}. Operations of a window: "
        f"{counted}; the core multiplies matrices at {number(rate, 0)} GFLOP/s in the same rounds (its best shape).",
        "",
        *header(("aim", "wanted", "found", "")),
    ]
    lines += [
        line((one["aim"], one["wanted"], f"{one['found']:g}", "met" if one["met"] else "**missed**"))
        for one in result["aims"]
    ]
    lines += ["", *_times(result), "", *_processes(result["processes"])]
    if result["quality"]:
        lines += ["", *_quality(result["quality"], result["differences"])]
    if result["absent"]:
        lines += ["", f"Not installed where this was run: {', '.join(result['absent'])}."]
    return [*lines, "", behind("edge", result)]


def _times(result: dict[str, Any]) -> list[str]:
    cosine = result["cosine"]
    lines = header(
        ("what", "model", "precision", "by", "ms a window (lowest, highest)", "times base's encoder in fp32")
    )
    for r in result["rows"]:
        if "ms" not in r:
            continue
        alike = cosine.get(f"{r['model']} {r['precision']} {r['by']}")
        by = r["by"] if alike is None else f"{r['by']} (cosine {number(alike, 5)})"
        size = result["others_million_parameters"].get(r["model"])
        model = r["model"] if size is None else f"{r['model']} ({number(size, 1)} M)"
        spread = f"{number(r['ms'], 1)} ({number(r['low'], 1)}, {number(r['high'], 1)})"
        lines.append(line((r["what"], model, r["precision"], by, spread, number(r["times_base"], 2))))
    return lines


def _processes(rows: list[dict[str, Any]]) -> list[str]:
    lines = header(("a process of its own", "peak memory, MiB", "processor time, s", "times an empty start"))
    for r in rows:
        name = " ".join(filter(None, (r["model"], SAID[r["backend"]], SAID[r["what"]])))
        numbers = (number(r["peak_mib"], 0), number(r["processor_s"], 2), number(r["times_empty"], 1))
        lines.append(line((name, *numbers)))
    return lines


def _quality(rows: list[dict[str, Any]], differences: list[dict[str, Any]]) -> list[str]:
    """Measuring in eight bits is not offered, so those rows measure as full precision does."""
    change = {(d["model"], d["precision"]): d for d in differences}
    first = rows[0]
    wave = ("QT within 1 ms of fp32", "largest change, ms", "PAT within 1 ms of fp32", "largest change, ms")
    lines = [
        f"AUROC: a linear probe for NORM against abnormal, ptb-xl, folds 1 to 7 learn, 8 chooses, fold 9 is scored: "
        f"{first['windows']} recordings of {first['patients']} patients, {first['refused']} windows refused. Brackets: "
        "bootstrap 95 % interval over patients; the difference to fp32 is paired.",
        "",
        *header(("model", "in", "AUROC", "minus fp32", "least cosine to fp32", *wave)),
    ]
    for r in rows:
        cells = [r["model"], r["precision"] or "–", ranged(r, 3)]
        cells.append(ranged(change.get((r["model"], r["precision"])), 4))
        cells.append("–" if "least_cosine" not in r else number(r["least_cosine"], 5))
        for what in ("qt", "pat"):
            within, largest = r.get(f"{what}_within"), r.get(f"{what}_largest_ms")
            lone = f"; {r[f'{what}_lone']} lost or new" if r.get(f"{what}_lone") else ""
            cells.append("–" if within is None else f"{number(100 * within, 1)} % of {r[f'{what}_beats']}{lone}")
            cells.append("–" if largest is None else number(largest, 1))
        lines.append(line(tuple(cells)))
    return lines
