"""The report stands alone, says what is simulated, stays small for a day-long recording, and draws in a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiofm.data.simulate import simulate
from cardiofm.pipeline import Analysis
from cardiofm.signals import Embedding, Record, Signal
from cardiofm.web.page import MAX_PICTURES, report
from cardiofm.web.summary import summary

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN_S, HOP_S = 0.08, 9.0


def analysis(record: Record, seed: int = 0) -> Analysis:
    """An analysis of a record with drawn-up figures: the page is what is tested here. Every third window is missing."""
    rng = np.random.default_rng(seed)
    start_s = record.start_s + HOP_S * np.arange(max(1, round(record.duration_s / HOP_S)), dtype=np.float64)
    start_s = start_s[np.arange(len(start_s)) % 3 != 1]
    present = np.tile([record.ecg is not None, record.ppg is not None], (len(start_s), 1))
    quality = rng.uniform(size=present.shape).astype(np.float32) * present
    embedding = Embedding(record.name, rng.normal(size=(len(start_s), 8)).astype(np.float32), start_s, quality, present)
    tokens = int(record.duration_s / TOKEN_S)
    depth = rng.integers(0, 7, (2, tokens)).astype(np.float32)
    bits = np.where(present[0][:, None], 8.0 * depth, np.nan).astype(np.float32)
    token_start_s = record.start_s + TOKEN_S * np.arange(tokens, dtype=np.float64)
    figures = dict.fromkeys(record.present, 12.5)
    return Analysis(record, record, embedding, bits, depth, token_start_s, figures, figures, ("drawn",))


@pytest.fixture(scope="module")
def pair() -> Record:
    return simulate(40, fs_ecg_hz=250, fs_ppg_hz=125, seed=5).record


class Wave:
    """A day of samples, made when they are read; no piece may be large."""

    def __len__(self) -> int:
        return 24 * 3600 * 250

    def __getitem__(self, index: slice, /) -> Any:
        at = np.arange(*index.indices(len(self)))
        assert len(at) <= 700 * 250, "the recording must be read in pieces"
        values = np.sin(at / 40).astype(np.float32)
        values[(at > 5e6) & (at < 6e6)] = np.nan
        return values


def figures(page: str) -> list[dict[str, Any]]:
    """The plotly figures of a page."""
    return [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', page, re.S)]


def numbers(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["bdata"]), "<" + packed["dtype"])


def test_the_page_stands_alone_and_says_what_it_is(pair: Record) -> None:
    page = report([analysis(pair)], "tiny")
    outside: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            outside.extend(v for k, v in attrs if k in ("src", "href") and v and not v.startswith("#"))

    Links().feed(page)
    assert outside == []
    assert page.count("Plotly.newPlot(e") == 1
    assert "not a medical device" in page
    assert "Model tiny" in page
    assert '<span class="chip simulated">simulated</span>' in page


def test_names_from_files_cannot_run_in_the_page(pair: Record) -> None:
    evil = "</script><script>alert(1)</script>"
    record = Record(evil, pair.ecg and Signal(pair.ecg.samples, 250.0, evil, evil), notes=(evil,))
    page = report([analysis(record), analysis(pair), analysis(pair)], evil)
    assert "<script>alert" not in page
    assert figures(page)[0]["data"][0]["y"][0] == f"1 {evil}"


def test_pictures_show_the_samples_themselves(pair: Record) -> None:
    whole, close, alike = figures(report([analysis(pair)], "tiny"))
    assert pair.ecg is not None
    trace = close["data"][0]
    assert (trace["x0"], trace["dx"], trace["name"]) == (0.0, 1 / 250, "ECG signal")
    np.testing.assert_array_equal(numbers(trace["y"]), pair.ecg.values)
    low_high = numbers(whole["data"][0]["y"])
    assert (low_high.min(), low_high.max()) == (pair.ecg.values.min(), pair.ecg.values.max())
    assert [d["name"] for d in close["data"][:-1]] == [
        "ECG signal", "ECG reconstruction", "bits", "PPG signal", "PPG reconstruction", "bits",
    ]  # fmt: skip
    assert close["data"][-1]["y"] == ["ECG quality", "PPG quality"]
    z = np.array(alike["data"][0]["z"], float)
    np.testing.assert_allclose(np.diag(z)[[0, 2, 3]], 1)
    assert np.isnan(z[1]).all(), "a window without signal stays a gap"
    assert numbers(alike["data"][0]["x"]).tolist() == [0, 9, 18, 27, 36]


def test_a_picture_ends_where_the_record_ends(pair: Record) -> None:
    whole, _, alike = figures(report([analysis(pair.crop(0, 33))], "tiny"))
    for edges in (alike["data"][0]["x"], alike["data"][0]["y"], whole["data"][-1]["x"]):
        assert numbers(edges).tolist() == [0, 9, 18, 27, 33]


def test_summary_has_the_figures_of_the_analysis(pair: Record) -> None:
    made = analysis(Record("ecg only", pair.ecg))
    one = summary(made)
    assert one["ppg"] is None
    assert one["ecg"]["prd_percent"] == 12.5
    assert one["ecg"]["bits_per_s"] == pytest.approx(float(made.bits[0].mean()) / TOKEN_S, abs=0.1)
    assert one["ecg"]["quality"] == pytest.approx(float(made.embedding.quality[:, 0].mean()), abs=1e-3)


def test_a_day_is_drawn_in_pieces_and_stays_small() -> None:
    day = Record("day", Signal(Wave(), 250.0, "mV", "II"), Signal(Wave(), 250.0, "NU", "PLETH"))
    page = report([analysis(day)], "tiny")
    assert len(page.encode()) < 15e6
    envelope = numbers(figures(page)[0]["data"][0]["y"])
    assert np.nanmax(envelope) == pytest.approx(1, abs=1e-3)
    assert 0.02 < np.isnan(envelope).mean() < 0.08, "the gap stays a gap"


def test_many_recordings_stay_small(pair: Record) -> None:
    many = [analysis(pair)] * (MAX_PICTURES + 5)
    page = report(many, "tiny")
    assert page.count('<section id="r') == MAX_PICTURES
    assert f"The first {MAX_PICTURES} of {MAX_PICTURES + 5}" in page
    assert len(page.encode()) < 20e6


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="needs a Chromium browser")
def test_a_browser_draws_every_picture(pair: Record, tmp_path: Path) -> None:
    assert drawn_pictures(report([analysis(pair)], "tiny"), tmp_path) == 3


def drawn_pictures(page: str, folder: Path) -> int:
    """How many pictures a browser draws of a page, high enough a window given."""
    (folder / "r.html").write_text(page, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'profile'}"]
    flags += ["--window-size=1400,5000", "--virtual-time-budget=10000", "--dump-dom"]
    command = [str(BROWSER), *flags, (folder / "r.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return dom.count('class="plot-container plotly"')
