"""The six open sets that are never trained on: entries, labels, patients, and each known defect on the real files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from cardiofm.data import catalog
from cardiofm.data.catalog import Entry, bidmc, ieee_spc_2015, ludb, wrist
from cardiofm.signals import Signal, SignalError

NAMES = ("bidmc", "ludb", "ppg-bp", "ieee-spc-2015", "wrist", "welltory")


def ppg_of(entry: Entry, root: Path) -> Signal:
    ppg = catalog.load(entry, root).ppg
    assert ppg is not None
    return ppg


def ecg_of(entry: Entry, root: Path) -> Signal:
    ecg = catalog.load(entry, root).ecg
    assert ecg is not None
    return ecg


def entry(name: str, record: str, root: Path) -> Entry:
    return next(e for e in catalog.entries(name, root) if e.record == record)


def band(signal: Signal, low_hz: float, high_hz: float) -> np.ndarray:
    sos = butter(2, [low_hz, high_hz], "band", fs=signal.fs_hz, output="sos")
    return sosfiltfilt(sos, np.nan_to_num(signal.values, nan=float(np.nanmedian(signal.values))))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "records", "patients"),
    [
        ("bidmc", 44, 37),
        ("ludb", 157, 157),
        ("ppg-bp", 540, 180),
        ("ieee-spc-2015", 23, 20),
        ("wrist", 3, 3),
        ("welltory", 21, 21),
    ],
)
def test_every_record_is_listed_once_with_its_patient(name: str, records: int, patients: int, data_root: Path) -> None:
    found = catalog.entries(name, data_root)
    assert len({e.record for e in found}) == len(found) == records
    assert len({e.patient for e in found}) == patients
    assert all((data_root / e.path).is_file() and e.patient.startswith(f"{name}-") for e in found)
    assert not any(e.pretrain for e in found)
    assert not catalog.about(name).pretrain
    for patient in {e.patient for e in found}:
        assert len({e.split for e in found if e.patient == patient}) == 1


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMES)
def test_records_carry_patient_rate_and_signal(name: str, data_root: Path) -> None:
    expected = {"bidmc": (125.0, 125.0), "ludb": (500.0, None), "ppg-bp": (None, 1000.0)}
    expected |= {"ieee-spc-2015": (125.0, 125.0), "wrist": (256.0, 256.0)}
    first = catalog.entries(name, data_root)[0]
    record = catalog.load(first, data_root)
    assert record.patient == first.patient
    rates = tuple(s.fs_hz if s else None for s in (record.ecg, record.ppg))
    assert rates == expected[name] if name in expected else rates[0] is None
    for modality in record.present:
        signal = record.signal(modality)
        assert signal is not None
        assert np.nanstd(signal.values) > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_dataset_is_said_in_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(SignalError, match=f"dataset {name} must lie in"):
        catalog.entries(name, tmp_path)


@pytest.mark.shared
def test_bidmc_patients_come_from_the_mimic_id_and_numerics_from_spaced_names(data_root: Path) -> None:
    found = catalog.entries("bidmc", data_root)
    assert entry("bidmc", "bidmc01", data_root).patient == "bidmc-s01182"
    ages = [e.labels["age"] for e in found]
    assert ages.count(90.0) == 3
    assert ages.count(None) == 1
    assert {e.labels["sex"] for e in found} == {"F", "M", None}
    table = bidmc.numerics(data_root / found[0].labels["numerics"])
    assert set(table) == {"Time [s]", "HR", "PULSE", "RESP", "SpO2"}
    assert len(table["HR"]) == 481
    assert np.nanmedian(np.abs(table["HR"] - table["PULSE"])) < 2
    assert any("PAT is relative" in note for note in catalog.load(found[0], data_root).notes)


def test_bidmc_numerics_keep_what_is_missing_and_any_order(tmp_path: Path) -> None:
    path = tmp_path / "bidmc_01_Numerics.csv"
    path.write_text("Time [s], SpO2, HR\n0,97,\n1, ,80\n")
    table = bidmc.numerics(path)
    np.testing.assert_array_equal(table["HR"], [np.nan, 80])
    np.testing.assert_array_equal(table["SpO2"], [97, np.nan])


@pytest.mark.shared
def test_ludb_is_in_mv_although_its_gains_are_wrong(data_root: Path) -> None:
    import wfdb

    found = catalog.entries("ludb", data_root)[::20]
    heights = []
    for e in found:
        name = str((data_root / e.path).with_suffix(""))
        physical = wfdb.rdrecord(name)
        assert isinstance(physical, wfdb.Record)
        plain = physical.p_signal
        assert plain is not None
        assert np.ptp(plain[:, 1]) == pytest.approx(1.0, abs=0.01)  # the defect
        digital = wfdb.rdrecord(name, physical=False)
        assert isinstance(digital, wfdb.Record)
        counts = digital.d_signal
        assert counts is not None
        ecg = ecg_of(e, data_root)
        assert ecg.unit == "mV"
        np.testing.assert_allclose(ecg.values, counts[:, 1] / 1000, atol=1e-6)
        heights.append(np.ptp(ecg.values))
    assert 0.8 < np.median(heights) < 3
    v2 = ludb.read_lead(found[0], data_root, "v2").ecg
    assert v2 is not None
    assert v2.name == "v2"
    assert not np.allclose(v2.values, ecg_of(found[0], data_root).values)


@pytest.mark.shared
def test_ludb_labels_and_marks(data_root: Path) -> None:
    import wfdb

    found = catalog.entries("ludb", data_root)
    assert {e.labels["sex"] for e in found} == {"F", "M"}
    assert all(10 < e.labels["age"] <= 90 for e in found)
    eight = entry("ludb", "8", data_root)
    assert (eight.labels["age"], eight.labels["sex"]) == (57, "F")
    assert "Atrial fibrillation" in eight.labels["rhythm"]
    assert len(eight.labels["diagnoses"]) > 3
    marks = eight.labels["annotations"]["ii"]
    assert set(wfdb.rdann(str((data_root / marks).with_suffix("")), "ii").symbol or []) >= {"N", "(", ")", "t"}
    assert all(len(e.labels["annotations"]) == 12 for e in found)


@pytest.mark.shared
def test_ppg_bp_labels_are_those_of_the_spreadsheet(data_root: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.load_workbook(next((data_root / "ppg-bp").glob("*/*.xlsx")), read_only=True)
    rows = {row[1]: row for row in list(book.active.values)[2:]}
    for e in catalog.entries("ppg-bp", data_root):
        row, label = rows[int(e.patient.removeprefix("ppg-bp-"))], e.labels
        assert label["sex"] == row[2][0]
        numbers = ("age", "height_cm", "weight_kg", "sbp_mmhg", "dbp_mmhg", "heart_rate_bpm", "bmi")
        assert [label[n] for n in numbers] == [float(v) for v in row[3:10]]
        texts = ("hypertension", "diabetes", "cerebral_infarction", "cerebrovascular_disease")
        assert [label[t] for t in texts] == list(row[10:14])


@pytest.mark.shared
def test_ppg_bp_segments_last_2_1_s_and_glued_ones_are_cut(data_root: Path) -> None:
    for record in ("2_1", "231_1", "231_2"):
        record = catalog.load(entry("ppg-bp", record, data_root), data_root)
        assert record.duration_s == pytest.approx(2.1)
        assert bool(record.notes) == record.name.startswith("ppg-bp-231")


def test_ppg_bp_says_what_is_wrong_with_a_short_file(tmp_path: Path) -> None:
    home = tmp_path / "ppg-bp" / "1.0"
    (home / "0_subject").mkdir(parents=True)
    (home / "0_subject" / "7_1.txt").write_text("1.0\t2.0\t")
    sheet = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    sheet += '<row><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row>'
    sheet += '<row><c r="A2"><v>7</v></c><c r="B2"><v>45</v></c></row></sheetData></worksheet>'
    strings = '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    strings += "<si><t>subject_ID</t></si><si><t>Age(year)</t></si></sst>"
    with zipfile.ZipFile(home / "PPG-BP dataset.xlsx", "w") as book:
        book.writestr("xl/worksheets/sheet1.xml", sheet)
        book.writestr("xl/sharedStrings.xml", strings)
    (found,) = catalog.entries("ppg-bp", tmp_path)
    assert (found.labels["age"], found.labels["bmi"]) == (45.0, None)
    with pytest.raises(SignalError, match="must hold 2100 numbers, found 2"):
        catalog.load(found, tmp_path)


@pytest.mark.shared
def test_ieee_rows_people_and_reference_heart_rate(data_root: Path) -> None:
    found = catalog.entries("ieee-spc-2015", data_root)
    with_ecg = 0
    for e in found:
        record = catalog.load(e, data_root)
        with_ecg += record.ecg is not None
        start_s, bpm = ieee_spc_2015.heart_rate(data_root / e.labels["heart_rate"])
        windows = (record.duration_s - 8) / 2 + 1
        assert abs(len(start_s) - windows) < 2
        assert 40 < bpm.min() < bpm.max() < 200
    assert with_ecg == 13
    s04 = [e.record for e in found if e.patient == "ieee-spc-2015-S04"]
    assert s04 == ["DATA_S04_T01", "TEST_S04_T02"]


@pytest.mark.shared
def test_ieee_pulse_points_up_and_follows_the_r_peak(data_root: Path) -> None:
    """Summed over the runners the first PPG rises after the QRS and peaks 0.2-0.4 s after it."""
    peaks_s = []
    for e in [e for e in catalog.entries("ieee-spc-2015", data_root) if e.record.startswith("DATA")][::3]:
        record = catalog.load(e, data_root)
        assert record.ecg is not None
        assert record.ppg is not None
        qrs = np.abs(band(record.ecg, 5, 20))
        pulse = band(record.ppg, 0.5, 8)
        at = np.flatnonzero((qrs[1:-1] > qrs[:-2]) & (qrs[1:-1] >= qrs[2:]) & (qrs[1:-1] > np.percentile(qrs, 97)))
        at = at[at < len(pulse) - 63]
        peaks_s.append(np.median([pulse[i : i + 63] for i in at], axis=0).argmax() / 125)
    assert all(0.2 < s < 0.42 for s in peaks_s), peaks_s


@pytest.mark.shared
def test_wrist_has_no_padding_and_plausible_millivolts(data_root: Path) -> None:
    for e in catalog.entries("wrist", data_root):
        record = catalog.load(e, data_root)
        ecg, ppg = record.ecg, record.ppg
        assert ecg is not None
        assert ppg is not None
        assert e.labels["activity"] in ("walk", "low_resistance_bike")
        assert len(ecg.values) == len(ppg.values)
        assert not np.all(ecg.values[-10:] == ecg.values.min())
        assert 0.1 < np.percentile(np.abs(band(ecg, 5, 20)), 99) < 1.5
        assert (ecg.unit, ppg.unit) == ("mV", "NU")
    assert wrist._unpadded(np.zeros(5, np.float32)) == 0


@pytest.mark.shared
def test_welltory_pulses_point_up_and_beat_as_the_strap_says(data_root: Path) -> None:
    agree, up = 0, 0
    found = catalog.entries("welltory", data_root)
    for e in found:
        ppg = ppg_of(e, data_root)
        assert ppg.name == ("G" if e.record in ("subject_20", "subject_21") else "R")
        slope = np.diff(band(ppg, 0.5, 8))
        pieces = [slope[i : i + 240] for i in range(0, len(slope) - 240, 240)]
        up += np.median([np.mean((p - p.mean()) ** 3) / p.std() ** 3 for p in pieces]) > 0  # a pulse rises faster
        power = np.abs(np.fft.rfft(band(ppg, 0.6, 3), 1 << 14)) ** 2
        rate_hz = np.fft.rfftfreq(1 << 14, 1 / ppg.fs_hz)[power.argmax()]
        agree += abs(rate_hz - 1000 / np.mean(e.labels["rr_ms"])) < 0.15
        assert ppg.duration_s == pytest.approx(sum(e.labels["rr_ms"]) / 1000, abs=4)
    assert up == len(found)
    assert agree >= 17
