"""Analyses and measurements to one self-contained HTML page: no server, no network, plotly's JavaScript inside it once.

A picture is drawn when it scrolls into view, so a page with many recordings opens at once. Long recordings are shown
whole as a min-max envelope and, in part, sample by sample; `_POINTS` bounds the size of the page.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

from cardiofm.pipeline import Analysis
from cardiofm.signals import MODALITIES, Measurement
from cardiofm.web import averaged, course, measured, pictures, plot, strip
from cardiofm.web.summary import summary

Summary = dict[str, Any]  # of `summary`

MAX_PICTURES = 40  # recordings drawn in one page; the table names all of them
_POINTS = 900_000  # samples in all pictures of one page: about 5 MB

_STRIP_SHARE = 0.3  # of the samples of a recording that the strip with the fiducials may have
_BEATS = (500, 3000)  # at least and at most this many beats are drawn one by one
_POINTS_A_BEAT = 15

_MIDDLE = (
    "The middle beat: median of the beats and their middle half; each mark at its median in ms ± half its middle half"
)
_LEGEND = (
    "Drag to zoom, double-click to see all. × marks what is not given: hover to read why. The "
    f"middle beat is of at most {averaged.MOST} beats, evenly over the recording. "
    "Reconstruction: what the decoder makes of the quantized tokens. Quality: "
    "0 bad … 1 good, per window. PRD: root mean square error of the reconstruction in percent of the signal's standard "
    "deviation; r: their correlation. Bits: what the tokens of the reconstruction cost."
)
_STYLE = """
:root { --ink:#1d2733; --soft:#667585; --line:#e3e8ee; --paper:#fff; --back:#f6f8fa; --ecg:#c2403d; --ppg:#1f6fb2; }
* { box-sizing:border-box; }
body { margin:0; background:var(--back); color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif; }
header { background:var(--paper); border-bottom:1px solid var(--line); }
header, main { padding:22px max(24px, calc(50vw - 640px)); }
h1 { font-size:22px; margin:0; letter-spacing:-.01em; }
h2 { font-size:18px; margin:0; display:inline; }
h3 { font-size:13px; margin:18px 0 0; color:var(--soft); font-weight:600; }
header p { margin:4px 0 0; color:var(--soft); }
section { background:var(--paper); border:1px solid var(--line); border-radius:8px; padding:18px 20px;
  margin:0 0 18px; }
table { border-collapse:collapse; margin:12px 0 0; width:100%; font-size:14px; font-variant-numeric:tabular-nums; }
th { text-align:left; color:var(--soft); font-weight:500; font-size:13px; }
th, td { padding:4px 18px 4px 0; border-bottom:1px solid var(--line); vertical-align:top; }
td.n, th.n { text-align:right; white-space:nowrap; }
tr:last-child td, tr:last-child th { border-bottom:0; }
th[scope=row] { color:var(--ink); }
a { color:inherit; }
.chip { display:inline-block; margin:0 0 0 8px; padding:1px 9px; border-radius:10px; background:#eef2f6; color:#435160;
  font-size:12.5px; }
.chip.simulated { background:#fff0d6; color:#8a5300; }
.notes { margin:8px 0 0; color:var(--soft); font-size:13px; }
.dot { display:inline-block; width:10px; height:10px; border-radius:50%; margin-right:7px; }
.picture { width:100%; }
.scroll { overflow-x:auto; }
footer { color:var(--soft); font-size:13px; padding:0 max(24px, calc(50vw - 640px)) 30px; }
"""

_DRAW = """
const draw = (e) => { const f = JSON.parse(e.nextElementSibling.textContent);
  Plotly.newPlot(e, f.data, f.layout, {responsive:true, displaylogo:false,
    modeBarButtonsToRemove:["select2d","lasso2d","toImage"]}); };
const seen = new IntersectionObserver((all) => all.forEach((x) => {
  if (x.isIntersecting) { seen.unobserve(x.target); draw(x.target); } }), {rootMargin:"800px"});
document.querySelectorAll(".picture").forEach((e) => seen.observe(e));
"""


def report(
    analyses: Sequence[Analysis],
    model: str,
    summaries: Sequence[Summary] | None = None,
    footnote: str = "",
    measurements: Sequence[Measurement | None] | None = None,
) -> str:
    """A page of HTML that shows each analysis: table, measured beats, traces with reconstruction, bits, similarity.

    `model` is the model as the header names it. `summaries` are those of all recordings where only some of them are
    drawn. `footnote` is where attributions go. `measurements`: one per analysis, None where nothing was measured.
    Simulated recordings are labelled so.
    """
    beats = [None] * len(analyses) if measurements is None else list(measurements)
    if summaries is None:
        summaries = [summary(a, m) for a, m in zip(analyses, beats, strict=True)]
    points = _POINTS // max(1, min(MAX_PICTURES, len(analyses)))
    body = [_contents(summaries, analyses)] if len(summaries) > 1 else []
    body += [_section(i, summaries[i], a, beats[i], points) for i, a in enumerate(analyses[:MAX_PICTURES])]
    from plotly.offline import get_plotlyjs

    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>CardioFM report</title><style>{_STYLE}</style></head><body>",
            f"<header><h1>CardioFM report</h1><p>Model {html.escape(model)} · research software, "
            "<strong>not a medical device</strong></p></header><main>",
            *body,
            f"</main><footer>{_LEGEND} {html.escape(footnote)}</footer>",
            f"<script>{get_plotlyjs()}</script><script>{_DRAW}</script></body></html>",
        )
    )


def _contents(summaries: Sequence[Summary], analyses: Sequence[Analysis]) -> str:
    """The first section: one line per recording, and how alike the recordings are."""
    rows = []
    any_beats = any(one.get("measured") for one in summaries)
    for i, one in enumerate(summaries):
        name = html.escape(one["record"])
        link = f'<a href="#r{i}">{name}</a>' if i < min(MAX_PICTURES, len(analyses)) else name
        cells = f'<td>{link}</td><td class="n">{plot.clock(one["duration_s"])}</td>'
        for modality in MODALITIES:
            figures = one[modality] or {}
            cells += _number(figures.get("quality"), ".2f") + _number(figures.get("prd_percent"), ".1f")
        cells += _beats_cells(one.get("measured")) if any_beats else ""
        rows.append(f"<tr>{cells}</tr>")
    head = "".join(f'<th class="n">{m.upper()} quality</th><th class="n">{m.upper()} PRD, %</th>' for m in MODALITIES)
    if any_beats:
        head += "".join(f'<th class="n">{name}</th>' for name in ("Heart rate, bpm", "QT, ms", "QTc, ms", "PAT, ms"))
    table = f'<table><tr><th>Recording</th><th class="n">Duration</th>{head}</tr>{"".join(rows)}</table>'
    more = ""
    if len(summaries) > MAX_PICTURES:
        more = f"<h3>The first {MAX_PICTURES} of {len(summaries)} recordings are drawn below</h3>"
    if len(analyses) > 2:
        more += "<h3>Similarity of the recordings: cosine of their mean embeddings</h3>"
        more += _picture(pictures.similarity_of_records(analyses), "Similarity of the recordings")
    return f'<section><h2>{len(summaries)} recordings</h2><div class="scroll">{table}</div>{more}</section>'


def _beats_cells(said: Summary | None) -> str:
    """Heart rate and the medians of QT, QTc (Fridericia) and PAT, as cells."""
    if said is None:
        return _number(None, "") * 4
    rate = said["heart_rate_bpm"]
    cells = _number(rate["ppg"] if rate["ecg"] is None else rate["ecg"], ".1f")
    return cells + "".join(
        _number(said["intervals"][k]["median"], ".0f") for k in ("qt_ms", "qtc_fridericia_ms", "pat_ms")
    )


def _section(index: int, one: Summary, analysis: Analysis, beats: Measurement | None, points: int) -> str:
    """One recording: name, what must be known about it, figures, pictures."""
    rows = []
    for modality in MODALITIES:
        figures = one[modality]
        if figures is None:
            continue
        start = f" from {plot.clock(figures['start_s'])}" if figures["start_s"] else ""
        rows.append(
            f'<tr><td><span class="dot" style="background:var(--{modality})"></span>{modality.upper()}</td>'
            f"<td>{html.escape(figures['channel'])}</td><td>{html.escape(figures['unit'])}</td>"
            f'<td class="n">{figures["fs_hz"]:g}</td>'
            f'<td class="n">{plot.clock(figures["duration_s"])}{start}</td>'
            + _number(figures["quality"], ".2f")
            + _number(figures["prd_percent"], ".1f")
            + _number(figures["r"], ".3f")
            + _number(figures["bits_per_s"], ".0f")
            + "</tr>"
        )
    head = "<th></th><th>Channel</th><th>Unit</th>" + "".join(
        f'<th class="n">{name}</th>' for name in ("Rate, Hz", "Duration", "Quality", "PRD, %", "r", "Bits/s")
    )
    known = analysis.record.notes
    rest = " · ".join(html.escape(note) for note in one["notes"] if note not in known)
    parts = [
        f'<section id="r{index}"><h2>{html.escape(one["record"])}</h2>{"".join(map(_chip, known))}',
        f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div><p class="notes">{rest}</p>',
    ]
    figures = [] if beats is None else _beats(analysis, beats, points)
    parts.append(measured.table(one.get("measured")))
    left = points if beats is None else round(points * (1 - _STRIP_SHARE))
    for title, figure in (*figures, *pictures.of(analysis, left)):
        parts += [f"<h3>{html.escape(title)}</h3>", _picture(figure, title)]
    return "".join(parts) + "</section>"


def _beats(analysis: Analysis, beats: Measurement, points: int) -> list[tuple[str, plot.Figure]]:
    """(title, figure) of the pictures of a measurement; none where no beats were found."""
    record = analysis.record
    if len(beats) == 0:
        return []
    rate_hz = sum(s.fs_hz for s in (record.ecg, record.ppg) if s is not None)
    start_s, end_s = strip.typical(record, beats, min(strip.LONGEST_S, _STRIP_SHARE * points / rate_hz))
    most = min(max(_BEATS[0], points // _POINTS_A_BEAT), _BEATS[1])
    middle = averaged.picture(record, beats)
    figures = [] if middle is None else [(_MIDDLE, middle)]
    part = f", {plot.clock(start_s)} to {plot.clock(end_s)}, the part most like the whole recording"
    given, refused = strip.counted(beats, start_s, end_s)
    title = (
        f"Every fiducial{part if end_s - start_s < record.duration_s else ''}: {given} given, {refused} not; pan to see"
    )
    figures.append((f"{title} more, zoom with the buttons", strip.strip(record, beats, start_s, end_s)))
    if course.in_spans(beats, most):
        title = f"Intervals, medians of {most // 2} equal spans of time and their middle half; a cross where more than"
        title += " half of the beats of a span have no value"
    else:
        title = "Intervals, beat by beat; a cross where a value is not given, its reason on hover"
    return [*figures, (title, course.picture(record, beats, most))]


def _chip(note: str) -> str:
    kind = "chip simulated" if note.startswith("simulated") else "chip"
    return f'<span class="{kind}">{html.escape(note)}</span>'


def _number(value: float | None, form: str) -> str:
    return f'<td class="n">{"–" if value is None else format(value, form)}</td>'


def _picture(figure: plot.Figure, title: str) -> str:
    text = json.dumps(figure, allow_nan=False).replace("<", "\\u003c")  # a name from a file ends no script
    label = html.escape(title, quote=True)
    style = f"min-height:{figure['layout']['height']}px"
    return (
        f'<div class="picture" role="img" aria-label="{label}" style="{style}"></div>'
        f'<script type="application/json">{text}</script>'
    )
