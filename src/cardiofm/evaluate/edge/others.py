"""Two networks of the size of others', from their public descriptions, with random weights, for their speed alone.

The residual network follows what is published of PaPaGei-S (5.8 million parameters, 18 blocks of two convolutions of
width 3, from 32 filters, twice as many every four blocks, half the rate every other block, 125 Hz, 512 numbers); the
transformer what is published of ECG-FM (90.9 million, four convolutions of stride 2, twelve blocks of width 768, 12
leads at 500 Hz, segments of 5 s).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
import torch.nn.functional as F
from torch import Tensor, nn

torch.backends.mha.set_fastpath_enabled(False)  # its one fused operator neither exports nor counts


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm1d(inside), nn.ReLU(), nn.Conv1d(inside, outside, 3, stride, 1))
        self.second = nn.Sequential(nn.BatchNorm1d(outside), nn.ReLU(), nn.Conv1d(outside, outside, 3, 1, 1))
        self.stride, self.more = stride, outside - inside

    def forward(self, x_BWN: Tensor) -> Tensor:
        side = F.max_pool1d(x_BWN, self.stride, ceil_mode=True) if self.stride > 1 else x_BWN
        return self.second(self.first(x_BWN)) + F.pad(side, (0, 0, 0, self.more))


class ResNet(nn.Module):
    """One channel `(B, 1, 1250)` to 512 numbers."""

    def __init__(self, blocks: int = 18, first: int = 32, numbers: int = 512) -> None:
        super().__init__()
        widths = [first * 2 ** (k // 4) for k in range(blocks)]
        self.enter = nn.Conv1d(1, first, 3, 1, 1)
        pairs = zip([first, *widths], widths, strict=False)
        self.blocks = nn.Sequential(*(_Block(a, b, 1 + k % 2) for k, (a, b) in enumerate(pairs)))
        self.out = nn.Sequential(nn.BatchNorm1d(widths[-1]), nn.ReLU())
        self.dense = nn.Linear(widths[-1], numbers)
        self.experts = nn.ModuleList(  # heads that judge the shape of the wave
            nn.Sequential(nn.Linear(numbers, 256), nn.ReLU(), nn.Linear(256, 1)) for _ in range(6)
        )

    def forward(self, x_B1N: Tensor) -> Tensor:
        return self.dense(self.out(self.blocks(self.enter(x_B1N))).mean(-1))


class Transformer(nn.Module):
    """Twelve leads `(B, 12, 2500)`, 5 s, to 768 numbers."""

    def __init__(self, width: int = 768, depth: int = 12, heads: int = 12) -> None:
        super().__init__()
        steps = [nn.Conv1d(a, 256, 2, 2, bias=False) for a in (12, 256, 256, 256)]
        self.enter = nn.Sequential(*(layer for step in steps for layer in (step, nn.GELU())))
        self.project = nn.Sequential(nn.LayerNorm(256), nn.Linear(256, width))
        self.place = nn.Conv1d(width, width, 128, padding=64, groups=16)
        block = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, F.gelu, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, depth, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, x_BLN: Tensor) -> Tensor:
        z_BSD = self.project(self.enter(x_BLN).transpose(1, 2))
        where = F.gelu(self.place(z_BSD.transpose(1, 2))[..., :-1]).transpose(1, 2)
        return self.blocks(z_BSD + where).mean(1)


def parameters_m(module: nn.Module) -> float:
    """Millions of parameters."""
    return sum(p.numel() for p in module.parameters()) / 1e6


def session(module: nn.Module, example: np.ndarray, path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The module run by ONNX Runtime on one thread, as ours are; its graph is written to `path` where it is not."""
    if not path.is_file():
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(module.eval(), (torch.from_numpy(example),), path, dynamo=True, verbose=False)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    made = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = made.get_inputs()[0].name
    return lambda x: np.asarray(made.run(None, {name: x})[0])
