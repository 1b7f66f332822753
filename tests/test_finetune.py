"""A head is fitted, calibrated, scored, saved, and says the same again: numpy says what scikit-learn and torch said."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cardiofm import heads, simulate
from cardiofm.cli import app
from cardiofm.data import catalog
from cardiofm.data.write import write
from cardiofm.heads import calibration, scores
from cardiofm.heads.head import About
from cardiofm.heads.labels import Target, read_labels
from cardiofm.heads.look import Seen, View, look
from cardiofm.pipeline import Model, load
from cardiofm.signals import CheckpointError, Record, SignalError

pytest.importorskip("sklearn")
pytest.importorskip("torch")
from cardiofm.heads.learn import probes
from cardiofm.heads.learn.attention import attention
from cardiofm.heads.learn.finetune import Plan, finetune
from cardiofm.heads.learn.fit import Data, fit, linear_of, trees_of
from cardiofm.heads.learn.report import lines


def drawn(rows: int = 160, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Numbers with gaps, and labels of every kind that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 7))
    score = x[:, 0] + 0.5 * x[:, 1] + 0.3 * rng.normal(size=rows)
    y = {
        "binary": score > 0,
        "classes": np.digitize(score, [-0.6, 0.6]),
        "multilabel": np.stack([score > 0, x[:, 2] > 0.3, x[:, 3] > 0.5], axis=1),
        "regression": 60 + 9 * score,
    }
    x[rng.random(x.shape) < 0.05] = np.nan
    x[:, 6] = 1.0  # says nothing
    return x, y


@pytest.mark.parametrize("kind", ["binary", "classes", "multilabel", "regression"])
@pytest.mark.parametrize("form", ["linear", "boosting"])
def test_numpy_says_what_scikit_learn_said(kind, form) -> None:
    x, y = drawn()
    fitted = probes.choose_and_fit(x[:100], y[kind][:100], x[100:130], y[kind][100:130], kind, form)
    raw = linear_of(fitted).raw(x[130:]) if form == "linear" else trees_of(fitted).totals(x[130:])
    link = {"regression": "value", "classes": "one of"}.get(kind, "each")
    found = calibration.Calibration(link, (1.0,) * raw.shape[1], (0.0,) * raw.shape[1])(raw)
    expected = probes.scores(fitted, x[130:], kind).reshape(len(found), -1)
    if kind == "multilabel" and form == "linear":
        assert found.shape == (30, 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_calibration_makes_overconfident_probabilities_right() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(size=(4000, 1)) * 1.5
    y = rng.random(4000) < 1 / (1 + np.exp(-odds[:, 0]))
    loud = 3 * odds + 1
    found = calibration.fit(loud[:2000], y[:2000], "each")
    before = 1 / (1 + np.exp(-loud[2000:, 0]))
    error = [scores.once(scores.calibration_error, y[2000:], p) for p in (before, found(loud[2000:])[:, 0])]
    assert error[0] > 0.1
    assert error[1] < 0.04
    assert found.stretch[0] == pytest.approx(1 / 3, rel=0.15)


def test_one_temperature_for_exclusive_classes() -> None:
    rng = np.random.default_rng(1)
    odds = rng.normal(size=(3000, 3))
    chance = np.exp(odds) / np.exp(odds).sum(1, keepdims=True)
    y = np.array([rng.choice(3, p=p) for p in chance])
    found = calibration.fit(4 * odds, y, "one of")
    assert found.stretch[0] == pytest.approx(0.25, rel=0.15)
    np.testing.assert_allclose(found(4 * odds).sum(1), 1)


def test_a_range_holds_nine_in_ten_of_others() -> None:
    rng = np.random.default_rng(2)
    value, truth = rng.normal(size=(2000, 1)), rng.normal(size=2000)
    half = calibration.fit(value[:400], truth[:400], "value").half_range
    assert half is not None
    assert np.mean(np.abs(value[400:, 0] - truth[400:]) <= half) == pytest.approx(0.9, abs=0.03)


def bags(rows: int, seed: int, width: int = 6) -> tuple[list[Seen], np.ndarray]:
    """Records of 8 windows, of which one alone shows what the label is; it carries a sign of its own."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    seen = []
    for label in y:
        z = 0.7 * rng.normal(size=(8, width)).astype(np.float32)
        z[rng.integers(8), :2] = (2.0 if label else -2.0, 4.0)
        ones = np.ones((8, 2), np.float32)
        seen.append(Seen("r", z, np.zeros((8, 0), np.float32), ones[:, 0], ones, ones > 0))
    return seen, y


