"""Which channel is which: the names of the field, and what is said when another lead is taken."""

from __future__ import annotations

import numpy as np
import pytest

from cardiofm.data.readers.channels import Channel, record
from cardiofm.signals import SignalError

WAVE = np.sin(np.arange(500) / 7.0).astype(np.float32)


def _channels(names: str) -> list[Channel]:
    return [Channel(n, 125.0, WAVE * (i + 1)) for i, n in enumerate(names.split("|"))]


@pytest.mark.parametrize(
    ("names", "ecg", "ppg"),
    [
        ("RESP|PLETH|V|AVR|II", "II", "PLETH"),
        ("II,|V,|AVR,|PLETH,", "II,", "PLETH,"),
        ("i|ii|iii|avr|avl|avf|v1|v2", "ii", None),
        ("V5|MLII", "MLII", None),
        ("ECG II|ECG I|ECG V5", "ECG II", None),
        ("SNUADC/ECG_V5|SNUADC/ECG_II|SNUADC/PLETH|Solar8000/PLETH_HR", "SNUADC/ECG_II", "SNUADC/PLETH"),
        ("lead ii|lead i", "lead ii", None),
        ("MDC_ECG_LEAD_II|MDC_ECG_LEAD_I", "MDC_ECG_LEAD_II", None),
        ("ECG|ABP|Pleth", "ECG", "Pleth"),
        ("EKG|BVP|HR", "EKG", "BVP"),
        ("chest_ecg|wrist_ppg|wrist_gyro_x", "chest_ecg", "wrist_ppg"),
        ("PPG_RED|PPG_IR|PPG_GREEN", None, "PPG_IR"),
        ("red|ir", None, "ir"),
        ("R|G|B", None, "R"),
        ("ppg1 |ecg", "ecg", "ppg1 "),
        ("ecg/signal|ecg/quality|ppg/signal", "ecg/signal", "ppg/signal"),
    ],
)
def test_channels_are_found_by_name(names: str, ecg: str | None, ppg: str | None) -> None:
    found = record("x", _channels(names))
    assert (found.ecg.name if found.ecg else None, found.ppg.name if found.ppg else None) == (ecg, ppg)


@pytest.mark.parametrize(
    ("names", "note"),
    [
        ("II", ()),
        ("V5|V1", ("lead V5 instead of lead II",)),
        ("III|I|AVF", ("lead aVF instead of lead II",)),
        ("MLIII", ("lead III instead of lead II",)),
        ("ECG", ("the lead of ECG channel 'ECG' is not stated",)),
    ],
)
def test_another_lead_is_said(names: str, note: tuple[str, ...]) -> None:
    assert record("x", _channels(names)).notes == note


@pytest.mark.parametrize(
    ("names", "wanted", "sign", "note"),
    [
        ("II", "-II", -1, "channel 'II' is turned upside down"),
        ("I|II", "-I", -1, "lead -I instead of lead II"),
        ("-II", None, -1, "channel '-II' is turned upside down"),  # labelled as inverted: lead II again
        ("-aVR", None, 1, "lead -aVR instead of lead II"),  # upright as it is
        ("aVR", None, -1, "lead -aVR instead of lead II"),  # nothing else there: its complexes point down
        ("aVR|II", "aVR", 1, "lead aVR instead of lead II"),
        ("aVR|II", "-aVR", -1, "lead -aVR instead of lead II"),
        ("ECG", "-ecg", -1, "the lead of ECG channel 'ECG' is not stated, turned upside down"),
        ("-II|II", "-II", -1, "channel '-II' is turned upside down"),  # the file's own "-II", brought to lead II
        ("-aVR", "--aVR", -1, "lead aVR instead of lead II"),
    ],
)
def test_inverted_leads(names: str, wanted: str | None, sign: int, note: str) -> None:
    found = record("x", _channels(names), ecg=wanted)
    assert found.ecg is not None
    np.testing.assert_array_equal(np.sign(found.ecg.values), sign * np.sign(WAVE))
    assert found.notes == (note,)


def test_a_minus_in_front_turns_the_signal() -> None:
    """`--ecg -II --ppg -R` gives the same samples with the other sign, however they are read."""
    plain, turned = (record("x", _channels("II|R"), ecg=e, ppg=p) for e, p in (("II", "R"), ("-II", "-R")))
    for modality in ("ecg", "ppg"):
        a, b = plain.signal(modality), turned.signal(modality)
        assert a is not None
        assert b is not None
        np.testing.assert_array_equal(b.values, -a.values)
        np.testing.assert_array_equal(b.read(1, 2), -a.read(1, 2))
        part = b.crop(1, 2)
        assert part is not None
        np.testing.assert_array_equal(part.values, -a.read(1, 2))
    literal = record("x", _channels("R|-R"), ppg="-R").ppg  # a channel of that very name is meant, as it is
    assert literal is not None
    np.testing.assert_array_equal(literal.values, WAVE * 2)


