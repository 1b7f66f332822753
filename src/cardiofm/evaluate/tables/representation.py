"""What frozen features tell of heart and owner: one row a task, one column a method, and the paired differences."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.extractors.peers import PEERS
from cardiofm.evaluate.tables.markdown import behind, header, line, number

_TASKS = {  # (set, task) → the metric that is shown, and in which words
    ("ptb-xl", "superclasses"): ("macro-AUROC", "PTB-XL, 5 superclasses, macro-AUROC"),
    ("ptb-xl", "abnormal"): ("AUROC", "PTB-XL, abnormal, AUROC"),
    ("challenge-2015", "alarm"): ("AUROC", "ICU alarm true, AUROC"),
    ("challenge-2015", "alarm, type known"): ("challenge score", "the same, type of alarm known, challenge score"),
    ("challenge-2017", "AF"): ("AUROC", "AF in hand-held ECG, AUROC"),
    ("ptb-xl", "age"): ("MAE, years", "PTB-XL, age, error in years"),
    ("ptb-xl", "sex"): ("AUROC", "PTB-XL, sex, AUROC"),
    ("bidmc", "age"): ("MAE, years", "BIDMC, age, error in years"),
    ("bidmc", "sex"): ("AUROC", "BIDMC, sex, AUROC"),
}
_METHODS = {
    ("model", "linear"): "CardioFM",
    ("untrained", "linear"): "untrained network",
    ("minirocket", "linear"): "MiniRocket",
    ("hand-crafted", "boosting"): "hand-crafted, boosting",
    ("model + hand-crafted", "fused"): "CardioFM + hand-crafted",
}
_PEERS = [(name, "linear") for name in ("ecg alone", "ppg alone", *PEERS)]  # shown where they were run
_PAIRS = {
    "model - untrained": "− untrained",
    "model - minirocket": "− MiniRocket",
    "model + hand-crafted - hand-crafted, boosting": "both − hand-crafted",
}


def representation(result: dict[str, Any]) -> list[str]:
    """A row for each task with CardioFM, its floors, and what it is better by on the same patients."""
    by = {(r["set"], r["task"], r["metric"], r["method"], r["head"]): r for r in result["rows"] if "group" not in r}
    methods = _METHODS | {key: key[0] for key in dict.fromkeys((k[3], k[4]) for k in by) if key in _PEERS}
    gains = {(d["set"], d["task"], d["metric"], d["difference"]): d for d in result["differences"]}
    lines = [
        "**Representation.** Frozen features, the mean over a record's windows, and a head whose penalty is chosen on "
        "validation patients: linear, or gradient boosting on hand-crafted numbers; the last method averages both. "
        "PTB-XL: trained on folds 1-7, chosen on 8, scored on 9; else cross-validated by patient. In brackets the 95 % "
        "bootstrap interval over patients; differences are paired (AUROC and score: above 0 is better; years: below).",
        "",
        *header(("task", *methods.values(), *_PAIRS.values(), "patients (refused)")),
    ]
    for (name, task), (metric, words) in _TASKS.items():
        if (name, task, metric, "model", "linear") not in by:
            continue
        digits = 1 if "years" in metric else 3
        first = by[name, task, metric, "model", "linear"]
        cells = [
            _cell(by.get((name, task, metric, method[0], method[1])), digits, method[0] == "model")
            for method in methods
        ]
        paired = [_cell(gains.get((name, task, metric, pair)), digits, True) for pair in _PAIRS]
        lines.append(line((words, *cells, *paired, f"{first['patients']} ({first['refused']})")))
    absent = "; ".join(f"{name}: {why}" for name, why in result.get("absent", {}).items())
    said = _groups(result["rows"]) + (f"Not run: {absent}. " if absent else "")
    return [*lines, "", said + behind("representation", result)]


def _groups(rows: list[dict[str, Any]]) -> str:
    """The groups of people, in one sentence."""
    own = [r for r in rows if r.get("group") and r["method"] == "model"]
    if not own:
        return ""
    words = [f"{r['group']} {_cell(r, 3, True)}, {r['patients']} patients" for r in own]
    return f"PTB-XL, abnormal, AUROC by group: {'; '.join(words)}. "


def _cell(row: dict[str, Any] | None, digits: int, with_bounds: bool) -> str:
    if row is None:
        return "–"
    value = number(row["value"], digits)
    if not with_bounds or row["low"] is None:
        return value
    return f"{value} [{number(row['low'], digits)}, {number(row['high'], digits)}]"
