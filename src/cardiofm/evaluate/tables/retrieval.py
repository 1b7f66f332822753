"""How often the nearest window is the same patient's."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line


def retrieval(result: dict[str, Any]) -> list[str]:
    """A row for each method: how often the nearest window is the same patient's."""
    first = result["rows"][0]
    lines = [
        f"**Nearest neighbour** of a window of BIDMC (never trained on) among windows of other records or at least "
        f"{result['apart_s']:.0f} s away: share that is the same patient, mean over {first['patients']} patients "
        f"({first['windows']} windows, {result['records']} records).",
        "",
        *header(("method", "same patient", "95 %")),
    ]
    for row in result["rows"]:
        bounds = "–" if row["low"] is None else f"{row['low']:.1%} to {row['high']:.1%}"
        lines.append(line((result["methods"][row["method"]], f"{row['value']:.1%}", bounds)))
    return [*lines, "", behind("retrieval", result)]
