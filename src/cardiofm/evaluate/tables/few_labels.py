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
    "model + hand-crafted": "CardioFM + hand-crafted",
}
_PAIRS = {
    "model - hand-crafted": "− hand-crafted",
    "model - minirocket": "− MiniRocket",
    "model + hand-crafted - hand-crafted": "both − hand-crafted",
    "model + hand-crafted - minirocket": "both − MiniRocket",
}


def few_labels(result: dict[str, Any]) -> list[str]:
    """A row for each task and number of labelled patients; where the embedding was not clearly better is counted."""
    by = {(r["set"], r["task"], r["labelled"], r["method"]): r for r in result["rows"]}
    gains = {(d["set"], d["task"], d["labelled"], d["difference"]): d for d in result["differences"]}
    pairs = {pair: words for pair, words in _PAIRS.items() if any(key[3] == pair for key in gains)}
    methods = {name: words for name, words in _METHODS.items() if any(key[3] == name for key in by)}
    lines = [
        "**Few labels.** A linear head on frozen features, learned from the labels of 10, 50 or 100 patients alone, "
        f"its penalty chosen by folds among them: mean of {result['draws']} random draws, the same for every method. "
        "Scored: PTB-XL fold 9, elsewhere the patients that were not drawn. Brackets: 95 % over draws and patients; "
        "differences are paired, above 0 the embedding is better.",
        "",
        *header(("task", "labelled patients", *methods.values(), *pairs.values(), "patients (refused)")),
    ]
    for (name, task, size), own in {key[:3]: by[key] for key in by if key[3] == "model"}.items():
        words = _TASKS.get((name, task), f"{name}, {task}")
        cells = [_plain(by.get((name, task, size, method)), method == "model") for method in methods]
        paired = [ranged(gains.get((name, task, size, pair)), 3) for pair in pairs]
        lines.append(line((words, str(size), *cells, *paired, f"{own['patients']} ({own['refused']})")))
    absent = "; ".join(f"{name}: {why}" for name, why in result.get("absent", {}).items())
    said = f" Not run: {absent}." if absent else ""
    return [*lines, "", _counted(result) + said + " Curves: `results/few_labels.png`. " + behind("few_labels", result)]


def _plain(row: dict[str, Any] | None, with_bounds: bool) -> str:
    if with_bounds or row is None:
        return ranged(row, 3)
    return number(row["value"], 3)


def _counted(result: dict[str, Any]) -> str:
    """In how many comparisons the embedding, and both, are clearly better, and in how many clearly worse."""
    parts, most = [], 0
    for method, words in (
        ("model", "the embedding"),
        ("model + hand-crafted", "the embedding with hand-crafted numbers"),
    ):
        for other, said in (("hand-crafted", "the hand-crafted numbers"), ("minirocket", "MiniRocket")):
            own = [d for d in result["differences"] if d["difference"] == f"{method} - {other}"]
            better, worse = sum(d["low"] > 0 for d in own), sum(d["high"] < 0 for d in own)
            parts += [f"{words} is {better} times better and {worse} times worse than {said}"] if own else []
            most = max(most, len(own))
    return f"With the whole interval on one side, of {most} comparisons: {'; '.join(parts)}.{_above(result)}"


def _above(result: dict[str, Any]) -> str:
    """In how many tasks and sizes a method stands above both floors, intervals aside."""
    by: dict[tuple[Any, ...], dict[str, float]] = {}
    for r in result["rows"]:
        by.setdefault((r["set"], r["task"], r["labelled"]), {})[r["method"]] = r["value"]
    found = []
    for method, words in (("model", "the embedding"), ("model + hand-crafted", "both")):
        own = [v for v in by.values() if {method, "hand-crafted", "minirocket"} <= v.keys()]
        above = sum(v[method] > max(v["hand-crafted"], v["minirocket"]) for v in own)
        found += [f"{words} {above} of {len(own)} times"] if own else []
    return f" Above both, intervals aside: {', '.join(found)}." if found else ""