def test_attention_finds_the_window_that_tells() -> None:
    seen, y = bags(200, 0)
    part = np.array(["train"] * 130 + ["valid"] * 30 + ["test"] * 40)
    data = Data(seen, Target("classification", ("no", "yes"), y), part)
    test, truth = data.rows("test")
    start, pooled = fit(data, "linear"), fit(data, "attention")
    error = [np.mean((one.parts.raw(test)[:, 0] > 0) != truth) for one in (start, pooled)]
    assert error[1] <= error[0]
    found = pooled.parts.attention
    assert found is not None
    looked = [found.shares(s).argmax() == s.embedding[:, 1].argmax() for s in test]
    assert np.mean(looked) > 0.8
    lone = replace(
        test[0], **{n: getattr(test[0], n)[:1] for n in ("embedding", "crafted", "known", "quality", "present")}
    )
    assert found.shares(lone).tolist() == [1.0]


def test_attention_by_numpy_is_attention_by_torch() -> None:
    import torch

    from cardiofm.heads.learn import attention as module

    seen, y = bags(60, 3)
    data = Data(seen, Target("classification", ("no", "yes"), y), np.array(["train"] * 40 + ["valid"] * 20))
    start = fit(data, "linear").parts.linear
    assert start is not None
    found = attention(data, "binary", start)
    net = module.Gated(start, found.centre, found.spread).eval()
    with torch.inference_mode():
        for name in ("what", "gate", "look", "weight", "bias"):
            getattr(net, name).copy_(torch.from_numpy(getattr(found, name)).float())
        expected = net(*module._bags(seen[:5], found.centre, found.spread)).numpy()
    np.testing.assert_allclose(found.raw(seen[:5]), expected, rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 people of 6 s each, half of them with a fast heart; labels.csv beside them."""
    home = tmp_path_factory.mktemp("people")
    with (home / "labels.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["record", "label", "rate"])
        for k in range(24):
            rate = 60 + 2 * (k // 2) + 40 * (k % 2)
            pair = simulate(6, fs_ecg_hz=125, fs_ppg_hz=62.5, seed=k, heart_rate_bpm=float(rate))
            write(pair.record, home / f"p{k}.hea")
            lines.writerow([f"p{k}.hea", "fast" if k % 2 else "slow", rate])
    return home


@pytest.fixture(scope="module")
def network(micro: Path) -> Model:
    return load(micro, threads=1)


def made(recordings: Path, network: Model, out: Path, plan: Plan, column: str = "label") -> heads.Head:
    return finetune(read_labels(recordings / "labels.csv", recordings, column), plan, network, out, tell=lambda _: None)


def test_a_saved_head_says_the_same(recordings: Path, network: Model, tmp_path: Path) -> None:
    head = made(recordings, network, tmp_path / "rate", Plan("rate", "classification", form="fused"))
    again = heads.load(tmp_path / "rate")
    record = read_labels(recordings / "labels.csv", recordings)[1].read()
    before, after = head.predict(record, network), again.predict(record, network)
    assert after.probability == pytest.approx(before.probability, abs=1e-6)
    assert sum(after.probability.values()) == pytest.approx(1)
    assert after.label == max(after.probability, key=lambda c: after.probability[c])
    assert (after.windows, after.record) == (1, "p1")
    assert after.quality["ecg"] is not None
    report = again.about.report
    assert report["scored_on"] == "test"
    assert sum(c["patients"] for c in report["counts"].values()) == 24
    assert set(report["scores"]["AUROC"]) == {"head", "hand-crafted", "constant"}


def test_a_regression_tells_the_rate_and_its_range(recordings: Path, network: Model, tmp_path: Path) -> None:
    plan = Plan("rate", "regression", linear_of="both", unit="1/min")
    head = made(recordings, network, tmp_path / "rate", plan, "rate")
    found = head.predict(read_labels(recordings / "labels.csv", recordings)[0].read(), network)
    assert found.value is not None
    assert found.low is not None
    assert found.low < found.value
    assert (found.label, found.probability) == (None, {})
    scored = head.about.report["scores"]["MAE"]
    assert scored["head"]["value"] < scored["constant"]["value"]


def test_a_head_of_other_weights_is_refused(recordings: Path, network: Model, tmp_path: Path, micro: Path) -> None:
    from cardiofm.model.cardiofm import CardioFM

    head = made(recordings, network, tmp_path / "rate", Plan("rate", "classification"))
    other = CardioFM.load(micro)
    record = simulate(6, fs_ecg_hz=125, fs_ppg_hz=62.5, seed=1).record
    other.decoder.requires_grad_(False)
    for p in other.decoder.parameters():
        p.add_(0.1)
    other.save(tmp_path / "other")
    assert head.predict(record, load(tmp_path / "other")).windows == 1  # another decoder is no other encoder
    for p in other.encoder.requires_grad_(False).parameters():
        p.add_(0.1)
    other.save(tmp_path / "third")
    with pytest.raises(CheckpointError, match=r"must be used with the weights .* found micro"):
        head.predict(record, load(tmp_path / "third"))


def test_what_a_head_needs_and_uses() -> None:
    record = simulate(40, fs_ecg_hz=100, fs_ppg_hz=50, seed=1).record
    alone = replace(record, ppg=None)
    assert View(("ecg",)).of(record).present == ("ecg",)
    assert View(last_s=10.0).of(record).duration_s == pytest.approx(10, abs=0.03)
    with pytest.raises(SignalError, match="must have PPG for this head, found only ECG"):
        View(needs=("ppg",)).of(alone)
    with pytest.raises(SignalError, match="must have PPG for this head"):
        View(("ppg",)).of(alone)


def test_numbers_of_a_record_are_means_over_what_is_known(network: Model) -> None:
    record: Record = simulate(24, fs_ecg_hz=125, fs_ppg_hz=62.5, seed=5).record
    seen = look(record, network)
    assert seen.known.tolist() == pytest.approx([1.0, 1.0, 0.4], abs=0.01)
    expected = np.average(seen.embedding, axis=0, weights=seen.known)
    np.testing.assert_allclose(seen.mean(), expected, atol=1e-5)
    np.testing.assert_array_equal(network.embed(record).values, seen.embedding)


def test_a_broken_head_is_one_sentence(recordings: Path, network: Model, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a folder or a shipped one"):
        heads.load("nothing")
    made(recordings, network, tmp_path / "rate", Plan("rate", "classification"))
    about = json.loads((tmp_path / "rate" / "head.json").read_text())
    for change, said in (({"format": 9}, "has format 9"), ({"crafted": ["a"]}, "numbers that this version measures")):
        (tmp_path / "rate" / "head.json").write_text(json.dumps(about | change))
        with pytest.raises(CheckpointError, match=said):
            heads.load(tmp_path / "rate")
    (tmp_path / "rate" / "head.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"must hold head\.json"):
        heads.load(tmp_path / "rate")


@pytest.mark.parametrize("how", ["lora", "full"])
def test_a_tuned_encoder_is_saved_beside_the_head(how: str, recordings: Path, network: Model, tmp_path: Path) -> None:
    plain = made(recordings, network, tmp_path / "plain", Plan("rate", "classification"))
    head = made(recordings, network, tmp_path / how, Plan("rate", "classification", tune=how, steps=5))
    record = read_labels(recordings / "labels.csv", recordings)[3].read()
    seen = [look(record, one.fitting(network)).embedding for one in (plain, head)]
    assert np.abs(seen[0] - seen[1]).max() > 1e-4
    again = heads.load(tmp_path / how)
    assert again.predict(record, network).probability == pytest.approx(
        head.predict(record, network).probability, abs=1e-5
    )
    assert (tmp_path / how / "tuned.safetensors").stat().st_size < network_size(network)


def network_size(network: Model) -> int:
    assert network.folder is not None
    return 4 * (network.folder / "model.safetensors").stat().st_size


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(w) for w in words])
    return result.exit_code, result.output


def test_a_head_that_may_be_no_better_than_a_constant_says_so() -> None:
    age, af = (heads.load(name).about for name in ("age", "af"))

    def said(about: About, metric: str, value: float, low: float | None, high: float | None, constant: float) -> str:
        head, plain = {"value": value, "low": low, "high": high}, {"value": constant, "low": None, "high": None}
        report = about.report | {"scores": {metric: {"head": head, "constant": plain}}, "each": {}}
        return "\n".join(lines(replace(about, report=report)))

    warning = "not shown to be better than a constant"
    assert warning not in said(age, "MAE", 9.0, 8.0, 10.0, 12.0)
    assert f"{warning}: mean absolute error in years may be 9.5 as well" in said(age, "MAE", 9.0, 8.0, 10.0, 9.5)
    assert warning in said(age, "MAE", 13.0, 12.5, 14.0, 12.0)
    assert warning not in said(af, "AUROC", 0.8, 0.7, 0.9, 0.5)
    assert warning in said(af, "AUROC", 0.55, 0.45, 0.7, 0.5)
    assert warning in said(af, "AUROC", 0.5, None, None, 0.5)
    for about in (age, af):
        assert warning not in "\n".join(lines(about))


def test_an_unreadable_recording_is_named_and_the_others_go_on(recordings: Path, micro: Path, tmp_path: Path) -> None:
    (recordings / "bad.hea").write_text("bad 1 100 500\nbad.dat 16 200 16 0 0 0 0 ECG\n")
    text = (recordings / "labels.csv").read_text() + "bad.hea,slow,60\n"
    (tmp_path / "labels.csv").write_text(text)
    common = (
        "finetune",
        tmp_path / "labels.csv",
        "--task",
        "classification",
        "--data-root",
        recordings,
        "--model",
        micro,
    )
    code, said = run(*common, "-o", tmp_path / "head")
    assert code == 0
    assert "left out: bad.hea: " in said
    assert "24 patients" not in said
    assert "AUROC of 'slow', hand-crafted: " in said
    about = heads.load(tmp_path / "head").about
    train, each = about.report["counts"]["train"], about.report["each"]
    counts = f"{train['classes']['fast']} fast, {train['classes']['slow']} slow"
    assert f"train: {train['records']} recordings of {train['patients']} patients ({counts})" in said
    for name, one in each.items():  # whose F1 it is, of how many, from where on
        f1 = f"F1 {one['F1']['value']:.3g} [{one['F1']['low']:.3g}, {one['F1']['high']:.3g}]"
        start = f"class '{name}' ({one['records']} of {one['of']} recordings; given from a probability of 0.5): AUROC "
        assert any(start in line and line.endswith(f1) for line in said.splitlines()), said
    assert each["slow"]["F1"]["value"] == about.report["scores"]["F1"]["head"]["value"]
    assert heads.load(tmp_path / "head").about.provenance["data"]["labels"] == "labels.csv"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    code, said = run(*common, "-o", tmp_path / "full")
    assert code == 2
    assert "must be a new folder or a head's" in said
    answers = tmp_path / "answers.csv"
    code, said = run(
        "predict",
        recordings / "p0.hea",
        recordings / "p1.hea",
        "--head",
        tmp_path / "head",
        "--model",
        micro,
        "-o",
        answers,
    )
    assert (code, said) == (0, f"2 recordings: {answers}\n")
    rows = list(csv.DictReader(answers.open()))
    assert [row["record"] for row in rows] == ["p0", "p1"]
    assert all(float(r["probability_fast"]) + float(r["probability_slow"]) == pytest.approx(1) for r in rows)
    assert {r["label"] for r in rows} <= {"fast", "slow"}


@pytest.mark.shared
@pytest.mark.parametrize(
    ("column", "task", "form"), [("sex", "classification", "linear"), ("age", "regression", "fused")]
)
def test_real_people_by_the_command_line(column: str, task: str, form: str, data_root: Path, tmp_path: Path) -> None:
    """The first 10 s of every BIDMC recording, repeated patients on one side."""
    found = [e for e in catalog.entries("bidmc", data_root) if e.labels[column] is not None]
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["record", "patient", column, "end_s"])
        lines.writerows([e.path, e.patient, e.labels[column], 10] for e in found)
    common = ("--label", column, "--data-root", data_root, "--model", "tiny")
    code, said = run(
        "finetune", tmp_path / "labels.csv", "--task", task, "--head", form, *common, "-o", tmp_path / "head"
    )
    assert code == 0, said
    report = heads.load(tmp_path / "head").about.report
    patients = sum(c["patients"] for c in report["counts"].values())
    assert patients == len({e.patient for e in found})  # nobody is counted twice
    code, said = run("predict", data_root / found[0].path, "--head", tmp_path / "head", "--end", 10, "--json")
    row = json.loads(said)[0]
    assert code == 0
    if task == "regression":
        assert 0 < row["low"] < row["value"] < row["high"] < 150
    else:
        assert row["probability_F"] + row["probability_M"] == pytest.approx(1)


def test_prediction_needs_neither_torch_nor_scikit_learn(recordings: Path, tmp_path: Path) -> None:
    made(recordings, load("tiny"), tmp_path / "head", Plan("rate", "classification", form="fused"))
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "sklearn"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from cardiofm import heads, load, read
head, record = heads.load({str(tmp_path / "head")!r}), read({str(recordings / "p0.hea")!r})
print(head.predict(record, load("tiny")).label)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("fast", "slow")
