"""The command line: parse, call, print. Results go to stdout, progress and what went wrong to stderr."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cardiofm import __version__
from cardiofm.config import ConfigError
from cardiofm.evaluate.command import benchmark
from cardiofm.signals import MODALITIES, CheckpointError, Embedding, SignalError, TrainingError
from cardiofm.terminal import Batch, progress, say, table, watched

Files = Annotated[list[Path] | None, typer.Argument(help="Recordings, patterns, or folders of recordings.")]
Ecg = Annotated[str | None, typer.Option(help='ECG channel by name; "-NAME" turns it over, "none" leaves it out.')]
Ppg = Annotated[str | None, typer.Option(help="PPG channel by name, likewise.")]
Fs = Annotated[float | None, typer.Option(metavar="HZ", help="Sampling rate, for files that state none.")]
Name = Annotated[str, typer.Option("--model", help="A released model, or a model folder.")]
Backend = Annotated[str | None, typer.Option(help="onnx or torch.")]


class OneLine(TyperGroup):
    """Every expected error is one line on stderr and exit code 2; `--debug` shows where it came from."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (SignalError, CheckpointError, TrainingError, ConfigError, OSError, ModuleNotFoundError) as error:
            if ctx.params["debug"]:
                raise
            say(error)
            raise typer.Exit(2) from None


app = typer.Typer(
    cls=OneLine, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False
)


def main() -> None:
    """Run the command line."""
    app()


@app.callback(invoke_without_command=True)
def options(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """One self-supervised foundation model for ECG (lead II) and PPG together. Not a medical device.

    \b
    Example:
      cardiofm analyze a103l.hea -o report.html
    """
    if version:
        typer.echo(__version__)
    elif ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@app.command()
def analyze(
    ctx: typer.Context,
    files: Files = None,
    demo: Annotated[bool, typer.Option("--demo", help="Real ECGs and a simulated pair that come along.")] = False,
    ecg: Ecg = None,
    ppg: Ppg = None,
    fs: Fs = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Report; report.html if not --json.")] = None,
    model: Name = "base",
    backend: Backend = None,
) -> None:
    """Print a table of each recording and write a self-contained HTML report with its pictures.

    \b
    Example:
      cardiofm analyze a103l.hea -o report.html
    """
    from cardiofm import pipeline
    from cardiofm.data.files import whole
    from cardiofm.web import page
    from cardiofm.web.summary import summary

    attribution, batch = "", Batch(ctx.find_root().params["debug"])
    if demo:
        from cardiofm import demo as shown

        records, attribution = shown.records()
        output = output or Path("demo", "report.html")
        output.parent.mkdir(parents=True, exist_ok=True)
    else:
        records = batch.read(files, ecg, ppg, fs)
    output = output or (None if as_json else Path("report.html"))
    network = pipeline.load(model, backend)
    rows, drawn = [], []
    for record in records:
        with batch.reporting():
            analysis = network.analyze(record)
            rows.append(summary(analysis))
            if output is not None and len(drawn) < page.MAX_PICTURES:
                drawn.append(analysis)
    if as_json:
        typer.echo(json.dumps(rows, indent=1, allow_nan=False))
    elif rows:
        table(rows)
    if output is not None and rows:
        name = network.name if model == network.name else f"{network.name} ({model})"
        with whole(output) as partial:
            partial.write_text(page.report(drawn, name, rows, attribution), encoding="utf-8")
        typer.echo(f"report: {output}", err=as_json)
    if attribution:
        typer.echo(attribution, err=as_json)
    batch.finish(len(rows))


@app.command()
def embed(
    ctx: typer.Context,
    files: Files = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="A .parquet or .csv file.")] = Path(
        "embeddings.parquet"
    ),
    ecg: Ecg = None,
    ppg: Ppg = None,
    fs: Fs = None,
    model: Name = "base",
    backend: Backend = None,
) -> None:
    """Write one embedding per 10-second window: record, start_s, has_ecg, has_ppg, quality_ecg, quality_ppg, embedding.

    \b
    Example:
      cardiofm embed bidmc/*.hea -o x.parquet
    """
    from cardiofm import pipeline
    from cardiofm.data.files import check_embeddings_path, write_embeddings

    check_embeddings_path(output)
    network, batch = pipeline.load(model, backend), Batch(ctx.find_root().params["debug"])

    def found() -> Iterator[Embedding]:
        for one in network.embed_each(batch.read(files, ecg, ppg, fs)):
            with batch.reporting():
                if isinstance(one, SignalError):
                    raise one
                yield one

    windows = write_embeddings(found(), output)
    if windows:
        typer.echo(f"{windows} windows: {output}")
    batch.finish(windows)


