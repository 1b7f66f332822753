"""The store: what went in comes out, a killed run goes on, bad records are listed, damaged shards are named."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cardiofm.data import catalog
from cardiofm.data.prepare import prepare
from cardiofm.data.quality import quality
from cardiofm.data.store import ABSENT, Store, encode
from cardiofm.data.windows import cut
from cardiofm.signals import MODALITIES, InputSpec, SignalError
from small_store import SETS, write

RNG = np.random.default_rng(0)


def heart(seconds: float, fs_hz: float) -> np.ndarray:
    t_s = np.arange(round(seconds * fs_hz)) / fs_hz
    return np.exp(-(((t_s % 0.9 - 0.4) / 0.02) ** 2)) + 0.05 * np.sin(t_s) + 0.01 * RNG.normal(size=len(t_s))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two small datasets in their home layout: 4 ICU records with a pleth, 5 hand-held ones of which 2 are useless."""
    icu = tmp_path / "data" / "challenge-2015" / "1.0.0" / "training"
    for name in ("a1l", "a2l", "t3s", "v4l"):
        pleth = 1000 + 50 * heart(130, 250.0)
        pleth[5000:6000] = np.nan
        write(icu / f"{name}.hea", 250.0, {"II": ("mV", heart(130, 250.0)), "PLETH": ("NU", pleth)})
    (icu / "ALARMS").write_text("a1l,Asystole,0\na2l,Asystole,1\nt3s,Tachycardia,1\nv4l,Ventricular_Tachycardia,0\n")
    held = tmp_path / "data" / "challenge-2017" / "1.0.0" / "training"
    for i, seconds in enumerate((9.0, 30.0, 61.0, 30.0), 1):
        write(held / "A00" / f"A0000{i}.hea", 300.0, {"ECG": ("mV", heart(seconds, 300.0))})
    whole = held / "A00" / "A00004.dat"
    whole.write_bytes(whole.read_bytes()[:1000])
    write(held / "A00" / "A00005.hea", 300.0, {"ECG": ("mV", np.zeros(3000))})
    (held / "REFERENCE-v3.csv").write_text("".join(f"A0000{i},N\n" for i in range(1, 6)))
    return tmp_path / "data"


@given(hnp.arrays(np.float32, 50, elements=st.floats(-1e6, 1e6, width=32)), hnp.arrays(np.bool_, 50))
def test_encoding_is_within_half_a_step(values, valid):
    codes, scale, offset = encode(values, valid)
    assert np.array_equal(codes != ABSENT, valid)
    error = np.abs(codes[valid] * scale + offset - values[valid])
    assert (error <= 0.5001 * scale + 1e-9).all()


def test_what_went_in_comes_out(home, tmp_path):
    manifest = prepare(SETS, home, tmp_path / "out")
    store = Store(tmp_path / "out")
    store.verify()
    assert len(store) == sum(d["segments"] for d in manifest["datasets"].values()) == 4 * 3 + 3
    for i in range(len(store)):
        row = store.rows[i]
        entry = next(e for e in catalog.entries(str(row["dataset"]), home) if e.record == row["record"])
        assert (row["patient"], row["split"]) == (entry.patient, entry.split)
        windows = {w.start_s: w for w in cut(catalog.load(entry, home), InputSpec(window_s=60))}
        window, n = windows[float(row["start_s"])], int(row["samples"])
        got = store.read(i)
        assert np.array_equal(got.valid, window.valid[:, :n])
        assert np.abs(got.values - window.values[:, :n]).max(axis=1) == pytest.approx([0, 0], abs=2e-3)
        assert np.array_equal(got.in_mv, window.in_mv)
        expected = [quality(window.values[c, :n], window.valid[c, :n], 250.0, m) for c, m in enumerate(MODALITIES)]
        assert got.quality == pytest.approx(expected)
        assert (row["has_ecg"], row["has_ppg"]) == (True, entry.dataset == "challenge-2015")


