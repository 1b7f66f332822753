"""What embeds as an ExecuTorch program for phones, `embed.pte`: one window at a time, by XNNPACK. Needs executorch."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cardiofm.edge.export import TOLERANCE, example_windows
from cardiofm.model.backend import Embed, TorchBackend
from cardiofm.model.cardiofm import CardioFM
from cardiofm.signals import CheckpointError

FILE = "embed.pte"


def export_executorch(folder: Path) -> list[Path]:
    """Write the program into a model folder; returns its path.

    Its embeddings must be torch's on windows with gaps and absent channels; otherwise nothing is written and a
    CheckpointError says what differed.
    """
    from executorch.backends.xnnpack.partition import xnnpack_partitioner  # pyright: ignore[reportMissingImports]
    from executorch.exir import to_edge_transform_and_lower  # pyright: ignore[reportMissingImports]

    model = CardioFM.load(folder).eval()
    arrays = example_windows(model.config.spec, 3)
    first = tuple(torch.from_numpy(a[:1]) for a in arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(Embed(model).eval(), first)
        program = to_edge_transform_and_lower(
            exported, partitioner=[xnnpack_partitioner.XnnpackPartitioner()]
        ).to_executorch()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".executorch-") as name:
        draft = Path(name) / FILE
        draft.write_bytes(program.buffer)
        truth, found = TorchBackend(model).embed(*arrays), Embedder(draft)(*arrays)
        error = float(np.abs(truth - found).max() / np.abs(truth).max())
        if not error <= TOLERANCE:
            raise CheckpointError(f"{FILE} must agree with torch to {TOLERANCE:g}, found {error:.2g}; nothing written")
        return [draft.replace(folder / FILE)]


class Embedder:
    """A program file, loaded: windows as `encode` takes them, one by one, to embeddings `(B, E)`."""

    def __init__(self, path: Path) -> None:
        from executorch.runtime import Runtime  # pyright: ignore[reportMissingImports]

        self.method = Runtime.get().load_program(path).load_method("forward")

    def __call__(self, *arrays: NDArray) -> NDArray[np.float32]:
        rows = zip(*(torch.from_numpy(a[:, None]) for a in arrays), strict=True)
        return np.concatenate([self.method.execute(list(row))[0].numpy() for row in rows])
