"""Ten-second windows per second of `measure`, beside a classical toolkit, and memory over a day."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line


def measure_speed(result: dict[str, Any]) -> list[str]:
    """A row for each model, backend and number of threads."""
    (peer,) = (r for r in result["rows"] if r["model"] == "neurokit2")
    memory = "; ".join(f"{hours} {mib:.0f} MiB" for hours, mib in result["memory_mib"].items())
    lines = [
        f"**Speed of `measure`** in 10-second ECG + PPG windows per second, from a record to its table of beats (times "
        f"NeuroKit2 in the same round; median of {result['rounds']} interleaved rounds): {result['hardware']}. "
        f"{result['peer']}: {peer['value']:.1f} windows/s."
        + (f" Peak memory over a recording of {memory}." if memory else ""),
        "",
        *header(("model", "by", "threads", "windows/s")),
    ]
    for r in result["rows"]:
        if r is not peer:
            speed = f"{r['value']:.1f} (×{r['ratio']:.2f})"
            lines.append(line((r["model"], r["backend"], str(r["threads"]), speed)))
    return [*lines, "", behind("measure_speed", result)]
