"""What a terminal shows: a table of results on stdout; a progress bar, and one line per mishap, on stderr."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cardiofm.signals import MODALITIES, Record, Samples, Signal, SignalError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from cardiofm.heads.head import About

FORMS = (".5g", "g", ".2f", ".1f", ".3f", ".0f")
EXTRAS = {
    "torch": "train",
    "lightning": "train",
    "onnx": "export",
    "onnxscript": "export",
    "sklearn": "sklearn",
    "ecgfeat": "demo",
    "pylsl": "lsl",
}


class Batch:
    """Recordings one after another: a bad one is reported, the others are done, the exit code says so at the end."""

    def __init__(self, debug: bool = False) -> None:
        self.debug, self.failed = debug, 0

    def read(self, files: list[Path] | None, ecg: str | None, ppg: str | None, fs: float | None) -> Iterator[Record]:
        """Each recording that can be read, under a progress bar; one name for two of them gets its folder in front."""
        from cardiofm.data.files import recordings
        from cardiofm.data.readers import read

        found = recordings(files or [])
        stems = Counter(path.stem for path, _ in found)
        with progress() as bar:
            task = bar.add_task("", total=len(found))
            for i, (path, meant) in enumerate(found):
                bar.update(task, description=path.name, completed=i)
                with self.reporting(meant):
                    record = read(path, ecg=ecg, ppg=ppg, fs_hz=fs)
                    if stems[path.stem] > 1:
                        record = replace(record, name=f"{path.parent.name}/{record.name}")
                    yield watched(record, bar, task, i)
            bar.update(task, completed=len(found))

    @contextmanager
    def reporting(self, meant: bool = True) -> Iterator[None]:
        """An error in the block becomes one line; it counts unless the file only lay in a folder that was named."""
        try:
            yield
        except (SignalError, OSError) as error:
            if self.debug:
                raise
            say(error if meant else f"left out: {error}")
            self.failed += meant

    def finish(self, done: int) -> None:
        if not done and not self.failed:
            raise SignalError("there must be a recording to work on, found none that can be used; see the lines above")
        if self.failed:
            raise typer.Exit(2)


class _Watched:
    """Samples that tell the progress bar how far they have been read: a day-long recording shows that it moves."""

    def __init__(self, samples: Samples, bar: Progress, task: TaskID, before: int) -> None:
        self.samples, self.bar, self.task, self.before, self.far = samples, bar, task, before, 0.0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: slice, /) -> Any:
        share = (index.stop or 0) / len(self.samples)
        if share > self.far:
            self.far = min(1.0, share)
            self.bar.update(self.task, completed=self.before + self.far)
        return self.samples[index]


def watched(record: Record, bar: Progress, task: TaskID, before: int) -> Record:
    def watch(signal: Signal | None) -> Signal | None:
        return signal and replace(signal, samples=_Watched(signal.samples, bar, task, before))

    return replace(record, ecg=watch(record.ecg), ppg=watch(record.ppg))


def progress() -> Progress:
    """A bar on stderr, and nothing where stderr is no terminal."""
    from rich import progress
    from rich.console import Console

    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TaskProgressColumn())
    console = Console(stderr=True)
    more = (progress.TimeElapsedColumn(), progress.TimeRemainingColumn())
    return progress.Progress(*columns, *more, console=console, transient=True, disable=not console.is_terminal)


def table(rows: list[dict[str, Any]]) -> None:
    """One line per channel of each recording, and below them one per note."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("recording", "", "channel"):
        table.add_column(name, overflow="fold")
    for name in ("s", "Hz", "quality", "PRD %", "r", "bits/s"):
        table.add_column(name, justify="right")
    for row in rows:
        name = escape(row["record"])
        for modality in MODALITIES:
            if (one := row[modality]) is None:
                continue
            figures = [one[key] for key in ("duration_s", "fs_hz", "quality", "prd_percent", "r", "bits_per_s")]
            cells = ["–" if x is None else f"{x:{form}}" for x, form in zip(figures, FORMS, strict=True)]
            table.add_row(name, modality.upper(), escape(one["channel"]), *cells)
            name = ""
    console = Console()
    console.print(table)
    for row in rows:
        for note in _told(row["notes"]):
            console.print(Text(f"{row['record']}: {note}", style="dim"), soft_wrap=True)


