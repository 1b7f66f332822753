"""Windows per second: our models by batch and backend, and beside every system that runs here."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line

_OURS = {"model": "CardioFM", "ecg alone": "CardioFM, ECG alone", "ppg alone": "CardioFM, PPG alone"}


def throughput(result: dict[str, Any]) -> list[str]:
    """A row for each model, backend and number of threads, and a row for each system."""
    (peer,) = (r for r in result["rows"] if r["model"] == "neurokit2")
    memory = result["memory_mib"]
    lines = [
        f"**Speed** in 10-second ECG + PPG windows per second (times NeuroKit2 in the same round; median of "
        f"{result['rounds']} interleaved rounds): {result['hardware']}. NeuroKit2 clean + peaks on the same windows: "
        f"{peer['value']:.1f} windows/s, {memory['neurokit2']:.0f} MiB.",
        "",
        *_ways(result),
        *_systems(result),
    ]
    return [*lines, behind("throughput", result)]


def _ways(result: dict[str, Any]) -> list[str]:
    """Ours: a column for each batch, and one for the whole door."""
    columns = [("encode", 1), ("encode", 16), ("encode", 128), ("embed", 16)]
    by = {(r["model"], r["backend"], r["threads"], r["what"], r["batch"]): r for r in result["rows"]}
    names = dict.fromkeys(k[:3] for k in by if k[3] == "encode")
    if not names:
        return []
    lines = header(("model", "by", "threads", "batch 1", "batch 16", "batch 128", "from a Record", "peak memory"))
    for model, backend, threads in names:
        cells = [by[model, backend, threads, *column] for column in columns]
        speed = [f"{c['value']:.1f} (×{c['ratio']:.2f})" for c in cells]
        size = f"{result['memory_mib'][f'{model} {backend}']:.0f} MiB" if threads == 1 else "–"
        lines.append(line((model, backend, str(threads), *speed, size)))
    return [*lines, ""]


def _systems(result: dict[str, Any]) -> list[str]:
    """Windows to numbers, 16 at a time, with what each system does to prepare them."""
    rows = [r for r in result["rows"] if r["what"] == "extract"]
    if not rows:
        return []
    threads = sorted({r["threads"] for r in rows})
    by = {(r["model"], r["threads"]): r for r in rows}
    said = [f"windows/s, {n} thread{'s' * (n > 1)}" for n in threads]
    lines = [
        "Every system on the same windows, sixteen at a time, its own preparation included; weights do not matter for "
        "speed, so a peer without its weights here runs its real architecture with random ones.",
        "",
        *header(("system", "numbers", "parameters", *said, "peak memory")),
    ]
    for name, about in result["systems"].items():
        speed = [f"{by[name, n]['value']:.1f}" for n in threads]
        millions = f"{about['parameters'] / 1e6:.2f} M" if about["parameters"] else "–"
        memory = f"{result['memory_mib'][f'{name} extract']:.0f} MiB"
        words: str = _OURS.get(name) or about["meaning"]
        lines.append(line((words, str(about["numbers"]), millions, *speed, memory)))
    absent = "; ".join(f"{name}: {why}" for name, why in result.get("absent", {}).items())
    return [*lines, "", *([f"Not here: {absent}.", ""] if absent else [])]
