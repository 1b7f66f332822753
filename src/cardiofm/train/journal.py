"""What a run tells: `log.jsonl`, TensorBoard, and a progress bar, or one line a minute where there is no terminal."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LINE_S = 60.0


class Journal:
    """Writes under `out`; with `out` None (a process that is not the first) it writes nothing.

    Lines and points after step `start` are of a run that was cut off: they are dropped before it goes on.
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
        from torch.utils.tensorboard import SummaryWriter

        path = self.out / "log.jsonl"
        keep_lines(path, self.first)
        self.log = path.open("a", encoding="utf-8")
        self.board = SummaryWriter(str(self.out / "tensorboard"), purge_step=self.first + 1, flush_secs=30)
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
        self.log.close()
        self.board.close()

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
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()
        for name, value in values.items():
            if name != "step":
                self.board.add_scalar(name, value, int(values["step"]))


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
    path.write_text("".join(kept), encoding="utf-8")


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(42), duration(750), duration(9000)
    ('42 s', '12 min', '2 h 30 min')
    """
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
