"""Probes on embeddings of decoded codes, beside those of the recording itself."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, ranged


def codes_as_features(result: dict[str, Any]) -> list[str]:
    """A row for each task: the full embedding, and at each rate the score and its paired difference."""
    by = {(r["set"], r["task"], r["rate"]): r for r in result["rows"]}
    change = {(r["set"], r["task"], r["rate"]): r for r in result["differences"]}
    rates = list(dict.fromkeys(r["rate"] for r in result["differences"]))
    lines = [
        "**Codes as features**: AUROC of linear probes on the embedding of the recording, and of what its codes draw "
        "at a rate; behind it the paired difference. Bits are those of the codes at 8 each. Brackets: bootstrap 95 % "
        "interval over patients.",
        "",
        *header(("set", "task", "recording", *(f"{rate} bit/s" for rate in rates), "patients")),
    ]
    for place, task in dict.fromkeys(key[:2] for key in by):
        full = by[place, task, "full"]
        cells = [
            f"{ranged(by[place, task, rate], 3, bold=True)}, {ranged(change[place, task, rate], 3)}" for rate in rates
        ]
        lines.append(line((place, task, ranged(full, 3), *cells, str(full["patients"]))))
    return [*lines, "", behind("codes_as_features", result)]