@app.command()
def reconstruct(
    file: Annotated[Path, typer.Argument(help="One recording.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .hea, .parquet, .npz or .csv file.")],
    hide: Annotated[
        list[str] | None, typer.Option(metavar="ecg|ppg|START-END", help="What to draw from the rest; spans in s.")
    ] = None,
    bits: Annotated[float | None, typer.Option(metavar="BITS/S", help="Code at this rate, nothing hidden.")] = None,
    ecg: Ecg = None,
    ppg: Ppg = None,
    fs: Fs = None,
    model: Name = "base",
    backend: Backend = None,
) -> None:
    """Write the recording as the model draws it, on its own clock, rate and unit.

    \b
    Example:
      cardiofm reconstruct a103l.hea --hide ppg -o drawn.hea
      cardiofm reconstruct a103l.hea --hide 10-12 --hide 20.5-21 -o drawn.parquet
    """
    from cardiofm import pipeline
    from cardiofm.data.readers import read
    from cardiofm.data.write import write

    hidden = _hidden(hide or [])
    with progress() as bar:
        record = watched(read(file, ecg=ecg, ppg=ppg, fs_hz=fs), bar, bar.add_task(file.name, total=1), 0)
        drawn = pipeline.load(model, backend).reconstruct(record, hidden, bits)
    write(drawn, output)
    typer.echo(f"{drawn.notes[-1]}: {output}")


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
def export(folder: Annotated[Path, typer.Argument(help="A model folder.")]) -> None:
    """Add the ONNX graphs to a model folder, so that it runs without torch.

    \b
    Example:
      cardiofm export runs/base/last/model
    """
    from cardiofm.edge.export import export as run

    with progress() as bar:
        bar.add_task("writing the graphs and checking them against torch", total=None)
        run(folder)
    typer.echo(f"model: {folder}")


@app.command()
def info(
    target: Annotated[str, typer.Argument(help="A recording, a model folder, or a released model's name.")] = "base",
    ecg: Ecg = None,
    ppg: Ppg = None,
    fs: Fs = None,
) -> None:
    """Print what a recording holds, or what a model is and where it comes from.

    \b
    Example:
      cardiofm info a103l.hea
      cardiofm info base
    """
    from cardiofm import weights
    from cardiofm.data.readers import read
    from cardiofm.model import checkpoint

    path = Path(target)
    if target in weights.installed() or path.is_dir():
        folder = weights.folder(target) if target in weights.installed() else path
        about = {"config": checkpoint.read_config(folder), "provenance": checkpoint.read_provenance(folder)}
        typer.echo(json.dumps({"folder": str(folder), **about}, indent=1))
        return
    record = read(path, ecg=ecg, ppg=ppg, fs_hz=fs)
    typer.echo(f"{record.name}: {record.duration_s:.6g} s")
    for modality in record.present:
        signal = record.signal(modality)
        assert signal is not None
        span = f"{signal.start_s:.6g} to {signal.end_s:.6g} s"
        typer.echo(f"{modality}: channel {signal.name}, {signal.unit}, {signal.fs_hz:g} Hz, {span}")
    for note in record.notes:
        typer.echo(f"note: {note}")


app.command()(benchmark)


def _hidden(texts: list[str]) -> str | list[tuple[float, float]] | None:
    """`["ppg"]` → "ppg"; `["10-12", "20-21.5"]` → spans in seconds."""
    if not texts:
        return None
    if len(texts) == 1 and texts[0] in MODALITIES:
        return texts[0]
    spans = [re.fullmatch(r"\s*(\d+\.?\d*)\s*-\s*(\d+\.?\d*)\s*", text) for text in texts]
    if not all(spans):
        raise SignalError(f"--hide must be ecg, ppg, or spans in seconds such as 10-12, found {' '.join(texts)}")
    return [(float(span[1]), float(span[2])) for span in spans if span]


if __name__ == "__main__":
    main()