def test_a_part_is_the_same_part_and_past_the_end_nothing_is_valid(home, tmp_path):
    prepare(SETS, home, tmp_path / "out")
    store = Store(tmp_path / "out")
    i = int(np.flatnonzero(store.rows["record"] == "A00001")[0])
    whole, part = store.read(i), store.read(i, 1000, 2500)
    assert whole.values.shape == (2, 2250)
    assert np.array_equal(part.values[:, :1250], whole.values[:, 1000:])
    assert not part.valid[:, 1250:].any()
    assert part.start_s == 4.0
    assert not part.values[~part.valid].any()


def test_a_small_cache_and_a_copy_in_another_process_read_the_same(home, tmp_path):
    prepare(SETS, home, tmp_path / "out")
    store, tight = Store(tmp_path / "out"), Store(tmp_path / "out", cache_mb=0.001)
    copy = pickle.loads(pickle.dumps(store))
    for i in RNG.permutation(len(store)):
        expected = store.read(int(i)).values
        assert np.array_equal(tight.read(int(i)).values, expected)
        assert np.array_equal(copy.read(int(i)).values, expected)


def test_bad_records_are_listed_with_their_reason(home, tmp_path):
    skipped = {s["record"]: s["reason"] for s in prepare(SETS, home, tmp_path / "out")["skipped"]}
    assert set(skipped) == {"A00004", "A00005"}
    assert "A00004" in skipped["A00004"]
    assert "changing signal" in skipped["A00005"]


def test_a_killed_run_goes_on_and_ends_with_the_same_store(home, tmp_path):
    def kill(done, total, name):
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(SETS, home, tmp_path / "killed", progress=kill)
    with pytest.raises(SignalError, match="run cardiofm prepare"):
        Store(tmp_path / "killed")
    finished = tmp_path / "killed" / "challenge-2015-0000.parquet"
    before = finished.stat().st_mtime_ns
    seen = []
    again = prepare(SETS, home, tmp_path / "killed", progress=lambda done, total, name: seen.append((done, total)))
    assert finished.stat().st_mtime_ns == before
    assert seen[-1] == (9, 9)
    assert again == prepare(SETS, home, tmp_path / "whole")
    a, b = Store(tmp_path / "killed"), Store(tmp_path / "whole")
    assert all(np.array_equal(a.read(i).values, b.read(i).values) for i in range(len(a)))


def test_the_manifest_counts_hours_patients_and_licences(home, tmp_path):
    manifest = prepare(SETS, home, tmp_path / "out")
    icu = manifest["datasets"]["challenge-2015"]
    assert icu["hours"] == icu["ecg_hours"] == pytest.approx(4 * 130 / 3600, abs=1e-3)
    assert icu["ppg_hours"] == pytest.approx(4 * 126 / 3600, abs=1e-3)
    assert (icu["records"], icu["patients"], icu["licence"]) == (4, 4, "ODC-By-1.0")
    assert sum(len(p) for p in manifest["patients"].values()) == 9
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    # 9 + 30 + 60 s of three records; the 61st second of one is less than a segment needs
    assert manifest["datasets"]["challenge-2017"]["dropped_segments"] == 1


def test_a_patient_in_two_splits_is_refused(tmp_path):
    ptb_xl(tmp_path, folds=(3, 8), patients=(7, 7))
    with pytest.raises(SignalError, match="one split, found ptb-xl-7 in train and in valid"):
        prepare(["ptb-xl"], tmp_path, tmp_path / "out")
    assert prepared(tmp_path, splits=["train"]) == ["1_hr"]


def test_what_may_not_be_trained_on_is_left_out_unless_asked_for(tmp_path):
    ptb_xl(tmp_path, folds=(1, 9))
    assert prepared(tmp_path) == ["1_hr"]
    assert prepared(tmp_path, all_entries=True) == ["1_hr", "2_hr"]
    ptb_xl(tmp_path, folds=(9, 10))
    with pytest.raises(SignalError, match="found no entry that may be trained on"):
        prepared(tmp_path)


