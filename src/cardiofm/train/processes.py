"""What the processes of one run share, so that together they learn what one process would.

Every process computes the same loss, that of all rows, and its gradient through its own rows alone. DDP takes the mean
of the gradients; here they are multiplied by the number of processes, so that mean is the gradient of one process.
With one process every function gives back what it was given, to the bit. Shapes: M rows of one process.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from cardiofm.signals import TrainingError


def place() -> tuple[int, int]:
    """(rank, world size) of this process."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def started_outside() -> tuple[int, int] | None:
    """(processes a machine, machines) where `torchrun` started this process, else None."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    return here, int(os.environ["WORLD_SIZE"]) // here


def part() -> None:
    """Leave the group of processes, while Python still runs.

    Gloo's threads may hold tensors; letting go of one when the interpreter is already being taken down aborts the
    process. They end with the group, once nothing refers to it.
    """
    if place()[1] > 1:
        gc.collect()
        dist.destroy_process_group()


class _Total(torch.autograd.Function):
    """Sum over processes; the gradient reaches one's own part, times the number of processes."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        whole = own.detach().clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0] * place()[1]


class _Gathered(torch.autograd.Function):
    """Rows of all processes in order of rank; the gradient reaches one's own rows, times the number of processes."""

    @staticmethod
    def forward(ctx: Any, own_M: Tensor) -> Tensor:
        parts = [torch.empty_like(own_M) for _ in range(place()[1])]
        dist.all_gather(parts, own_M.detach().contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        rank, world = place()
        return grads[0].chunk(world)[rank] * world


def total(own: Tensor) -> Tensor:
    """The sum over processes of a tensor of one shape."""
    return own if place()[1] == 1 else cast(Tensor, _Total.apply(own))


def gathered(own_M: Tensor) -> Tensor:
    """The rows of all processes in order of rank; each must have as many."""
    return own_M if place()[1] == 1 else cast(Tensor, _Gathered.apply(own_M))


def shared_mean(numerator: Tensor, denominator: Tensor, least: float = 1.0) -> Tensor:
    """`numerator / denominator`, both summed over processes, the latter at least `least`; element by element."""
    if place()[1] > 1:
        numerator, denominator = total(torch.stack([numerator, denominator.to(numerator.dtype)])).unbind()
    return numerator / denominator.clamp_min(least)


def pooled(mean: Tensor, weight: Tensor) -> Tensor:
    """The mean over all processes of what is a mean over `weight` rows in each; one process's own, to the bit."""
    return mean if place()[1] == 1 else shared_mean(mean * weight, weight)


def agree(error: Exception | None = None) -> None:
    """Let every process know whether one of them cannot go on; all must call it.

    The process that failed raises its error, the others a `TrainingError` that repeats it.
    """
    world = place()[1]
    if world > 1:
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        if float(total(torch.tensor(float(error is not None), device=device))) == 0:
            return
        said: list[str | None] = [None] * world
        dist.all_gather_object(said, None if error is None else str(error))
        if error is None:
            raise TrainingError(next(text for text in said if text is not None))
    if error is not None:
        raise error


def first_does(action: Callable[[], object]) -> None:
    """Let the first process do it while the others wait; where it fails, all raise what it raised."""
    error = None
    if place()[0] == 0:
        try:
            action()
        except (OSError, TrainingError) as found:
            error = found
    agree(error)


def everyones(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names that any process has, in order of rank; all must call it."""
    said: list[tuple[str, ...]] = [names]
    if (world := place()[1]) > 1:
        said = [()] * world
        dist.all_gather_object(said, names)
    return tuple(dict.fromkeys(name for part in said for name in part))
