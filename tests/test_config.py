"""Settings are strict, and say what was meant."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cardiofm.config import ConfigError, from_dict, load, to_dict


@dataclass(frozen=True)
class Inner:
    depth: int = 4
    rate: float = 0.5
    names: tuple[str, ...] = ("a",)


@dataclass(frozen=True)
class Outer:
    seed: int = 0
    flag: bool = False
    inner: Inner = field(default_factory=Inner)
    weights: dict[str, float] = field(default_factory=dict)


def test_file_then_overrides(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[inner]\ndepth = 2\nnames = ["x", "y"]\n[weights]\nmitdb = 2\n')
    config = load(Outer, path, ["inner.rate=1", "seed=7", "flag=true"])
    assert config == Outer(7, True, Inner(2, 1.0, ("x", "y")), {"mitdb": 2.0})
    assert from_dict(Outer, to_dict(config)) == config


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("inner.dept=2", "did you mean 'inner.depth'"),
        ("sede=2", "did you mean 'seed'"),
        ("inner.depth=two", "'inner.depth' must be int"),
        ("inner.depth=true", "must be int"),
        ("inner.depth=2.5", "must be int"),
        ("inner=3", "must be a table"),
        ("inner.names=3", "must be a list"),
        ("depth", "must look like"),
    ],
)
def test_mistakes_get_their_sentence(override: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load(Outer, None, [override])


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must exist"):
        load(Outer, tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("[inner\n")
    with pytest.raises(ConfigError, match="must be TOML"):
        load(Outer, tmp_path / "bad.toml")


def test_a_file_like_another_states_its_differences_from_it(tmp_path: Path) -> None:
    (tmp_path / "first.toml").write_text("seed = 7\n[inner]\ndepth = 2\nrate = 3.0\n")
    (tmp_path / "second.toml").write_text('like = "first.toml"\n[inner]\nrate = 4.0\n')
    (tmp_path / "third.toml").write_text('like = "second.toml"\nflag = true\n')
    config = load(Outer, tmp_path / "third.toml", ["seed=8"])
    assert (config.seed, config.flag, config.inner.depth, config.inner.rate) == (8, True, 2, 4.0)
    (tmp_path / "first.toml").write_text('like = "third.toml"\n')
    with pytest.raises(ConfigError, match="must not be like itself"):
        load(Outer, tmp_path / "third.toml")
