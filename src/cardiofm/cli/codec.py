"""The commands that store recordings in few bytes: encode, decode."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cardiofm.cli.root import Backend, Ecg, Fs, Name, Ppg, app
from cardiofm.signals import SignalError
from cardiofm.terminal import progress, watched

EXACT_IS_SMALLER = 600  # bit/s; usual recordings take 400-1000 bit for bit


@app.command()
def encode(
    file: Annotated[Path, typer.Argument(help="One recording.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .cfm file.")],
    bps: Annotated[
        float | None,
        typer.Option(
            metavar="BITS/S",
            help="Of each channel, all bytes of the chunks; from 400 on --lossless is often smaller. [default: 256]",
        ),
    ] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="Every sample comes back bit for bit.")] = False,
    append: Annotated[bool, typer.Option("--append", help="Go on where the output ends: the recording grew.")] = False,
    ecg: Ecg = None,
    ppg: Ppg = None,
    fs: Fs = None,
    model: Name = "base",
    backend: Backend = None,
) -> None:
    """Store a recording in few bytes, chunk by chunk.

    \b
    Example:
      cardiofm encode a103l.hea -o a103l.cfm --bps 64
      cardiofm encode a103l.hea -o a103l.cfm --lossless
    """
    from cardiofm import pipeline
    from cardiofm.data.files import check_folder, whole
    from cardiofm.data.readers import read

    if output.suffix.lower() != ".cfm":
        raise SignalError(f"the output must end in .cfm, found {output.name!r}; change its name")
    if lossless and bps is not None:
        raise SignalError("--lossless takes the bits that it needs: give either --bps or --lossless, found both")
    check_folder(output)
    codec = pipeline.load(model, backend).codec()
    with progress() as bar:
        record = watched(read(file, ecg=ecg, ppg=ppg, fs_hz=fs), bar, bar.add_task(file.name, total=1), 0)
        before = output.read_bytes() if append and output.is_file() else b""
        parts = codec.encode(record, 256.0 if bps is None else bps, lossless, after=before)
        if before:
            with output.open("ab") as more:
                more.writelines(parts)
        else:
            with whole(output) as partial, partial.open("wb") as new:
                new.writelines(parts)
    size = output.stat().st_size
    if not lossless and (left_s := codec.left_out_s(record)):
        typer.echo(f"cardiofm: the last {left_s:.3g} s are too short to code and left out", err=True)
    if bps is not None and bps >= EXACT_IS_SMALLER:
        typer.echo(f"cardiofm: at {bps:g} bit/s --lossless is often smaller, and exact", err=True)
    rate = 8 * size / record.duration_s / len(record.present)
    typer.echo(f"{size} bytes, {rate:.1f} bit/s a channel with the header of the file: {output}")


@app.command()
def decode(
    file: Annotated[Path, typer.Argument(help="A .cfm file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .hea, .edf, .parquet, .npz or .csv file.")],
    start: Annotated[float | None, typer.Option("--from", metavar="S", help="Only from here on, record time.")] = None,
    end: Annotated[float | None, typer.Option("--to", metavar="S", help="Only up to here.")] = None,
    model: Name = "base",
    backend: Backend = None,
) -> None:
    """Write the recording of a .cfm file; what is damaged is left out, and said.

    \b
    Example:
      cardiofm decode a103l.cfm -o again.hea
      cardiofm decode a103l.cfm --from 60 --to 90 -o again.parquet
    """
    from cardiofm import pipeline
    from cardiofm.data.write import check, write

    if not file.is_file():
        raise SignalError(f"{file} must exist, found no such file; check the path")
    check(output)
    record = pipeline.load(model, backend).codec().decode(file.read_bytes(), start, end, file.stem)
    write(record, output)
    typer.echo(f"{'; '.join(record.notes)}: {output}")
