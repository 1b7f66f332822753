"""Reconstruction from all codes on five sets that were never trained on."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number, ranged

_COLUMNS = ("set", "channel", "PRD %", "r", "F1", "interval ms (beats)", "wavelet PRD %", "untrained PRD %")
_COLUMNS += ("train-mean PRD %", "patients, windows (refused)")


def zero_shot(result: dict[str, Any]) -> list[str]:
    """A row for each set and channel, on clean windows: waveform, beats, intervals, and the PRD of the floors."""
    by = {(r["set"], r["channel"], r["quality"], r["method"], r["metric"]): r for r in result["rows"]}
    places = dict.fromkeys(key[:2] for key in by)
    lines = [
        f"**Zero-shot reconstruction** from all codes ({result['bits_per_second']:g} bit/s a channel) of clean "
        "windows of five sets never trained on, nothing hidden. F1: R peaks (ECG) or pulse feet (PPG) of one detector "
        "at 50 ms. Interval: change of QRS onset to T end a beat, as NeuroKit2 (dwt) measures original and drawing; "
        "behind it the share of beats that it measures in both. Brackets: bootstrap 95 % interval over patients. "
        "Aims: PRD at most 6 % (ECG) and 4 % (PPG), F1 at least 0.99, interval at most 4 ms.",
        "",
        *header(_COLUMNS),
    ]
    for place, channel in sorted(places, key=lambda p: (p[1], p[0] != "all five", p[0])):
        found = {m: by.get((place, channel, "clean", "model", m)) for m in result["metrics"]}
        prd = found["prd"]
        if prd is None:
            continue
        whole = by[place, channel, "all", "model", "prd"]
        share = found["measurable"]
        beats = "" if share is None else f" ({number(100 * share['value'], 0)} %)"
        floors = [ranged(by.get((place, channel, "clean", m, "prd")), 1) for m in ("wavelet", "untrained", "mean")]
        cells = [ranged(prd, 1, bold=True), ranged(found["r"], 3), ranged(found["f1"], 3)]
        cells.append(ranged(found["interval_ms"], 1) + beats)
        count = f"{prd['patients']}, {prd['windows']} clean of {whole['windows']} ({whole['refused']})"
        lines.append(line((place, channel.upper(), *cells, *floors, count)))
    return [*lines, "", f"Clean: {result['clean']}. {behind('zero_shot', result)}"]
