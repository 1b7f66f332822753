"""The figures of a measurement as a table of HTML: each with its unit, its spread, how many beats have it, and why not
the others."""

from __future__ import annotations

import html
from typing import Any

from cardiofm.web.course import RHYTHMS

_NAMES = {
    "rr_ms": "RR", "pr_ms": "PR", "qrs_ms": "QRS", "qt_ms": "QT", "qtc_fridericia_ms": "QTc (Fridericia)",
    "qtc_bazett_ms": "QTc (Bazett)", "qtc_framingham_ms": "QTc (Framingham)", "pat_ms": "PAT",
}  # fmt: skip
_HRV = {"sdnn_ms": ("SDNN", "ms"), "rmssd_ms": ("RMSSD", "ms"), "pnn50": ("pNN50", "%"), "lf_hf": ("LF/HF", "")}
_WHOLE = {"no ECG", "no PPG"}
_NOTE = (
    "Median and spread over beats. Given: the share of beats that have the value; no value is filled in. PAT runs from "
    "R peak to PPG foot, and includes the pre-ejection period and whatever a monitor delays the PPG by: its changes "
    "mean more than its level. QTc: corrected by the interval before each beat."
)


def table(said: dict[str, Any] | None) -> str:
    """The HTML of what `summary` says of a measurement: a table, or one sentence without beats; "" for None."""
    if said is None:
        return ""
    if not said["beats"]:
        return (
            f'<p class="notes"><strong>No beats measured</strong>: {html.escape(said["reason"] or "none found")}.</p>'
        )
    head = "".join(
        f'<th scope="col"{kind}>{name}</th>'
        for name, kind in (
            ("Measure", ""), ("Unit", ""), ("Median", ' class="n"'), ("Middle half", ' class="n"'),
            ("5 to 95 %", ' class="n"'), ("Given", ' class="n"'), ("Not given because (beats)", ""),
        )
    )  # fmt: skip
    rows = [*_rates(said), *_intervals(said), *_variability(said), _rhythm(said)]
    body = f'<table class="measured"><tr>{head}</tr>{"".join(rows)}</table>'
    return f'<h3>Measured: {said["beats"]} beats</h3><div class="scroll">{body}</div><p class="notes">{_NOTE}</p>'


def _row(name: str, unit: str, *cells: str, why: str = "") -> str:
    numbers = "".join(f'<td class="n">{cell}</td>' for cell in (*cells, *[""] * (4 - len(cells))))
    return f'<tr><th scope="row">{name}</th><td>{unit}</td>{numbers}<td>{html.escape(why)}</td></tr>'


def _rates(said: dict[str, Any]) -> list[str]:
    rates, rows = said["heart_rate_bpm"], []
    for modality, point in (("ecg", "r_peak_s"), ("ppg", "ppg_foot_s")):
        if not _absent(said[point]):
            rate = "–" if rates[modality] is None else f"{rates[modality]:.1f}"
            name = f"Heart rate from {modality.upper()} (mean)"
            rows.append(_row(name, "bpm", rate, "", "", _given(said, point), why=_why(said[point])))
    return rows


def _intervals(said: dict[str, Any]) -> list[str]:
    rows = []
    for key, name in _NAMES.items():
        one = said[key]
        if _absent(one):
            continue
        cells = ["–"] * 3
        if one["median"] is not None:
            middle, ends = f"{one['q25']:.0f} to {one['q75']:.0f}", f"{one['p5']:.0f} to {one['p95']:.0f}"
            cells = [f"{one['median']:.0f}", middle, ends]
        rows.append(_row(name, "ms", *cells, _given(said, key), why=_why(one)))
    return rows


def _absent(one: dict[str, Any]) -> bool:
    """Whether the record lacks the channel that a value is of."""
    return one["beats"] == 0 and set(one["refused"]) <= _WHOLE


def _given(said: dict[str, Any], key: str) -> str:
    return f"{said[key]['beats']} of {said['beats']} ({said[key]['coverage']:.0%})"


def _why(one: dict[str, Any]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in sorted(one["refused"].items(), key=lambda kv: -kv[1]))


def _variability(said: dict[str, Any]) -> list[str]:
    hrv = said["hrv"]
    return [
        _row(name, unit, f"{hrv[key]:.2f}" if key == "lf_hf" else f"{hrv[key]:.0f}")
        for key, (name, unit) in _HRV.items()
        if hrv.get(key) is not None
    ]


def _rhythm(said: dict[str, Any]) -> str:
    rhythm = said["rhythm"]
    if rhythm is None:
        return ""
    label = str(RHYTHMS.get(rhythm["label"], rhythm["label"]))
    return _row("Rhythm", "", html.escape(label), why=f"probability {rhythm['probability']:.2f}")
