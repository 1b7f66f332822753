"""Probes, their scores and floors: known answers, nobody on both sides of a fold, nothing better than itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score

from cardiofm import pipeline
from cardiofm.evaluate import cached, cohorts, frozen, identity, minirocket, tasks
from cardiofm.evaluate.tables.representation import representation
from cardiofm.heads import scores
from cardiofm.heads.learn import decide, probes
from cardiofm.signals import InputSpec, SignalError, Window

SPEC = InputSpec()


def people(seed: int = 0, patients: int = 80, rows_each: int = 3):
    """Features, labels and patients; a patient's rows look alike, the label is a matter of the patient."""
    rng = np.random.default_rng(seed)
    index = np.repeat(np.arange(patients), rows_each)
    x = rng.normal(size=(patients, 12))[index] + 0.1 * rng.normal(size=(len(index), 12))
    y = rng.integers(0, 2, patients)[index]
    return x, y, [f"p{i}" for i in index]


@pytest.mark.parametrize("head", ["linear", "boosting"])
def test_labels_by_chance_give_no_rank(head):
    """Rows of one patient look alike: a fold that split patients would find their labels again (AUROC near 1)."""
    found = []
    for seed in range(3 if head == "linear" else 1):
        x, y, groups = people(seed)
        found.append(roc_auc_score(y, probes.cross_validated(x, y, groups, "binary", head=head)))
    assert 0.3 < np.mean(found) < 0.7


@pytest.mark.parametrize("head", ["linear", "boosting"])
def test_a_leaked_feature_is_found(head):
    x, y, groups = people()
    x[:, 3] = 5 * y
    x[::7, 5] = np.nan
    x[:, 6] = np.nan  # never measured
    x[:, 7] = 1.0
    held = probes.held_out(x, y, groups, "binary", head=head)
    assert roc_auc_score(y, held.scores) == 1
    assert (decide.positive(held, y, decide.F1) == y).all()


def test_every_kind_finds_what_is_linear():
    x, _, groups = people()
    years = 60 + 10 * x[:, 0]
    assert np.abs(probes.cross_validated(x, years, groups, "regression") - years).mean() < 0.5
    labels = np.stack([x[:, 0] > 0, x[:, 1] > 0.3], axis=1)
    found = probes.cross_validated(x, labels, groups, "multilabel")
    assert found.shape == labels.shape
    assert scores.once(scores.macro_auroc, labels, found) > 0.97


