"""Windows per second, beside a classical toolkit."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line


def throughput(result: dict[str, Any]) -> list[str]:
    """A row for each model, backend and number of threads; a column for each batch, and one for the whole door."""
    columns = [("encode", 1), ("encode", 16), ("encode", 128), ("embed", 16)]
    by = {(r["model"], r["backend"], r["threads"], r["what"], r["batch"]): r for r in result["rows"]}
    (peer,) = (r for r in result["rows"] if r["model"] == "neurokit2")
    memory = result["memory_mib"]
    lines = [
        f"**Speed** in 10-second ECG + PPG windows per second (times NeuroKit2 in the same round; median of "
        f"{result['rounds']} interleaved rounds): {result['hardware']}. NeuroKit2 clean + peaks on the same windows: "
        f"{peer['value']:.1f} windows/s, {memory['neurokit2']:.0f} MiB.",
        "",
        *header(("model", "by", "threads", "batch 1", "batch 16", "batch 128", "from a Record", "peak memory")),
    ]
    for model, backend, threads in dict.fromkeys(k[:3] for k in by if k[0] != "neurokit2"):
        cells = [by[model, backend, threads, *column] for column in columns]
        speed = [f"{c['value']:.1f} (×{c['ratio']:.2f})" for c in cells]
        size = f"{memory[f'{model} {backend}']:.0f} MiB" if threads == 1 else "–"
        lines.append(line((model, backend, str(threads), *speed, size)))
    return [*lines, "", behind("throughput", result)]
