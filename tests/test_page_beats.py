"""The report shows what was measured where it was measured, and what was not with its reason; it stays small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cardiofm.cli import app
from cardiofm.data.simulate import Simulated, simulate
from cardiofm.signals import EVENTS, MEASURES, REASONS, Measurement, Record, Signal
from cardiofm.web import averaged, course, marks, strip
from cardiofm.web.measured import table
from cardiofm.web.page import MAX_PICTURES, report
from cardiofm.web.summary import summary
from oracle import measured, truth
from test_page import BROWSER, Wave, analysis, drawn_pictures, figures, numbers

GAP = (50.0, 62.0)  # in which the ECG is not known


@pytest.fixture(scope="module")
def made() -> Simulated:
    return simulate(90, fs_ecg_hz=250, fs_ppg_hz=125, seed=11)


@pytest.fixture(scope="module")
def beats(made: Simulated) -> Measurement:
    return measured(made.record, truth(made), error_s=0.002, gaps={0: [GAP]})


def traces(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The traces of a figure that have a name of their own."""
    return {trace["name"]: trace for trace in figure["data"]}


def test_every_fiducial_has_a_name_and_a_symbol_of_its_own() -> None:
    looks = [marks.marker(event) for event in EVENTS]
    assert len({look["symbol"] for look in looks} | {marks.refusal_marker()["symbol"]}) == len(EVENTS) + 1
    assert len(set(marks.NAMES.values())) == len(marks.NAMES) == len(EVENTS)


def test_the_strip_marks_what_was_measured_on_the_curve(made: Simulated, beats: Measurement) -> None:
    shown = traces(strip.strip(made.record, beats, 10, 40))
    for event, name in marks.NAMES.items():
        at_s = beats.values[f"{event}_s"]
        at_s = at_s[(at_s >= 10) & (at_s < 40)]
        np.testing.assert_array_equal(numbers(shown[name]["x"]), at_s)
        assert len(shown[name]["customdata"]) == len(at_s) > 20
    ecg = made.record.ecg
    assert ecg is not None
    r = shown["R peak"]
    np.testing.assert_allclose(
        numbers(r["y"]), np.interp(numbers(r["x"]), np.arange(len(ecg.samples)) / 250, ecg.values), atol=1e-5
    )
    bracket = numbers(shown["from R peak to foot (PAT)"]["x"]).reshape(-1, 5)
    pat_s = bracket[:, 2] - bracket[:, 1]
    at = np.searchsorted(beats.values["r_peak_s"], bracket[:, 0] - 1e-9)
    np.testing.assert_allclose(pat_s, (beats.values["ppg_foot_s"] - beats.values["r_peak_s"])[at])
    assert np.abs(1000 * pat_s - beats.values["pat_ms"][at]).max() < 20  # which is smoothed


def test_what_is_not_given_has_a_cross_with_its_reason(made: Simulated, beats: Measurement) -> None:
    shown = traces(strip.strip(made.record, beats, 48, 64))["not given"]
    in_gap = [text for x, text in zip(shown["x"], shown["text"], strict=True) if GAP[0] + 1 < x < GAP[1] - 1]
    assert len(in_gap) >= 3 * 8
    assert all("no signal" in text for text in in_gap)
    assert set(shown["y"]) == {"× P", "× QRS", "× T"}
    given, refused = strip.counted(beats, 48, 64)
    at_s = marks.times(beats)
    rows = (at_s >= 48) & (at_s < 64)
    assert given + refused == len(EVENTS) * rows.sum()
    assert given == sum(np.isfinite(beats.values[f"{e}_s"][rows]).sum() for e in EVENTS)


def test_the_part_that_is_shown_is_like_the_record(made: Simulated) -> None:
    lost = measured(made.record, truth(made), gaps={0: [(0.0, 35.0)], 1: [(0.0, 35.0)]})
    start_s, end_s = strip.typical(made.record, lost, 20.0)
    assert end_s - start_s == 20.0
    assert start_s >= 30
    assert strip.typical(made.record, lost, 100.0) == (made.record.start_s, made.record.end_s)


