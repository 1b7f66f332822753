"""What a run tells: `log.jsonl`, TensorBoard, and a progress bar, or one line a minute where there is no terminal."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cardiofm.signals import TrainingError

LINE_S = 60.0


class Journal:
    """Writes under `out`; with `out` None (a process that is not the first) it writes nothing.

    Lines and points after step `start` are of a run that was cut off: they are dropped before it goes on. A disk that
    takes no more is a `TrainingError`.
    """

    def __init__(self, out: Path | None, steps: int, start: int) -> None:
        self.out, self.steps, self.first = out, steps, start
        self.console = Console(stderr=True)
        self.windows = self.run_windows = 0
        self.since = self.begin = time.monotonic()
        self.next_line = self.begin
        self.progress: Progress | None = None

    def __enter__(self) -> Journal:
        if self.out is None:
            return self
        path = self.out / "log.jsonl"
        with writing(path, self.first):
            keep_lines(path, self.first)
            self.log = path.open("a", encoding="utf-8")
            self.board = Board(self.out / "tensorboard", self.first + 1)
        if self.console.is_terminal:
            self.progress = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=self.console,
            )
            self.bar = self.progress.add_task("", total=self.steps, completed=self.first)
            self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.out is None:
            return
        if self.progress:
            self.progress.stop()
        for file in (self.log, self.board):
            with suppress(OSError):  # a full disk was said where it was met, and a run that is done has its checkpoint
                file.close()

    def tick(self, step: int, loss: float, windows: int) -> None:
        """Show one step."""
        self.windows += windows
        self.run_windows += windows
        if self.out is None:
            return
        now = time.monotonic()
        if not self.progress and now < self.next_line:
            return
        elapsed = max(now - self.begin, 1e-9)
        left_s = elapsed / (step - self.first) * (self.steps - step)
        text = f"loss {loss:.4f}  {self.run_windows / elapsed:.1f} windows/s  {duration(left_s)} left"
        if self.progress:
            self.progress.update(self.bar, completed=step, description=text)
        else:
            self.console.print(f"step {step}/{self.steps}  {text}", highlight=False)
            self.next_line = now + LINE_S

    def write(self, values: dict[str, float]) -> None:
        """One line of `log.jsonl` with the windows a second since the line before; the same to TensorBoard."""
        now = time.monotonic()
        values = {**values, "windows_per_s": round(self.windows / max(now - self.since, 1e-9), 3)}
        self.windows, self.since = 0, now
        if self.out is None:
            return
        line = {k: v if math.isfinite(v) else None for k, v in values.items()}
        with writing(self.out / "log.jsonl", int(values["step"])):
            self.log.write(json.dumps(line) + "\n")
            self.log.flush()
            self.board.write(int(values["step"]), {k: v for k, v in values.items() if k != "step"})


class Board:
    """An event file for TensorBoard in `folder`; its points from step `first` on replace those of earlier files.

    Written at once and by the caller's thread, so that a full disk is the caller's to tell.
    """

    def __init__(self, folder: Path, first: int) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.proto = import_module("tensorboard.compat.proto.event_pb2")
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}"
        self.file = RecordWriter((folder / name).open("wb"))
        self._add(file_version="brain.Event:2")
        self._add(step=first, session_log=self.proto.SessionLog(status=self.proto.SessionLog.START))

    def write(self, step: int, values: dict[str, float]) -> None:
        """One point of each named value at that step."""
        points = [{"tag": name, "simple_value": value} for name, value in values.items()]
        self._add(step=step, summary={"value": points})

    def close(self) -> None:
        self.file.close()

    def _add(self, **fields: Any) -> None:
        self.file.write(self.proto.Event(wall_time=time.time(), **fields).SerializeToString())
        self.file.flush()


def keep_lines(path: Path, last_step: int) -> None:
    """Drop the lines of `path` after `last_step`, and a line that was cut off."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= last_step:
                kept.append(line + "\n")
        except ValueError:
            continue
    new = path.with_suffix(".new")
    new.write_text("".join(kept), encoding="utf-8")
    os.replace(new, path)  # in one move: a disk that is full keeps the log as it was


@contextmanager
def writing(path: Path, step: int) -> Generator[None]:
    """Whatever the disk refuses in the block becomes one sentence."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{path} must take the lines of step {step}, found: {error}; the last checkpoint is kept: free space, run "
            "again"
        ) from error


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(42), duration(750), duration(9000)
    ('42 s', '12 min', '2 h 30 min')
    """
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
