"""What each part of the model is worth."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number

_COLUMNS = (
    ("PRD at 64 bit/s, ECG", ("codec_prd", "ecg", "ecg"), 1),
    ("PPG", ("codec_prd", "ppg", "ppg"), 1),
    ("gap r without echo, ECG", ("gap_r_no_echo", "ecg", "both"), 3),
    ("PPG", ("gap_r_no_echo", "ppg", "both"), 3),
    ("r across, ECG", ("across_r", "ecg", "ppg"), 3),
    ("PPG", ("across_r", "ppg", "ecg"), 3),
    ("guess, nats", ("guess", "both", "both"), 3),
    ("PTB-XL AUROC", ("diagnosis_auroc", "ecg", "ecg"), 3),
    ("alarm AUROC", ("alarm_auroc", "both", "both"), 3),
)


def ablations(result: dict[str, Any]) -> list[str]:
    """A row for each variant: the full model's values, then paired differences to it; bold where away from 0."""
    by = {(r["variant"], (r["metric"], r["channel"], r["shown"])): r for r in result["rows"]}
    full = result["runs"]["full"]
    lines = [
        f"**Ablations**: `tiny` models, the same {full['step']} steps ({full['hours_seen']:.0f} h), each without one "
        "part, frozen, on people never seen. First row: values; below: paired differences to it, [95 % interval over "
        "patients], bold where it leaves out 0. PRD and guess: lower is better. Gap: 1 s of bidmc hidden, the other "
        "channel visible. The second row is the same model from another seed: what differs by no more than it is no "
        f"evidence. Patients behind the first row: {_patients(by)}. The codec's columns move with depth alone, "
        "since settling starts every variant's drawing from the codes themselves.",
        "",
        *header(("variant", *(c[0] for c in _COLUMNS))),
    ]
    for name, text in result["variants"].items():
        cells = [_cell(by.get((name, key)), digits) for _, key, digits in _COLUMNS]
        lines.append(line((text, *cells)))
    return [*lines, "", behind("ablations", result)]


def _patients(by: dict[Any, dict[str, Any]]) -> str:
    """How many patients each column of the full model rests on."""
    found = [(title, by["full", key].get("patients")) for title, key, _ in _COLUMNS if ("full", key) in by]
    return "; ".join(f"{title}: {count}" for title, count in found if count)


def _cell(row: dict[str, Any] | None, digits: int) -> str:
    if row is None or row["value"] is None:
        return "–"
    d = row.get("difference")
    if d is None:
        return number(row["value"], digits) if row["variant"] == "full" else "–"
    mark = "**" if d["low"] * d["high"] > 0 else ""
    sign = "+" if d["value"] > 0 else ""
    return f"{mark}{sign}{number(d['value'], digits)}{mark} [{number(d['low'], digits)}, {number(d['high'], digits)}]"
