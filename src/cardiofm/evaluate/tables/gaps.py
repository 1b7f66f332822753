"""Hidden seconds drawn back, beside simple fillers."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number, ranged

_FLOORS = {
    "template": "beat template",
    "template at other": "template at the other's beats",
    "match": "best-matching stretch",
    "line": "straight line",
    "untrained": "untrained network",
}
_SHOWN = (
    *((("bidmc", channel, gap_s, "visible")) for channel in ("ecg", "ppg") for gap_s in (0.5, 1.0, 2.0)),
    *((("bidmc", channel, 1.0, other)) for channel in ("ecg", "ppg") for other in ("absent", "hidden too")),
    *((("all five", channel, 1.0, "visible")) for channel in ("ecg", "ppg")),
)


def gaps(result: dict[str, Any]) -> list[str]:
    """A row for each of twelve conditions; a cell is PRD / r / F1."""
    keys = ("set", "channel", "gap_s", "other", "method", "metric")
    by = {tuple(r[k] for k in keys): r for r in result["rows"]}
    lines = [
        "**Gaps** drawn back on sets never trained on: PRD in % (median over patients) / r (mean) / F1 at 50 ms of "
        "the R peaks or pulse feet in the gap (pooled). Brackets: bootstrap 95 % interval over patients. The template "
        "is the median beat of the visible part, placed where its rhythm goes on, or at the other channel's beats. "
        "Aims at 1 s with the other channel visible: ECG r 0.93 and F1 0.98, PPG r 0.96.",
        "",
        *header(
            ("set", "channel", "hidden", "other channel", "CardioFM", *_FLOORS.values(), "patients, windows (refused)")
        ),
    ]
    for place in _SHOWN:
        found = {m: [by.get((*place, m, k)) for k in ("prd", "r", "f1")] for m in ("model", *_FLOORS)}
        prd = found["model"][0]
        if prd is None:
            continue
        own = " / ".join(ranged(row, digits, bold=True) for row, digits in zip(found["model"], (0, 2, 2), strict=True))
        floors = [_plain(found[m]) for m in _FLOORS]
        count = f"{prd['patients']}, {prd['windows']} ({prd['refused']})"
        lines.append(line((place[0], place[1].upper(), f"{place[2]:g} s", place[3], own, *floors, count)))
    return [*lines, "", behind("gaps", result)]


def _plain(rows: list[dict[str, Any] | None]) -> str:
    values = ["–" if row is None else number(row["value"], digits) for row, digits in zip(rows, (0, 2, 2), strict=True)]
    return "–" if set(values) == {"–"} else " / ".join(values)