def test_the_middle_beat_has_the_points_at_their_medians(made: Simulated, beats: Measurement) -> None:
    assert made.record.ecg is not None
    one = averaged.middle_beat(made.record.ecg, beats, "ecg")
    assert one is not None
    middle_s, low_s, high_s = one.events["t_end"]
    away_s = beats.values["t_end_s"] - beats.values["r_peak_s"]
    assert middle_s == pytest.approx(np.nanmedian(away_s))
    assert low_s < middle_s < high_s
    assert one.beats == np.isfinite(beats.values["r_peak_s"]).sum()
    assert abs(one.time_s[one.middle.argmax()]) < 0.01, "aligned at the R peak"
    assert (one.low <= one.middle).all()
    assert (one.middle <= one.high).all()
    panels = averaged.picture(made.record, beats)
    assert panels is not None
    labels = " ".join(label["text"] for label in panels["layout"]["annotations"])
    assert all(name in labels for name in marks.NAMES.values())
    assert f"T end {1000 * middle_s:.0f} ± " in labels
    ppg_only = averaged.picture(Record("p", ppg=made.record.ppg), beats)
    assert ppg_only is not None
    assert "xaxis2" not in ppg_only["layout"]


def test_intervals_are_drawn_beat_by_beat_with_crosses(made: Simulated, beats: Measurement) -> None:
    shown = course.picture(made.record, beats, most=3000)
    by_name = traces(shown)
    np.testing.assert_array_equal(numbers(by_name["QT"]["y"]), beats.values["qt_ms"].astype(np.float32))
    np.testing.assert_array_equal(numbers(by_name["PAT"]["y"]), beats.values["pat_ms"].astype(np.float32))
    rr = numbers(by_name["RR"]["y"])
    np.testing.assert_allclose(numbers(by_name["RR"]["customdata"]), 60_000 / rr, atol=0.06)
    crosses = [trace for trace in shown["data"] if trace["name"] == "not given"]
    assert len(crosses) == 3
    assert [len(c["text"]) for c in crosses] == [
        np.isnan(beats.values[name]).sum() for name in ("rr_ms", "qt_ms", "pat_ms")
    ]
    assert sum(c["showlegend"] for c in crosses) == 1
    assert crosses[0]["text"][0] == "beat 1: no beat before"
    assert {"heart rate from ECG", "heart rate from PPG"} <= set(by_name)


def test_many_beats_are_drawn_as_medians_of_spans(beats: Measurement) -> None:
    one = course.course(beats, "qt_ms", most=20)
    assert one.low is not None
    assert one.high is not None
    assert len(one.at_s) == 10
    known = np.isfinite(one.middle)
    assert (one.low[known] <= one.middle[known]).all()
    assert (one.middle[known] <= one.high[known]).all()
    assert one.middle[known].mean() == pytest.approx(np.nanmean(beats.values["qt_ms"]), rel=0.05)
    ((when_s, why),) = one.refused
    assert GAP[0] < when_s < GAP[1] + 4
    assert "chiefly no signal" in why


def test_the_rhythm_is_a_step_on_names_not_a_colour(made: Simulated, beats: Measurement) -> None:
    labels = ("sinus", "af", "unreadable")
    told = tuple(
        one | {"rhythm": label, "rhythm_probability": 0.9} for one, label in zip(beats.stretches, labels, strict=True)
    )
    said = Measurement(beats.record, beats.values, beats.confidence, beats.reason, beats.summary, told)
    row = traces(course.picture(made.record, said, 3000))["rhythm"]
    assert [label for label in row["y"] if label][::2] == ["sinus", "AF", "unreadable"]
    assert "rhythm" not in traces(course.picture(made.record, beats, 3000))


