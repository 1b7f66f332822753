"""Columns of measurements: paired on the same windows, and only what the model may see is shown to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cardiofm.evaluate.columns import Column, Material, hidden_span, measured, without_echo
from cardiofm.evaluate.drawing import draw_by_network
from cardiofm.evaluate.sample import Piece
from cardiofm.pipeline import Model, load
from cardiofm.signals import InputSpec, Window

SPEC = InputSpec()


@pytest.fixture(scope="module")
def model(micro: Path) -> Model:
    return load(micro, backend="torch")


def pulse(number: int) -> Piece:
    """A window in which both channels repeat every 0.8 s."""
    t = np.arange(SPEC.samples) / SPEC.fs_hz + number / 7
    values = np.stack([np.cos(2 * np.pi * t / 0.8) ** 21, np.sin(2 * np.pi * t / 0.8)]).astype(np.float32)
    window = Window(0.0, values, np.ones(values.shape, bool), np.array([True, False]))
    return Piece("simulated", f"p{number}", f"r{number}", window)


def test_a_column_minus_itself_is_zero_and_other_windows_are_refused() -> None:
    patients = [f"p{i // 2}" for i in range(20)]
    values = list(np.random.default_rng(0).normal(size=20))
    column = Column("gap_r", "ecg", "both", patients, values)
    assert column.difference(column).low == column.difference(column).high == 0
    raised = replace(column, values=[v + 0.5 for v in values])
    assert raised.difference(column).value == pytest.approx(0.5)
    with pytest.raises(ValueError, match="of the same windows"):
        column.difference(replace(column, patients=patients[::-1]))


def test_a_column_with_a_truth_is_an_auroc() -> None:
    truth = [bool(i % 2) for i in range(40)]
    perfect = Column("alarm_auroc", "both", "both", [f"p{i}" for i in range(40)], [float(t) for t in truth], truth)
    useless = replace(perfect, values=[0.0] * 40)
    assert perfect.interval().value == 1.0
    assert useless.difference(perfect).value == pytest.approx(-0.5)


def test_the_hidden_span_lies_half_a_second_from_the_ends_at_a_place_of_the_window_s_own() -> None:
    spans = [hidden_span(pulse(i), 250, SPEC) for i in range(30)]
    assert min(s.start for s in spans) >= 125
    assert max(s.stop for s in spans) <= SPEC.samples - 125
    assert len({s.start for s in spans}) > 20
    assert spans[3] == hidden_span(pulse(3), 250, SPEC)


def test_without_echo_only_the_hidden_stretch_changes(model: Model) -> None:
    piece = pulse(1)
    visible = piece.window.valid.copy()[None]
    span = slice(1000, 1250)
    visible[0, 0, span] = False
    with_echo, alone = (draw_by_network(m, [piece.window], visible)[0] for m in (model, without_echo(model)))
    assert np.array_equal(with_echo[1], alone[1])
    assert np.abs(with_echo[0, span] - alone[0, span]).max() > 1e-3
    assert np.corrcoef(with_echo[0, span], piece.window.values[0, span])[0, 1] > 0.95  # a beat repeats exactly


@pytest.mark.shared
@pytest.mark.slow
def test_a_model_of_one_modality_is_shown_nothing_else(model: Model, data_root: Path) -> None:
    material = Material.read(data_root, model.spec, 5, records=60)
    keys = {c.key for c in measured(model, material, ("ecg",))}
    assert {shown for _, _, shown in keys} == {"ecg"}
    assert {measure for measure, _, _ in keys} == {
        "codec_prd",
        "gap_r",
        "gap_r_no_echo",
        "diagnosis_auroc",
        "alarm_auroc",
    }
    both = {c.key: c for c in measured(model, material, ("ecg", "ppg"), rated=False)}
    assert not [key for key in both if key[0] == "codec_prd"]
    assert ("across_r", "ppg", "ecg") in both
    assert both["gap_r", "ppg", "both"].patients == both["gap_r", "ppg", "ppg"].patients
