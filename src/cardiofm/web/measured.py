"""The figures of a measurement as a table of HTML: each with its unit, its spread, how many beats have it, and why not
the others."""

from __future__ import annotations

import html
from typing import Any

from cardiofm.web.course import RHYTHMS

Said = dict[str, Any]  # `Measurement.summary`

_NAMES = {
    "rr_ms": "RR", "pr_ms": "PR", "qrs_ms": "QRS", "qt_ms": "QT", "qtc_fridericia_ms": "QTc (Fridericia)",
    "qtc_bazett_ms": "QTc (Bazett)", "qtc_framingham_ms": "QTc (Framingham)", "pat_ms": "PAT",
}  # fmt: skip
_HRV = {"sdnn_ms": ("SDNN", "ms"), "rmssd_ms": ("RMSSD", "ms"), "pnn50": ("pNN50", "%"), "lf_hf": ("LF/HF", "")}
_WHOLE = {"no ECG", "no PPG"}
_NOTE = (
    "Median and spread over beats. Given: the share of beats that have the value; no value is filled in. "
    "QTc: corrected by the interval before each beat."
)
_PAT_NOTE = (
    " PAT runs from R peak to PPG foot, and includes the pre-ejection period and whatever a monitor delays the PPG by: "
    "its changes mean more than its level."
)


def table(said: Said | None) -> str:
    """The HTML of a measurement's summary: a table, or one sentence where there are no beats or no measurement."""
    if said is None:
        return '<p class="notes">Beats are not measured.</p>'
    if not said["beats"]:
        return (
            f'<p class="notes"><strong>No beats measured</strong>: {html.escape(said["reason"] or "none found")}.</p>'
        )
    head = "".join(
        f'<th scope="col"{kind}>{name}</th>'
        for name, kind in (
            ("Measure", ""), ("Unit", ""), ("Median", ' class="n"'), ("Interquartile range", ' class="n"'),
            ("5 to 95 %", ' class="n"'), ("Given", ' class="n"'), ("Not given because (beats)", ""),
        )
    )  # fmt: skip
    note = _NOTE + (_PAT_NOTE if said["intervals"]["pat_ms"]["beats"] else "")
    rows = [*_rates(said), *_intervals(said), *_variability(said), _rhythm(said)]
    body = f'<table class="measured"><tr>{head}</tr>{"".join(rows)}</table>'
    return f'<h3>Measured: {said["beats"]} beats</h3><div class="scroll">{body}</div><p class="notes">{note}</p>'


def _row(name: str, unit: str, *cells: str, why: str = "") -> str:
    numbers = "".join(f'<td class="n">{cell}</td>' for cell in (*cells, *[""] * (4 - len(cells))))
    return f'<tr><th scope="row">{name}</th><td>{unit}</td>{numbers}<td>{html.escape(why)}</td></tr>'


def _rates(said: Said) -> list[str]:
    rates, rows = said["heart_rate_bpm"], []
    for modality, point in (("ecg", "r_peak_s"), ("ppg", "ppg_foot_s")):
        refused = said["refused"].get(point, {})
        given = said["beats"] - sum(refused.values())
        if given or not set(refused) <= _WHOLE:
            rate = "–" if rates[modality] is None else f"{rates[modality]:.1f}"
            name = f"Heart rate from {modality.upper()} (mean)"
            rows.append(_row(name, "bpm", rate, "", "", _given(given, said), why=_why(refused)))
    return rows


def _intervals(said: Said) -> list[str]:
    rows = []
    for key, name in _NAMES.items():
        one, refused = said["intervals"][key], said["refused"].get(key, {})
        if one["beats"] == 0 and set(refused) <= _WHOLE:
            continue
        cells = ["–"] * 3
        if one["median"] is not None:
            spread = "–" if one["iqr"] is None else f"{one['iqr']:.0f}"
            cells = [f"{one['median']:.0f}", spread, f"{one['p5']:.0f} to {one['p95']:.0f}"]
        rows.append(_row(name, "ms", *cells, _given(one["beats"], said), why=_why(refused)))
    return rows


def _given(count: int, said: Said) -> str:
    return f"{count} of {said['beats']} ({count / said['beats']:.0%})"


def _why(refused: dict[str, int]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in sorted(refused.items(), key=lambda one: -one[1]))


def _variability(said: Said) -> list[str]:
    hrv = said["hrv"]
    return [
        _row(name, unit, f"{hrv[key]:.2f}" if key == "lf_hf" else f"{hrv[key]:.0f}")
        for key, (name, unit) in _HRV.items()
        if hrv.get(key) is not None
    ]


def _rhythm(said: Said) -> str:
    rhythm = said["rhythm"]
    if rhythm is None:
        return ""
    label = str(RHYTHMS.get(rhythm["label"], rhythm["label"]))
    return _row("Rhythm", "", html.escape(label), why=f"probability {rhythm['probability']:.2f}")
