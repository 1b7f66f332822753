"""`cardiofm benchmark`: the options of the command, and nothing heavy until it runs."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cardiofm.signals import CheckpointError, SignalError

Run = Callable[[Namespace], Any]


def _intervals() -> Run:
    from cardiofm.evaluate.beats.benchmark import main

    return main


def _representation() -> Run:
    from cardiofm.evaluate.representation import LIMIT, main

    return lambda args: main(Namespace(**vars(args) | {"limit": args.limit or LIMIT}))


def _mcmed() -> Run:
    from cardiofm.evaluate.mcmed.benchmark import main

    return main


def _as_script(module: str) -> Callable[[], Run]:
    """A benchmark that is called by the words of its script."""

    def found() -> Run:
        made = importlib.import_module(f"cardiofm.evaluate.{module}")
        options = ("model", "data_root", "out", "threads", "cache", "backend", "limit")

        def run(args: Namespace) -> Any:
            given = [(name, getattr(args, name)) for name in options if getattr(args, name) is not None]
            words = [word for name, value in given for word in (f"--{name.replace('_', '-')}", str(value))]
            return made.main(made.parser().parse_args(words))

        return run

    return found


TASKS: dict[str, tuple[Callable[[], Run], str]] = {  # how it is found, what it measures; all but the last by default
    "intervals": (_intervals, "QT, PAT, R peaks, rate, rhythm, silence, beside classical tools"),
    "representation": (_representation, "frozen probes of diagnosis, alarms, AF, age, sex, body"),
    "few-labels": (_as_script("few_labels"), "heads from 10, 50 and 100 patients"),
    "pooling": (_as_script("pooling"), "attention over the windows of a long recording against their mean"),
    "device-bias": (_as_script("device_bias"), "how well an embedding tells the dataset"),
    "mcmed": (_mcmed, "the protocol of SignalMC-MED on a folder of MC-MED"),
}


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
        Path | None, typer.Option(help="Folder of a head and of those of the folds; by default the model's.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="A part of a task: qt, pat, …; ptb-xl, ludb, ….")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Recordings of each set at most.")] = None,
    weights: Annotated[list[str] | None, typer.Option(metavar="PEER=PATH", help="A peer's weights.")] = None,
    repo: Annotated[list[str] | None, typer.Option(metavar="PEER=PATH", help="A peer's checkout.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of features that are computed once.")] = None,
    stand_in: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="mcmed: write simulated visits here and run on them.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = 1,
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder of the results.")] = Path("results"),
) -> None:
    """Measure the model beside the tools of today on public recordings: a table, a JSON file, pictures.

    A task whose recordings are missing is named, and the others still run.

    \b
    Example:
      cardiofm benchmark intervals representation --data-root ~/physionet --out results
    """
    from cardiofm.evaluate import cached

    asked = tasks or [name for name in TASKS if name != "mcmed"]
    unknown = [name for name in asked if name not in TASKS]
    if unknown:
        raise SignalError(f"a task must be one of {', '.join(TASKS)}, found {unknown[0]!r}")
    args = Namespace(
        data_root=data_root, model=model, backend=backend, heads=heads, only=only or None, limit=limit,
        weights=weights or [], repo=repo or [], cache=cache or cached.CACHE, stand_in=stand_in,
        threads=threads, out=out,
    )  # fmt: skip
    failed = []
    for name in asked:
        try:
            TASKS[name][0]()(args)
        except (SignalError, CheckpointError) as error:
            failed.append(name)
            typer.echo(f"cardiofm: {name}: {error}", err=True)
    if failed:
        raise typer.Exit(2)
