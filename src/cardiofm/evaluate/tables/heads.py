"""The shipped heads: each metric of each, beside its floors, on patients that it did not learn from."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, ranged

_DIGITS = {"MAE": 1}


def heads(result: dict[str, Any]) -> list[str]:
    """A row for each metric of a head."""
    lines = [
        "**Shipped heads** (`cardiofm predict --head NAME`) on patients that no head learned from, choice and "
        "calibration included: PTB-XL fold 9, and the test patients of the challenges. Hand-crafted: boosted trees on "
        "the hand-crafted numbers, made alike. Constant: the shares of the classes, or the mean. Brackets: bootstrap "
        "95 % interval over patients. In so few patients even right probabilities have a calibration error above 0.",
        "",
        *header(("head", "set", "metric", "head", "hand-crafted", "constant", "patients (refused)")),
    ]
    rows = result["rows"]
    for own in (r for r in rows if r["method"] == "head"):
        name, metric = own["head"], own["metric"]
        by = {r["method"]: r for r in rows if (r["head"], r["metric"]) == (name, metric)}
        digits = _DIGITS.get(metric, 3)
        cells = [ranged(own, digits, bold=True), *(ranged(by.get(m), digits) for m in ("hand-crafted", "constant"))]
        lines.append(line((name, own["set"], metric, *cells, f"{own['patients']} ({own['refused']})")))
    blind = [r for r in rows if r["method"] == "head, type not told"]
    said = ", ".join(f"{r['metric']} {ranged(r, _DIGITS.get(r['metric'], 3))}" for r in blind)
    said = f"`{blind[0]['head']}` where the type of the alarm is not told: {said}. " if blind else ""
    return [*lines, "", f"{said}ROC, confusion and calibration: `results/heads.png`. {behind('heads', result)}"]
