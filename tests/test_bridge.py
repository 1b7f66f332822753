"""Gaps bridged by the usual beat: where beats are foretold, how far off, and that the user's door gets better by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cardiofm import load
from cardiofm.data.simulate import simulate
from cardiofm.data.windows import window_at
from cardiofm.evaluate.drawing import draw
from cardiofm.measure import bridge
from cardiofm.measure.beats import r_peaks
from cardiofm.signals import InputSpec, Window

SPEC = InputSpec()
GAP = slice(1003, 1261)  # its edges are not those of tokens

ALL = [(-10.0, 30.0)]


@pytest.fixture(scope="module")
def window() -> Window:
    record = simulate(30.0, fs_ecg_hz=250, fs_ppg_hz=250, seed=4).record
    return window_at(record, SPEC, 6.0)


def hidden(window: Window, *channels: int) -> np.ndarray:
    visible_CN = window.valid.copy()
    visible_CN[list(channels), GAP] = False
    return visible_CN


def test_both_ways_to_foretell_are_weighed_by_how_well_they_do() -> None:
    rng = np.random.default_rng(0)
    own = np.cumsum(rng.uniform(0.6, 1.0, 12))  # no rhythm to go by
    other = own + 0.25 + 0.01 * np.sin(own)
    seen = np.delete(own, [5, 6])
    found, error_s = bridge.foretold(seen, other, own[4] + 0.1, own[7] - 0.1, ALL)
    assert found == pytest.approx(own[5:7], abs=0.01)
    assert error_s < 0.01
    even = np.arange(12, dtype=np.float64) * 0.8
    loose = even + rng.normal(0.25, 0.04, 12)  # a partner that scatters
    found, error_s = bridge.foretold(np.delete(even, [5, 6]), loose, even[4] + 0.1, even[7] - 0.1, ALL)
    assert found == pytest.approx(even[5:7], abs=0.01)
    assert error_s < 0.01
    for nothing, known_s in (
        (np.empty(0), ALL),
        (other, []),
        (np.delete(other, [5, 6]), [(0.0, own[4]), (own[7], 20.0)]),
    ):
        placed, lone_error_s = bridge.foretold(seen, nothing, own[4] + 0.1, own[7] - 0.1, known_s)
        assert placed == pytest.approx(bridge.continued(seen, own[4] + 0.1, own[7] - 0.1))
        assert lone_error_s > 0.05


def test_every_hidden_stretch_is_bridged_but_none_without_beats(window: Window) -> None:
    visible_CN = hidden(window, 0)
    visible_CN[0, 2000:2100] = False
    found = bridge.bridged(window.values, visible_CN, SPEC.fs_hz)
    assert [(one.channel, one.gap) for one in found] == [(0, GAP), (0, slice(2000, 2100))]
    for one in found:
        assert np.corrcoef(one.values, window.values[0, one.gap])[0, 1] > 0.8
        assert one.error_s < 0.05
        assert one.alike > 0.6
    few_CN = np.zeros_like(visible_CN)
    few_CN[:, :300] = True
    assert bridge.bridged(window.values, few_CN, SPEC.fs_hz) == []


def test_beats_that_alternate_have_no_usual_one() -> None:
    t = np.arange(2500) / 250
    x_CN = np.stack([np.cos(2 * np.pi * t / 0.8) ** 21, np.zeros(2500)]).astype(np.float32)
    visible_CN = np.stack([np.ones(2500, bool), np.zeros(2500, bool)])
    visible_CN[0, 1000:1250] = False
    (one,) = bridge.bridged(x_CN, visible_CN, 250.0)
    assert one.alike < 0.2


@pytest.mark.parametrize(("channel", "gone"), [(0, (0,)), (1, (1,)), (0, (0, 1)), (1, (0, 1))])
def test_a_gap_is_drawn_up_to_its_edges(window: Window, channel: int, gone: tuple[int, ...]) -> None:
    """A token that is hidden in part is drawn whole: no sample falls to the channel's mean."""
    model, visible_CN = load("tiny", threads=1), hidden(window, *gone)
    made_CN = draw(model, [window], visible_CN[None])[0]
    np.testing.assert_allclose(made_CN[visible_CN], window.values[visible_CN], rtol=1e-3, atol=1e-3)
    true_N, drawn_N = window.values[channel], made_CN[channel]
    edges = np.r_[GAP.start : GAP.start + 6, GAP.stop - 6 : GAP.stop]
    spread = true_N.std()
    assert np.abs(drawn_N[edges] - true_N[edges]).max() < 0.5 * spread
    assert np.corrcoef(drawn_N[GAP], true_N[GAP])[0, 1] > 0.85
    if channel == 0:
        span_s = GAP.start / SPEC.fs_hz, GAP.stop / SPEC.fs_hz
        true_s, found_s = (r_peaks(x, SPEC.fs_hz) for x in (true_N, drawn_N))
        true_s, found_s = (t[(t >= span_s[0]) & (t < span_s[1])] for t in (true_s, found_s))
        assert found_s == pytest.approx(true_s, abs=0.03)


def test_scattered_samples_are_no_reason_to_see_nothing(window: Window) -> None:
    visible_CN = window.valid.copy()
    visible_CN[0, ::15] = False
    made_CN = draw(load("tiny", threads=1), [window], visible_CN[None])[0]
    np.testing.assert_allclose(made_CN[visible_CN], window.values[visible_CN], rtol=1e-3, atol=1e-3)


@pytest.mark.shared
def test_on_real_people_it_is_better_than_the_network_alone(data_root: Path) -> None:
    from cardiofm.data.usable import stacked
    from cardiofm.evaluate.metrics import r
    from cardiofm.evaluate.sample import pieces

    model = load("base", threads=1)
    windows = [p.window for p in pieces("challenge-2015", data_root, SPEC, 24, "valid") if p.window.valid.all()]
    visible_BCN = np.stack([hidden(w, 0) for w in windows])
    x_BCN, _, in_mv_BC = stacked(windows)
    code = model.backend.encode(np.where(visible_BCN, x_BCN, np.float32(0)), visible_BCN, in_mv_BC)
    network_BCN, made_BCN = model.backend.draw(code), draw(model, windows, visible_BCN)
    gained = [
        r(w.values[0, GAP], made_CN[0, GAP]) - r(w.values[0, GAP], network_CN[0, GAP])
        for w, made_CN, network_CN in zip(windows, made_BCN, network_BCN, strict=True)
    ]
    assert len(gained) > 10
    assert np.mean(gained) > 0.01
