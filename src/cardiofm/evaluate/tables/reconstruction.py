"""How well windows are drawn, from codes and where parts are hidden."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number

_METHODS = {
    "model": "CardioFM",
    "mean": "train-mean window",
    "line": "straight line",
    "match": "best-matching stretch",
    "untrained": "untrained network",
}


def reconstruction(result: dict[str, Any]) -> list[str]:
    """A row for each group, condition and channel; a cell is PRD in % / r of a method."""
    by: dict[tuple[str, ...], dict[tuple[str, str], dict[str, Any]]] = {}
    for row in result["rows"]:
        if row["set"] in result["groups"]:
            key = (row["set"], row["channel"], row["condition"], row["other"])
            by.setdefault(key, {})[row["method"], row["metric"]] = row
    lines = [
        "**Reconstruction** of real 10-second windows of patients never trained on: PRD in % / Pearson r over the "
        "hidden samples (over all where nothing is hidden). PRD is the median over patients, r the mean; in brackets "
        "the bootstrap 95 % interval over patients. The mean of the hidden truth would score 100 / 0. A channel that "
        "is hidden throughout is given its own true mean and spread, in every column.",
        "",
        *header(("patients", "channel", "condition", "other channel", *_METHODS.values(), "n (refused)")),
    ]
    for key in sorted(by, key=lambda k: (list(result["groups"]).index(k[0]), k[1])):
        found = by[key]
        prd = found["model", "prd"]
        count = f"{prd['patients']} patients, {prd['windows']} windows ({prd['refused']})"
        cells = [_pair(found, method) for method in _METHODS]
        lines.append(line((key[0], key[1].upper(), key[2], key[3].replace("-", "–"), *cells, count)))
    kinds = "; ".join(f"{name}: {meaning}" for name, meaning in result["groups"].items())
    return [*lines, "", f"{kinds}. {behind('reconstruction', result)}"]


def _pair(found: dict[tuple[str, str], dict[str, Any]], method: str) -> str:
    prd, r = found.get((method, "prd")), found.get((method, "r"))
    if prd is None or r is None:
        return "–"
    if method != "model":
        return f"{number(prd['value'], 0)} / {number(r['value'], 2)}"
    return f"**{number(prd['value'], 0)}**{_range(prd, 0)} / **{number(r['value'], 2)}**{_range(r, 2)}"


def _range(row: dict[str, Any], digits: int) -> str:
    return "" if row["low"] is None else f" [{number(row['low'], digits)}, {number(row['high'], digits)}]"