def test_the_table_has_units_shares_and_reasons(made: Simulated, beats: Measurement) -> None:
    one = summary(analysis(made.record), beats)
    json.dumps(one, allow_nan=False)
    said = one["measured"]
    text = table(said)
    qt = said["intervals"]["qt_ms"]
    share = f"{qt['beats']} of {len(beats)} ({qt['coverage']:.0%})"
    row = next(line for line in text.split("<tr>") if ">QT<" in line)
    assert f">{qt['median']:.0f}<" in row
    assert share in row
    assert "no signal" in row
    assert "<td>ms</td>" in row
    assert "Heart rate from PPG" in text
    assert ">PAT<" in text
    assert "Rhythm" not in text
    told = said | {"rhythm": {"label": "af", "probability": 0.93}}
    assert "AF" in table(told)
    assert "0.93" in table(told)
    alone = measured(Record("e", made.record.ecg), truth(made))
    assert ">PAT<" not in table(alone.summary), "an ECG alone has no PAT to refuse"


def test_nothing_measured_is_said(made: Simulated) -> None:
    nothing = measured(made.record, np.empty((0, len(EVENTS))))
    page = report([analysis(made.record)], "tiny", measurements=[nothing])
    assert "No beats measured" in page
    assert str(nothing.summary["reason"]) in page
    assert len(figures(page)) == 3
    assert "Beats are not measured" in report([analysis(made.record)], "tiny")


def test_the_page_stays_small_and_names_its_pictures(made: Simulated, beats: Measurement) -> None:
    count = MAX_PICTURES + 2
    page = report([analysis(made.record)] * count, "tiny", measurements=[beats] * count)
    assert len(page.encode()) < 20e6
    assert page.count('role="img" aria-label="') == len(figures(page))
    assert page.count("Heart rate, bpm") == 1
    assert "not a medical device" in page
    single = report([analysis(made.record)], "tiny", measurements=[beats])
    assert len(single.encode()) < 8e6
    assert "the part most like the whole recording" in single


def test_a_day_of_beats_is_drawn_in_medians_and_read_in_pieces() -> None:
    day = Record("day", Signal(Wave(), 250.0, "mV", "II"))
    count = 110_000
    r_s = 0.785 * np.arange(count)
    given = (r_s < 30_000) | (r_s > 40_000)
    values = {name: np.where(given, 400.0, np.nan) for name in MEASURES}
    values |= {f"{event}_s": np.where(given, r_s + 0.01 * k, np.nan) for k, event in enumerate(EVENTS)}
    values |= {"r_peak_s": r_s}
    reason = {
        name: np.where(given | (name == "r_peak_s"), 0, REASONS.index("noise")).astype(np.uint8) for name in values
    }
    confidence = {name: given.astype(np.float32) for name in values}
    beats = Measurement("day", values, confidence, reason, {}, ())
    page = report([analysis(day)], "tiny", [{**summary(analysis(day)), "measured": None}], measurements=[beats])
    assert len(page.encode()) < 15e6
    assert "Intervals, medians of 1500 equal spans" in page
    shown = traces(next(f for f in figures(page) if "QT, median" in traces(f)))
    middle, crosses = shown["QT, median"], shown["not given"]
    assert len(numbers(middle["y"])) == 1500
    assert np.isnan(numbers(middle["y"])).mean() == pytest.approx(10_000 / r_s[-1], abs=0.01)
    assert len(crosses["text"]) == pytest.approx(1500 * 10_000 / r_s[-1], abs=3)
    assert all("chiefly noise" in text for text in crosses["text"])


def test_analyze_says_what_it_measured(micro: Path, made: Simulated, tmp_path: Path) -> None:
    from cardiofm.data.write import write

    write(made.record.crop(0, 20), tmp_path / "pair.hea")
    command = ["analyze", str(tmp_path / "pair.hea"), "--json", "--model", str(micro), "--backend", "torch"]
    result = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "r.html")])
    assert result.exit_code == 0, result.stderr
    (row,) = json.loads(result.stdout)
    assert set(row["measured"]) >= {"beats", "heart_rate_bpm", "intervals", "rhythm", "refused", "reason"}
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert ("No beats measured" if not row["measured"]["beats"] else "Measured: ") in page


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="needs a Chromium browser")
def test_a_browser_draws_the_beats(made: Simulated, beats: Measurement, tmp_path: Path) -> None:
    page = report([analysis(made.record)], "tiny", measurements=[beats])
    assert drawn_pictures(page, tmp_path) == 6
