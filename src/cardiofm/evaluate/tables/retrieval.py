"""How often the nearest window is the same patient's, and how well two windows of one person are told from others."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line

_SETS = {
    "bidmc": "BIDMC",
    "qtdb": "QTDB",
    "challenge-2015": "challenge-2015 (a recording counts as a patient)",
    "ptb-xl": "PTB-XL",
}
_METRICS = {
    "same patient": "nearest is the same patient",
    "mean average precision": "mean average precision",
    "equal error rate": "verification, equal error rate",
    "same patient, another recording": "nearest in another recording",
}


def retrieval(result: dict[str, Any]) -> list[str]:
    """A row for each set and metric, a column for each method."""
    by: dict[tuple[str, str, str], dict[str, Any]] = {
        (r.get("set", "bidmc"), r["metric"], r["method"]): r for r in result["rows"]
    }
    asked = list(dict.fromkeys(key[:2] for key in by))
    lines = [
        f"**Whose window?** Every window looks for the most alike one among windows of other records or at least "
        f"{result['apart_s']:.0f} s away; averaged over patients. Mean average precision: of all these windows, the "
        "most alike first. Verification: as many own windows are missed as others' are let in. Another recording: the "
        "neighbour is looked for among other recordings only, for patients who have several. BIDMC was never trained "
        "on; the others may have been.",
        "",
        *header(("set", "what", *result["methods"].values(), "patients (windows)")),
    ]
    for name, metric in asked:
        own = {method: by.get((name, metric, method)) for method in result["methods"]}
        first = next(row for row in own.values() if row is not None)
        cells = [_cell(row, bold=method == "model") for method, row in own.items()]
        counts = f"{first['patients']} ({first['windows']})"
        lines.append(line((_SETS.get(name, name), _METRICS.get(metric, metric), *cells, counts)))
    absent = "; ".join(f"{name}: {why}" for name, why in result.get("absent", {}).items())
    return [*lines, "", (f"Not run: {absent}. " if absent else "") + behind("retrieval", result)]


def _cell(row: dict[str, Any] | None, bold: bool) -> str:
    if row is None:
        return "–"
    value = f"**{row['value']:.1%}**" if bold else f"{row['value']:.1%}"
    return value if row["low"] is None else f"{value} [{row['low']:.1%}, {row['high']:.1%}]"
