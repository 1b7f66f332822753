"""The command that works on signals as they come: stream."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cardiofm.cli.root import Backend, Ecg, Name, Ppg, app
from cardiofm.signals import SignalError

if TYPE_CHECKING:
    from cardiofm.stream import Event, Stream
    from cardiofm.stream.inputs import Packets

Rate = Annotated[float | None, typer.Option(metavar="HZ", help="Sampling rate; the channel is left out without it.")]


@app.command()
def stream(
    csv: Annotated[
        Path | None, typer.Option(help='Lines of time_s,ecg,ppg, or columns that a header names; "-": standard input.')
    ] = None,
    follow: Annotated[Path | None, typer.Option(help="The same, from a file that grows.")] = None,
    lsl: Annotated[list[str] | None, typer.Option(help="A stream of Lab Streaming Layer, by name.")] = None,
    fs_ecg: Rate = None,
    fs_ppg: Rate = None,
    unit: Annotated[str, typer.Option(help="Of the ECG in lines of text: mV, uV, V, or NU if not known.")] = "mV",
    ecg: Ecg = None,
    ppg: Ppg = None,
    embed_every: Annotated[float, typer.Option(metavar="S", help="0: no embeddings.")] = 1.0,
    beats_every: Annotated[float, typer.Option(metavar="S", help="0: only final beats, about two minutes late.")] = 0.5,
    beats: Annotated[bool, typer.Option(" /--no-beats", help="Give embeddings, look for no beats.")] = True,
    late: Annotated[float, typer.Option(metavar="S", help="How long a late packet is waited for.")] = 5.0,
    idle: Annotated[float | None, typer.Option(metavar="S", help="End when nothing came for so long.")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads.")] = None,
    model: Name = "base",
    backend: Backend = None,
) -> None:
    """Print embeddings and beats as the signals come, one JSON object a line. Ctrl-C ends it.

    \b
    Example:
      cardiofm stream --csv - --fs-ecg 250 --fs-ppg 125 < pair.csv
      cardiofm stream --follow growing.csv --fs-ecg 250
      cardiofm stream --lsl Monitor
    """
    from cardiofm import pipeline
    from cardiofm.data.readers.channels import in_mv
    from cardiofm.stream import Stream
    from cardiofm.stream.inputs import LabStreams, Lines, grown

    if sum(source is not None for source in (csv, follow, lsl or None)) != 1:
        raise SignalError("a stream must have one source; give one of --csv, --follow and --lsl")
    factor, ecg_unit = in_mv(unit)
    how: dict[str, Any] = {"ecg_unit": ecg_unit}
    if lsl:
        source = LabStreams(lsl, ecg, ppg)
        how = {f"{m}_hz": hz for m, hz in source.rates.items()} | {f"{m}_unit": u for m, u in source.units.items()}
        packets = source.packets(idle)
    else:
        lines = Lines(fs_ecg, fs_ppg, ecg, ppg, factor)
        how |= {f"{m}_hz": hz for m, hz in lines.rates.items()}
        pieces = grown(follow, idle) if follow else _opened(csv)
        packets = (packet for data in chain(pieces, [b"\n"]) for packet in lines.feed(data))
    network = pipeline.load(model, backend, threads)
    how |= {"embed_every_s": embed_every or None, "beats_every_s": beats_every or None, "beats": beats, "late_s": late}
    _run(Stream(network, **how), packets)


def _opened(path: Path | None) -> Iterator[bytes]:
    from cardiofm.stream.inputs import chunks

    if path is None or str(path) == "-":
        yield from chunks(sys.stdin.buffer)
    else:
        with path.open("rb") as file:
            yield from chunks(file)


class _CtrlC:
    """Ends what is waited for at once, what is worked on after it is done."""

    def __init__(self) -> None:
        self.asked = self.busy = False
        signal.signal(signal.SIGINT, self._hear)

    def _hear(self, *_: object) -> None:
        if self.asked or not self.busy:
            raise KeyboardInterrupt
        self.asked = True


def _run(running: Stream, packets: Iterator[Packets]) -> None:
    """Print what is said; a reader that goes away ends it too."""
    before, ctrl_c = signal.getsignal(signal.SIGINT), _CtrlC()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            for packet in packets:
                ctrl_c.busy = True
                _print(running.push(**packet))
                ctrl_c.busy = False
                if ctrl_c.asked:
                    break
        ctrl_c.busy, ctrl_c.asked = True, False
        _print(running.close())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        signal.signal(signal.SIGINT, before)
    for modality, counts in running.counts.items():
        if counts:
            typer.echo(f"{modality}: left out {', '.join(f'{n} {what}' for what, n in counts.items())}", err=True)


def _print(events: list[Event]) -> None:
    from cardiofm.stream.events import line

    if events:
        sys.stdout.write("".join(line(event) + "\n" for event in events))
        sys.stdout.flush()
