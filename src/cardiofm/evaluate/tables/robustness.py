"""One signal damaged, the other one clean: the middle and the end of each curve."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number, ranged

_SHOWN: tuple[tuple[str, str, str, str, float, str, int], ...] = (  # ends with metric, digits
    ("reconstruction", "bidmc", "ecg", "noise", 0.0, "r", 2),
    ("reconstruction", "bidmc", "ecg", "cut", 0.5, "r", 2),
    ("reconstruction", "bidmc", "ppg", "noise", 0.0, "r", 2),
    ("reconstruction", "bidmc", "ppg", "cut", 0.5, "r", 2),
    ("heart rate", "bidmc", "ecg", "noise", 24.0, "error_bpm", 1),
    ("heart rate", "bidmc", "ecg", "noise", -6.0, "error_bpm", 1),
    ("heart rate", "bidmc", "ppg", "noise", -6.0, "error_bpm", 1),
    ("alarm", "challenge-2015", "ecg", "noise", -6.0, "auroc", 2),
    ("alarm", "challenge-2015", "ppg", "noise", -6.0, "auroc", 2),
    ("af", "challenge-2017", "ecg", "noise", 24.0, "auroc", 2),
    ("af", "challenge-2017", "ecg", "noise", 6.0, "auroc", 2),
)
_WORDS = {"r": "r", "error_bpm": "error, 1/min", "auroc": "AUROC"}
_KEYS = ("task", "set", "channel", "kind", "level", "metric", "given", "method")


def robustness(result: dict[str, Any]) -> list[str]:
    """Eleven points of the curves; the rest is in the picture."""
    by = {tuple(r[k] for k in _KEYS): r for r in result["rows"]}
    ablated = any(r["method"] == "no-cross" for r in result["rows"])
    extra = ("both, no cross-modal attention",) if ablated else ()
    columns = ("both given", "clean one alone", "damaged one alone", *extra, "damaged one, no network")
    lines = [
        "**One signal damaged**, the other one clean: recorded noise at a ratio in band, or a part of the window cut "
        "out. r of the damaged channel's clean truth (mean over patients), error of a linear heart-rate probe (mean), "
        "AUROC of linear alarm and AF probes, all fitted on clean training patients; no network: the signal as it is, "
        "the best-matching stretch, counted beats, or RR irregularity. Brackets: 95 % interval over patients.",
        "",
        *header(("task", "set", "damage", "score", *columns, "patients (refused)")),
    ]
    for task, dataset, channel, kind, level, metric, digits in _SHOWN:
        place = (task, dataset, channel, kind, level, metric)
        cells = [by.get((*place, given, "model")) for given in ("both", "clean alone", "damaged alone")]
        cells += [by.get((*place, "both", "no-cross"))] if ablated else []
        plain = by.get((*place, "damaged alone", "no network"))
        first = next((c for c in cells if c is not None), None)
        if first is None:
            continue
        amount = f"{level:g} dB noise" if kind == "noise" else f"{level:.0%} cut"
        shown = [ranged(c, digits, bold=i == 0) for i, c in enumerate(cells)]
        floor = "–" if plain is None else number(plain["value"], digits)
        count = f"{first['patients']} ({first['refused']})"
        lines.append(line((task, dataset, f"{channel.upper()}, {amount}", _WORDS[metric], *shown, floor, count)))
    never = result["never_worse"]
    verdict = (
        f"With both given, the score was worse than with the clean one alone (whole interval of the paired difference "
        f"on the bad side) in {len(never['worse'])} of {never['compared']} comparisons."
    )
    return [*lines, "", f"{verdict} Curves: `results/robustness.png`. {behind('robustness', result)}"]
