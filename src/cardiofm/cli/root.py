"""What all commands share: the words of their options, and how an error is said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cardiofm import __version__
from cardiofm.config import ConfigError
from cardiofm.signals import CheckpointError, SignalError, TrainingError
from cardiofm.terminal import say

Files = Annotated[list[Path] | None, typer.Argument(help="Recordings, patterns, or folders of recordings.")]
Ecg = Annotated[str | None, typer.Option(help='ECG channel by name; "-NAME" turns it over, "none" leaves it out.')]
Ppg = Annotated[str | None, typer.Option(help="PPG channel by name, likewise.")]
Fs = Annotated[float | None, typer.Option(metavar="HZ", help="Sampling rate, for files that state none.")]
Name = Annotated[str, typer.Option("--model", help="A released model, or a model folder.")]
Backend = Annotated[str | None, typer.Option(help="onnx, onnx-int8 or torch.")]


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
