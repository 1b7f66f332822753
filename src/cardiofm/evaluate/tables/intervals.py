"""QT, boundaries, R peaks, PAT, heart rate and silence, the model beside the tools of today."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number, ranged

OWN = "CardioFM"
_DELINEATORS = ("neurokit2 dwt", "neurokit2 prominence", "openecg", "openecg v1")
_FROM_RR = ("RR, linear", "mean QT")
_QT_SETS = {
    "ludb": "LUDB lead II",
    "qtdb": "QTDB",
    "qtdb without sel33, sele0116": "QTDB without sel33, sele0116",
    "qtdb, both readers": "QTDB, beats of both readers",
}
_QT = (
    ("mae_ms", "per beat, MAE", 1),
    ("median_ms", "per beat, median", 1),
    ("bias_ms", "per beat, bias", 1),
    ("record_median_ms", "per record", 1),
)
_QT_AIMS = {
    ("ludb", "mae_ms"): "≤ 12, ≥ 97 %",
    ("ludb", "bias_ms"): "± 2",
    ("ludb", "record_median_ms"): "≤ 9",
    ("qtdb", "mae_ms"): "≤ 20, ≥ 95 %",
    ("qtdb", "median_ms"): "≤ 12",
}
_BOUNDARY_AIMS = {"ludb": "≥ 0.97", "qtdb": "≥ 0.92"}
_R = ("neurokit2", "xqrs", "openecg", "classical")
_PAT = ("neurokit2", "neurokit2, 10-s median", "classical")
_PAT_AIMS = {None: "≤ 5", 12.0: "≤ 5", 6.0: "≤ 8", 0.0: "≤ 14", -6.0: "≤ 20"}
_TWO = ("neurokit2", "classical")
_KEYS = ("task", "set", "condition", "snr_db", "channel", "tolerance", "method", "metric")
Found = dict[tuple[Any, ...], dict[str, Any]]


def intervals(result: dict[str, Any]) -> list[str]:
    """Tables of QT, of boundaries and R peaks, of PAT, of rate and silence, of rhythm; calibration as a sentence."""
    by = {tuple(r.get(k) for k in _KEYS): r for r in result["rows"]}
    lines = [
        "**Intervals**, each row on the same beats for every method. Patients whose beats were marked by hand are "
        "measured by a head that never saw them, one of three that the released head's own command trained; openecg's "
        "weights were trained on records of both sets. Ventricular flutter (143 s of MIT-BIH) is scored for nobody. "
        "Values with a bootstrap 95 % interval over patients; in parentheses, behind mean absolute "
        "errors, the share of the true beats that were given a value.",
        "",
        *_qt(by),
        "",
        *_marked(by),
        "",
        *_pat(by),
        "",
        *_rate(by),
        "",
        *_rhythm(by),
        "",
    ]
    said = [s for s in (_paired(result), _calibration(result)) if s]
    return [*lines, " ".join([*said, behind("intervals", result)])]


def _qt(by: Found) -> list[str]:
    """|found − marked QT| in ms; per record: of the medians."""
    columns = (OWN, *_DELINEATORS, *_FROM_RR, "second reader")
    lines = header(("QT error, ms", "", *columns, "aim"))
    for place, words in _QT_SETS.items():
        for metric, what, digits in _QT:
            cells = [_with_share(by, "qt", metric, digits, m, set=place) for m in columns]
            if any(c != "–" for c in cells):
                lines.append(line((words, what, *cells, _QT_AIMS.get((place, metric), ""))))
    return lines


def _marked(by: Found) -> list[str]:
    """F1 of boundaries, and of R peaks."""
    columns = (OWN, *_DELINEATORS, "neurokit2 peaks", "xqrs", "openecg detect_qrs", "classical")
    lines = header(("F1", "", *columns, "aim"))
    for place in ("ludb", "qtdb"):
        for tolerance, words in (("150", "150 ms"), ("tight", "P 50, QRS 40, T end 100 ms")):
            key = {"set": place, "tolerance": tolerance}
            cells = [ranged(_of(by, "boundaries", "macro_f1", m, **key), 3, bold=m == OWN) for m in columns[:5]]
            if any(c != "–" for c in cells):
                row = (f"{_QT_SETS[place]}, five boundaries", words, *cells, *["–"] * 4, _BOUNDARY_AIMS[place])
                lines.append(line(row))
    for condition in dict.fromkeys(k[2] for k in by if k[0] == "r_peaks"):
        for metric, words in (("f1_150", "150 ms"), ("f1_50", "50 ms")):
            key = {"set": "mitdb", "condition": condition}
            own, *rest = (ranged(_of(by, "r_peaks", metric, m, **key), 4, bold=m == OWN) for m in (OWN, *_R))
            aim = "≥ 0.998" if (condition, metric) == ("as recorded", "f1_150") else ""
            lines.append(line((f"R peaks, mitdb, {condition}", words, own, *["–"] * len(_DELINEATORS), *rest, aim)))
    return lines


def _pat(by: Found) -> list[str]:
    """PAT errors in ms against the consensus and against simulated truth."""
    columns = (OWN, *_PAT)
    lines = header(("PAT", "", *columns, "aim"))
    together = next((k[1] for k in by if k[0] == "pat" and " + " in k[1]), None)
    for place, snr_db in dict.fromkeys((k[1], k[3]) for k in by if k[0] == "pat"):
        if snr_db is not None and " + " not in place:
            continue
        where = f"{place}, {'clean' if snr_db is None else f'{snr_db:g} dB'}"
        aim = "≤ 4" if place == "simulated" else _PAT_AIMS.get(snr_db, "")
        key = {"set": place, "snr_db": snr_db}
        cells = [_with_share(by, "pat", "mae_ms", 1, m, **key) for m in columns]
        lines.append(line((where, "per beat, MAE in ms", *cells, aim)))
        cells = [_share(_of(by, "pat", "other_beat", m, **key)) for m in columns]
        if any(c not in ("–", "0.0 %") for c in cells):
            lines.append(line((where, "stretches paired a beat off (given back for the errors)", *cells, "")))
        if place not in ("simulated", together):
            continue  # of single sets the errors alone
        for metric, words, digits in (
            ("block_median_ms", "30-s median, error in ms", 1),
            ("changes_r", "beat-to-beat changes, r", 2),
            ("drift_r", "drift, r", 3),
        ):
            cells = [ranged(_of(by, "pat", metric, m, **key), digits, bold=m == OWN) for m in columns]
            if any(c != "–" for c in cells):
                aim = {"drift_r": "≥ 0.99"}.get(metric, "≤ 4" if (metric, snr_db) == ("block_median_ms", -6.0) else "")
                lines.append(line((where, words, *cells, aim)))
    return lines


def _rate(by: Found) -> list[str]:
    """Heart rate per window, and beats invented where there is no heart."""
    columns = (OWN, *_TWO)
    lines = header(("rate and silence", "", *columns, "aim"))
    for place, channel, aim in (("bidmc", "ecg", "≤ 0.5"), ("bidmc", "ppg", "≤ 0.5"), ("ieee-spc-2015", "ppg", "≤ 3")):
        key = {"set": place, "channel": channel}
        cells = [_with_share(by, "rate", "mae_bpm", 2, m, share="answered", **key) for m in columns]
        if any(c != "–" for c in cells):
            lines.append(line((f"{place}, {channel.upper()} alone", "MAE per minute (answered)", *cells, aim)))
    for kind in ("nstdb", "flat", "white", "mains", "all"):
        found = [_of(by, "silence", "refused", m, set=kind) for m in columns]
        invented = [_of(by, "silence", "invented", m, set=kind) for m in columns]
        if any(f is not None for f in found):
            cells = [
                "–" if f is None or i is None else f"{number(100 * f['value'], 1)} % ({number(i['value'], 1)})"
                for f, i in zip(found, invented, strict=True)
            ]
            aim = "≥ 99.5 %" if kind == "all" else ""
            lines.append(line((f"no heart: {kind}", "windows refused (beats invented a window)", *cells, aim)))
    return lines


def _rhythm(by: Found) -> list[str]:
    """Atrial fibrillation told from an ECG, and from the intervals alone, as a PPG gives them."""
    columns = (OWN, f"{OWN}, intervals alone", "irregularity alone")
    lines = header(("rhythm", "", *columns, "aim"))
    for place, words in (
        ("challenge-2017", "challenge-2017, folds of records"),
        ("mitdb", "mitdb, 30 s, never trained on"),
    ):
        for metric, what, aim in (("auroc_af", "AUROC of AF", "≥ 0.98"), ("f1_af", "F1 of AF", "≥ 0.85")):
            cells = [ranged(_of(by, "rhythm", metric, m, set=place), 3, bold=m == OWN) for m in columns]
            if any(c != "–" for c in cells):
                lines.append(line((words, what, *cells, aim if place == "challenge-2017" else "")))
    return lines


def _share(row: dict[str, Any] | None) -> str:
    return "–" if row is None else f"{number(100 * row['value'], 1)} %"


def _paired(result: dict[str, Any]) -> str:
    """The model less each floor on the beats that both measured."""
    own = [r for r in result["differences"] if r["task"] == "qt" and any(d in r["difference"] for d in _DELINEATORS)]
    said = [f"{_QT_SETS[r['set']]} {r['difference'].split(' - ')[1]} {ranged(r, 1)}" for r in own]
    return f"QT, |error| of {OWN} less that of each tool on beats of both, ms: {'; '.join(said)}." if said else ""


def _calibration(result: dict[str, Any]) -> str:
    rows = [r for r in result["rows"] if r["task"] == "calibration"]
    said = []
    for measure in dict.fromkeys(r["measure"] for r in rows):
        own = {r["metric"]: r for r in rows if r["measure"] == measure}
        said.append(
            f"{measure.upper()} within {own['ece']['tolerance_ms']:g} ms: expected calibration error "
            f"{ranged(own['ece'], 3)}, refusing the least sure tenth lowers the MAE by "
            f"{number(own['gain_worst_tenth_refused_pct']['value'], 0)} %"
        )
    return f"Stated confidence: {'; '.join(said)} (aims ≤ 0.05, ≥ 25 %)." if said else ""


def _of(by: Found, task: str, metric: str, method: str, **where: Any) -> dict[str, Any] | None:
    place = {"task": task, "metric": metric, "method": method, **where}
    return by.get(tuple(place.get(k) for k in _KEYS))


def _with_share(
    by: Found, task: str, metric: str, digits: int, method: str, share: str = "coverage", **where: Any
) -> str:
    """A value, bold where it is the model's, and the share of beats or windows behind it."""
    row = _of(by, task, metric, method, **where)
    if row is None:
        return "–"
    part = _of(by, task, share, method, **where)
    shown = "" if part is None or metric not in ("mae_ms", "mae_bpm") else f" ({number(100 * part['value'], 0)} %)"
    return ranged(row, digits, bold=method == OWN) + shown
