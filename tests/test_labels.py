"""Labels of recordings: each mistake is one sentence, nobody is on both sides, every class is everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiofm import simulate
from cardiofm.data.write import write
from cardiofm.heads.labels import Example, parts, read_labels, target
from cardiofm.signals import Record, SignalError


def unread() -> Record:
    raise AssertionError("no signal may be read before the labels are checked")


def people(labels: list[str], splits: list[str] | None = None, each: int = 1) -> list[Example]:
    """`each` recordings of a patient a label."""
    given_splits = splits or [""] * len(labels)
    pairs = [(k, label) for k, label in enumerate(labels) for _ in range(each)]
    return [Example(f"r{i}", unread, label, f"p{k}", given_splits[k]) for i, (k, label) in enumerate(pairs)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording of 4 s, `a/one.hea`."""
    home = tmp_path_factory.mktemp("data")
    (home / "a").mkdir()
    write(simulate(4, fs_ecg_hz=100, fs_ppg_hz=50, seed=1).record, home / "a" / "one.hea")
    return home


def labels_file(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text)
    return path


def test_a_line_is_a_recording_with_its_part_and_patient(folder: Path) -> None:
    path = labels_file(folder, "record,outcome,patient,split,start_s,end_s\na/one.hea,7.5,ann,Train,1,3\na/one,2,,,,\n")
    first, second = read_labels(path, folder, "outcome")
    assert (first.label, first.patient, first.split) == ("7.5", "ann", "train")
    assert first.read().duration_s == pytest.approx(2, abs=0.03)
    assert (second.patient, second.split) == ("a/one", "")
    assert second.read().duration_s == pytest.approx(4, abs=0.03)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("record,outcome\na/one,1\n", "must have a column 'label', found record, outcome"),
        ("file,label\na/one,1\n", "must have a column 'record'"),
        ("", "must have a column 'record', found none"),
        ("record,label\na/one,1\nb/two,1\nb/three,0\n", "found none for 'b/two' and 1 more"),
        ("record,label\na/one,\n", "line 2: label must be known, found 'nothing'"),
        ("record,label\na/one,1\na/one,NaN\n", "line 3: label must be known, found 'NaN'"),
        ("record,label,start_s\na/one,1,soon\n", "start_s must be seconds, found 'soon'"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(folder: Path, text: str, said: str) -> None:
    with pytest.raises(SignalError) as caught:
        read_labels(labels_file(folder, text), folder)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_is_one_sentence(folder: Path) -> None:
    with pytest.raises(SignalError, match="found no file"):
        read_labels(folder / "none.csv", folder)


@pytest.mark.parametrize(
    ("examples", "kind", "said"),
    [
        (lambda: people(["AF"] * 12), "classification", "two classes or more, found only AF"),
        (lambda: people(["3"] * 12), "regression", "must differ, found 3 for all 12"),
        (lambda: people(["3", "old"] * 6), "regression", "must be numbers, found 'old'"),
        (lambda: people(["3", "inf"] * 6), "regression", "must be numbers, found 'inf'"),
        (lambda: people([f"{k}.5" for k in range(60)]), "classification", "must repeat, found 60 classes in 60 rows"),
        (lambda: people(["a", "b"] * 4), "classification", "10 patients or more, found 8"),
        (lambda: people(["a", "b"] * 2, each=5), "classification", "10 patients or more, found 4"),
        (lambda: people(["a"] * 12 + ["b"]), "classification", "must show every class, with and without"),
        (lambda: people(["a", "b"] * 6, ["train"] * 11 + ["tset"]), "classification", "found 'tset'"),
        (lambda: people(["a", "b"] * 6, ["train"] * 12), "classification", r"to choose by \(valid\), found none"),
    ],
)
def test_labels_that_no_head_can_be_made_of(examples: Callable[[], list[Example]], kind, said: str) -> None:
    with pytest.raises(SignalError, match=said) as caught:
        parts(examples(), target(examples(), kind))
    assert "\n" not in str(caught.value)


def test_a_patient_in_two_splits_is_named() -> None:
    found = people(["a", "b"] * 8, ["train", "train", "valid", "valid"] * 4)
    found.append(Example("again", unread, "a", "p0", "valid"))
    with pytest.raises(SignalError, match="one split, found 'p0' in train and valid"):
        parts(found, target(found, "classification"))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("aab"), min_size=14, max_size=60), st.integers(1, 3), st.integers(0, 99))
def test_patients_are_dealt_whole_and_alike_in_any_order(labels: list[str], each: int, seed: int) -> None:
    found = people(labels, each=each)
    if min(labels.count("a"), labels.count("b")) < 3:
        return
    part = parts(found, target(found, "classification"))
    home = {e.patient: p for e, p in zip(found, part, strict=True)}
    assert [home[e.patient] for e in found] == part
    for label in "ab":
        assert {p for e, p in zip(found, part, strict=True) if e.label == label} == {"train", "valid", "test"}
    order = np.random.default_rng(seed).permutation(len(found))
    mixed = [found[k] for k in order]
    assert parts(mixed, target(mixed, "classification")) == [part[k] for k in order]


def test_several_labels_of_a_recording() -> None:
    found = people(["MI;CD", "NORM", "MI", "CD;NORM"] * 5)
    goal = target(found, "multilabel", ("NORM", "MI", "CD"))
    assert goal.y[:2].tolist() == [[False, True, True], [True, False, False]]
    assert set(parts(found, goal)) == {"train", "valid", "test"}
    with pytest.raises(SignalError, match="must be of NORM, found 'CD'"):
        target(found, "multilabel", ("NORM",))
