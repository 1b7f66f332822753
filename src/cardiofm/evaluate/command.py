"""`cardiofm benchmark`: the options of the command, and nothing heavy until it runs."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Annotated

import typer

Tasks = Annotated[list[str] | None, typer.Argument(help="intervals (the default).")]


def benchmark(
    tasks: Tasks = None,
    data_root: Annotated[
        Path, typer.Option(envvar="CARDIOFM_DATA_ROOT", help="The folder that holds the datasets.")
    ] = Path("../shared/data"),
    model: Annotated[str, typer.Option("--model", help="A released model, or a model folder.")] = "base",
    backend: Annotated[str | None, typer.Option(help="onnx or torch.")] = None,
    heads: Annotated[
        Path | None, typer.Option(help="Folder of a head and of those of the folds; by default the model's.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="A part: qt, boundaries, r_peaks, pat, rate, silence.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Recordings of each set at most.")] = 100_000,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = 1,
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder of the results.")] = Path("results"),
) -> None:
    """Measure the model beside the tools of today on public recordings: a table, a JSON file, pictures.

    \b
    Example:
      cardiofm benchmark intervals --data-root ~/physionet --out results
    """
    from cardiofm.evaluate.beats.benchmark import main

    main(
        tasks or [],
        Namespace(
            data_root=data_root, model=model, backend=backend, heads=heads, only=only, limit=limit, threads=threads,
            out=out,
        ),
    )  # fmt: skip
