"""SignalMC-MED on a synthetic stand-in: it runs, it reads what it should, its probes are the paper's, it says no."""

from __future__ import annotations

import json
import pickle
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from cardiofm.data.simulate import simulate
from cardiofm.evaluate import run
from cardiofm.evaluate.extractors.crafted import hand_crafted
from cardiofm.evaluate.extractors.own import embedding
from cardiofm.evaluate.mcmed import benchmark, probe, stand_in
from cardiofm.evaluate.mcmed.labels import Task, tasks
from cardiofm.evaluate.mcmed.visits import Visit, folder, load, visits
from cardiofm.pipeline import load as load_model
from cardiofm.signals import InputSpec, SignalError

FEW = probe.Protocol(shares=(1.0, 0.5), runs=2, alphas=(1e-3, 1.0, 1e3), cs=(1e-3, 1.0))
ROWS = {"train": np.arange(120), "valid": np.arange(120, 180), "test": np.arange(180, 300)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in of 16 visits."""
    folder = tmp_path_factory.mktemp("mc-med") / "data"
    stand_in.write(folder, visits=16, segment_s=10.0, seed=3)
    return folder


@pytest.fixture
def copy(place: Path, tmp_path: Path) -> Path:
    """Its tables alone, to be spoilt."""
    return Path(shutil.copytree(place, tmp_path / "copy", ignore=shutil.ignore_patterns("waveforms")))


@pytest.fixture(scope="module")
def ran(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The results of the whole benchmark on a stand-in, and the folder around it."""
    around = tmp_path_factory.mktemp("ran")
    args = Namespace(
        data_root=around, model=str(micro), backend="torch", threads=1, limit=10**6,
        out=around / "results", cache=around / "cache", stand_in=around / "stand-in",
    )  # fmt: skip
    return benchmark.mcmed(args), around


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def questions(noise: float, seed: int = 0) -> tuple[np.ndarray, list[Task]]:
    """Features that hold a value and a yes or no, with noise on them, and two columns of nothing."""
    random = np.random.default_rng(seed)
    age, sex = random.normal(50, 15, 300), (random.random(300) < 0.5).astype(float)
    x = np.stack([age / 15, sex, *random.normal(size=(2, 300))], axis=1)
    x += noise * random.normal(size=x.shape)
    return x, [Task("age", "age", "regression", age), Task("sex", "sex", "binary", sex)]


def test_the_benchmark_runs_on_a_stand_in_and_says_that_it_is_one(ran: tuple[dict[str, Any], Path]) -> None:
    result, around = ran
    names = list(dict.fromkeys(r["task"] for r in result["rows"]))
    asked = [r["task"] for r in result["rows"] if r["questions"] == 1]
    assert len(set(asked)) + len(result["absent"]) == 20
    assert names[:3] == ["age", "sex", "disposition"]
    assert names[-2:] == ["labs, mean", "conditions, mean"]
    settings = {(r["method"], r["setting"]) for r in result["rows"]}
    assert {s for m, s in settings if m == "model"} == {"ecg", "ppg", "both", "mean"}
    assert {s for m, s in settings if m == "hand-crafted"} == {"ecg", "ppg", "both"}
    assert all(np.isfinite(r["value"]) for r in result["rows"] if r["task"] in ("age", "sex", "labs, mean"))
    assert {r["metric"] for r in result["rows"]} == {"r", "AUROC"}
    assert "synthetic stand-in" in result["task"]
    assert "say nothing of MC-MED" in result["task"]
    assert list(result["data"]) == ["synthetic stand-in"]
    assert not (around / "results").exists()  # never among the results
    written = json.loads((around / "stand-in" / "mcmed-stand-in.json").read_text(encoding="utf-8"))
    assert written["task"] == result["task"]
    assert written["rows"] == result["rows"]


def test_figures_of_a_stand_in_are_not_shown(
    ran: tuple[dict[str, Any], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark.show(ran[0])
    shown = capsys.readouterr().out
    assert "synthetic stand-in" in shown
    assert "0." not in shown
    benchmark.show(ran[0] | {"task": "mcmed", "absent": {"sodium": "sodium must have two values"}})
    shown = capsys.readouterr().out
    assert "0." in shown
    assert "not asked: sodium" in shown


def test_features_are_kept_and_are_the_mean_of_what_embed_gives(place: Path, micro: Path, tmp_path: Path) -> None:
    model = load_model(micro, backend="torch", threads=1)
    make = {"model": embedding(model, run.checkpoint(str(micro))["sha256"]), "hand-crafted": hand_crafted(model.spec)}
    chosen = [Visit("123456", "lost", "train"), *visits(place)[:2]]
    cohort = benchmark.read(chosen, place, 10.0, model.spec, make, tmp_path)
    assert cohort.visits == chosen[1:]
    assert (cohort.refused, cohort.windows, cohort.simulated) == (1, 2, True)
    record = load(chosen[2], place, 10.0)
    for setting, part in {
        "both": record,
        "ecg": replace(record, ppg=None),
        "ppg": replace(record, ecg=None),
    }.items():
        true = model.embed(part).values.mean(0)
        np.testing.assert_allclose(cohort.features["model", setting][1], true, atol=1e-5)
    alone = (cohort.features["model", "ecg"] + cohort.features["model", "ppg"]) / 2
    np.testing.assert_allclose(cohort.features["model", "mean"], alone)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = benchmark.read(chosen, place, 10.0, model.spec, make, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept
    assert again.sha256 == cohort.sha256
    np.testing.assert_array_equal(again.features["model", "both"], cohort.features["model", "both"])


def test_the_two_channels_of_a_visit_are_on_one_clock(place: Path) -> None:
    for k, visit in enumerate(visits(place)[:3]):
        record = load(visit, place, 10.0)
        true = simulate(12.0, fs_ecg_hz=500, fs_ppg_hz=125, seed=3 + k, ecg_noise_mv=0.02).record
        assert record.ecg is not None
        assert record.ppg is not None
        assert true.ecg is not None
        assert true.ppg is not None
        assert record.duration_s == pytest.approx(10.0)
        error = [np.abs(true.ppg.values[n : n + 1250] - record.ppg.values).max() for n in range(188)]
        late = int(np.argmin(error))  # in samples of the PPG, four of the ECG each
        assert error[late] < 1e-3
        np.testing.assert_allclose(record.ecg.values, true.ecg.values[4 * late : 4 * late + 5000], atol=1e-3)


def test_labels_follow_the_rules_of_the_paper(copy: Path) -> None:
    chosen = visits(copy)
    first, second, third = (v.csn for v in chosen[:3])
    lines = ["CSN,Component_name,Component_value", f"{first},POTASSIUM,4.1", f"{second},POTASSIUM,>10.0"]
    lines += [f"{third},POTASSIUM,4.0", f"{third},POTASSIUM,4.4", f"{first},SODIUM,140", f"{first},SODIUM LEVEL,9"]
    (copy / "labs.csv").write_text("\n".join(lines), encoding="utf-8")
    one, two = chosen[0].patient, chosen[1].patient
    (copy / "pmh.csv").write_text(f'MRN,Code\n{one},I48.91\n{one},E119\n{two},"Z951"\n{two},J9601\n', encoding="utf-8")
    visit = (copy / "visits.csv").read_text(encoding="utf-8").splitlines()
    cells = [line.split(",") for line in visit[1:4]]
    cells[0][2:], cells[1][2:], cells[2][2:] = ["44", "F", "ICU"], ["", "U", "Discharge"], ["90", "M", "Eloped"]
    text = "\n".join([visit[0], *(",".join(c) for c in cells), *visit[4:]])
    (copy / "visits.csv").write_text(text, encoding="utf-8")

    found = {task.name: task.y[:3].tolist() for task in tasks(chosen, copy)}
    assert len(found) == 20
    nan = float("nan")
    expected = {
        "age": [44, nan, 90], "sex": [1, nan, 0], "disposition": [1, 0, nan], "potassium": [4.1, nan, nan],
        "sodium": [140, nan, nan], "atrial fibrillation": [1, 0, 0], "diabetes": [1, 0, 0],
        "cardiac device": [0, 0, 0], "respiratory compromise": [0, 1, 0],
    }  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_probes_find_what_features_hold_and_nothing_in_noise() -> None:
    for noise, low, high in ((0.1, 0.97, 1.0), (1e3, -0.35, 0.62)):
        x, asked = questions(noise)
        found = probe.predictions(x, asked, ROWS, FEW)
        for task in asked:
            assert found[task.name].shape == (120, 4)
            metric = probe.mean_over(probe.METRICS[task.kind][1])
            value = probe.scores.once(metric, task.y[ROWS["test"]][:, None], found[task.name][..., None])
            assert low <= value <= high, (task.name, noise, value)


def test_a_probe_is_the_papers_on_its_draw() -> None:
    x, asked = questions(0.5)
    age = asked[0]
    at = probe.drawn(age, ROWS["train"], 0.5, 1)
    assert len(at) == 60
    assert len(set(at)) < 60  # with replacement
    assert set(at) <= set(ROWS["train"])
    scale = StandardScaler().fit(x[at])
    best, most = 0.0, -1.0
    for alpha in FEW.alphas:
        fitted = Ridge(alpha=alpha).fit(scale.transform(x[at]), age.y[at])
        r = np.corrcoef(fitted.predict(scale.transform(x[ROWS["valid"]])), age.y[ROWS["valid"]])[0, 1]
        best, most = (alpha, r) if r > most else (best, most)
    true = Ridge(alpha=best).fit(scale.transform(x[at]), age.y[at]).predict(scale.transform(x[ROWS["test"]]))
    np.testing.assert_allclose(probe.predictions(x, asked, ROWS, FEW)["age"][:, 3], true)


def test_the_protocol_is_the_papers() -> None:
    how = probe.Protocol()
    assert how.shares == (1.0, 0.5, 0.25, 0.1)
    assert (how.runs, len(how.alphas), len(how.cs)) == (5, 31, 25)
    assert (how.alphas[0], how.alphas[-1], how.cs[0], how.cs[-1]) == (1e-6, 1e6, 1e-4, 1e4)


def test_a_question_that_one_kind_answers_is_left_out_with_its_reason() -> None:
    _, asked = questions(0.1)
    never = Task("anaemia", "conditions", "binary", np.zeros(300))
    found = probe.unanswerable([*asked, never], ROWS)
    assert found == {"anaemia": "anaemia must have a yes and a no among the train visits, found fewer"}
    with pytest.raises(SignalError, match=r"^sex must have a yes and a no among the valid visits, found fewer; it"):
        probe.unanswerable([asked[0], replace(asked[1], y=np.where(np.arange(300) < 120, asked[1].y, 1.0))], ROWS)


def test_folds_that_share_a_visit_or_a_patient_are_refused(copy: Path) -> None:
    first = visits(copy)[0]
    last = visits(copy)[-1]
    edit(copy / "visits.csv", f"{last.csn},{last.patient}", f"{last.csn},{first.patient}")
    with pytest.raises(SignalError, match=f"a patient must be in one split, found {first.patient} in train and test"):
        visits(copy)
    with (copy / "split_chrono_test.csv").open("a", encoding="utf-8") as file:
        file.write(f"{first.csn}\n")
    edit(copy / "visits.csv", f"{last.csn},{first.patient}", f"{last.csn},{last.patient}")
    with pytest.raises(SignalError, match=f"a visit must be in one split, found {first.csn} in train and test"):
        visits(copy)


@pytest.mark.parametrize("name", ["split_chrono_val.csv", "labs.csv", "pmh.csv"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(SignalError, match=rf"^MC-MED must have {name}, found none in .*; get it from https://"):
        tasks(visits(copy), copy)


def test_a_missing_folder_column_or_visit_is_named(copy: Path) -> None:
    with pytest.raises(SignalError, match=r"must lie in .* with visits.csv, found none"):
        folder(copy / "nowhere")
    chosen = visits(copy)
    edit(copy / "labs.csv", "Component_value", "Value")
    with pytest.raises(SignalError, match=r"^labs.csv must have the columns .*, found no Component_value$"):
        tasks(chosen, copy)
    edit(copy / "visits.csv", chosen[0].csn, "1")
    with pytest.raises(SignalError, match=f"visits.csv must hold every visit of .*, found no {chosen[0].csn}"):
        visits(copy)


def test_the_list_of_the_papers_visits_is_read_without_running_it(copy: Path) -> None:
    chosen = [v.csn for v in visits(copy)]
    (copy / "signalmc-med_csns.pkl").write_bytes(pickle.dumps([int(one) for one in chosen[2:5]]))
    assert [v.csn for v in visits(copy)] == chosen[2:5]
    (copy / "signalmc-med_csns.pkl").write_bytes(pickle.dumps([Path("x")]))
    with pytest.raises(SignalError, match="must hold a plain list of visits"):
        visits(copy)
    (copy / "signalmc-med_csns.pkl").unlink()
    (copy / "signalmc-med_csns.csv").write_text("7\n", encoding="utf-8")
    with pytest.raises(SignalError, match="must name visits of the splits, found 7"):
        visits(copy)


def test_a_visit_with_less_than_the_segment_is_refused(place: Path, tmp_path: Path) -> None:
    visit = visits(place)[0]
    with pytest.raises(SignalError, match="must have 600 s of both channels, found"):
        load(visit, place)
    with pytest.raises(SignalError, match="must exist, found no such file"):
        load(Visit("123456", "p", "train"), place)
    with pytest.raises(SignalError, match=r"visits with 600 s of both channels, found none: visit .* must have 600 s"):
        benchmark.read([visit], place, 600.0, InputSpec(), {}, tmp_path)


def test_a_stand_in_is_never_written_over_anything(copy: Path) -> None:
    with pytest.raises(SignalError, match="must have a folder of its own, found files in"):
        stand_in.write(copy)
