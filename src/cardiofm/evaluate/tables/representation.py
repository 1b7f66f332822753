"""What frozen features tell of heart and owner: one row a task, one column a method, and the paired differences."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.extractors.peers import PEERS
from cardiofm.evaluate.tables.markdown import behind, header, line, number

_TASKS = {  # (set, task) → the metric that is shown, and in which words
    ("ptb-xl", "superclasses"): ("macro-AUROC", "PTB-XL, 5 superclasses, macro-AUROC"),
    ("ptb-xl", "superclasses "): ("macro-F1", "the same, macro-F1"),
    ("ptb-xl", "statements"): ("macro-AUROC", "PTB-XL, statements, macro-AUROC"),
    ("ptb-xl", "abnormal"): ("AUROC", "PTB-XL, abnormal, AUROC"),
    ("ptb-xl", "abnormal "): ("F1 (NORM)", "the same, F1 of normal"),
    ("challenge-2015", "alarm"): ("AUROC", "ICU alarm true, AUROC"),
    ("challenge-2015", "alarm, type known"): ("AUROC", "the same, type of alarm known, AUROC"),
    ("challenge-2015", "alarm, type known "): ("challenge score", "the same, challenge score"),
    ("challenge-2017", "AF"): ("AUROC", "AF in hand-held ECG, AUROC"),
    ("challenge-2017", "AF "): ("F1 (AF)", "the same, F1"),
    ("mitdb", "AF, learned elsewhere"): ("AUROC", "the same heads on MIT-BIH, AUROC"),
    ("ptb-xl", "age"): ("MAE, years", "PTB-XL, age, error in years"),
    ("ptb-xl", "sex"): ("AUROC", "PTB-XL, sex, AUROC"),
    ("bidmc", "age"): ("MAE, years", "BIDMC, age, error in years"),
    ("bidmc", "sex"): ("AUROC", "BIDMC, sex, AUROC"),
    ("ludb", "age"): ("MAE, years", "LUDB, age, error in years"),
    ("ludb", "sex"): ("AUROC", "LUDB, sex, AUROC"),
    ("ppg-bp", "age"): ("MAE, years", "PPG-BP, age, error in years"),
    ("ppg-bp", "sex"): ("AUROC", "PPG-BP, sex, AUROC"),
    ("ppg-bp", "BMI"): ("MAE, kg/m²", "PPG-BP, body-mass index, error in kg/m²"),
    ("ppg-bp", "hypertension"): ("AUROC", "PPG-BP, hypertension, AUROC"),
    ("ppg-bp", "diabetes"): ("AUROC", "PPG-BP, diabetes, AUROC"),
}
_METHODS = {  # column → the methods that may stand in it, the first that there is
    "CardioFM": (("model", "boosting"), ("model", "linear")),
    "untrained network": (("untrained", "boosting"), ("untrained", "linear")),
    "MiniRocket": (("minirocket", "linear"),),
    "hand-crafted, boosting": (("before the alarm", "boosting"), ("rhythm", "boosting"), ("hand-crafted", "boosting")),
    "CardioFM + hand-crafted": (("model + hand-crafted", "fused"),),
    "constant": (("constant", "none"),),
}
_TUNED = {  # shown where they were run
    "CardioFM, fine-tuned": ("model, fine-tuned", "fused"),
    "fine-tuned + hand-crafted": ("model, fine-tuned + hand-crafted", "fused"),
}
_OWN = ("model, ecg alone, ppg alone", "ecg alone", "ppg alone")
_PEERS = [(name, "linear") for name in (*_OWN, *PEERS)]  # shown where they were run
_PAIRS = {
    "model - untrained": "− untrained",
    "model - minirocket": "− MiniRocket",
    "model + hand-crafted - hand-crafted, boosting": "both − hand-crafted",
    "model, ecg alone, ppg alone - minirocket": "with each alone − MiniRocket",
    "model, fine-tuned - model": "fine-tuned − frozen",
}


def representation(result: dict[str, Any]) -> list[str]:
    """A row for each task with CardioFM, its floors, and what it is better by on the same patients."""
    by = {(r["set"], r["task"], r["metric"], r["method"], r["head"]): r for r in result["rows"] if "group" not in r}
    here = {(k[3], k[4]) for k in by}
    methods = _METHODS | {name: (key,) for name, key in _TUNED.items() if key in here}
    methods |= {key[0]: (key,) for key in dict.fromkeys((k[3], k[4]) for k in by) if key in _PEERS}
    gains = {(d["set"], d["task"], d["metric"], d["difference"]): d for d in result["differences"]}
    pairs = {pair: words for pair, words in _PAIRS.items() if any(key[3] == pair for key in gains)}
    lines = [
        "**Representation.** Frozen features, the mean over a record's windows, and a head whose penalty is chosen on "
        "validation patients: linear, or gradient boosting on hand-crafted numbers; the method of both averages them. "
        "Of alarms the last 10 s before them, boosting on all but MiniRocket, and as hand-crafted numbers those of "
        "`measure/alarm.py`, which CardioFM's fiducial head finds the beats for; of AF those that `measure` tells "
        "rhythms by. Fine-tuned: the encoder's last blocks learn the task in each fold, averaged with the frozen head; "
        "not where fewer than 200 patients would train it. PTB-XL: trained on folds 1-7, chosen on 8, scored on 9; "
        "MIT-BIH: half minutes, labels of none of its patients learned from; else cross-validated by patient. In "
        "brackets the 95 % bootstrap interval over patients; differences are paired (AUROC and score: above 0 is "
        "better; years: below).",
        "",
        *header(("task", *methods, *pairs.values(), "patients (refused)")),
    ]
    for (name, asked), (metric, words) in _TASKS.items():
        task = _named(asked.strip(), by)
        found = {k[3:]: row for k, row in by.items() if k[:3] == (name, task, metric)}
        if not found:
            continue
        digits = 3 if "AUROC" in metric or "F1" in metric or "score" in metric else 1
        rows = [next((found[key] for key in keys if key in found), None) for keys in methods.values()]
        cells = [_cell(row, digits, k == 0) for k, row in enumerate(rows)]
        paired = [_cell(gains.get((name, task, metric, pair)), digits, True) for pair in pairs]
        first = next(row for row in rows if row is not None)
        lines.append(line((words, *cells, *paired, f"{first['patients']} ({first['refused']})")))
    absent = "; ".join(f"{name}: {why}" for name, why in result.get("absent", {}).items())
    said = _groups(result["rows"]) + (f"Not run: {absent}. " if absent else "")
    return [*lines, "", said + behind("representation", result)]


def _named(task: str, by: dict[tuple[str, ...], Any]) -> str:
    """The task of that name; "statements" stands for "46 statements"."""
    return next((key[1] for key in by if key[1].endswith(f" {task}")), task) if task == "statements" else task


def _groups(rows: list[dict[str, Any]]) -> str:
    """The groups of people and of alarms, a sentence each."""
    found = []
    for task, words in {"abnormal": "PTB-XL, abnormal", "alarm, type known": "Alarms, CardioFM + hand-crafted"}.items():
        method = "model" if task == "abnormal" else "model + hand-crafted"
        own = [r for r in rows if r.get("group") and r["method"] == method and r["task"] == task]
        said = [f"{r['group'].replace('_', ' ')} {_cell(r, 3, True)}, {r['patients']} patients" for r in own]
        found += [f"{words}, AUROC by group: {'; '.join(said)}. "] if said else []
    return "".join(found)


def _cell(row: dict[str, Any] | None, digits: int, with_bounds: bool) -> str:
    if row is None:
        return "–"
    value = number(row["value"], digits)
    if not with_bounds or row["low"] is None:
        return value
    return f"{value} [{number(row['low'], digits)}, {number(row['high'], digits)}]"
