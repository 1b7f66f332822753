"""The commands that work on recordings: analyze, embed, features, measure, reconstruct, info."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cardiofm.cli.root import Backend, Ecg, Files, Fs, Name, Ppg, app
from cardiofm.signals import MODALITIES, CheckpointError, Embedding, Features, Measurement, SignalError
from cardiofm.terminal import Batch, measured, progress, say, table, watched


@app.command()
def analyze(
    ctx: typer.Context,
    files: Files = None,
    demo: Annotated[bool, typer.Option("--demo", help="Real ECGs and a simulated pair that come along.")] = False,
    ecg: Ecg = None,
    ppg: Ppg = None,
    fs: Fs = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Report; else report.html if new, none if --json.")
    ] = None,
    model: Name = "base",
    backend: Backend = None,
) -> None:
    """Print each recording's figures and write a self-contained HTML report: beats, intervals, reconstruction.

    \b
    Example:
      cardiofm analyze a103l.hea -o report.html
    """
    from cardiofm import pipeline
    from cardiofm.data.files import spare, unasked, whole
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
    output = output or (None if as_json else unasked(Path("report.html")))
    if output is not None:
        spare(output, files or [])
    network = pipeline.load(model, backend)
    rows, drawn, unable = [], [], ""
    for record in records:
        with batch.reporting():
            analysis, beats = network.analyze(record), None
            try:
                beats = network.measure(record)
            except CheckpointError as error:  # a model without a fiducial head
                unable = f"beats are not measured: {error}"
            rows.append(summary(analysis, beats))
            if output is not None and len(drawn) < page.MAX_PICTURES:
                drawn.append((analysis, beats))
    if as_json:
        typer.echo(json.dumps(rows, indent=1, allow_nan=False))
    elif rows:
        table(rows)
        if seen := [row["measured"] | {"notes": []} for row in rows if row["measured"]]:
            measured(seen)
    if unable:
        say(unable)
    if output is not None and rows:
        name = network.name if model == network.name else f"{network.name} ({model})"
        with whole(output) as partial:
            analyses, beats = zip(*drawn, strict=True)
            partial.write_text(page.report(analyses, name, rows, attribution, beats), encoding="utf-8")
        typer.echo(f"report: {output}", err=as_json)
    if attribution:
        typer.echo(attribution, err=as_json)
    batch.finish(len(rows))


@app.command()
def embed(
    ctx: typer.Context,
    files: Files = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A .parquet or .csv file; else embeddings.parquet, if new.")
    ] = None,
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
    from cardiofm.data.files import check_embeddings_path, spare, unasked, write_embeddings

    output = output or unasked(Path("embeddings.parquet"))
    check_embeddings_path(output)
    spare(output, files or [])
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
def features(
    ctx: typer.Context,
    files: Files = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A .parquet or .csv file; else features.parquet, if new.")
    ] = None,
    ecg: Ecg = None,
    ppg: Ppg = None,
    fs: Fs = None,
) -> None:
    """Write about seventy hand-crafted numbers per 10-second window, as docs/features.md describes them; no network.

    \b
    Example:
      cardiofm features bidmc/*.hea -o features.parquet
    """
    from cardiofm import handcrafted
    from cardiofm.data.files import spare, unasked
    from cardiofm.data.tables import check_table_path, write_features

    output = output or unasked(Path("features.parquet"))
    check_table_path(output)
    spare(output, files or [])
    batch = Batch(ctx.find_root().params["debug"])

    def found() -> Iterator[Features]:
        for record in batch.read(files, ecg, ppg, fs):
            with batch.reporting():
                yield handcrafted.features(record)

    windows = write_features(found(), output)
    if windows:
        typer.echo(f"{windows} windows: {output}")
    batch.finish(windows)


@app.command()
def measure(
    ctx: typer.Context,
    files: Files = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Beats, .parquet or .csv; else beats.parquet if new, none if --json."),
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also the figures of every 30 s, .parquet or .csv.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures of each recording as JSON.")] = False,
    each: Annotated[bool, typer.Option("--each", help="PAT of each beat alone, not smoothed.")] = False,
    ecg: Ecg = None,
    ppg: Ppg = None,
    fs: Fs = None,
    model: Name = "base",
    backend: Backend = None,
) -> None:
    """Write one row per beat: waves, RR, PR, QRS, QT, PAT, each with its confidence, or the reason why not.

    \b
    Example:
      cardiofm measure bidmc/*.hea -o beats.parquet --summary half-minutes.csv
    """
    from cardiofm import pipeline
    from cardiofm.data.files import spare, unasked
    from cardiofm.data.tables import check_table_path, write_beats, write_stretches

    output = output or (None if as_json else unasked(Path("beats.parquet")))
    for path in (output, summary):
        if path is not None:
            check_table_path(path)
            spare(path, files or [])
    if output is not None and summary is not None and output.resolve() == summary.resolve():
        raise SignalError(f"beats and half minutes must be two files, found {output} for both; give another name")
    network, batch = pipeline.load(model, backend), Batch(ctx.find_root().params["debug"])
    rows, stretches = [], []

    def found() -> Iterator[Measurement]:
        for record in batch.read(files, ecg, ppg, fs):
            with batch.reporting():
                one = network.measure(record, smoothed=not each)
                rows.append(one.summary)
                stretches.extend(one.stretches if summary is not None else ())
                yield one

    beats = sum(len(one) for one in found()) if output is None else write_beats(found(), output)
    if as_json:
        typer.echo(json.dumps(rows, indent=1, allow_nan=False))
    elif rows:
        measured(rows)
    if summary is not None:
        write_stretches(stretches, summary)
    if output is not None and rows:
        typer.echo(f"{beats} beats: {output}", err=as_json)
    batch.finish(len(rows))


@app.command()
def reconstruct(
    file: Annotated[Path, typer.Argument(help="One recording.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .hea, .edf, .parquet, .npz or .csv file.")],
    hide: Annotated[
        list[str] | None, typer.Option(metavar="ecg|ppg|START-END", help="What to draw from the rest; spans in s.")
    ] = None,
    bits: Annotated[float | None, typer.Option(metavar="BITS/S", help="Code at this rate, nothing hidden.")] = None,
    denoise: Annotated[bool, typer.Option("--denoise", help="Clean of noise what is not hidden.")] = False,
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
      cardiofm reconstruct a103l.hea --denoise -o clean.hea
    """
    from cardiofm import pipeline
    from cardiofm.data.files import spare
    from cardiofm.data.readers import read
    from cardiofm.data.write import check, write

    check(output)
    spare(output, [file])
    hidden = _hidden(hide or [])
    with progress() as bar:
        record = watched(read(file, ecg=ecg, ppg=ppg, fs_hz=fs), bar, bar.add_task(file.name, total=1), 0)
        drawn = pipeline.load(model, backend).reconstruct(record, hidden, bits, denoise=denoise)
    write(drawn, output)
    typer.echo(f"{drawn.notes[-1]}: {output}")


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
