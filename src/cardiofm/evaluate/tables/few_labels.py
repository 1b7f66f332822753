"""Few labels: one row a task and number of labelled patients, one column a method, and the paired differences."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number, ranged

_TASKS = {
    ("ptb-xl", "abnormal"): "PTB-XL, abnormal, AUROC",
    ("ptb-xl", "superclasses"): "PTB-XL, 5 superclasses, macro-AUROC",
    ("challenge-2017", "AF"): "AF in hand-held ECG, AUROC",
    ("challenge-2015", "alarm"): "ICU alarm true, AUROC",
}
_METHODS = {
    "model": "CardioFM",
    "untrained": "untrained network",
    "hand-crafted": "hand-crafted",
    "minirocket": "MiniRocket",
}
_PAIRS = {"model - hand-crafted": "− hand-crafted", "model - minirocket": "− MiniRocket"}


def few_labels(result: dict[str, Any]) -> list[str]:
    """A row for each task and number of labelled patients; where the embedding was not clearly better is counted."""
    by = {(r["set"], r["task"], r["labelled"], r["method"]): r for r in result["rows"]}
    gains = {(d["set"], d["task"], d["labelled"], d["difference"]): d for d in result["differences"]}
    lines = [
        "**Few labels.** A linear head on frozen features, learned from the labels of 10, 50 or 100 patients alone, "
        f"its penalty chosen by folds among them: mean of {result['draws']} random draws, the same for every method. "
        "Scored: PTB-XL fold 9, elsewhere the patients that were not drawn. Brackets: 95 % over draws and patients; "
        "differences are paired, above 0 the embedding is better.",
        "",
        *header(("task", "labelled patients", *_METHODS.values(), *_PAIRS.values(), "patients (refused)")),
    ]
    for (name, task, size), own in {key[:3]: by[key] for key in by if key[3] == "model"}.items():
        words = _TASKS.get((name, task), f"{name}, {task}")
        cells = [_plain(by.get((name, task, size, method)), method == "model") for method in _METHODS]
        paired = [ranged(gains.get((name, task, size, pair)), 3) for pair in _PAIRS]
        lines.append(line((words, str(size), *cells, *paired, f"{own['patients']} ({own['refused']})")))
    absent = "; ".join(f"{name}: {why}" for name, why in result.get("absent", {}).items())
    said = f" Not run: {absent}." if absent else ""
    return [*lines, "", _counted(result) + said + " Curves: `results/few_labels.png`. " + behind("few_labels", result)]


def _plain(row: dict[str, Any] | None, with_bounds: bool) -> str:
    if with_bounds or row is None:
        return ranged(row, 3)
    return number(row["value"], 3)


def _counted(result: dict[str, Any]) -> str:
    """In how many comparisons the embedding is clearly better, and in how many clearly worse."""
    parts = []
    for pair, words in (("model - hand-crafted", "the hand-crafted numbers"), ("model - minirocket", "MiniRocket")):
        own = [d for d in result["differences"] if d["difference"] == pair]
        better, worse = sum(d["low"] > 0 for d in own), sum(d["high"] < 0 for d in own)
        parts.append(f"than {words} {better} times better and {worse} times worse")
    return f"With the whole interval on one side, of {len(own)} comparisons: {', '.join(parts)}."
