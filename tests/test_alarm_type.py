"""A head may be told of which type an alarm is: it uses it, does without it, and refuses what it does not know."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from cardiofm.cli import app
from cardiofm.data.write import write
from cardiofm.heads.head import Head
from cardiofm.heads.labels import Example, Target
from cardiofm.heads.learn.finetune import Plan, made
from cardiofm.heads.learn.fit import Data, untold
from cardiofm.heads.learn.release import BEFORE_THE_ALARM
from cardiofm.heads.look import NAMES, Seen, View
from cardiofm.heads.scores import auroc, once
from cardiofm.pipeline import load
from cardiofm.signals import Record, SignalError

TYPES = BEFORE_THE_ALARM.types
SEEN_IN = 0  # the number that tells most of the truth; the type tells the rest


def alarms(rows: int) -> tuple[list[Seen], np.ndarray]:
    """Alarms whose truth is known from one number and from the type together."""
    rng = np.random.default_rng(0)
    kind, number = rng.integers(0, len(TYPES), rows), rng.normal(size=rows)
    truth = (1.5 * number + 0.8 * (kind - 2) + 0.3 * rng.normal(size=rows) > 0).astype(int)
    seen = []
    for k in range(rows):
        crafted = np.zeros((1, len(BEFORE_THE_ALARM.names)), np.float32)
        crafted[0, SEEN_IN] = number[k]
        crafted[0, -len(TYPES) :] = BEFORE_THE_ALARM.typed(TYPES[kind[k]])
        ones = np.ones((1, 2), np.float32)
        seen.append(Seen(f"r{k}", rng.normal(size=(1, 4)).astype(np.float32), crafted, ones[:, 0], ones, ones > 0))
    return seen, truth


@pytest.fixture(scope="module")
def head() -> tuple[Head, list[Seen], np.ndarray]:
    """A boosted head of 400 alarms, and 200 others."""
    seen, truth = alarms(600)
    part = np.array(["train"] * 300 + ["valid"] * 100 + ["test"] * 200)
    good = [Example(s.record, unread, str(y), s.record) for s, y in zip(seen, truth, strict=True)]
    data = Data(seen, Target("classification", ("0", "1"), truth), part)
    plan = Plan("alarm", "classification", form="fused", classes=("0", "1"), view=BEFORE_THE_ALARM)
    return made(good, data, plan, load("tiny")), seen[400:], truth[400:]


def unread() -> Record:
    raise AssertionError("nothing has to be read")


def test_the_type_helps_and_without_it_the_head_is_as_good_as_one_that_never_knew(head) -> None:
    one, seen, truth = head
    told = one.outputs(seen)[:, 1]
    without = one.outputs([untold(s, len(TYPES)) for s in seen])[:, 1]
    assert once(auroc, truth, told) > 0.93
    from_number = once(auroc, truth, np.array([s.crafted[0, SEEN_IN] for s in seen]))
    assert once(auroc, truth, without) == pytest.approx(from_number, abs=0.06)
    assert 0.3 < without.mean() < 0.7  # no type is not the first or the commonest type


def test_names_of_types_are_read_as_people_write_them() -> None:
    asked = [BEFORE_THE_ALARM.typed(t) for t in ("Ventricular_Tachycardia", "ventricular tachycardia")]
    np.testing.assert_array_equal(asked[0], asked[1])
    assert asked[0].sum() == 1
    assert np.isnan(BEFORE_THE_ALARM.typed(None)).all()
    assert len(BEFORE_THE_ALARM.names) == len(NAMES["end"]) + len(TYPES)


def test_a_type_that_is_not_known_is_one_sentence(tmp_path) -> None:
    with pytest.raises(SignalError, match=r"must be one of Asystole, .*, found 'fire'"):
        BEFORE_THE_ALARM.typed("fire")
    with pytest.raises(SignalError, match="knows no types of alarm, found 'asystole'; leave the type out"):
        View().typed("asystole")
    write(Record.from_arrays(ecg=(np.random.default_rng(0).normal(size=3000), 250.0)), tmp_path / "a.hea")
    found = CliRunner().invoke(app, ["predict", str(tmp_path / "a.hea"), "--head", "af", "--alarm-type", "asystole"])
    assert found.exit_code == 2
    assert "leave the type out" in found.output
