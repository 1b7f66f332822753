"""`cardiofm benchmark`: the options of the command, and nothing heavy until it runs."""

from __future__ import annotations

import importlib
from argparse import Namespace
from pathlib import Path
from typing import Annotated, Any

import typer

from cardiofm.config import ConfigError
from cardiofm.signals import CheckpointError, SignalError

TASKS: dict[str, tuple[str, str]] = {  # the module below cardiofm.evaluate, what it measures
    "intervals": ("beats.benchmark", "QT, PAT, R peaks, rate, rhythm, silence, beside classical tools"),
    "zero-shot": ("benchmarks.zero_shot", "reconstruction of sets never trained on"),
    "rate-distortion": ("benchmarks.rate_distortion", "what each rate of codes leaves of the waveform"),
    "codec": ("benchmarks.codec", "the codec in real bytes, beside a classical coder, FLAC and xz"),
    "codes-as-features": ("benchmarks.codes_as_features", "what codes at three rates still tell"),
    "gaps": ("benchmarks.gaps", "gaps drawn back, beside simple fillers"),
    "across": ("benchmarks.across", "one signal from the other one alone"),
    "robustness": ("benchmarks.robustness", "one signal damaged, the other one clean"),
    "representation": ("benchmarks.representation", "frozen probes of diagnosis, alarms, AF, age, sex, body"),
    "few-labels": ("benchmarks.few_labels", "heads from 10, 50 and 100 patients"),
    "pooling": ("benchmarks.pooling", "attention over the windows of a long recording against their mean"),
    "retrieval": ("benchmarks.retrieval", "whose heart it is"),
    "device-bias": ("benchmarks.device_bias", "how well an embedding tells the dataset"),
    "heads": ("benchmarks.heads", "the shipped heads on people they did not learn from"),
    "throughput": ("benchmarks.throughput", "windows per second and memory, beside every system that runs here"),
    "edge": ("edge.benchmark", "time, memory and start of a window on one core, beside others"),
    "mcmed": ("mcmed.benchmark", "the protocol of SignalMC-MED on a folder of MC-MED; not by default"),
}
ASKED = tuple(name for name in TASKS if name != "mcmed")  # by default


def benchmark(
    tasks: Annotated[
        list[str] | None, typer.Argument(help="; ".join(f"{name}: {about}" for name, (_, about) in TASKS.items()))
    ] = None,
    data_root: Annotated[
        Path, typer.Option(envvar="CARDIOFM_DATA_ROOT", help="The folder that holds the datasets.")
    ] = Path("../shared/data"),
    model: Annotated[str, typer.Option("--model", help="A released model, or a model folder.")] = "base",
    backend: Annotated[str | None, typer.Option(help="onnx, onnx-int8 or torch.")] = None,
    heads: Annotated[
        Path | None,
        typer.Option(
            help="intervals: a fiducial head's folder and those of the folds; heads: the folder of the heads."
        ),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="A part of a task: qt, pat, …; ptb-xl, ludb, ….")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Recordings, windows or patients of each set at most, as the task counts.")
    ] = None,
    weights: Annotated[list[str] | None, typer.Option(metavar="PEER=PATH", help="A peer's weights.")] = None,
    repo: Annotated[list[str] | None, typer.Option(metavar="PEER=PATH", help="A peer's checkout.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of features that are computed once.")] = None,
    stand_in: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="mcmed: write simulated visits here and run on them.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder of the results.")] = Path("results"),
) -> None:
    """Measure the model beside the tools of today on public recordings: JSON files, pictures, and a page of tables.

    A task whose recordings are missing is named, and the others still run. Features are kept: an interrupted run goes
    on where it was. The page is results.md beside the files; those of the repository's own results stand in its
    README.md and docs/results.md.

    \b
    Example:
      cardiofm benchmark intervals representation --data-root ~/physionet --out results
    """
    asked = tasks or ASKED
    unknown = [name for name in asked if name not in TASKS]
    if unknown:
        raise SignalError(f"a task must be one of {', '.join(TASKS)}, found {unknown[0]!r}")
    given = {
        "data_root": data_root, "model": model, "backend": backend, "heads": heads, "only": only, "limit": limit,
        "weights": weights, "repo": repo, "cache": cache, "stand_in": stand_in, "threads": threads, "out": out,
    }  # fmt: skip
    failed = False
    for name in asked:
        try:
            run(name, {option: value for option, value in given.items() if value})
        except ModuleNotFoundError as error:
            failed = True
            typer.echo(f"cardiofm: {name}: it needs {error.name}: pip install 'cardiofm[train,export,bench]'", err=True)
        except (SignalError, CheckpointError, ConfigError) as error:
            failed = True
            typer.echo(f"cardiofm: {name}: {error}", err=True)
    try:
        for page in published(out):
            typer.echo(f"tables: {page}")
    except (LookupError, StopIteration, ValueError):
        typer.echo(f"cardiofm: a part of a task (--only) has no page of tables; its figures stand in {out}", err=True)
    if failed:
        raise typer.Exit(2)


def run(task: str, given: dict[str, Any]) -> None:
    """One task with the options that it has; what is not given is as in its own script."""
    module = importlib.import_module(f"cardiofm.evaluate.{TASKS[task][0]}")
    own = vars(module.parser().parse_args([]))
    module.main(Namespace(**own | {option: value for option, value in given.items() if option in own}))


def published(out: Path) -> list[Path]:
    """The pages written from all the results in a folder."""
    if not any(out.glob("*.json")):
        return []
    report, root = importlib.import_module("cardiofm.evaluate.report"), Path(__file__).resolve().parents[3]
    if out.resolve() == root / "results":
        return [root / name for name, write in report.PAGES.items() if report.update(root / name, write(out))]
    page = out / "results.md"
    page.write_text("# Results\n\n" + report.render(out).replace("](../results/", "]("), encoding="utf-8")
    return [page]
