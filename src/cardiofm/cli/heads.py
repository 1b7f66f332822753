"""The commands of heads: finetune makes one from labels, predict uses it on recordings."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer

from cardiofm.cli.root import Backend, Ecg, Files, Fs, Name, Ppg, app
from cardiofm.signals import CheckpointError, Record, SignalError
from cardiofm.terminal import Batch, predicted, progress

_BEYOND_S = 1.0  # of a recording's ends, for what is looked at: an alarm's second may lie just behind the last sample


@app.command()
def finetune(
    labels: Annotated[Path, typer.Argument(help="CSV: record, label; also patient, split, start_s, end_s.")],
    task: Annotated[str, typer.Option(help="classification, regression, or multilabel (labels joined by ;).")],
    data_root: Annotated[Path, typer.Option(help="The folder that the column record starts from.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The head's folder.")],
    head: Annotated[str, typer.Option(help="linear, boosted, fused, attention or fused-attention.")] = "linear",
    tune: Annotated[str, typer.Option(help="Also the encoder: none, lora or full.")] = "none",
    label: Annotated[str, typer.Option(metavar="COLUMN", help="The column of the label.")] = "label",
    last: Annotated[float | None, typer.Option(metavar="S", help="Look only at the last seconds.")] = None,
    model: Name = "base",
    backend: Backend = None,
) -> None:
    """Make a head from labelled recordings and print how good it is on patients that it did not learn from.

    \b
    Example:
      cardiofm finetune labels.csv --task classification --data-root recordings -o my-head
    """
    from cardiofm import pipeline
    from cardiofm.data.files import check_folder
    from cardiofm.heads.head import ABOUT
    from cardiofm.heads.labels import KINDS, read_labels

    if task not in KINDS:
        raise SignalError(f"--task must be one of {', '.join(KINDS)}, found {task!r}")
    check_folder(output)
    if output.exists() and not (output / ABOUT).is_file() and not (output.is_dir() and not any(output.iterdir())):
        raise CheckpointError(f"the output must be a new folder or a head's, found {output}; name another one")
    from cardiofm.heads.learn.finetune import Plan
    from cardiofm.heads.learn.finetune import finetune as run
    from cardiofm.heads.learn.report import lines
    from cardiofm.heads.look import View

    examples = read_labels(labels, data_root, label)
    told = {"labels": labels.name, "sha256": hashlib.sha256(labels.read_bytes()).hexdigest()}
    plan = Plan(output.name, task, label, form=head, tune=tune, view=View(last_s=last), data=told)
    with progress() as bar:
        done = bar.add_task("", total=len(examples))
        made = run(
            examples,
            plan,
            pipeline.load(model, backend),
            output,
            tell=lambda line: typer.echo(line, err=True),
            progress=lambda k, total, name: bar.update(done, completed=k, total=total, description=name),
        )
    for line in lines(made.about):
        typer.echo(line)
    typer.echo(f"head: {output}")


@app.command()
def predict(
    ctx: typer.Context,
    files: Files = None,
    head: Annotated[
        str, typer.Option(help="A head's folder, or a shipped one: superclass, af, alarm, age, sex.")
    ] = "af",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A .parquet or .csv file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    start: Annotated[float | None, typer.Option(metavar="S", help="Look only from this second on.")] = None,
    end: Annotated[float | None, typer.Option(metavar="S", help="Look only to this second, e.g. an alarm's.")] = None,
    alarm_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Head alarm: asystole, bradycardia, …, as the monitor tells it.")
    ] = None,
    ecg: Ecg = None,
    ppg: Ppg = None,
    fs: Fs = None,
    model: Annotated[str | None, typer.Option("--model", help="A model or its folder; else the head's own.")] = None,
    backend: Backend = None,
) -> None:
    """Print or write what a head says of each recording: calibrated probabilities or a value, and the quality.

    \b
    Example:
      cardiofm predict a103l.hea --head af
      cardiofm predict bidmc/*.hea --head my-head -o answers.csv
    """
    from cardiofm import heads, pipeline
    from cardiofm.data.files import spare
    from cardiofm.data.tables import check_table_path, write_rows

    if output is not None:
        check_table_path(output)
        spare(output, files or [])
    one = heads.load(head)
    one.about.view.typed(alarm_type)  # refused before anything is read
    network = one.fitting(pipeline.load(model or one.about.model, backend))
    batch, rows = Batch(ctx.find_root().params["debug"]), []
    for record in batch.read(files, ecg, ppg, fs):
        with batch.reporting():
            rows.append(one.predict(_part(record, start, end), network, alarm_type).row())
    if rows and one.about.view.numbers == "end" and end is None:
        typer.echo(f"{head}: judged by the end of each recording; --end says when the alarm sounded", err=True)
    if as_json:
        typer.echo(json.dumps(rows, indent=1, allow_nan=False))
    elif rows and output is None:
        predicted(rows, one.about)
    if output is not None and rows:
        write_rows(rows, output)
        typer.echo(f"{len(rows)} recordings: {output}", err=as_json)
    batch.finish(len(rows))


def _part(record: Record, start: float | None, end: float | None) -> Record:
    first, last = record.start_s if start is None else start, record.end_s if end is None else end
    if first < record.start_s - _BEYOND_S or last > record.end_s + _BEYOND_S:
        raise SignalError(
            f"{record.name}: what is looked at must lie within {record.start_s:g} to {record.end_s:g} s, "
            f"found {first:g} to {last:g} s; change --start or --end"
        )
    return record if start is None and end is None else record.crop(first, last)