def measured(rows: list[dict[str, Any]]) -> None:
    """One line per recording with the medians of its beats, and below them why others have none."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        caption="/min: of the ECG, of the PPG; ms: medians, and the share of the beats that have one; QTc: Fridericia",
    )
    table.add_column("recording", overflow="fold", min_width=9)
    for name in ("beats", "/min", "QT", "QTc", "PAT", "rhythm"):
        table.add_column(name, justify="right")
    for row in rows:
        rate, given, told = row["heart_rate_bpm"], row["intervals"], row["rhythm"]
        rates = [f"{rate[m]:.0f}" for m in ("ecg", "ppg") if rate[m] is not None]
        cells = [f"{row['beats']}", " ".join(dict.fromkeys(rates)) or "–"]
        for name in ("qt_ms", "qtc_fridericia_ms", "pat_ms"):
            median, share = given[name]["median"], given[name]["coverage"]
            cells.append("–" if median is None else f"{median:.0f} ({share:.0%})")
        table.add_row(escape(row["record"]), *cells, told["label"] if told else "–")
    console = Console()
    console.print(table)
    for row in rows:
        for note in (*row["notes"], *([row["reason"]] if row["reason"] else ())):
            console.print(Text(f"{row['record']}: {note}", style="dim"), soft_wrap=True)


def predicted(rows: list[dict[str, Any]], about: About) -> None:
    """One line per recording with what a head says of it, and from which probability on it gives a label."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, caption=f"{about.task}. {_from_where(about)}Not a medical device.")
    table.add_column("recording", overflow="fold", min_width=9)
    for name in ("quality ECG", "PPG"):
        table.add_column(name, justify="right")
    value = "value" in rows[0]
    chances = [name for name in rows[0] if name.startswith("probability_")]
    for name in (
        (about.unit or "value", "9 in 10") if value else ("label", *(c.removeprefix("probability_") for c in chances))
    ):
        table.add_column(escape(name), justify="right")
    for row in rows:
        cells = [escape(row["record"])]
        cells += ["–" if row[q] is None else f"{row[q]:.2f}" for q in ("quality_ecg", "quality_ppg")]
        if value:
            cells += [f"{row['value']:.1f}", f"{row['low']:.1f} to {row['high']:.1f}"]
        else:
            cells += [escape(row["label"]) or "none", *(f"{row[c]:.3f}" for c in chances)]
        table.add_row(*cells)
    Console().print(table)


def _from_where(about: About) -> str:
    """From which probability on a label is given, where that is not simply the likeliest."""
    first = len(about.thresholds) == 2 and about.kind != "multilabel"  # of two classes the second is asked for
    asked = list(zip(about.classes, about.thresholds, strict=True))[1 if first else 0 :] if about.thresholds else []
    return "Given from a probability of: " + ", ".join(f"{c} {t:.2f}" for c, t in asked) + ". " if asked else ""


def _told(notes: list[str]) -> list[str]:
    """The notes without the analysis' own, the last that says what the model drew: all of the table is about that."""
    own = max((i for i, note in enumerate(notes) if note.startswith("drawn by the model")), default=len(notes))
    return [*notes[:own], *notes[own + 1 :]]


def say(error: Exception | str) -> None:
    """One line on stderr."""
    text = str(error)
    if isinstance(error, ModuleNotFoundError):
        extra = EXTRAS.get((error.name or "").split(".")[0])
        text = f"this needs {error.name}: pip install 'cardiofm[{extra}]'" if extra else text
    elif isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    typer.echo(f"cardiofm: {' '.join(text.split())}", err=True)
