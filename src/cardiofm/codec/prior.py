"""What a model folder knows of codes before it has seen a recording: counts and tables of whole numbers, no network.

`prior.safetensors` lies beside the checkpoint; `python -m cardiofm.train.prior` makes it from the store's training
windows. Everything that an arithmetic coder leans on is whole numbers, so that each machine finds the same chances.
Shapes: Q levels, K codes of a book, E code width, F numbers of a block, X samples of a block.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.model.checkpoint import WEIGHTS, read_config
from cardiofm.signals import MODALITIES, CheckpointError

PRIOR = "prior.safetensors"
UNIT = 256  # whole numbers to one standard deviation of a window
CLASSES = 10  # of the price of a bit, by octave: each has its own counts of depths
DECODED = ("codes.", "quantizer.")  # the tensors that a decoder needs
_UNUSED = ("usage_QR", "total_QRE", "ready")


@dataclass(frozen=True)
class Tables:
    """Of one modality; every number whole."""

    book: NDArray[np.float64]  # (Q, 2, K, E) the codebooks, in 1 / UNIT
    basis: NDArray[np.float64]  # (F, X) the cosine transform, in 1 / BASIS
    often: NDArray[np.float64]  # (2, Q, K) how often a code is used
    sharp: NDArray[np.float64]  # (Q,) how fast a code's chance falls with its distance from what is expected
    deeper: NDArray[np.int64]  # (CLASSES, 2, contexts) counts of "no further level" and "one more"
    side: NDArray[np.int64]  # (2, contexts) counts of the bits of a window's mean and spread
    waves: NDArray[np.int64]  # (2, rates, 2, contexts) of the classical layer, of a signal and of what codes leave

    @property
    def group(self) -> int:
        return self.basis.shape[0] // self.book.shape[-1]


@dataclass(frozen=True)
class Prior:
    """The tables of both modalities, and the fingerprint of the model that they and the decoder belong to."""

    tables: tuple[Tables, Tables]
    model: str  # 16 bytes of SHA-256, hexadecimal


def load(folder: Path) -> Prior:
    """The prior of a model folder. Raises CheckpointError where it has none, or one of another model."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / PRIOR
    if not path.is_file():
        raise CheckpointError(
            f"a model folder must hold {PRIOR} to store recordings, {folder} lacks it; make it with "
            f"`python -m cardiofm.train.prior {folder}`"
        )
    try:
        found = load_file(path)
        books, model = weights(folder)
        tables = tuple(_tables(found, books, m) for m in MODALITIES)
        fits = bytes(found["model"]).hex() == model
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} must be a prior of this version: {error}; make it again") from error
    if not fits:
        raise CheckpointError(f"{path} must belong to the {WEIGHTS} beside it, and does not; make it again")
    digest = hashlib.sha256(bytes.fromhex(model) + path.read_bytes())
    return Prior((tables[0], tables[1]), digest.hexdigest()[:32])


def save(folder: Path, tables: tuple[Tables, Tables]) -> None:
    """Write the prior of a model folder; what follows from the checkpoint is not repeated."""
    from safetensors.numpy import save_file

    out: dict[str, NDArray] = {"model": np.frombuffer(bytes.fromhex(weights(folder)[1]), np.uint8)}
    for modality, one in zip(MODALITIES, tables, strict=True):
        out["basis"] = one.basis.astype(np.int16)
        for name in ("often", "sharp", "deeper", "side", "waves"):
            counts = np.ascontiguousarray(getattr(one, name))
            out[f"{modality}.{name}"] = counts.astype(np.uint8 if counts.max() < 256 else np.int32)
    save_file(out, folder / PRIOR)
    (folder / PRIOR).chmod(0o644)


def weights(folder: Path) -> tuple[dict[str, NDArray[np.float64]], str]:
    """The codebooks by modality, whole numbers `(Q, 2, K, E)`, and a fingerprint of all that decoding depends on."""
    from safetensors import safe_open

    config = read_config(folder)["quantizer"]
    digest = hashlib.sha256()
    books: dict[str, NDArray[np.float64]] = {}
    with safe_open(folder / WEIGHTS, "np") as file:
        for name in sorted(file.keys()):
            if not name.startswith(DECODED) or name.endswith(_UNUSED):
                continue
            tensor = file.get_tensor(name)
            digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
            digest.update(np.ascontiguousarray(tensor).tobytes())
            if name.endswith("codebook_QRE"):
                whole = np.rint(tensor.astype(np.float64) * UNIT)
                shape = (config["levels"], -1, config["codes"], config["width"])
                books[MODALITIES[int(name.split(".")[1])]] = whole.reshape(shape)
    if set(books) != set(MODALITIES):
        raise CheckpointError(
            f"{folder / WEIGHTS} must hold the codebooks of ECG and PPG, and does not; fetch it again"
        )
    return books, digest.hexdigest()[:32]


def _tables(found: dict[str, NDArray], books: dict[str, NDArray[np.float64]], modality: str) -> Tables:
    often, sharp = (found[f"{modality}.{name}"].astype(np.float64) for name in ("often", "sharp"))
    deeper, side, waves = (found[f"{modality}.{name}"].astype(np.int64) for name in ("deeper", "side", "waves"))
    return Tables(books[modality], found["basis"].astype(np.float64), often, sharp, deeper, side, waves)
