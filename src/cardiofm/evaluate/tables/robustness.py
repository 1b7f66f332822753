"""One signal damaged, the other one clean: the middle and the end of each curve."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number, ranged

_SHOWN: tuple[tuple[str, str, str, str, float, str, int], ...] = (  # ends with metric, digits
    ("reconstruction", "bidmc", "ecg", "noise", 0.0, "r", 2),
    ("reconstruction", "bidmc", "ecg", "noise", -6.0, "r", 2),
    ("reconstruction", "bidmc", "ecg", "cut", 0.5, "r", 2),
    ("reconstruction", "bidmc", "ppg", "noise", 0.0, "r", 2),
    ("reconstruction", "bidmc", "ppg", "noise", -6.0, "r", 2),
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
    """Thirteen points of the curves; the rest is in the picture."""
    by = {tuple(r[k] for k in _KEYS): r for r in result["rows"]}
    columns = ("both given", "clean one alone", "damaged one alone", "damaged one, no network")
    lines = [
        "**One signal damaged**, the other one clean: recorded noise at a ratio in band, or a part of the window cut "
        "out. r of the damaged channel's clean truth (mean over patients), error of a linear heart-rate probe (mean), "
        "AUROC of linear alarm and AF probes, all fitted on clean training patients. Noise is cleaned away "
        "(`reconstruct --denoise`). No network: the signal within its band, the best-matching stretch, counted beats, "
        "or RR irregularity. Brackets: 95 % interval over patients.",
        "",
        *header(("task", "set", "damage", "score", *columns, "patients (refused)")),
    ]
    for *place, digits in _SHOWN:
        noisy = place[0] == "reconstruction" and place[3] == "noise"
        own, simple = ("denoised", "band-pass") if noisy else ("model", "no network")
        cells = [by.get((*place, given, own)) for given in ("both", "clean alone", "damaged alone")]
        plain = by.get((*place, "damaged alone", simple))
        floor = "–" if plain is None else number(plain["value"], digits)
        lines += _line(place, cells, digits, floor)
    never, taught = result["never_worse"], result.get("never_worse_taught")
    verdict = (
        f"With both given, the score was worse than with the clean one alone (whole interval of the paired difference "
        f"on the bad side) in {len(never['worse'])} of {never['compared']} comparisons"
    )
    if taught:
        verdict += (
            f", and in {len(taught['worse'])} of {taught['compared']} where both together and each alone are read by "
            "probes fitted on damaged training windows too"
        )
    return [*lines, "", f"{verdict}. Curves: `results/robustness.png`. {behind('robustness', result)}"]


def robustness_without_cross(result: dict[str, Any]) -> list[str]:
    """The same points for two networks that were trained alike, with and without cross-modal attention."""
    by = {tuple(r[k] for k in _KEYS): r for r in result["rows"]}
    apart = {
        tuple(r[k] for k in _KEYS[:-1]): r
        for r in result["differences"]
        if r["difference"] == "model - no-cross" and r.get("given") == "both"
    }
    lines = [
        "**The same without cross-modal attention**: two small networks trained alike, both signals given, one of them "
        "damaged.",
        "",
        *header(("task", "set", "damage", "score", "with", "without", "difference", "patients (refused)")),
    ]
    for *place, digits in _SHOWN:
        if place[0] == "reconstruction" and place[3] == "noise":
            continue  # through codes, which no attention of the encoder reaches
        cells = [by.get((*place, "both", method)) for method in ("model", "no-cross")]
        lines += _line(place, cells, digits, ranged(apart.get((*place, "both")), digits))
    which = result["without_cross"]
    return [
        *lines,
        "",
        f"Without: {which['sha256'][:12]}. Curves: `results/robustness_without_cross.png`. "
        f"{behind('robustness_without_cross', result)}",
    ]


def _line(place: list[Any], cells: list[dict[str, Any] | None], digits: int, last: str) -> list[str]:
    """One row of a table, the first cell bold; none where nothing was measured."""
    task, dataset, channel, kind, level, metric = place
    first = next((c for c in cells if c is not None), None)
    if first is None:
        return []
    amount = f"{level:g} dB noise" if kind == "noise" else f"{level:.0%} cut"
    shown = [ranged(c, digits, bold=i == 0) for i, c in enumerate(cells)]
    count = f"{first['patients']} ({first['refused']})"
    return [line((task, dataset, f"{channel.upper()}, {amount}", _WORDS[metric], *shown, last, count))]
