"""What is asked of the network at use, as torch modules, and torch as the backend that runs them.

`cardiofm.edge.export` writes these same modules as ONNX graphs.
Shapes: B batch, C channels, N samples, S token steps, D width, Q codebook levels.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cardiofm.model.across import Across
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.checkpoint import ACROSS, HEAD
from cardiofm.model.encoded import Encoded
from cardiofm.model.encoder import Tokens
from cardiofm.model.heads import FiducialHead, Measure
from cardiofm.model.quantizer import AdaptiveRVQ
from cardiofm.signals import CheckpointError


class Encode(nn.Module):
    """Windows to the fields of `Encoded`, in its order; only the streams in `present` are run."""

    def __init__(self, model: CardioFM, present: tuple[int, ...] = (0, 1)) -> None:
        super().__init__()
        self.model, self.present = model, present

    def forward(self, x_BCN: Tensor, visible_BCN: Tensor, in_mv_BC: Tensor) -> tuple[Tensor, ...]:
        model = self.model
        tokens = model.encoder(x_BCN, visible_BCN, in_mv_BC, self.present)
        run = {c: self._stream(tokens, c) for c in self.present}
        blank = [torch.zeros_like(t) for t in run[self.present[0]]]
        z, patches, seen, coded, codes, worth = (
            torch.stack(parts, dim=1) for parts in zip(*(run.get(c, blank) for c in range(2)), strict=True)
        )
        return model.encoder.embed(tokens), z, patches, seen, coded, codes, worth, tokens.offset_BC, tokens.scale_BC

    def _stream(self, tokens: Tokens, c: int) -> list[Tensor]:
        z_BSD, seen_BS = cast(Tensor, tokens.z[c]), cast(Tensor, tokens.visible[c])
        quantizer = cast(AdaptiveRVQ, self.model.quantizer[c])
        codes_BSQ, error_BSQ = quantizer.search(self.model.latent(tokens, c))
        return [
            z_BSD,
            cast(Tensor, tokens.patches[c]),
            seen_BS,
            self.model.block.coded(seen_BS),
            codes_BSQ,
            self.model.importance(tokens, error_BSQ, c),
        ]


class Embed(nn.Module):
    """Windows to embeddings `(B, E)` alone; only the streams in `present` are run."""

    def __init__(self, model: CardioFM, present: tuple[int, ...] = (0, 1)) -> None:
        super().__init__()
        self.model, self.present = model, present

    def forward(self, x_BCN: Tensor, visible_BCN: Tensor, in_mv_BC: Tensor) -> Tensor:
        encoder = self.model.encoder
        return encoder.embed(encoder(x_BCN, visible_BCN, in_mv_BC, self.present))


class Draw(nn.Module):
    """Tokens `(B, C, S, D)` and patches `(B, C, S, P)`, seen or not, to waveforms `(B, C, N)`, gaps filled.

    And the same waveforms with what is seen cleaned of noise.
    """

    def __init__(self, model: CardioFM) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens_BCSD: Tensor, patches_BCSP: Tensor, seen_BCS: Tensor) -> tuple[Tensor, Tensor]:
        z: list[Tensor | None] = [tokens_BCSD[:, 0], tokens_BCSD[:, 1]]
        seen: list[Tensor | None] = [seen_BCS[:, 0], seen_BCS[:, 1]]
        scale_BC = tokens_BCSD[:, :, 0, 0]  # not used by the drawing, which is in normalised units
        patches: list[Tensor | None] = [patches_BCSP[:, 0], patches_BCSP[:, 1]]
        tokens = Tokens(z, [None, None], seen, scale_BC, scale_BC, patches)
        return self.model.decoder.tokens(tokens, tokens_BCSD.shape[2])[:2]


class DrawAcross(nn.Module):
    """The inputs of `Draw` to waveforms `(B, C, N)`, each channel drawn from the other one alone."""

    def __init__(self, head: Across) -> None:
        super().__init__()
        self.head = head

    def forward(self, tokens_BCSD: Tensor, patches_BCSP: Tensor, seen_BCS: Tensor) -> Tensor:
        return self.head(tokens_BCSD, patches_BCSP, seen_BCS)


class Decode(nn.Module):
    """The first `depth` codes of each token to waveforms `(B, C, N)`, normalised; 0 for a stream without codes."""

    def __init__(self, model: CardioFM) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes_BCSQ: Tensor, depth_BCS: Tensor, coded_BCS: Tensor) -> Tensor:
        latents: list[Tensor | None] = []
        depths: list[Tensor | None] = []
        for c, quantizer in enumerate(self.model.quantizer):
            depth_BS = depth_BCS[:, c] * coded_BCS[:, c].to(depth_BCS.dtype)
            latents.append(cast(AdaptiveRVQ, quantizer).dequantize(codes_BCSQ[:, c], depth_BS))
            depths.append(depth_BS)
        drawn_BCN = self.model.codes(latents, depths, [coded_BCS[:, 0], coded_BCS[:, 1]])
        return drawn_BCN * coded_BCS.any(-1, keepdim=True).to(drawn_BCN.dtype)


class TorchBackend:
    """The network run by torch: numpy in, numpy out.

    The fiducial head is that of the model's folder, or of the folder `head`.
    """

    def __init__(self, model: CardioFM | Path, threads: int | None = None, head: Path | None = None) -> None:
        self.model = (CardioFM.load(model) if isinstance(model, Path) else model).eval()
        head = head or (model if isinstance(model, Path) and (model / HEAD).is_file() else None)
        self.head = None if head is None else FiducialHead.load(head, self.model)
        across = model if isinstance(model, Path) and (model / ACROSS).is_file() else None
        self.across_head = None if across is None else Across.load(across, self.model)
        self.device = next(self.model.parameters()).device
        if threads is not None:
            torch.set_num_threads(threads)

    def encode(
        self,
        x_BCN: NDArray[np.float32],
        visible_BCN: NDArray[np.bool_],
        in_mv_BC: NDArray[np.bool_],
        present: tuple[int, ...] = (0, 1),
    ) -> Encoded:
        """Encode windows, running only the streams in `present`."""
        return Encoded(*self._run(Encode(self.model, present), x_BCN, visible_BCN, in_mv_BC))

    def embed(
        self,
        x_BCN: NDArray[np.float32],
        visible_BCN: NDArray[np.bool_],
        in_mv_BC: NDArray[np.bool_],
        present: tuple[int, ...] = (0, 1),
    ) -> NDArray[np.float32]:
        """Only the embeddings `(B, E)` of windows: no codes are searched."""
        return self._run(Embed(self.model, present), x_BCN, visible_BCN, in_mv_BC)[0]

    def draw(self, code: Encoded, denoise: bool = False) -> NDArray[np.float32]:
        """Both waveforms `(B, C, N)` in normalised units from tokens; gaps and absent streams are filled in.

        What is seen passes unchanged, or cleaned of noise where `denoise`.
        """
        return self._run(Draw(self.model), code.tokens, code.patches, code.seen)[int(denoise)]

    def across(self, code: Encoded) -> NDArray[np.float32] | None:
        """Waveforms `(B, C, N)` in normalised units, each channel drawn from the other one alone; flat where that is
        not seen. None for a model without a head for it."""
        if self.across_head is None:
            return None
        return self._run(DrawAcross(self.across_head), code.tokens, code.patches, code.seen)[0]

    def decode(
        self, codes_BCSQ: NDArray[np.int64], depth_BCS: NDArray[np.int64], coded_BCS: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Waveforms `(B, C, N)`, normalised, from the first `depth` codes of each token; 0 for an absent stream."""
        return self._run(Decode(self.model), codes_BCSQ, depth_BCS, coded_BCS)[0]

    def measure(
        self,
        x_BCN: NDArray[np.float32],
        visible_BCN: NDArray[np.bool_],
        in_mv_BC: NDArray[np.bool_],
        present: tuple[int, ...] = (0, 1),
    ) -> list[NDArray[np.float32]]:
        """What the head says: waves `(B, 4, N)`, chance, reach in s and spread in s, each `(B, K, N)`."""
        if self.head is None:
            raise CheckpointError(f"a model must have a fiducial head ({HEAD}) to measure with, found none; train one")
        return self._run(Measure(self.model, self.head, present), x_BCN, visible_BCN, in_mv_BC)

    def _run(self, module: nn.Module, *arrays: NDArray) -> list[NDArray]:
        with torch.inference_mode():
            out = module(*(torch.from_numpy(np.ascontiguousarray(a)).to(self.device) for a in arrays))
        return [t.cpu().numpy() for t in (out if isinstance(out, tuple) else (out,))]
