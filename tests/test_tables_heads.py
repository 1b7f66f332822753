"""The table of the shipped heads shows each metric beside its floors, and only figures of the file."""

from __future__ import annotations

from cardiofm.evaluate.tables.heads import heads


def row(metric: str, method: str, value: float, **more: object) -> dict[str, object]:
    own = {
        "head": "age",
        "set": "ptb-xl",
        "metric": metric,
        "method": method,
        "value": value,
        "low": None,
        "high": None,
    }
    return own | {"patients": 12, "windows": 14, "refused": 1} | more


def test_a_line_is_a_metric_of_a_head() -> None:
    rows = [
        row("MAE", "head", 9.76, low=8.8, high=10.7),
        row("MAE", "hand-crafted", 9.9),
        row("MAE", "constant", 15.2),
        row("r", "head", 0.7491),
        row("AUROC", "head, type not told", 0.93, head="alarm"),
    ]
    model = {"name": "base", "sha256": "0123456789abcdef"}
    lines = heads({"rows": rows, "model": model, "command": "python benchmarks/heads.py"})
    assert "| age | ptb-xl | MAE | **9.8** [8.8, 10.7] | 9.9 | 15.2 | 12 (1) |" in lines
    assert "| age | ptb-xl | r | **0.749** | – | – | 12 (1) |" in lines
    assert "`results/heads.json`, made by" in lines[-1]
    assert "`alarm` where the type of the alarm is not told: AUROC 0.930. " in lines[-1]
