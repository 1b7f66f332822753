"""The commands that make and judge a model: prepare, pretrain, export, benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cardiofm.cli.root import app
from cardiofm.evaluate.command import benchmark
from cardiofm.terminal import progress


@app.command()
def prepare(
    datasets: Annotated[list[str], typer.Argument(metavar="DATASET...", help="Names, such as ptb-xl mitdb nstdb.")],
    data_root: Annotated[Path, typer.Option(help="The folder that holds the datasets as their archives lay them out.")],
    out: Annotated[Path, typer.Option(help="The folder of the store.")],
    everything: Annotated[bool, typer.Option("--all", help="Also what weights may not be trained on.")] = False,
) -> None:
    """Turn recordings into a training store: Parquet shards and a manifest. Goes on where it was stopped.

    \b
    Example:
      cardiofm prepare ptb-xl mitdb nstdb --data-root ~/physionet --out store
    """
    from cardiofm.data.prepare import prepare as run

    with progress() as bar:
        task = bar.add_task("", total=None)
        manifest = run(
            datasets,
            data_root,
            out,
            all_entries=everything,
            progress=lambda done, total, name: bar.update(task, completed=done, total=total, description=name),
        )
    for name, one in manifest["datasets"].items():
        typer.echo(
            f"{name}: {one['records']} records, {one['patients']} patients, {one['hours']:.1f} h, {one['licence']}"
        )
    for line in manifest["skipped"]:
        typer.echo(f"skipped {line['dataset']} {line['record']}: {line['reason']}", err=True)
    typer.echo(f"store: {out}")


@app.command()
def pretrain(
    config: Annotated[Path, typer.Argument(help="A TOML file that states its differences from the defaults.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE...]", help="loop.steps=1000")] = None,
    store: Annotated[Path, typer.Option(help="The folder that `prepare` wrote.")] = Path("store"),
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("runs/pretrain"),
) -> None:
    """Train a model on a store. Goes on where it was stopped, to the same bits.

    \b
    Example:
      cardiofm pretrain configs/base.toml loop.seed=2 --store store --out runs/base
    """
    from cardiofm.config import load
    from cardiofm.train.pretrain import PretrainConfig
    from cardiofm.train.pretrain import pretrain as run
    from cardiofm.train.processes import place

    model = run(load(PretrainConfig, config, overrides or ()), store, out)
    if place()[0] == 0:  # of several processes one speaks
        typer.echo(f"model: {model}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="A model folder.")],
    to: Annotated[str, typer.Option(help="onnx; or what embeds alone: openvino, executorch.")] = "onnx",
    int8: Annotated[bool, typer.Option("--int8", help="What embeds with eight-bit matrices too.")] = False,
    static: Annotated[bool, typer.Option("--static", help="Eight bits by ranges seen on real windows.")] = False,
    data_root: Annotated[
        Path | None, typer.Option(help="Real windows from challenge-2015 here (default: the recordings of --demo).")
    ] = None,
) -> None:
    """Add the ONNX graphs to a model folder, so that it runs without torch.

    \b
    Example:
      cardiofm export runs/base/last/model
      cardiofm export runs/base/last/model --int8 --static --data-root ~/physionet
    """
    from cardiofm.edge import targets
    from cardiofm.edge.calibration import real_windows
    from cardiofm.signals import CheckpointError

    if to not in targets.TARGETS:
        raise CheckpointError(f"--to must be one of {', '.join(targets.TARGETS)}, found {to!r}")
    if static and not int8:
        raise CheckpointError("--static says how eight bits are made; give --int8 too")
    with progress() as bar:
        bar.add_task("writing and checking against torch", total=None)
        real = None
        if int8 and (static or to == "openvino"):
            real = real_windows(folder, data_root) if data_root else _demo_windows(folder)
        targets.write(folder, to, int8, real, lambda step: typer.echo(f"export: {step}", err=True))
    typer.echo(f"model: {folder}")


def _demo_windows(folder: Path) -> Any:
    """The windows of the recordings of --demo: real ECGs, and one simulated pair."""
    from cardiofm.config import ConfigError
    from cardiofm.demo import records
    from cardiofm.edge.calibration import windows_of

    try:
        return windows_of(folder, records()[0])
    except ModuleNotFoundError as error:
        raise ConfigError("real windows need --data-root, or pip install 'cardiofm[demo]'") from error


app.command()(benchmark)
