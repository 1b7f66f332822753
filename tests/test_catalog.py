"""The catalog on the real files: splits by patient, labels, and every known defect of these datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cardiofm.data import catalog
from cardiofm.data.catalog.challenge_2017 import upside_down
from cardiofm.signals import SignalError

PRETRAIN = ("ptb-xl", "challenge-2015", "challenge-2017", "mitdb", "qtdb")
OURS = (*PRETRAIN, "nstdb")


def entry_of(dataset: str, record: str, root: Path) -> catalog.Entry:
    return next(e for e in catalog.entries(dataset, root) if e.record == record)


@pytest.mark.parametrize("dataset", catalog.datasets())
def test_every_dataset_says_where_it_is_from(dataset):
    about = catalog.about(dataset)
    assert about.name == dataset
    assert about.folder.startswith(dataset)
    assert about.url.startswith("https://")
    assert about.licence
    assert about.citation
    assert about.pretrain == (dataset in PRETRAIN)


def test_an_unknown_or_absent_dataset_is_one_sentence(tmp_path):
    with pytest.raises(SignalError, match="must be one of ptb-xl"):
        catalog.about("mimic")
    with pytest.raises(SignalError, match=r"mitdb must lie in .*mitdb/1\.0\.0"):
        catalog.entries("mitdb", tmp_path)


def test_the_hash_splits_80_10_10():
    splits = [catalog.split_of(f"set-{i}") for i in range(5000)]
    shares = [splits.count(s) / 5000 for s in catalog.SPLITS]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("dataset", "records", "patients", "allowed"),
    [
        ("ptb-xl", 2020, 1974, 1764),
        ("challenge-2015", 586, 586, 586),
        ("challenge-2017", 5176, 5176, 5176),
        ("mitdb", 48, 47, 48),
        ("qtdb", 79, 77, 79),
        ("nstdb", 6, 3, 0),
    ],
)
def test_records_patients_and_what_may_be_trained_on(data_root, dataset, records, patients, allowed):
    found = catalog.entries(dataset, data_root)
    assert (len(found), len({e.patient for e in found}), sum(e.pretrain for e in found)) == (records, patients, allowed)
    assert len({e.record for e in found}) == records
    assert all((data_root / e.path).is_file() for e in found)


@pytest.mark.shared
def test_no_patient_is_in_two_splits(data_root):
    split_of: dict[str, str] = {}
    for dataset in OURS:
        for e in catalog.entries(dataset, data_root):
            assert split_of.setdefault(e.patient, e.split) == e.split
    shared = {e.patient for e in catalog.entries("mitdb", data_root)}
    assert len([e for e in catalog.entries("qtdb", data_root) if e.patient in shared]) == 15


@pytest.mark.shared
@pytest.mark.parametrize("dataset", OURS)
def test_the_datasets_own_folder_works_as_data_root(data_root, dataset):
    direct = data_root / catalog.about(dataset).folder
    entry = catalog.entries(dataset, direct)[0]
    assert entry.record == catalog.entries(dataset, data_root)[0].record
    assert catalog.load(entry, direct).patient == entry.patient


@pytest.mark.shared
def test_ptb_xl_folds_labels_and_lost_millivolts(data_root):
    found = catalog.entries("ptb-xl", data_root)
    for e in found:
        fold = e.labels["strat_fold"]
        assert e.split == ("train" if fold <= 7 else "valid" if fold == 8 else "test")
        assert e.pretrain == (fold <= 8)
    first = found[0]
    assert (first.labels["superclasses"], first.labels["age"], first.labels["sex"]) == (("NORM",), 56.0, "F")
    assert {c for e in found for c in e.labels["superclasses"]} == {"NORM", "MI", "STTC", "CD", "HYP"}
    for record, unit, low, high in (("00001_hr", "mV", 0.05, 0.5), ("06898_hr", "NU", 0.9, 1.1)):
        ecg = catalog.load(entry_of("ptb-xl", record, data_root), data_root).ecg
        assert ecg is not None
        assert (ecg.name, ecg.unit, ecg.fs_hz, len(ecg.samples)) == ("II", unit, 500.0, 5000)
        assert low < ecg.values.std() < high


def test_a_sealed_fold_is_never_for_training(tmp_path):
    (tmp_path / "scp_statements.csv").write_text(",diagnostic_class\nIMI,MI\n")
    (tmp_path / "ptbxl_database.csv").write_text(
        "ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_hr\n"
        "9,7.0,300.0,1,\"{'IMI': 50.0, 'SR': 0.0}\",10,records500/00000/00009_hr\n"
    )
    (entry,) = catalog.entries("ptb-xl", tmp_path)
    assert (entry.split, entry.pretrain, entry.patient, entry.labels["age"]) == ("test", False, "ptb-xl-7", 90.0)
    assert entry.path == Path("records500/00000/00009_hr.hea")
    assert entry.labels["superclasses"] == ("MI",)


@pytest.mark.shared
def test_challenge_2015_alarms_missing_samples_and_pressure_that_is_no_ppg(data_root):
    found = catalog.entries("challenge-2015", data_root)
    assert {e.labels["alarm"] for e in found} == {
        "Asystole",
        "Bradycardia",
        "Tachycardia",
        "Ventricular_Flutter_Fib",
        "Ventricular_Tachycardia",
    }
    assert 150 < sum(e.labels["true_alarm"] for e in found) < 300
    asystole = entry_of("challenge-2015", "a103l", data_root)
    assert asystole.labels["true_alarm"] is False
    with_pleth = catalog.load(asystole, data_root)
    assert with_pleth.present == ("ecg", "ppg")
    assert with_pleth.ppg is not None
    assert (with_pleth.ppg.name, with_pleth.ppg.unit) == ("PLETH", "NU")
    with_pressure = catalog.load(entry_of("challenge-2015", "t719l", data_root), data_root)
    assert with_pressure.present == ("ecg",)
    lead_i = catalog.load(entry_of("challenge-2015", "v619l", data_root), data_root)
    assert any("lead I instead" in note for note in lead_i.notes)


@pytest.mark.shared
def test_challenge_2017_records_are_turned_upright(data_root):
    found = catalog.entries("challenge-2017", data_root)
    assert {r: sum(e.labels["rhythm"] == r for e in found) for r in "NAO~"} == {
        "N": 3073,
        "A": 450,
        "O": 1486,
        "~": 167,
    }
    normal = [e for e in found if e.labels["rhythm"] == "N"][::40]
    turned, p_turned, p_kept = 0, [], []
    for e in normal:
        record = catalog.load(e, data_root)
        assert record.ecg is not None
        assert record.ecg.inverted == any("upside down" in note for note in record.notes)
        assert not upside_down(record.ecg.values, 300.0)
        turned += record.ecg.inverted
        (p_turned if record.ecg.inverted else p_kept).append(p_wave(record.ecg.values))
    assert 0.08 < turned / len(normal) < 0.2
    # The rule never looked at P waves: upright leads have positive ones, in turned records as in the others.
    assert np.mean(np.array(p_turned) > 0) > 0.75
    assert np.mean(np.array(p_kept) > 0) > 0.75


def p_wave(values: np.ndarray) -> float:
    """The extreme between 270 and 85 ms before the median beat's QRS, above the line between that stretch's ends."""
    from scipy.signal import butter, find_peaks, sosfiltfilt

    quick = sosfiltfilt(butter(2, (8, 25), "bandpass", fs=300, output="sos"), values)
    energy = np.sqrt(np.convolve(quick**2, np.ones(30) / 30, "same"))
    peaks, _ = find_peaks(energy, height=0.5 * np.percentile(energy, 97), distance=120)
    slow = sosfiltfilt(butter(2, (0.5, 20), "bandpass", fs=300, output="sos"), values)
    beat = np.median([slow[k - 80 : k - 25] for k in peaks if k >= 80], axis=0)
    wave = beat - np.linspace(beat[:5].mean(), beat[-5:].mean(), len(beat))
    return float(wave[np.abs(wave).argmax()])


@pytest.mark.shared
def test_mitdb_leads_and_annotations(data_root):
    found = {e.record: e for e in catalog.entries("mitdb", data_root)}
    assert found["201"].patient == found["202"].patient
    for record, lead in (("100", "MLII"), ("102", "V5"), ("104", "V5")):
        ecg = catalog.load(found[record], data_root).ecg
        assert ecg is not None
        assert (ecg.name, ecg.unit, ecg.fs_hz) == (lead, "mV", 360.0)
    assert any("V5 instead of lead II" in note for note in catalog.load(found["102"], data_root).notes)
    assert all((data_root / e.labels["annotations"]).is_file() for e in found.values())


@pytest.mark.shared
def test_qtdb_every_record_has_a_lead_and_manual_waves(data_root):
    found = {e.record: e for e in catalog.entries("qtdb", data_root)}
    for e in list(found.values())[::4]:
        record = catalog.load(e, data_root)
        assert record.ecg is not None
        assert (record.ecg.fs_hz, record.ecg.unit) == (250.0, "mV")
        assert (data_root / e.labels["annotations"]["q1c"]).is_file()
    assert sum("q2c" in e.labels["annotations"] for e in found.values()) == 11
    leads = {"sel100": "MLII", "sel16265": "ECG1", "sele0411": "CM5", "sele0509": "V1-V2", "sel114": "MLII"}
    for record, lead in leads.items():
        ecg = catalog.load(found[record], data_root).ecg
        assert ecg is not None
        assert ecg.name == lead
    assert found["sele0121"].patient == found["sele0122"].patient


@pytest.mark.shared
def test_nstdb_is_noise_in_millivolts(data_root):
    for e in catalog.entries("nstdb", data_root):
        record = catalog.load(e, data_root)
        assert record.ecg is not None
        assert (record.ecg.name, record.ecg.unit) == (e.labels["channel"], "mV")
        assert record.duration_s == pytest.approx(650_000 / 360)
        assert "noise, no heart" in record.notes
