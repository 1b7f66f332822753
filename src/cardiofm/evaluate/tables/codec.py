"""The codec in real bytes, beside a real classical coder and FLAC."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number, ranged

_COLUMNS = ("set", "channel", "bit/s", "took", "CardioFM", "classical", "against classical", "FLAC", "R peaks F1")
_COLUMNS += ("QT, ms", "PAT, ms", "patients")


def codec(result: dict[str, Any]) -> list[str]:
    """A row for each set, channel and rate; below, what lossless storage takes, what the prior saves, and noise."""
    by = {(r["set"], r["channel"], r["rate"], r["method"], r["metric"]): r for r in result["rows"]}
    change = {(r["set"], r["channel"], r["rate"]): r for r in result["differences"]}
    lines = [
        "**The codec, real bytes on disk**: median PRD in % of a minute of each patient (10 s of LUDB, 2.1 s of "
        "PPG-BP), all bytes of the chunks counted: codes, depths, gaps, means and spreads, check sums and times; the "
        f"header, once a file, is {result['header_bytes']} bytes. Classical: bior4.4, rate-distortion quantiser, "
        "adaptive context range coder with start counts for the rate, in the same container. R peaks, QT and PAT: of "
        "the decoded recording against the original's, measured alike. Changes are paired, below 0 is better; "
        "brackets: bootstrap 95 % interval over patients.",
        "",
        *header(_COLUMNS),
    ]
    for place, channel, rate in change:
        cell = {k[3:]: r for k, r in by.items() if k[:3] == (place, channel, rate)}
        model = cell.get(("model", "prd"))
        if model is None:
            continue
        lines.append(
            line((
                place, channel.upper(), rate, _plain(cell, "model", "bits", 0), ranged(model, 1, bold=True),
                _plain(cell, "classical", "prd", 1), f"{ranged(change[place, channel, rate], 0)} %",
                _plain(cell, "flac", "prd", 1), _plain(cell, "model", "r_f1", 3), _plain(cell, "model", "qt_ms", 1),
                _plain(cell, "model", "pat_ms", 1), str(model["patients"]),
            ))
        )  # fmt: skip
    return [*lines, "", f"{_lossless(by)} {_saved(by)} {_noise(result)} {behind('codec', result)}"]


def _plain(cell: dict[tuple[str, str], dict[str, Any]], method: str, metric: str, digits: int) -> str:
    row = cell.get((method, metric))
    return "–" if row is None else number(row["value"], digits)


def _lossless(by: dict[tuple[str, ...], dict[str, Any]]) -> str:
    said = [
        f"{place} {channel.upper()} {number(row['value'], 0)} bit/s (16-bit differences and xz "
        f"{number(by[place, channel, rate, 'xz', 'bits']['value'], 0)})"
        for (place, channel, rate, method, metric), row in by.items()
        if (method, metric) == ("lossless", "bits")
    ]
    return f"Bit for bit: {', '.join(said)}."


def _saved(by: dict[tuple[str, ...], dict[str, Any]]) -> str:
    """What the codes of 64 bit/s would take at 8 bits each."""
    said = [
        f"{place} {channel.upper()} {number(row['value'], 0)}"
        for (place, channel, rate, method, metric), row in by.items()
        if (rate, method, metric) == ("64", "model", "plain")
    ]
    return f"The codes within 64 bit/s would take, at 8 bits each and without saying depths: {', '.join(said)} bit/s."


def _noise(result: dict[str, Any]) -> str:
    before = sum(r["before"] for r in result["noise"])
    after = sum(r["after"] for r in result["noise"])
    seconds = sum(r["seconds"] for r in result["noise"])
    return f"R peaks given in {seconds} s of noise without a heart: {before} before coding, {after} after decoding."
