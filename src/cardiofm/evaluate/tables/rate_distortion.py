"""What a bit buys, beside uniform depth and a classical coder."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.markdown import behind, header, line, number, ranged

_COLUMNS = ("channel", "bit/s", "CardioFM", "every token alike", "every block alike", "wavelet")
_COLUMNS += ("against every token alike", "against every block alike", "against wavelet")
_COLUMNS += ("against every block alike with the cost", "cost, bit/s", "patients, windows (refused)")


def rate_distortion(result: dict[str, Any]) -> list[str]:
    """A row for each channel and rate; below, how the codebooks are used and where the bits go."""
    by = {(r["channel"], r["rate"], r["method"], r["metric"]): r for r in result["rows"] if r["set"] == "all five"}
    change = {(r["channel"], r["rate"], r["difference"]): r for r in result["differences"] if r["set"] == "all five"}
    cost = {(r["channel"], r["rate"]): r["bits_per_second"] for r in result["depth_cost"]}
    lines = [
        "**Rate and distortion** of one model: median PRD in % on five sets never trained on, bits of the codes only. "
        "Uniform depth with the same codes and bits: as many levels for every token, or every block of tokens alike, "
        "each frequency as deep as it is worth on average. Adaptive depth has to say how deep a token "
        "is: at the cost in the last column but one; before it uniform depth is given those bits too. Wavelet: "
        "bior4.4, rate-distortion quantiser, ideal code length of an adaptive context model. Brackets: bootstrap 95 % "
        "interval over patients; changes are paired, and below 0 is better.",
        "",
        *header(_COLUMNS),
    ]
    for channel, rate in sorted(cost, key=lambda key: key[0]):
        prd = {m: by.get((channel, rate, m, "prd")) for m in ("model", "flat", "uniform", "wavelet")}
        model = prd["model"]
        if model is None:
            continue
        changes = [
            _percent(change.get((channel, rate, f"model against {m}, % of its PRD")))
            for m in ("flat", "uniform", "wavelet", "paid")
        ]
        plain = [ranged(prd[m], 1) for m in ("flat", "uniform", "wavelet")]
        cells = [ranged(model, 1, bold=True), *plain, *changes]
        count = f"{model['patients']}, {model['windows']} ({model['refused']})"
        lines.append(line((channel.upper(), rate, *cells, number(cost[channel, rate], 0), count)))
    return [*lines, "", f"{_books(result)} {_bits(result)}{behind('rate_distortion', result)}"]


def _percent(row: dict[str, Any] | None) -> str:
    return "–" if row is None else ranged(row, 0) + " %"


def _books(result: dict[str, Any]) -> str:
    said = []
    for channel in dict.fromkeys(b["channel"] for b in result["codebooks"]):
        own = [b for b in result["codebooks"] if b["channel"] == channel]
        least = min(b["used"] for b in own)
        perplexity = min(b["perplexity"] for b in own)
        said.append(
            f"{channel.upper()} at least {number(100 * least, 0)} % at every level (perplexity {number(perplexity, 0)} "
            f"or more of {own[0]['codes']}, {own[0]['tokens']} tokens)"
        )
    return f"Codes in use: {', '.join(said)}."


def _bits(result: dict[str, Any]) -> str:
    """How many times the mean a token over a beat gets."""
    said = [f"{r['channel'].upper()} at {r['rate']} bit/s {ranged(r, 1)}" for r in result["beats"]]
    return f"Bits of a token over the R peak or pulse foot, times the mean: {', '.join(said)}. " if said else ""
