"""The frame of a benchmark: its arguments, and the JSON that says what was measured, on what, by which code."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cardiofm import weights
from cardiofm.data.store import file_hash
from cardiofm.evaluate.bootstrap import Interval
from cardiofm.model.checkpoint import WEIGHTS, read_provenance
from cardiofm.signals import SignalError

ROOT = Path(__file__).resolve().parents[3]  # of the repository
_PACKAGES = (
    "cardiofm",
    "numpy",
    "scipy",
    "onnxruntime",
    "torch",
    "neurokit2",
    "openvino",
    "executorch",
    "openecg",
    "wfdb",
    "timesfm",
    "chronos-forecasting",
)


def parser(about: str | None, limit: int, limit_help: str) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("CARDIOFM_DATA_ROOT", ROOT.parent / "shared" / "data"))
    parser.add_argument("--model", default="base", help="a released model's name or a model folder (default: base)")
    parser.add_argument(
        "--backend", choices=("onnx", "onnx-int8", "torch"), help="default: onnx where the folder has graphs"
    )
    parser.add_argument("--data-root", type=Path, default=data, help="default: $CARDIOFM_DATA_ROOT or ../shared/data")
    parser.add_argument("--limit", type=int, default=limit, help=f"{limit_help} (default: {limit})")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="folder of the results (default: results)")
    return parser


def add_only(parser: argparse.ArgumentParser, names: Iterable[str], what: str) -> None:
    """`--only NAME …`, which `only` reads."""
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"{what}, of {', '.join(names)} (default: all)")


def only(args: argparse.Namespace, names: Iterable[str], what: str) -> list[str]:
    """The names that `--only` gives, or all of them. Raises SignalError for a name that is none of them."""
    every = list(names)
    unknown = [name for name in args.only or () if name not in every]
    if unknown:
        raise SignalError(f"a {what} must be one of {', '.join(every)}, found {', '.join(unknown)}")
    return args.only or every


def row(interval: Interval, digits: int, **keys: Any) -> dict[str, Any]:
    """One row of a results file: what `keys` say, then value, interval and counts; a bound that is unknown is None."""
    numbers = {
        k: (round(v, digits) if math.isfinite(v) else None) if isinstance(v, float) else v
        for k, v in asdict(interval).items()
    }
    return keys | numbers


def save(
    path: Path, task: str, rows: list[dict[str, Any]], model: str, data: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """Write and return a results file: the rows, and everything needed to make them again. No host names, no paths."""
    result = {
        "task": task,
        **more,
        "model": checkpoint(model),
        "data": data,
        "commit": _commit(),
        "command": command(),
        "versions": {"python": platform.python_version()} | {p: v for p in _PACKAGES if (v := _version(p))},
        "hardware": hardware(),
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_lines(result), encoding="utf-8")
    return result


def _lines(result: dict[str, Any]) -> str:
    """JSON with one line a row, so that a change of a number is a change of one line."""
    parts = []
    for key, value in result.items():
        if isinstance(value, list):
            rows = ",\n".join("  " + json.dumps(row, allow_nan=False, ensure_ascii=False) for row in value)
            text = f"[\n{rows}\n ]"
        else:
            text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False).replace("\n", "\n ")
        parts.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def checkpoint(model: str) -> dict[str, Any]:
    """Name and hash of the weights, and of their provenance the step, the hours and the hash of the training data."""
    folder = model_folder(model)
    provenance = read_provenance(folder)
    kept = ("step", "hours_seen", "manifest_sha256", "commit")
    name = model if model in weights.installed() else folder.name
    return {"name": name, "sha256": file_hash(folder / WEIGHTS)} | {k: provenance[k] for k in kept if k in provenance}


def model_folder(model: str) -> Path:
    """The folder behind a model's name or path."""
    is_folder = model not in weights.installed() and Path(model).is_dir()
    return Path(model) if is_folder else weights.folder(model)


def hardware() -> str:
    """Processor, its cores and the memory, in words."""
    name = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [ln for ln in info.read_text(encoding="utf-8").splitlines() if ln.startswith("model name")]
        name = f"{lines[0].split(':')[1].strip()}, {name}" if lines else name
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {os.cpu_count()} cores, {memory_gb:.0f} GiB"


def command() -> str:
    """What was run: a script of benchmarks/ or `cardiofm benchmark`, without the folders of this machine."""
    script = Path(sys.argv[0]).name
    said = ["python", f"benchmarks/{script}"] if script.endswith(".py") else [script]
    return shlex.join([*said, *map(_plain, sys.argv[1:])])


def _plain(argument: str) -> str:
    """An argument without the folders of this machine."""
    before, equals, path = argument.rpartition("=")  # NAME=PATH too
    return f"{before}{equals}{Path(path).name}" if Path(path).is_absolute() else argument


def _commit() -> str | None:
    """The repository's commit, with "+" where files differ from it; None outside a repository."""
    try:
        git = ["git", "-C", str(ROOT)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "src", "benchmarks"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed else "")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
