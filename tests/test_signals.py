"""The nouns: clocks, rates, polarity, and the sentences of what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm.signals import Embedding, InputSpec, Record, Signal, SignalError


def test_read_obeys_the_clock() -> None:
    signal = Signal(np.arange(1000, dtype=np.float32), 100.0, "mV", "II", start_s=2.0)
    assert signal.read(2.0, 2.03).tolist() == [0, 1, 2]
    assert signal.read(0.0, 2.01).tolist() == [0]
    assert signal.read(11.99, 50.0).tolist() == [999]
    assert len(signal.read(50.0, 60.0)) == 0


def test_inverted_signal_is_turned_once() -> None:
    signal = Signal(np.arange(10, dtype=np.float32), 100.0, "mV", "I", inverted=True)
    crop = signal.crop(0.0, 0.05)
    assert signal.values[3] == -3
    assert crop is not None
    assert crop.values.tolist() == [0, -1, -2, -3, -4]


def test_crop_keeps_both_channels_on_one_clock() -> None:
    record = Record.from_arrays(ecg=(np.arange(5000), 500.0), ppg=(np.arange(1000), 125.0), ppg_start_s=1.0)
    part = record.crop(2.0, 4.0)
    assert part.ecg is not None
    assert part.ppg is not None
    assert part.ecg.start_s == 2.0
    assert part.ecg.values[0] == 1000
    assert part.ppg.start_s == 2.0
    assert part.ppg.values[0] == 125
    assert part.duration_s == 2.0
    only = record.crop(0.0, 0.5)
    assert only.present == ("ecg",)


@pytest.mark.parametrize("fs_hz", [10.0, 0.0, float("nan"), 1e6])
def test_impossible_rates_are_refused(fs_hz: float) -> None:
    with pytest.raises(SignalError, match="rate must be between 20 and 100000 Hz"):
        Signal(np.zeros(10), fs_hz, "mV", "II")


def test_what_a_record_must_have() -> None:
    with pytest.raises(SignalError, match="must have an ECG or a PPG"):
        Record("empty")
    with pytest.raises(SignalError, match="one-dimensional"):
        Record.from_arrays(ecg=(np.zeros((2, 5)), 100.0))
    with pytest.raises(SignalError, match="must hold samples"):
        Record.from_arrays(ecg=([], 100.0))
    with pytest.raises(SignalError, match="nothing lies in"):
        Record.from_arrays(ecg=(np.zeros(100), 100.0)).crop(5, 6)
    with pytest.raises(SignalError, match="modality must be one of"):
        Record.from_arrays(ecg=(np.zeros(100), 100.0)).signal("abp")


def test_a_window_is_a_whole_number_of_tokens() -> None:
    with pytest.raises(SignalError, match="whole number"):
        InputSpec(window_s=10.01)


def test_an_embedding_is_shown_in_a_line() -> None:
    embedding = Embedding(
        "a", np.zeros((3, 256), np.float32), np.arange(3.0), np.ones((3, 2), np.float32), np.ones((3, 2), bool)
    )
    assert repr(embedding) == "Embedding('a', 3 windows of 256 numbers)"
