"""One signal from the other one alone, beside a template that knows no network."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number, ranged

_METHODS = {
    "pat": "template, training delay",
    "pat-known": "template, own delay known",
    "mis-paired": "CardioFM, another patient's signal",
    "untrained": "untrained network",
    "mean": "train-mean window",
}
_CYCLE_METHODS = {
    "dictionary": "paired dictionaries",
    "cosine": "cosine-transform map",
    "mean": "mean cycle",
    "mis-paired": "CardioFM, another patient's signal",
}
_PAIRS = (("r", "r_lag"), ("f1_50", "f1_50_lag"))
_NAMES = {"r": "r / at the best lag", "f1_50": "F1 at 50 ms / at the best lag"}


def across(result: dict[str, Any]) -> list[str]:
    """Eight rows for windows, r and F1 of beats; four for single cycles."""
    by = {tuple(r[k] for k in ("set", "channel", "metric", "method")): r for r in result["rows"]}
    wanted = list(dict.fromkeys((r["set"], r["channel"]) for r in result["rows"]))
    lines = [
        "**One signal from the other one alone**, on people never seen: bidmc was never trained on, of challenge-2015 "
        "the test patients. r: mean over patients; F1 of R peaks (ECG) or pulse feet (PPG): pooled. Monitors delay the "
        "pulse by a fixed unknown time, so each is also given at the best lag within 1 s, for every method alike. "
        "Brackets: bootstrap 95 % interval over patients.",
        "",
        *header(("set", "drawn", "score", "CardioFM", *_METHODS.values(), "patients, windows (refused)")),
    ]
    for dataset, channel in wanted:
        for first, second in _PAIRS:
            found = {m: [by.get((dataset, channel, x, m)) for x in (first, second)] for m in ("model", *_METHODS)}
            own = " / ".join(ranged(row, 2, bold=True) for row in found["model"])
            rest = [_plain(found[m]) for m in _METHODS]
            count = _count(by[dataset, channel, first, "model"])
            lines.append(line((dataset, channel.upper(), _NAMES[first], own, *rest, count)))
    lines += [
        "",
        "Single cycles between two beats of the given signal: mean r over patients, cut there in both signals / with "
        "the true delay known to all: the wanted signal cut at its own beats, a drawing of the whole window moved by "
        "its best lag. Maps are fitted on training patients.",
        "",
        *header(("set", "drawn", "CardioFM", *_CYCLE_METHODS.values(), "patients, windows (refused)")),
    ]
    for dataset, channel in wanted:
        ways = ("cycle_r", "cycle_r_aligned")
        found = {m: [by.get((dataset, channel, x, m)) for x in ways] for m in ("model", *_CYCLE_METHODS)}
        own = " / ".join(ranged(row, 2, bold=True) for row in found["model"])
        first = by.get((dataset, channel, "cycle_r", "model"))
        count = "–" if first is None else _count(first)
        lines.append(line((dataset, channel.upper(), own, *(_plain(found[m]) for m in _CYCLE_METHODS), count)))
    return [*lines, "", f"{_control(result)} {behind('across', result)}"]


def _control(result: dict[str, Any]) -> str:
    """What giving another patient's signal costs, as paired differences."""
    said = [
        f"{d['channel'].upper()} on {d['set']} {ranged(d, 2)}"
        for d in result["differences"]
        if d["difference"] == "model - mis-paired" and d["metric"] == "r_lag"
    ]
    return f"The right signal less another patient's, r at the best lag, paired: {'; '.join(said)}."


def _plain(rows: list[dict[str, Any] | None]) -> str:
    return " / ".join("–" if row is None else number(row["value"], 2) for row in rows)


def _count(row: dict[str, Any]) -> str:
    return f"{row['patients']}, {row['windows']} ({row['refused']})"