@given(st.integers(0, 1000), st.integers(2, 6), st.sampled_from(["binary", "regression"]))
@settings(max_examples=25, deadline=None)
def test_a_patient_is_in_one_fold_only(seed, folds, kind):
    _, y, groups = people(seed, patients=17)
    fold = probes.folds_of(y, groups, kind, folds, seed)
    of = {p: set(fold[np.array(groups) == p]) for p in groups}
    assert all(len(found) == 1 for found in of.values())
    sizes = np.bincount([next(iter(found)) for found in of.values()], minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    if kind == "binary":
        positive = np.bincount([next(iter(of[p])) for p in of if y[groups.index(p)]], minlength=folds)
        assert positive.max() - positive.min() <= 1


def test_the_inner_rows_that_choose_are_not_those_that_are_scored():
    x, y, groups = people(1)
    held = probes.held_out(x, y, groups, "binary", inner=2)
    name = np.array(groups)
    for fold, (rows, score) in enumerate(held.inner):
        assert not set(name[rows]) & set(name[held.fold == fold])
        assert len(rows) == len(score)


def test_more_features_than_rows_change_nothing():
    """The rotation into the space of the rows is exact for a squared penalty."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 90))
    y = np.asarray(x[:, 0] + rng.normal(size=40) > 0)
    new = rng.normal(size=(20, 90))
    turn = probes.RowSpace().fit(x)
    direct = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000).fit(x, y).predict_proba(new)
    turned = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000).fit(turn.transform(x), y)
    assert turn.transform(x).shape == (40, 40)
    np.testing.assert_allclose(turned.predict_proba(turn.transform(new)), direct, atol=1e-5)


def test_one_kind_of_label_is_refused():
    with pytest.raises(ValueError, match="true and false"):
        probes.choose_and_fit(np.ones((4, 2)), np.ones(4), np.ones((2, 2)), np.ones(2), "binary")
    with pytest.raises(ValueError, match="folds must be"):
        probes.folds_of([0, 1], ["a", "a"], "binary", 2)


def test_two_heads_together_are_no_worse_where_it_is_chosen():
    x, _, groups = people(2, patients=160)
    y = x[:, 0] + x[:, 1] + np.random.default_rng(0).normal(size=len(x)) > 0
    one, two = (probes.held_out(x[:, [k]], y, groups, "binary", folds=3) for k in (0, 1))
    both = probes.fused(one, two, y, "binary")
    assert roc_auc_score(y, both.scores) > max(roc_auc_score(y, h.scores) for h in (one, two)) + 0.01
    other = probes.held_out(x[:, [1]], y, groups, "binary", folds=3, seed=5)
    with pytest.raises(ValueError, match="same folds"):
        probes.fused(one, other, y, "binary")


@given(st.integers(0, 10_000), st.integers(2, 40))
@settings(max_examples=20, deadline=None)
def test_scores_are_those_of_scikit_learn(seed, n):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2 == 0
    score = rng.integers(0, 6, n) / 5  # with ties
    weight = rng.integers(0, 4, n)
    weight[:2] = 1
    found = scores.auroc(y, score, np.stack([np.ones(n), weight]))
    assert found == pytest.approx([roc_auc_score(y, score), roc_auc_score(y, score, sample_weight=weight)])
    found = scores.f1(y, score > 0.5, np.stack([np.ones(n), weight]))
    expected = [f1_score(y, score > 0.5, sample_weight=w) for w in (None, weight)]
    assert found == pytest.approx(expected)
    two = np.stack([y, score > 0.3], axis=1)
    said = np.stack([score > 0.5, y], axis=1)
    assert scores.once(scores.macro_f1, two, said) == pytest.approx(f1_score(two, said, average="macro"))
    assert scores.once(scores.weighted_f1, two, said) == pytest.approx(f1_score(two, said, average="weighted"))
    drawn = score + rng.normal(size=n)
    if np.ptp((y + score)[weight > 0]):
        theirs = np.cov(y + score, drawn, fweights=weight)
        ours = scores.pearson(y + score, drawn, weight[None].astype(float))[0]
        assert ours == pytest.approx(theirs[0, 1] / np.sqrt(theirs[0, 0] * theirs[1, 1]))


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_nothing_is_better_than_itself(seed):
    rng = np.random.default_rng(seed)
    y, score, groups = rng.random(60) < 0.5, rng.random(60), [f"p{i // 2}" for i in range(60)]
    for metric, found in ((scores.auroc, score), (scores.f1, score > 0.5), (scores.mae, score)):
        same = scores.paired(metric, y, found, found, groups, repeats=200)
        assert (same.value, same.low, same.high) == (0, 0, 0)
    better = scores.paired(scores.auroc, y, score + 2 * y, score, groups, repeats=200)
    assert better.low > 0


def test_the_interval_belongs_to_patients_not_rows():
    rng = np.random.default_rng(3)
    y, score = rng.random(50) < 0.5, rng.random(50)
    alone = scores.scored(scores.auroc, y, score, [f"p{i}" for i in range(50)])
    many = scores.scored(
        scores.auroc, np.repeat(y, 9), np.repeat(score, 9), [f"p{i}" for i in range(50) for _ in "9" * 9]
    )
    assert (many.value, many.low, many.high) == pytest.approx((alone.value, alone.low, alone.high))
    assert (many.patients, many.windows) == (50, 450)


def test_minirocket_sees_shape_and_not_scale():
    rng = np.random.default_rng(0)
    t = np.arange(2500) / 250
    y = np.arange(60) % 2 == 0
    waves = [np.sin(2 * np.pi * (1.0 + 0.3 * late) * (t + rng.random())) + 0.3 * rng.normal(size=2500) for late in y]

    def windows(gain: float) -> list[Window]:
        made = []
        for wave in waves:
            values = np.stack([gain * wave, np.zeros(2500)]).astype(np.float32)
            made.append(Window(0.0, values, np.stack([np.ones(2500, bool), np.zeros(2500, bool)]), np.ones(2, bool)))
        return made

    x = minirocket.prepared(windows(1.0), 250.0, (0,))
    rocket = minirocket.fit(x)
    found = rocket.transform(x)
    assert found.shape == (60, 9996)
    assert found.min() >= 0
    assert found.max() <= 1
    same = rocket.transform(minirocket.prepared(windows(7.0), 250.0, (0,)))
    assert np.abs(found - same).max() < 0.02
    groups = [f"p{i}" for i in range(60)]
    assert roc_auc_score(y, probes.cross_validated(found, y, groups, "binary")) > 0.95


def test_the_thresholds_of_minirocket_are_quantiles():
    x = np.random.default_rng(0).normal(size=(20, 1, 500)).cumsum(-1).astype(np.float32)
    found = minirocket.fit(x).transform(x)
    assert found.mean() == pytest.approx(0.5, abs=0.05)


def test_numbers_are_computed_once(tmp_path):
    rng = np.random.default_rng(0)
    whole = np.ones((2, 2500), bool)
    windows = [Window(0.0, rng.normal(size=(2, 2500)).astype(np.float32), whole, np.ones(2, bool)) for _ in range(130)]
    asked = []

    def means(some: list[Window]):
        asked.append(len(some))
        return np.stack([w.values.mean(1) for w in some])

    first = cached.numbers(tmp_path, "means 1", windows, means)
    assert asked == [128, 2]
    (tmp_path / "half.1.part").write_bytes(b"")  # what an interrupted run leaves behind
    np.testing.assert_array_equal(cached.numbers(tmp_path, "means 1", windows, means), first)
    assert asked == [128, 2]
    cached.numbers(tmp_path, "means 1", windows[:-1], means)
    cached.numbers(tmp_path, "means 2", windows[:2], means)
    assert asked == [128, 2, 1, 2]


def test_a_head_is_fitted_once_to_the_same_numbers(tmp_path):
    rng = np.random.default_rng(0)
    x, patients = rng.normal(size=(60, 5)), [f"p{k // 2}" for k in range(60)]
    truth = x[:, 0] + rng.normal(size=60) > 0
    task = tasks.Task("s", "t", "binary", np.arange(60), truth, patients, {}, inner=2)
    first, again = (task.held_out(x, "linear", tmp_path) for _ in range(2))
    assert len(list(tmp_path.iterdir())) == 1
    for a, b in zip((task.held_out(x, "linear"), first), (first, again), strict=True):
        np.testing.assert_array_equal(a.scores, b.scores)
        np.testing.assert_array_equal(a.fold, b.fold)
        for one, other in zip(a.inner, b.inner, strict=True):
            np.testing.assert_array_equal(np.concatenate(one), np.concatenate(other))
    task.held_out(x + 1, "linear", tmp_path)
    task.held_out(x, "boosting", tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_weights_that_were_replaced_meanwhile_are_noticed():
    frozen.unchanged("ab" * 32, "ab" * 32)
    with pytest.raises(ValueError, match="must stay the same"):
        frozen.unchanged("ab" * 32, "cd" * 32)


def test_identity_of_perfect_and_of_blind_numbers():
    rng = np.random.default_rng(0)
    patients = [f"p{i // 4}" for i in range(80)]
    records = [f"r{i // 2}" for i in range(80)]
    own = np.repeat(rng.normal(size=(20, 16)), 4, axis=0)
    allowed = identity.in_another_record(records, patients)
    assert (allowed.sum(1) == 78).all()
    perfect, blind = (identity.similarity(x) for x in (own, rng.normal(size=(80, 16))))
    assert identity.same_patient(perfect, patients, allowed).all()
    assert identity.average_precision(perfect, patients, allowed) == pytest.approx(1)
    assert identity.average_precision(blind, patients, allowed).mean() < 0.2
    assert identity.equal_error(identity.verification(perfect, patients, allowed)).value == pytest.approx(0, abs=0.002)
    check = identity.verification(blind, patients, allowed)
    assert identity.equal_error(check).value == pytest.approx(0.5, abs=0.1)
    same = identity.equal_error(check, check)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert identity.chance(patients, allowed) == pytest.approx(np.full(80, 2 / 78))


def test_a_set_that_is_missing_is_told_and_the_others_go_on(capsys: pytest.CaptureFixture[str]):
    def lacking() -> cohorts.Cohort:
        raise SignalError("dataset ludb must lie in x")

    there, absent = cohorts.Cohort("bidmc", [], [], np.zeros(0, int), 0), {}
    found = list(cohorts.here({"ludb": lacking, "bidmc": lambda: there}, absent))
    assert found == [("bidmc", there)]
    assert absent == {"ludb": "dataset ludb must lie in x"}
    assert capsys.readouterr().err == "ludb: dataset ludb must lie in x\n"
    with pytest.raises(SignalError, match="must hold one of ludb, found none"):
        list(cohorts.here({"ludb": lacking}, {}))


@pytest.mark.shared
def test_a_cohort_gives_what_the_door_gives(data_root: Path):
    model = pipeline.load("tiny", threads=1)
    cohort = cohorts.challenge_2015(data_root, SPEC, limit=6)
    assert [w.start_s for w in cohort.windows][:3] == [270.0, 280.0, 290.0]
    last = cohort.last()
    assert {w.start_s for w in last.windows} == {290.0}
    assert last.of_window.tolist() == list(range(6))
    ours = cached.embeddings(model, cohort.windows)
    from cardiofm.data import catalog

    for window, record, row in zip(cohort.windows, cohort.of_window, ours, strict=True):
        whole = catalog.load(cohort.entries[record], data_root)
        theirs = model.embed(whole.crop(window.start_s - 3, window.start_s + 13), hop_s=1.0)
        at = int(np.abs(theirs.start_s - window.start_s).argmin())
        np.testing.assert_allclose(row, theirs.values[at], atol=2e-2)


@pytest.mark.shared
def test_the_sealed_fold_stays_sealed_and_tasks_have_their_parts(data_root: Path):
    cohort = cohorts.ptb_xl(data_root, SPEC, limit=60)
    assert max(cohort.label("strat_fold")) <= 9
    asked = {task.name: task for task in tasks.of_ptb_xl(cohort)}
    folds = [e.labels["strat_fold"] for e in cohort.entries]
    assert asked["age"].part == ["train" if k < 8 else "valid" if k == 8 else "test" for k in folds]
    last = replace(cohort.entries[0], labels=cohort.entries[0].labels | {"strat_fold": 10})
    more = tasks.of_ptb_xl(replace(cohort, entries=[last, *cohort.entries[1:]]))
    part = next(task.part for task in more if task.name == "age")  # fold 10 is scored where it is
    assert part == ["test", *("train" if k < 8 else "valid" for k in folds[1:])]
    assert {"superclasses", "abnormal", "age", "sex"} < set(asked)
    assert [name for name in asked if name.endswith("statements")]
    part = np.array(asked["age"].part)
    fold = np.array([cohort.label("strat_fold")[k] for k in asked["age"].rows])
    assert (fold[part == "train"] <= 7).all()
    assert (fold[part == "valid"] == 8).all()
    assert (fold[part == "test"] == 9).all()


def test_the_section_names_what_was_measured():
    def row(**names):
        return names | {"value": 0.8, "low": 0.7, "high": 0.9, "patients": 9, "windows": 9, "refused": 2}

    what = {"set": "challenge-2017", "task": "AF", "metric": "AUROC"}
    model = {"name": "base", "sha256": "ab" * 32}
    rows = [row(**what, method=m, head="linear") for m in ("model", "untrained", "minirocket")]
    rows.append(row(set="ptb-xl", task="abnormal", metric="AUROC", method="model", head="linear", group="women"))
    gains = [row(**what, difference="model - untrained") | {"value": 0.0123}]
    text = "\n".join(representation({"rows": rows, "differences": gains, "model": model, "command": "c"}))
    assert (
        "| AF in hand-held ECG, AUROC | 0.800 [0.700, 0.900] | 0.800 | 0.800 | – | – | – | 0.012 [0.700, 0.900] |"
        in text
    )
    assert "| 9 (2) |" in text
    assert "women 0.800 [0.700, 0.900]" in text
    assert text.count("\n| ") == 2  # header and one row


@pytest.mark.shared
def test_half_minutes_of_mitdb_are_scored_by_heads_that_learned_from_nobody_of_it(data_root: Path):
    cohort = cohorts.mitdb(data_root, SPEC, limit=30)
    (task,) = tasks.of_mitdb(cohort)
    part, patients = np.array(task.part), np.array(task.patients)
    assert set(part) <= {"train", "valid", "test"}
    assert {one.startswith("mitdb-") for one in patients[part == "test"]} == {True}
    assert not any(one.startswith("mitdb-") for one in patients[part != "test"])
    assert 100 < (part == "test").sum() < 700
    assert 5 <= len(set(patients[(part == "test") & task.y])) <= 10  # eight people of MIT-BIH or so have AF
    assert {piece.dataset for piece in cohort.pieces()} == {"mitdb", "challenge-2017"}
