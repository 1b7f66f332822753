"""A network whose code and weights a user has: its class from the checkout, weights from their file.

The class is imported from the user's own folder, in this process: give only code that you trust. Weights are read with
torch's `weights_only`, which runs none.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cardiofm.signals import CheckpointError


@contextmanager
def imported(repo: Path, file: str) -> Iterator[Any]:
    """The module `repo/file`, while the checkout comes first on the path; its modules are forgotten afterwards.

    What is made meanwhile starts from seed 0.
    """
    if not (repo / file).is_file():
        raise CheckpointError(
            f"the checkout must hold {file}, found none in {repo}; clone the repository and give its folder with --repo"
        )
    before = set(sys.modules)
    sys.path.insert(0, str(repo))
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            yield importlib.import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    except ImportError as error:
        raise CheckpointError(
            f"{repo / file} must find what it imports: {error}; install what its repository asks for"
        ) from error
    finally:
        sys.path.remove(str(repo))
        for name in set(sys.modules) - before:
            at = getattr(sys.modules[name], "__file__", None) or ""
            if at.startswith(str(repo)):
                del sys.modules[name]


def weighed(
    network: nn.Module, weights: Path | None, named: Callable[[dict[str, Any]], dict[str, Any]] = dict
) -> nn.Module:
    """The network with the weights of a file, or as it was made where there is none; ready to be asked.

    `named` picks from what the file holds a state dict with the network's own names; one that is missing, or one too
    many, is a CheckpointError.
    """
    if weights is not None:
        if not weights.is_file():
            raise CheckpointError(f"the weights must be a file, found none at {weights}; give it with --weights")
        try:
            held = torch.load(weights, map_location="cpu", weights_only=True)
            network.load_state_dict(named(held))
        except (RuntimeError, KeyError, AttributeError, OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise unfit(weights, error) from error
    return network.eval().requires_grad_(False)


def unfit(weights: Path, error: Exception) -> CheckpointError:
    """What to say of weights that are not this network's."""
    return CheckpointError(f"{weights} must hold the weights of this network: {' '.join(str(error).split())[:300]}")


def size_of(network: nn.Module) -> int:
    """Its parameters."""
    return sum(p.numel() for p in network.parameters())
