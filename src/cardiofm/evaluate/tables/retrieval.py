"""How often the nearest window is the same patient's, and how well two windows of one person are told from others."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line

_MORE = {  # (set, metric) → its column, where the results have it
    ("bidmc", "mean average precision"): "mean average precision",
    ("bidmc", "equal error rate"): "verification, equal error rate",
    ("qtdb", "same patient"): "QTDB, same patient",
    ("qtdb", "mean average precision"): "QTDB, mean average precision",
    ("qtdb", "equal error rate"): "QTDB, equal error rate",
    ("challenge-2015", "same patient"): "challenge-2015, same recording",
    ("challenge-2015", "mean average precision"): "challenge-2015, mean average precision",
    ("challenge-2015", "equal error rate"): "challenge-2015, equal error rate",
    ("bidmc", "same patient, another recording"): "BIDMC, another recording",
    ("ptb-xl", "same patient, another recording"): "PTB-XL, another recording",
}
_LONG = {"qtdb": "QTDB", "challenge-2015": "challenge-2015 (a recording counts as a patient)"}


def retrieval(result: dict[str, Any]) -> list[str]:
    """A row for each method: how often the nearest window is the same patient's."""
    by = {(r.get("set", "bidmc"), r["metric"], r["method"]): r for r in result["rows"]}
    more = [column for column in _MORE if any(key[:2] == column for key in by)]
    first = by["bidmc", "same patient", next(iter(result["methods"]))]
    records = result["records"] if isinstance(result["records"], int) else result["records"]["bidmc"]
    lines = [
        f"**Nearest neighbour** of a window of BIDMC (never trained on) among windows of other records or at least "
        f"{result['apart_s']:.0f} s away: share that is the same patient, mean over {first['patients']} patients "
        f"({first['windows']} windows, {records} records)." + _note(by),
        "",
        *header(("method", "same patient", "95 %", *(_MORE[column] for column in more))),
    ]
    for method, name in result["methods"].items():
        row = by["bidmc", "same patient", method]
        cells = [_cell(by.get((*column, method))) for column in more]
        lines.append(line((name, f"{row['value']:.1%}", _bounds(row, " to ") or "–", *cells)))
    return [*lines, "", behind("retrieval", result)]


def _note(by: dict[tuple[str, str, str], dict[str, Any]]) -> str:
    """Who has several recordings, and what verification is, where the results have it."""
    found = {name: by.get((name, "same patient, another recording", "model")) for name in ("bidmc", "ptb-xl")}
    several = [f"{r['patients']} of {name.upper()} ({r['windows']} windows)" for name, r in found.items() if r]
    if not several:
        return ""
    more = [f"{by[name, 'same patient', 'model']['patients']} of {words}" for name, words in _LONG.items()
            if (name, "same patient", "model") in by]  # fmt: skip
    others = f" Alike for {' and '.join(more)}, which may have been trained on." if more else ""
    return others + (
        f" Another recording: the neighbour is looked for among other recordings only, for patients who have several: "
        f"{', '.join(several)}; PTB-XL may have been trained on. Mean average precision: of all other "
        "windows, the most alike first. Verification: as many own windows are missed as others' are let in."
    )


def _cell(row: dict[str, Any] | None) -> str:
    return "–" if row is None else f"{row['value']:.1%} [{_bounds(row, ', ')}]"


def _bounds(row: dict[str, Any], between: str) -> str:
    return "" if row["low"] is None else f"{row['low']:.1%}{between}{row['high']:.1%}"
