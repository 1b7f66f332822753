"""THE training loop: any objective, any batches, one checkpoint folder. It knows no loss by name.

Everything random is a function of (seed, step), so a run that was killed goes on to the same bits.
"""

from __future__ import annotations

import atexit
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from cardiofm.config import ConfigError
from cardiofm.signals import CheckpointError, SignalError, TrainingError
from cardiofm.train.batches import Batch, listed, prefetch
from cardiofm.train.journal import Journal
from cardiofm.train.processes import agree, everyones, first_does, part, started_outside
from cardiofm.train.resume import SaveModel, State, kept, load_training, recover, save_training

if TYPE_CHECKING:
    from lightning.fabric import Fabric

PRECISIONS = ("auto", "bf16", "fp32")


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast to learn."""

    seed: int = 0
    steps: int = 10_000
    warmup_steps: int = 200  # the learning rate rises linearly
    decay_share: float = 0.2  # last share of the steps, in which it falls linearly to 0
    lr: float = 1e-3
    weight_decay: float = 0.05  # on matrices alone: not on norms, biases and other vectors
    clip: float = 1.0  # largest norm of the gradient
    precision: str = "auto"  # "bf16" (autocast), "fp32", or the one whose matrix product is faster on this machine
    devices: int = 1  # processes, one device each; started by torchrun, it says how many
    threads: int = 0  # torch threads; 0 leaves torch's choice
    checkpoint_minutes: float = 5.0
    max_minutes: float = 0.0  # stop cleanly after this long; the same command goes on later. 0: no limit
    log_every: int = 10  # steps a line in log.jsonl

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError(f"loop.precision must be one of {', '.join(PRECISIONS)}, found {self.precision!r}")
        if min(self.steps, self.devices, self.log_every) < 1 or min(self.seed, self.warmup_steps, self.threads) < 0:
            raise ConfigError(
                "loop.steps, devices, log_every must be at least 1; seed, warmup_steps, threads at least 0"
            )
        if not 0 <= self.decay_share <= 1 or min(self.lr, self.clip) <= 0:
            raise ConfigError("loop.decay_share must lie between 0 and 1, and lr and clip above 0")


def learning_rate(step: int, config: LoopConfig) -> float:
    """The rate of `step` (0-based): linear warm-up, constant, linear decay.

    >>> c = LoopConfig(steps=10, warmup_steps=2, decay_share=0.4, lr=1.0)
    >>> [learning_rate(s, c) for s in range(10)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    rise = (step + 1) / max(1, config.warmup_steps)
    fall = (config.steps - step) / max(1, round(config.decay_share * config.steps))
    return config.lr * min(1.0, rise, fall)


def step_seed(seed: int, step: int, rank: int) -> int:
    """The torch seed of one step on one process."""
    return int(np.random.SeedSequence([seed, step, rank, 1]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def faster_precision(device: torch.device) -> str:
    """Either "bf16" or "fp32", whichever multiplies matrices of encoder size faster on `device`."""
    seconds: dict[str, float] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = torch.ones(512, 384, device=device, dtype=dtype), torch.ones(384, 1536, device=device, dtype=dtype)
        times = []
        for _ in range(4):
            start = time.perf_counter()
            float((a @ b)[0, 0])  # reading one number waits for the device
            times.append(time.perf_counter() - start)
        seconds[name] = min(times[1:])  # the first is warm-up
    return min(seconds, key=lambda name: seconds[name])


def adamw(objective: nn.Module, config: LoopConfig) -> torch.optim.AdamW:
    """AdamW over the parameters that learn, with weight decay on those of two or more dimensions."""
    learned = [p for p in objective.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in learned if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, betas=(0.9, 0.95))


def fit(
    objective: nn.Module,
    batches: Callable[[int, int, int], Batch],
    config: LoopConfig,
    out: Path,
    *,
    save_model: SaveModel,
) -> State:
    """Train `objective` in place and return where the run stands; goes on from `out/last` where that exists.

    `objective(batch, step)` gives a scalar loss and named scalars for the log; `batches(step, rank, world)` the
    windows; `save_model(folder, progress)` writes the released form of the model to `out/last/model`.
    Writes `out/last/`, `out/log.jsonl` and `out/tensorboard/`. Stops early, with a checkpoint, after `max_minutes` or
    on SIGINT or SIGTERM. Raises `TrainingError` (a batch that cannot be had, a loss or gradient that is not finite, a
    checkpoint or log that cannot be written) and `CheckpointError` (`out/last` does not fit this run); the last
    checkpoint is kept. Of several processes the first one raises and the others end.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    fabric = launched(config.devices)
    try:
        return resumed(fabric, objective, batches, config, out, save_model)
    except (SignalError, CheckpointError, TrainingError, ConfigError, OSError):
        if fabric.is_global_zero:
            raise
        raise SystemExit(0) from None  # all processes raise it, and the first one says it


def launched(devices: int) -> Fabric:
    """A fabric of that many processes on this machine, or of those that `torchrun` started."""
    from lightning.fabric import Fabric  # here, because it takes seconds to import
    from lightning.fabric.strategies import DDPStrategy

    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    devices, machines = started_outside() or (devices, 1)
    strategy = DDPStrategy(find_unused_parameters=True) if devices * machines > 1 else "auto"
    fabric = Fabric(accelerator="auto", devices=devices, num_nodes=machines, strategy=strategy)
    fabric.launch()
    if fabric.world_size > 1:
        atexit.register(part)
    return fabric


def resumed(
    fabric: Fabric,
    objective: nn.Module,
    batches: Callable[[int, int, int], Batch],
    config: LoopConfig,
    out: Path,
    save_model: SaveModel,
) -> State:
    """What `fit` does once its processes run."""
    first_does(lambda: recover(out))
    module = fabric.setup_module(objective)
    optimizer = adamw(objective, config)
    state = State(config.seed)
    if (out / "last").is_dir():
        state = load_training(out / "last", objective, optimizer, config.seed)
    state.devices = fabric.world_size
    if config.precision != "auto":
        state.precision = config.precision
    elif not state.precision:  # a resumed run keeps what was measured, or its bits would change
        state.precision = fabric.broadcast(faster_precision(fabric.device))
    objective.train()
    if state.step < config.steps:
        run(fabric, module, objective, optimizer, batches, config, out, save_model, state)
    fabric.barrier()
    return state


def run(
    fabric: Fabric,
    module: Any,
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Callable[[int, int, int], Batch],
    config: LoopConfig,
    out: Path,
    save_model: SaveModel,
    state: State,
) -> None:
    """The steps from `state.step` on, with their log and checkpoints; changes `state` in place."""
    begin = saved = time.monotonic()
    before_s, main, world = state.wall_s, fabric.is_global_zero, fabric.world_size
    source = prefetch(batches, state.step, config.steps, fabric.global_rank, world)
    journal = Journal(out if main else None, config.steps, state.step)
    with ExitStack() as opened:
        stopped = opened.enter_context(stop_signals())
        opened.enter_context(closing(source))
        first_does(lambda: opened.enter_context(journal))
        for batch in agreed(source, state, out):
            now = time.monotonic()
            late = 0 < config.max_minutes * 60 <= now - begin
            due = now - saved >= config.checkpoint_minutes * 60
            wishes = [float(main and (late or bool(stopped))), float(main and due)]
            values, (stop, save) = step(fabric, module, objective, optimizer, batch, config, state, wishes)
            state.add(values)
            state.step += 1
            state.hours += batch.hours * world
            state.loss, state.lr = values["loss"], learning_rate(state.step - 1, config)
            state.wall_s = before_s + time.monotonic() - begin
            done = state.step == config.steps
            journal.tick(state.step, state.loss, len(batch.x_BCN) * world)
            if done or state.step % config.log_every == 0:
                line = {"step": state.step, **state.means(), "lr": state.lr, "hours_seen": state.hours}
                first_does(partial(journal.write, line))
            if done or stop or save:
                saved = time.monotonic()
                first_does(lambda: save_training(out, objective, optimizer, state, save_model))
            if stop:
                break


def agreed(source: Iterator[Batch], state: State, out: Path) -> Generator[Batch]:
    """The batches of `source`; where one process cannot have its own, all stop and say why."""
    while True:
        batch, error = None, None
        try:
            batch = next(source, None)
        except (SignalError, OSError) as found:
            error = TrainingError(f"step {state.step} must have its batch: {found}; {kept(out)}")
            error.__cause__ = found
        agree(error)
        if batch is None:
            return
        yield batch


def step(
    fabric: Fabric,
    module: Any,
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    config: LoopConfig,
    state: State,
    wishes: list[float],
) -> tuple[dict[str, float], list[bool]]:
    """One update; the values to log, averaged over processes, and which `wishes` of the first process hold for all."""
    torch.manual_seed(step_seed(config.seed, state.step, fabric.global_rank))
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(state.step, config)
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(fabric.device.type, torch.bfloat16, enabled=state.precision == "bf16"):
        loss, extra = module(batch.to(fabric.device), state.step)
    fabric.backward(loss)
    norm = nn.utils.clip_grad_norm_(objective.parameters(), config.clip)
    named: dict[str, Tensor] = {"loss": loss, **extra, "grad_norm": norm}
    parts = [v.detach().float().reshape(()) for v in named.values()]
    packed = torch.stack([*parts, *torch.tensor(wishes, device=fabric.device)])
    packed = cast(Tensor, fabric.all_reduce(packed, reduce_op="mean"))
    numbers: list[float] = packed.tolist()  # the one wait for the device in a step
    values = dict(zip(named, numbers, strict=False))
    for name in ("loss", "grad_norm"):
        if not math.isfinite(values[name]):
            names = listed(everyones(batch.suspects()))
            raise TrainingError(
                f"the loss and its gradient must be finite, found {name} = {values[name]} at step {state.step} on "
                f"{names}; the last checkpoint is kept: lower loop.lr or look at these recordings, then run again"
            )
    optimizer.step()
    return values, [n > 0 for n in numbers[len(named) :]]


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that is no longer empty after the first SIGINT or SIGTERM; the second one acts as usual."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _frame: Any) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
