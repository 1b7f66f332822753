"""The Markdown pieces that every section of the published results is made of."""

from __future__ import annotations

from typing import Any


def header(names: tuple[str, ...]) -> list[str]:
    return [line(names), "|" + "---|" * len(names)]


def line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def number(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # adding 0 turns -0 into 0


def behind(name: str, result: dict[str, Any]) -> str:
    """Where the numbers stand and which weights made them."""
    model = result["model"]
    step = f", step {model['step']}" if "step" in model else ""
    return f"`results/{name}.json`, made by `{result['command']}` with `{model['name']}` {model['sha256'][:12]}{step}."


def ranged(row: dict[str, Any] | None, digits: int, bold: bool = False) -> str:
    """A row's value with its 95 % interval in brackets; a dash where there is no row."""
    if row is None:
        return "–"
    mark = "**" if bold else ""
    bounds = "" if row["low"] is None else f" [{number(row['low'], digits)}, {number(row['high'], digits)}]"
    return f"{mark}{number(row['value'], digits)}{mark}{bounds}"
