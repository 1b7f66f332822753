"""Pooling over a recording's windows: attention against the mean, with and without heart rate variability."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, ranged

_TASKS = {
    ("challenge-2015", "alarm"): "ICU alarm true, AUROC",
    ("bidmc", "age"): "BIDMC, age, error in years",
    ("bidmc", "sex"): "BIDMC, sex, AUROC",
}


def pooling(result: dict[str, Any]) -> list[str]:
    """A row a task, a column a method, then the paired differences; and in words where attention is better."""
    by = {(r["set"], r["task"], r["method"]): r for r in result["rows"]}
    gains = {(d["set"], d["task"], d["difference"]): d for d in result["differences"]}
    methods, pairs = list(result["methods"]), list(dict.fromkeys(d["difference"] for d in result["differences"]))
    lines = [
        f"**Pooling.** {result['windows']} windows a recording: the last before an ICU alarm; spread over eight "
        "minutes of BIDMC. Gated attention over the embeddings, which begins as the linear head on their mean, against "
        "that head; HRV: seven numbers of heart rate variability of the whole ECG beside the embeddings. "
        "Cross-validated by patient. Brackets: 95 % over patients; differences are paired (AUROC: above 0 is better; "
        "years: below).",
        "",
        *header(("task", *methods, *(p.replace(" - ", " − ") for p in pairs), "patients (refused)")),
    ]
    for (name, task), own in {key[:2]: row for key, row in by.items()}.items():
        digits = 1 if "years" in own["metric"] else 3
        cells = [ranged(by.get((name, task, m)), digits, m == "attention") for m in methods]
        paired = [ranged(gains.get((name, task, pair)), digits) for pair in pairs]
        words = _TASKS.get((name, task), f"{name}, {task}")
        lines.append(line((words, *cells, *paired, f"{own['patients']} ({own['refused']})")))
    return [*lines, "", f"{_verdict(result)} Picture: `results/pooling.png`. {behind('pooling', result)}"]


def _verdict(result: dict[str, Any]) -> str:
    own = [d for d in result["differences"] if d["difference"] == "attention - mean"]
    said: dict[str, list[str]] = {"better than": [], "worse than": [], "not told from": []}
    for d in own:
        up, down = ("low", "high") if "MAE" not in d["metric"] else ("high", "low")
        sign = 1 if up == "low" else -1
        kind = "better than" if sign * d[up] > 0 else "worse than" if sign * d[down] < 0 else "not told from"
        said[kind].append(f"{d['set']}, {d['task']}")
    return " ".join(f"Attention is {kind} the mean: {'; '.join(tasks)}." for kind, tasks in said.items() if tasks)
