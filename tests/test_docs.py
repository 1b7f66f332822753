"""README, model card, notice and data page say what is so: examples run, commands exist, figures have sources."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

import cardiofm
from cardiofm import weights
from cardiofm.cli import app
from cardiofm.data import catalog
from cardiofm.data.catalog import SPLITS
from cardiofm.data.prepare import prepare
from cardiofm.data.readers import FORMS
from cardiofm.data.write import write

ROOT = Path(__file__).resolve().parents[1]
BEHIND_WEIGHTS = {name for name in catalog.datasets() if catalog.about(name).pretrain} | {"nstdb"}
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text(name), re.MULTILINE | re.DOTALL)


def rows(page: str, first: str) -> list[list[str]]:
    """The cells of the table whose header's first cell is `first`, without its header."""
    table = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-:| ]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert table, f"no table that starts with {first!r}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def said(words: str) -> str:
    return " ".join(words.split())


def shell_lines() -> list[list[str]]:
    lines = "".join(blocks("README.md", "sh")).splitlines()
    inline = re.findall(r"`((?:cardiofm|make) [^`]+)`", text("README.md"))
    return [shlex.split(line, comments=True) for line in (*lines, *inline) if line.strip()]


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cardiofm.load()` works: the released weights, or an untrained `tiny` in a checkout that has none."""
    if "base" not in weights.installed():
        from cardiofm.model.cardiofm import TINY, CardioFM

        CardioFM(TINY).save(tmp_path / "weights" / "base")
        monkeypatch.setattr(weights, "HERE", tmp_path / "weights")


def test_the_examples_of_the_readme_run(released: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = cardiofm.simulate(30, fs_ecg_hz=250, fs_ppg_hz=125, seed=3).record
    write(record, tmp_path / "a103l.hea")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks("README.md", "python"):
        exec(compile(block, "README.md", "exec"), names)

    assert names["e"].values.shape[0] == 3
    assert names["e"].values.shape[1] <= 256
    drawn, true = names["drawn"].ppg, record.ppg
    assert true is not None
    assert (drawn.fs_hz, len(drawn.values)) == (true.fs_hz, len(true.values))
    assert np.isfinite(drawn.values).all()
    assert len(names["many"]) == 2
    assert set(names["analysis"].prd) == {"ecg", "ppg"}
    assert names["record"].ppg.start_s == 0.2
    for made in (names["small"], names["filled"]):
        assert len(made.ecg.values) == len(names["record"].ecg.values)


def test_the_commands_of_the_readme_exist_and_none_is_missing() -> None:
    used = Counter()
    for program, *words in shell_lines():
        if program == "cardiofm":
            command = COMMANDS[words[0]]
            used[words[0]] += 1
            known = {option for parameter in command.params for option in parameter.opts}
            given = {word.split("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)}
            assert given <= known, f"cardiofm {words[0]} has no {given - known}"
        elif program == "make":
            assert re.search(rf"^{words[0]}:", text("Makefile"), re.MULTILINE), f"make has no {words[0]}"
    assert set(used) == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_has_an_example(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert f"cardiofm {name} " in result.output.split("Example:")[1]


def test_the_readme_names_every_format() -> None:
    contract = text("README.md").split("### What goes in")[1].split("###")[0]
    assert [form for form in FORMS.values() if form not in contract] == []


def test_notice_names_what_the_weights_are_derived_from() -> None:
    found = re.findall(r"^([a-z0-9-]+): .+\n((?:  .+\n)+)", text("NOTICE"), re.MULTILINE)
    assert {name for name, _ in found} == BEHIND_WEIGHTS
    for name, lines in found:
        about = catalog.about(name)
        for line in (f"Licence: {about.licence}", f"Source: {about.url}", f"Citation: {about.citation}"):
            assert line in said(lines), f"{name} in NOTICE must say {line!r}"
        assert f"\n{about.licence}: " in text("NOTICE"), f"NOTICE must say what {about.licence} is"


def test_the_data_page_agrees_with_the_catalog() -> None:
    page = text("docs/data.md")
    table = {row[0]: row for row in rows(page, "name")}
    assert tuple(table) == catalog.datasets()
    for name, (_, folder, _, licence, trained) in table.items():
        about = catalog.about(name)
        assert (folder, licence) == (f"`{about.folder}`", about.licence)
        assert (trained not in ("no", "as noise only")) == about.pretrain
        assert f"\n### {name}\n" in page


def test_the_sizes_in_the_model_card_are_the_networks(capsys: pytest.CaptureFixture[str]) -> None:
    exec(_card_block("sizes"), {})
    printed = capsys.readouterr().out
    assert printed.count("\n") == 2
    assert printed in text("MODEL_CARD.md")


@pytest.mark.parametrize("label", ["groups", "heads", "compute", "privacy"])
def test_the_figures_in_the_model_card_are_those_of_the_files(
    label: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(_card_block(label), {})
    printed = capsys.readouterr().out
    assert printed.count("\n") >= 4
    assert printed in text("MODEL_CARD.md")


@pytest.mark.shared
def test_the_people_in_the_model_card_are_the_catalogs(data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(_card_block("people"), {"data_root": data_root})
    printed = capsys.readouterr().out
    assert printed.count("\n") == 6
    assert printed in text("MODEL_CARD.md")


@pytest.mark.shared
def test_the_counts_in_the_model_card_are_the_catalogs(data_root: Path) -> None:
    for name, *cells, licence in rows(text("MODEL_CARD.md"), "set"):
        entries = [e for e in catalog.entries(name, data_root) if e.pretrain]
        for k, split in enumerate(SPLITS):
            mine = [e for e in entries if e.split == split]
            assert cells[3 * k : 3 * k + 2] == [str(len(mine)), str(len({e.patient for e in mine}))], (name, split)
        assert licence == catalog.about(name).licence


def test_the_training_table_is_what_its_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a store of simulated recordings in the place of mitdb's."""
    home = tmp_path / catalog.about("mitdb").folder
    home.mkdir(parents=True)
    record = cardiofm.simulate(72, fs_ecg_hz=100, fs_ppg_hz=50, seed=1).record
    for number in range(100, 110):
        write(record, home / f"{number}.hea")
    prepare(["mitdb"], tmp_path, tmp_path / "store")
    split = Counter(e.split for e in catalog.entries("mitdb", tmp_path))
    monkeypatch.chdir(tmp_path)
    printed: list[str] = []
    exec(_card_block("data"), {"print": printed.append})

    expected = ["mitdb"]
    for name in SPLITS:
        expected += [str(split[name]), str(split[name]), f"{split[name] * 0.02:.1f}"]
    expected += [f"{split['train'] * 0.02:.1f}", "ODC-By-1.0"]
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in printed] == [expected]
    assert len(expected) == len(rows(text("MODEL_CARD.md"), "set")[0])


def test_the_citation_is_valid_and_of_this_version() -> None:
    cff = yaml.safe_load(text("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(cff)
    assert str(cff["version"]) == cardiofm.__version__
    assert cff["license"] == "Apache-2.0"
    assert f'version = "{cardiofm.__version__}"' in text("pyproject.toml")
    assert f"## [{cardiofm.__version__}] - {cff['date-released']}" in text("CHANGELOG.md")


def test_the_markdown_links_lead_somewhere() -> None:
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text(encoding="utf-8")):
            name, _, anchor = target.partition("#")
            place = page.parent / name if name else page
            assert place.exists(), f"{page.name} links to {target}"
            if anchor:
                titles = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
                assert anchor in slugs, f"{page.name} links to {target}"


def test_no_tracked_file_names_a_machine_or_its_folders() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("needs a git checkout")
    host = socket.gethostname()
    wrong = re.compile(r"(?<![\w.~:/-])/(work|root|home|Users|mnt|scratch)/\w")
    for name in filter(None, listed.stdout.split("\0")):
        raw = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" in raw[:8192]:
            continue
        content = raw.decode("utf-8", errors="replace")
        assert not (found := wrong.search(content)), f"{name} holds the machine path {found and found[0]}…"
        if re.search(r"\d", host) and len(host) > 5:  # a host name that is a plain word would be found anywhere
            assert host not in content, f"{name} holds the name of this machine"


def _card_block(label: str) -> str:
    return next(block for block in blocks("MODEL_CARD.md", "python") if block.startswith(f"# {label}:"))
