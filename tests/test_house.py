"""The house holds: arrows point down, no circle, short files and functions, no torch below the rooms that need it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "cardiofm"
MODULES = sorted(SOURCE.rglob("*.py"))

FLOORS = (
    ("signals", "config"),
    ("data", "model", "measure", "weights"),
    ("train", "edge", "codec", "redraw", "handcrafted"),
    ("pipeline",),
    ("heads", "stream"),
    ("evaluate", "web", "cluster", "demo", "terminal", "estimator"),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS, start=1) for room in rooms}
# The ground floor is one; the counts of a prior are made by the codec that leans on them.
SAME_FLOOR = {("signals", "config"), ("config", "signals"), ("train", "codec")}
FORBIDDEN = {("pipeline", "train"), ("web", "train"), ("terminal", "train")}  # lower, and yet not theirs to know
EXPORTS = tuple(f"edge/{name}.py" for name in ("export", "fused", "quantize", "openvino", "executorch"))
NEEDS_TORCH = ("model/", "train/", *EXPORTS, "heads/learn/", "evaluate/", "cluster/")
BASE = [p for p in MODULES if not str(p.relative_to(SOURCE)).startswith(NEEDS_TORCH)]  # the base install
TORCH = {"torch", "lightning", "huggingface_hub", "onnx", "onnxscript", "tensorboard"}
HEAVY = ("torch", "scipy", "pyarrow", "plotly", "onnxruntime", "wfdb", "pandas", "h5py", "rich.progress")


def room_of(path: Path) -> str:
    """ "data" for data/readers/wfdb.py, "cli" for cli.py."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Each full name that a module imports, inside functions too, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def broken_arrows(room: str, tree: ast.AST) -> list[str]:
    """What a module of that room imports against the floors, as sentences."""
    broken = []
    for name, line in imported(tree):
        parts = name.split(".")
        if parts[0] != "cardiofm" or len(parts) < 2 or parts[1] not in FLOOR or parts[1] == room:
            continue
        target = parts[1]
        upwards = FLOOR[target] >= FLOOR[room] and (room, target) not in SAME_FLOOR
        if upwards or (room, target) in FORBIDDEN:
            floors = f"floor {FLOOR[room]} may not know floor {FLOOR[target]}"
            broken.append(f"line {line}: {room} → {target} ({name}): {floors}")
    return broken


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in MODULES} - {"__init__"}
    assert rooms <= set(FLOOR), f"rooms without a floor: {rooms - set(FLOOR)}; draw them in docs/house.md first"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if room_of(p) != "__init__"], ids=lambda p: str(p.relative_to(SOURCE))
)
def test_arrows_point_down(path: Path) -> None:
    assert broken_arrows(room_of(path), ast.parse(path.read_text(encoding="utf-8"))) == []


def test_a_broken_arrow_is_seen_even_inside_a_function() -> None:
    lazy = ast.parse("def f():\n    from cardiofm.pipeline import load\n")
    assert broken_arrows("data", lazy) == [
        "line 2: data → pipeline (cardiofm.pipeline.load): floor 2 may not know floor 4"
    ]
    assert len(broken_arrows("data", ast.parse("from cardiofm import model, signals"))) == 1
    assert len(broken_arrows("pipeline", ast.parse("import cardiofm.train.loop"))) == 1
    assert broken_arrows("cli", ast.parse("from cardiofm.train import loop")) == []


@pytest.mark.parametrize("path", BASE, ids=lambda p: str(p.relative_to(SOURCE)))
def test_torch_stays_in_its_rooms(path: Path) -> None:
    tops = {name.split(".")[0]: line for name, line in imported(ast.parse(path.read_text(encoding="utf-8")))}
    assert not TORCH & set(tops), f"{path.name} imports {sorted(TORCH & set(tops))}, which the base install lacks"


def test_the_base_install_imports_without_torch() -> None:
    names = [".".join(p.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__") for p in BASE]
    code = f"""
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {TORCH}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
for name in {names}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_needs_nothing_heavy() -> None:
    code = f"import sys, cardiofm.cli\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_files_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 350, f"{path.relative_to(ROOT)} has {lines} lines, the ceiling is 350"


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring, which is meant to explain."""
    said = function.body[0] if ast.get_docstring(function) else None
    return (function.end_lineno or 0) - function.lineno + 1 - ((said.end_lineno or 0) - said.lineno + 1 if said else 0)


def test_functions_are_short() -> None:
    lengths = {
        f"{path.relative_to(SOURCE)}:{node.name}": length(node)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    long = {name: n for name, n in lengths.items() if n > 60}
    assert not long, f"functions over 60 lines: {long}"
    middling = {name: n for name, n in lengths.items() if n >= 40}
    assert len(middling) <= 0.05 * len(lengths), f"more than 5 % of functions have 40 lines or more: {middling}"


def test_constraints_pin_everything_that_is_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    asked += [name for extra in project["project"]["optional-dependencies"].values() for name in extra]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "torch==2.13.0"  # another version would bring CUDA along
    pinned = {plain(line.split("==")[0]) for line in lines if "==" in line}
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if not line.startswith("#"))
    assert {plain(re.split(r"[<>=!\[; ]", name)[0]) for name in asked} <= pinned


def plain(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