def ptb_xl(root: Path, folds: tuple[int, int], patients: tuple[int, int] = (7, 8)) -> None:
    """A database of two records whose signals are missing: each ends up among the skipped."""
    folder = root / "ptb-xl" / "1.0.1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scp_statements.csv").write_text(",diagnostic_class\nNORM,NORM\n")
    rows = "".join(
        f"{i},{patient}.0,50,0,\"{{'NORM': 100.0}}\",{fold},records500/{i}_hr\n"
        for i, (fold, patient) in enumerate(zip(folds, patients, strict=True), 1)
    )
    (folder / "ptbxl_database.csv").write_text("ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_hr\n" + rows)


def prepared(root: Path, **choice) -> list[str]:
    return [s["record"] for s in prepare(["ptb-xl"], root, root / "out", **choice)["skipped"]]


def test_a_damaged_shard_is_named(home, tmp_path):
    prepare(SETS, home, tmp_path / "out")
    shard = tmp_path / "out" / "challenge-2017-0000.parquet"
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(SignalError, match=r"challenge-2017-0000\.parquet"):
        Store(tmp_path / "out")
    shard.write_bytes(content[:200] + bytes(50) + content[250:])
    with pytest.raises(SignalError, match=r"challenge-2017-0000\.parquet"):
        Store(tmp_path / "out").verify()
    shard.unlink()
    with pytest.raises(SignalError, match=r"challenge-2017-0000\.parquet"):
        Store(tmp_path / "out")
    prepare(SETS, home, tmp_path / "out")
    assert shard.read_bytes() == content


@pytest.mark.parametrize("how", ["in place", "away", "away and back"])
def test_a_shard_that_changes_under_an_open_store_is_seen_when_it_is_read_again(home, tmp_path, how):
    prepare(SETS, home, tmp_path / "out")
    store = Store(tmp_path / "out", cache_mb=0.001)
    shard = tmp_path / "out" / "challenge-2017-0000.parquet"
    content = shard.read_bytes()
    i = int(np.flatnonzero(store.rows["dataset"] == "challenge-2017")[0])
    before = store.read(i).values
    store.read(0)  # the other shard takes its place in the cache
    if how == "in place":
        shard.write_bytes(content[:2000] + bytes(50) + content[2050:])
    else:
        shard.rename(tmp_path / "elsewhere")
    if how == "away and back":
        shard.write_bytes(content)
        assert np.array_equal(store.read(i).values, before)
        return
    found = "bytes whose hash differs" if how == "in place" else "No such file"
    with pytest.raises(SignalError, match=rf"challenge-2017-0000\.parquet must be .*{found}"):
        store.read(i)
    shard.write_bytes(content)
    assert np.array_equal(store.read(i).values, before)


def test_other_tools_read_the_shards(home, tmp_path):
    import pandas as pd

    prepare(SETS, home, tmp_path / "out")
    store = Store(tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out" / "challenge-2015-0000.parquet")
    row = table.iloc[1]
    values = row["ppg"] * row["ppg_scale"] + row["ppg_offset"]
    valid = row["ppg"] != ABSENT
    assert np.allclose(values[valid], store.read(1).values[1][valid], atol=1e-2)
    assert 900 < values[valid].mean() < 1100


@pytest.mark.shared
def test_noise_is_in_mv_at_the_stores_rate(data_root, home, tmp_path):
    (home / "nstdb").symlink_to(data_root / "nstdb")
    prepare([*SETS, "nstdb"], home, tmp_path / "out")
    noise = Store(tmp_path / "out").noise
    assert {kind: x.shape for kind, x in noise.items()} == dict.fromkeys(("bw", "em", "ma"), (2, 300_000))
    source, _ = wfdb.rdsamp(str(data_root / "nstdb" / "1.0.0" / "ma"), sampto=360 * 1200)
    assert source is not None
    assert noise["ma"].std(axis=1) == pytest.approx(source.std(axis=0), rel=0.05)


def test_a_store_without_noise_says_so(home, tmp_path):
    prepare(SETS, home, tmp_path / "out")
    with pytest.raises(SignalError, match="nstdb"):
        _ = Store(tmp_path / "out").noise
