"""Windows per second of training, against what the arithmetic allows."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number


def training_speed(result: dict[str, Any]) -> list[str]:
    """A row for each model and kind of work in bf16 at the most threads; fp32 and one thread stay in the file."""
    most = max(r["threads"] for r in result["rows"])
    lines = [
        f"**Training speed** in bf16 with {most} threads ({result['device']}): {result['hardware']}; share of the rate "
        "of plain matrix products measured in the same round, of the shapes that the encoder multiplies and of large "
        f"ones; median of {result['rounds']} rounds (lowest, highest).",
        "",
        *header(("model", "work", "windows/s", "GFLOP a window", "share, own shapes", "share, 2048²", "waiting")),
    ]
    shown = [r for r in result["rows"] if r["threads"] == most and r["precision"] == "bf16"]
    return [*lines, *(line((r["model"], r["what"], *_cells(r))) for r in shown), "", behind("training_speed", result)]


def _cells(r: dict[str, Any]) -> tuple[str, ...]:
    if r["windows_per_s"] is None:
        return (f"not available: {r['why'][:60]}", "–", "–", "–", "–")
    speed = f"{number(r['windows_per_s'], 1)} ({number(r['low'], 1)}, {number(r['high'], 1)})"
    if "share_own" not in r:
        return (speed, "–", "–", "–", "–")
    waiting = f"{number(100 * r['waiting'], 1)} %" if "waiting" in r else "–"
    shares = (number(r["share_own"], 2), number(r["share_large"], 2))
    return (speed, number(r["gflop_per_window"], 2), *shares, waiting)
