"""A drawing retouched: what coding left wrong in it, as a small network has learned to tell from how it was made.

It is shown the drawing beside the steps that led there and beside the average of what looks alike to it, and gives a
correction in units of how far the two are apart. Nothing is decoded with its help, so its floats may differ between
machines. `retouch.safetensors` lies in a model folder; `python -m cardiofm.train.retouch FOLDER` makes it.
Shapes: N samples of a chunk's grid, F features, M steps of `PACK` samples, D width, K taps of a filter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.codec.prior import UNIT
from cardiofm.signals import MODALITIES, CheckpointError

FILE = "retouch.safetensors"
PACK = 4  # samples to a step of the network
SEEN, SAID = 6, 3  # features of a sample, numbers of a chunk
DILATION = (1, 2, 3, 2)  # of the blocks, in steps
GAINS = (0.0, 0.5, 0.75, 1.0)  # of the correction, of which the writer chooses
LEAST, MOST = 1e-4, 20.0  # of the unit; of a feature
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Stages:
    """How a drawing came about, in the chunk's spread about its mean, each `(N,)`."""

    plain: NDArray[np.float64]  # the inverse transform of the codes, whole, in 1 / UNIT
    drawn: NDArray[np.float64]  # what the network makes of them
    calm: NDArray[np.float64]  # after what looks alike was blended in
    whole: NDArray[np.float64]  # with the classical layer
    averages: list[NDArray[np.float64]]  # of what looks alike in that
    last: NDArray[np.float64]  # after they were blended in
    known: NDArray[np.bool_]
    step: float | None  # log2 of the classical layer's step; None where there is none

    @property
    def unit(self) -> float:
        """How far the drawing is from its average, root mean square."""
        away_N = (self.averages[-1] - self.whole)[self.known]
        return float(np.sqrt((away_N**2).mean())) + LEAST if len(away_N) else LEAST


def features(made: Stages) -> tuple[Floats, Floats]:
    """What the network is shown: `(SEEN, N)` of the samples and `(SAID,)` of the chunk."""
    y_N, unit = made.last, made.unit
    steps = (*made.averages, made.calm, made.drawn, made.plain / UNIT)
    seen_FN = np.stack([y_N, *((step_N - y_N) / unit for step_N in steps)])
    said = (np.log2(unit), 0.0 if made.step is None else made.step, float(made.step is None))
    return np.clip(seen_FN, -MOST, MOST).astype(np.float32), np.array(said, np.float32)


@dataclass(frozen=True)
class Retouch:
    """The networks by modality, and a fingerprint of them."""

    nets: dict[str, dict[str, Floats]]
    fingerprint: str

    def drawn(self, modality: str, made: Stages, gain: int) -> NDArray[np.float64]:
        """The whole drawing `(N,)`, retouched by one of `GAINS`; as it was where its modality has no network."""
        if gain == 0 or modality not in self.nets:
            return made.last
        correction_N = correction(self.nets[modality], *features(made)).astype(np.float64)
        flat_N = np.diff(made.last, prepend=made.last[:1]) == 0  # nothing is drawn there, and nothing shall be
        return made.last + GAINS[gain] * made.unit * np.where(flat_N, 0.0, correction_N)

    def best(self, modality: str, made: Stages, true_N: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
        """Which of `GAINS` brings a drawing nearest to the signal, and that drawing."""
        whole_N = self.drawn(modality, made, len(GAINS) - 1) - made.last
        every = [made.last + gain * whole_N for gain in GAINS]
        gain = int(np.argmin([((true_N - one_N)[made.known] ** 2).sum() for one_N in every]))
        return gain, every[gain]


def correction(net: dict[str, Floats], seen_FN: Floats, said: Floats) -> Floats:
    """What is to be added to a drawing `(N,)`, in its unit."""
    samples = seen_FN.shape[1]
    seen_FN = np.pad(seen_FN, ((0, 0), (0, -samples % PACK)))
    x_FM = seen_FN.reshape(len(seen_FN), -1, PACK).transpose(0, 2, 1).reshape(len(seen_FN) * PACK, -1)
    said_D: Floats = net["said.weight"] @ said + net["said.bias"]
    h_DM = filtered(net, "first", x_FM) + said_D[:, None]
    for k, dilation in enumerate(DILATION):
        h_DM = h_DM + filtered(net, f"blocks.{k}", gelu(h_DM), dilation)
    return filtered(net, "out", gelu(h_DM)).T.ravel()[:samples]


def filtered(net: dict[str, Floats], name: str, x_DM: Floats, dilation: int = 1) -> Floats:
    """A bank of filters over the steps, zeros beyond the ends."""
    weight_ODK, bias_O = net[f"{name}.weight"], net[f"{name}.bias"]
    taps, steps = weight_ODK.shape[2], x_DM.shape[1]
    padded = np.pad(x_DM, ((0, 0), (taps // 2 * dilation,) * 2))
    every = np.concatenate([padded[:, k * dilation : k * dilation + steps] for k in range(taps)])
    made_OM: Floats = weight_ODK.transpose(0, 2, 1).reshape(len(weight_ODK), -1) @ every + bias_O[:, None]
    return made_OM


def gelu(x: Floats) -> Floats:
    """By its usual approximation with tanh."""
    return 0.5 * x * (1 + np.tanh(np.float32(0.7978845608) * (x + np.float32(0.044715) * x * x * x)))


def load(folder: Path) -> Retouch | None:
    """The networks of a model folder; None where it has none. Raises CheckpointError for a damaged file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as read

    path = folder / FILE
    if not path.is_file():
        return None
    data = path.read_bytes()
    try:
        found = read(data)
        nets = {m: {k.removeprefix(f"{m}."): v for k, v in found.items() if k.startswith(f"{m}.")} for m in MODALITIES}
        nets = {m: net for m, net in nets.items() if net}
        for net in nets.values():
            correction(net, np.zeros((SEEN, 4 * PACK), np.float32), np.zeros(SAID, np.float32))
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} must hold networks of this version: {error}; make it again") from error
    return Retouch(nets, hashlib.sha256(data).hexdigest()[:32])
