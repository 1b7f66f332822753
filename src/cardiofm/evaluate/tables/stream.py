"""What a stream costs, and how its beats differ from those of the whole recording."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line

_NAMES = {
    "r_peak_s": "R peak", "qrs_ms": "QRS", "qt_ms": "QT", "ppg_foot_s": "PPG foot", "pat_ms": "PAT",
}  # fmt: skip


def stream(result: dict[str, Any]) -> list[str]:
    """A row for each point or interval: provisional and final beats against those of `measure`."""
    rows = {(r["mode"], r["metric"]): r for r in result["rows"]}
    cost, delay, data = "processor_s_per_s", rows["provisional", "delay_s"], result["data"]
    first, *_, last = result["memory_mib"].items()
    lines = [
        f"**Streams**: {data['records']} recordings of {data['set']}, {data['seconds']:g} s each, in packets of "
        f"{data['packet_s']:g} s. Processor seconds per second of ECG + PPG: live (an embedding a second, beats looked "
        f"for twice a second) {rows['live', cost]['value']:.2f}, catching up (an embedding every ten seconds, final "
        f"beats) {rows['catching up', cost]['value']:.3f}, {result['times_real_time']:.0f} times real time over hours. "
        f"Resident memory after {float(first[0]):g} simulated h {first[1]:.0f} MiB, after {float(last[0]):g} h "
        f"{last[1]:.0f}. Provisional beats come {delay['value']:.1f} s after the R peak (at most {delay['high']:.2f}). "
        "Below: how far they, and the final ones, are from those of `measure` on the whole recording, in ms, median "
        "(95th percentile), and the share of its values that are given.",
        "",
        *header(("", "provisional", "given", "final", "given")),
    ]
    for name, words in _NAMES.items():
        cells = [cell for mode in ("provisional", "final") for cell in _cells(rows[mode, name])]
        lines.append(line((words, *cells)))
    return [*lines, "", behind("stream", result)]


def _cells(row: dict[str, Any]) -> tuple[str, str]:
    if row["value"] is None:
        return "–", "–"
    return f"{row['value']:.1f} ({row['p95']:.1f})", f"{row['given'] / row['of']:.0%}"