@pytest.mark.parametrize(
    ("names", "wanted", "name"),
    [("aVR", None, "-aVR"), ("ECG AVR", None, "-ECG AVR"), ("-aVR", None, "-aVR"), ("aVR", "aVR", "aVR"),
     ("aVR", "-aVR", "-aVR"), ("-aVR", "--aVR", "aVR")],
)  # fmt: skip
def test_lead_avr_is_named_by_what_it_is(names: str, wanted: str | None, name: str) -> None:
    found = record("x", _channels(names), ecg=wanted).ecg
    assert found is not None
    assert found.name == name
    if name == "-aVR":  # read again under that name it stays as it is
        again = record("x", [Channel(name, 125.0, found.values)]).ecg
        assert again is not None
        np.testing.assert_array_equal(again.values, found.values)


def test_names_given_by_the_user_win() -> None:
    found = record("x", _channels("II|V5|PLETH|probe"), ecg="v5", ppg="probe")
    assert found.ecg is not None
    assert found.ppg is not None
    assert (found.ecg.name, found.ppg.name) == ("V5", "probe")
    assert record("x", _channels("II|PLETH"), ppg="none").present == ("ecg",)
    numbered = record("x", _channels("ECG|ECG"), ecg="2")
    assert numbered.ecg is not None
    np.testing.assert_array_equal(numbered.ecg.values, WAVE * 2)


@pytest.mark.parametrize(
    ("names", "given", "sentence"),
    [
        ("ECG1|ECG2|RESP", {}, r"the ECG must be clear, found 2 equally good \(ECG1, ECG2\).*--ecg"),
        ("II|PPG1|PPG2", {}, r"the PPG must be clear.*--ppg"),
        ("ABP|RESP", {}, "must have an ECG or a PPG channel, found only ABP, RESP"),
        ("II|PLETH", {"ecg": "V5"}, "--ecg V5 must name a channel; this file has II, PLETH"),
        ("ECG|ECG|II", {"ecg": "ECG"}, "must name one channel, found 2"),
        ("II", {"ecg": "none"}, "must have an ECG or a PPG"),
        ("II", {"ecg": "--II"}, "must name a channel"),
    ],
)
def test_what_is_unclear_lists_the_channels(names: str, given: dict[str, str], sentence: str) -> None:
    with pytest.raises(SignalError, match=sentence):
        record("x", _channels(names), given.get("ecg"), given.get("ppg"))


@pytest.mark.parametrize(("value", "found"), [(0.25, "the constant value 0.25"), (np.nan, "no sample at all")])
def test_a_flat_channel_is_left_out_or_refused(value: float, found: str) -> None:
    flat = np.full(500, value, np.float32)
    flat[::3] = np.nan
    good, bad = Channel("II", 125.0, WAVE), Channel("PLETH", 125.0, flat)
    both = record("x", [good, bad])
    assert both.present == ("ecg",)
    assert both.notes == (f"ppg channel 'PLETH' left out: {found}",)
    with pytest.raises(SignalError, match=f"must hold a changing signal, found {found}"):
        record("x", [bad])
    empty = Channel("II", 125.0, np.empty(0, np.float32))
    with pytest.raises(SignalError, match="'II' must hold samples, found none"):
        record("x", [empty])


@pytest.mark.parametrize(("peak", "unit"), [(14.0, "mV"), (400.0, "NU")])
def test_what_cannot_be_millivolts_loses_its_unit(peak: float, unit: str) -> None:
    found = record("x", [Channel("II", 125.0, WAVE * peak, "mV"), Channel("PPG", 125.0, WAVE * 400, "mV")])
    assert found.ecg is not None
    assert found.ppg is not None
    assert (found.ecg.unit, found.ppg.unit) == (unit, "mV")
    said = "ECG channel 'II' swings by 800 of what its file calls mV: its unit is not trusted"
    assert found.notes == (() if unit == "mV" else (said,))


def test_a_camera_s_red_is_said_to_point_down() -> None:
    (note,) = record("x", _channels("R|G|B")).notes
    assert "whose pulse points down: --ppg=-R turns it" in note
    assert record("x", _channels("R|G|B"), ppg="R").notes == ()


def test_only_the_first_hour_is_looked_at_before_a_channel_is_called_flat() -> None:
    late = np.zeros(3700 * 20, np.float32)
    late[-1] = 1.0
    with pytest.raises(SignalError, match="constant value 0 in its first hour"):
        record("x", [Channel("II", 20.0, late)])


def test_a_trend_of_the_same_name_is_no_waveform() -> None:
    found = record("x", [Channel("PLETH", 1.0, WAVE), Channel("PLETH", 125.0, WAVE)])
    assert found.ppg is not None
    assert found.ppg.fs_hz == 125.0


def test_a_given_rate_replaces_the_file_s_and_is_said() -> None:
    found = record("x", _channels("II"), fs_hz=250.0)
    assert found.ecg is not None
    assert found.ecg.fs_hz == 250.0
    assert found.notes == ("channel 'II': the given rate 250 Hz replaces the file's 125 Hz",)


def test_clocks_that_count_from_1970_start_with_the_record() -> None:
    found = record("x", [Channel("II", 125.0, WAVE, start_s=1.7e9), Channel("PPG", 125.0, WAVE, start_s=1.7e9 + 2)])
    assert found.ecg is not None
    assert found.ppg is not None
    assert (found.ecg.start_s, found.ppg.start_s) == (0.0, 2.0)
