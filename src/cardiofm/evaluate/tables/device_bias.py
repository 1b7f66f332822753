"""How well a probe tells the dataset that a window comes from."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number, ranged

_SHOWN = (("linear", False), ("linear", True), ("nearest", False), ("nearest", True))


def device_bias(result: dict[str, Any]) -> list[str]:
    """A row for each method: as it is, and with every dataset's mean taken away."""
    by = {
        (r["method"], r["probe"], r["means_removed"]): r for r in result["rows"] if r["metric"] == "balanced accuracy"
    }
    sets = ", ".join(f"{name.upper()} {own['patients']}" for name, own in result["data"].items())
    chance = number(result["chance"]["balanced accuracy"], 3)
    lines = [
        f"**Which dataset?** A window of the ECG alone for each of so many patients ({sets}): how often its dataset is "
        f"told, mean over datasets; chance {chance}. Datasets differ in device, lead, filters and patients, and all of "
        "these are told together. By a linear probe on unseen patients, and by the nearest other window; then without "
        "the mean of each dataset, which leaves a linear probe nothing, but the nearest window how datasets spread. "
        "Brackets: 95 % over patients.",
        "",
        *header(("numbers", "linear probe", "means removed", "nearest window", "means removed")),
    ]
    for method, words in result["methods"].items():
        cells = [ranged(by.get((method, *key)), 3, method == "model") for key in _SHOWN]
        lines.append(line((words, *cells)))
    note = f"Map: `results/device_bias.png`; {result['refused']} patients without ECG there are left out."
    return [*lines, "", f"{note} {behind('device_bias', result)}"]
