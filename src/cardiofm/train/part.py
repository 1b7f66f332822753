"""What the stages that train one decoder have in common: all else of the model stands still.

Shapes: B windows of one process, C channels.
"""

from __future__ import annotations

from typing import Self

from torch import nn

from cardiofm.model.cardiofm import CardioFM
from cardiofm.train.batches import Batch


class OnePart(nn.Module):
    """The ground of an objective: a model of which only `part` learns."""

    def __init__(self, model: CardioFM, part: nn.Module, seed: int) -> None:
        super().__init__()
        self.model, self.seed = model, seed
        model.requires_grad_(False)
        part.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        """Codebooks learn whenever their module trains, so theirs and the encoder's do not."""
        super().train(mode)
        self.model.encoder.eval()
        self.model.quantizer.eval()
        return self


def channels(batch: Batch) -> dict[int, str]:
    """The channels of a batch: row → modality.

    >>> from types import SimpleNamespace
    >>> channels(SimpleNamespace(present=("ppg",)))
    {1: 'ppg'}
    """
    return {("ecg", "ppg").index(name): name for name in batch.present}
