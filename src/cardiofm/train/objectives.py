"""What pretraining asks of the network: draw what was encoded, what was hidden, the absent side; know the record again.

Shapes: B windows of one process, G windows of all processes, C channels, N samples, S token steps, V tokens kept.
Every step has one mode, drawn from (seed, step), so that a batch computes only what it needs:
  codec   nothing hidden, short crop, through the quantizer at a random mean depth (a quarter at full depth)
  masked  spans of tokens dropped from the encoder, complementary between ECG and PPG, drawn from the tokens left
  cross   half of the windows show only the ECG, half only the PPG; both sides are drawn (paired batches only)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.encoder import Tokens
from cardiofm.model.tokenizer import normalise
from cardiofm.train.batches import Batch
from cardiofm.train.losses import contrastive, huber, spectral

PROJECTION = 128


@dataclass(frozen=True)
class ObjectiveConfig:
    """Shares of the modes and weights of the terms."""

    codec_share: float = 0.3  # of the steps
    cross_share: float = 0.2  # of the steps with paired batches
    codec_crop_s: float = 4.0  # seconds of each window used in codec steps
    mask_from: float = 0.4  # share of tokens hidden at first …
    mask_to: float = 0.75  # … and after mask_ramp steps
    mask_ramp: int = 2000
    span_s: float = 0.48  # mean length of a hidden span
    visible_weight: float = 0.1  # of visible samples beside hidden ones in masked and cross steps
    spectral_weight: float = 0.5
    contrastive_weight: float = 0.5
    commitment_weight: float = 0.25


class Pretraining(nn.Module):
    """The pretraining objective: `(batch, step)` to a loss and its parts."""

    def __init__(self, model: CardioFM, config: ObjectiveConfig, seed: int) -> None:
        super().__init__()
        self.model, self.config, self.seed = model, config, seed
        width = model.config.encoder.embedding
        self.project = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, PROJECTION))

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        draw = np.random.default_rng((self.seed, step, 7))
        present = tuple(("ecg", "ppg").index(m) for m in batch.present)
        mode = self._mode(draw, len(present) == 2)
        if mode == "codec":
            return self._codec(batch, present, draw)
        return self._masked(batch, present, step, draw) if mode == "masked" else self._cross(batch, draw)

    def _mode(self, draw: np.random.Generator, paired: bool) -> str:
        first, second = draw.random(2)
        if first < self.config.codec_share:
            return "codec"
        return "cross" if paired and second < self.config.cross_share / (1 - self.config.codec_share) else "masked"

    def _codec(
        self, batch: Batch, present: tuple[int, ...], draw: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        model, spec = self.model, self.model.config.spec
        tokens_kept = min(spec.tokens, max(1, round(self.config.codec_crop_s / spec.token_s)))
        first = int(draw.integers(0, spec.tokens - tokens_kept + 1)) * spec.patch
        crop = slice(first, first + tokens_kept * spec.patch)
        clean, valid = batch.target_BCN[..., crop], batch.valid_BCN[..., crop]
        tokens = model.encoder(clean, valid, batch.in_mv_BC, present)
        depth_B, full_B = self._depths(draw, len(clean), clean.device)
        logs: dict[str, Tensor] = {}
        latents: list[Tensor | None] = [None, None]
        depths: list[Tensor | None] = [None, None]
        commitment = clean.new_zeros(())
        for c, quantized in enumerate(model.quantize(tokens, depth_B, full_B)):
            if quantized is not None:
                latents[c], depths[c] = quantized.latent_BSE, quantized.depth_BS
                commitment = commitment + quantized.commitment / len(present)
                name = ("ecg", "ppg")[c]
                logs[f"perplexity_first_{name}"] = quantized.perplexity_Q[0]
                logs[f"perplexity_last_{name}"] = quantized.perplexity_Q[-1]
        drawn_BCN = model.decoder.codes(latents, depths, tokens.visible)
        wave, tone, share_B = self._compare(drawn_BCN, clean, tokens, valid.float(), present)
        if bool(full_B.any()):
            logs["codec_prd"] = 100 * share_B[full_B].mean().sqrt()
        loss = wave + self.config.spectral_weight * tone + self.config.commitment_weight * commitment
        return loss, logs | {"codec_wave": wave, "codec_tone": tone, "commitment": commitment}

    def _masked(
        self, batch: Batch, present: tuple[int, ...], step: int, draw: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        spec = self.model.config.spec
        ramp = min(1.0, step / max(1, self.config.mask_ramp))
        share = self.config.mask_from + (self.config.mask_to - self.config.mask_from) * ramp
        keep = self._keep(draw, len(batch.x_BCN), share, batch.x_BCN.device)
        hidden_BCN = torch.ones_like(batch.valid_BCN)
        for c in present:
            hidden_BCN[:, c] = ~self._shown(keep[c])
        visible_BCN = batch.valid_BCN & ~hidden_BCN
        index: list[Tensor | None] = [keep[c] if c in present else None for c in range(2)]
        tokens = self.model.encoder(batch.x_BCN, visible_BCN, batch.in_mv_BC, present, index)
        drawn_BCN = self.model.decoder.tokens(tokens, spec.tokens, index)
        weight_BCN = batch.valid_BCN * torch.where(visible_BCN, self.config.visible_weight, 1.0)
        wave, tone, _ = self._compare(drawn_BCN, batch.target_BCN, tokens, weight_BCN, present)
        near, hit = self._know(self.model.encoder.embed(tokens))
        loss = wave + self.config.spectral_weight * tone + self.config.contrastive_weight * near
        return loss, {"masked_wave": wave, "masked_tone": tone, "contrastive": near, "hit": hit}

    def _cross(self, batch: Batch, draw: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Even windows show one side, odd windows (same record) the other: drawing across, and one common embedding."""
        model = self.model
        logs: dict[str, Tensor] = {}
        loss, embeddings = batch.x_BCN.new_zeros(()), []
        for c, name in enumerate(("ecg", "ppg")):
            x, target, valid, in_mv = (
                t[c::2] for t in (batch.x_BCN, batch.target_BCN, batch.valid_BCN, batch.in_mv_BC)
            )
            part = Batch(x, target, valid, in_mv, batch.present)
            visible_BCN = part.valid_BCN.clone()
            visible_BCN[:, 1 - c] = False
            keep = self._keep(draw, len(part.x_BCN), 0.5, part.x_BCN.device)
            visible_BCN[:, c] &= self._shown(keep[c])
            index: list[Tensor | None] = [keep[k] if k == c else None for k in range(2)]
            tokens = model.encoder(part.x_BCN, visible_BCN, part.in_mv_BC, (c,), index)
            drawn_BCN = model.decoder.tokens(tokens, model.config.spec.tokens, index)
            weight_BCN = part.valid_BCN.float()
            weight_BCN[:, c] *= torch.where(visible_BCN[:, c], self.config.visible_weight, 1.0)
            wave, tone, _ = self._compare(drawn_BCN, part.target_BCN, tokens, weight_BCN, (0, 1))
            logs[f"from_{name}_wave"] = wave
            loss = loss + (wave + self.config.spectral_weight * tone) / 2
            embeddings.append(model.encoder.embed(tokens))
        near, hit = contrastive(self.project(embeddings[0]), self.project(embeddings[1]))
        return loss + self.config.contrastive_weight * near, logs | {"cross_contrastive": near, "cross_hit": hit}

    def _shown(self, keep_BV: Tensor) -> Tensor:
        """Samples `(B, N)` that belong to the kept tokens."""
        spec = self.model.config.spec
        shown_BS = torch.zeros(len(keep_BV), spec.tokens, dtype=torch.bool, device=keep_BV.device)
        return shown_BS.scatter(1, keep_BV, True).repeat_interleave(spec.patch, dim=-1)

    def _know(self, embedding_BD: Tensor) -> tuple[Tensor, Tensor]:
        projected = self.project(embedding_BD)
        return contrastive(projected[0::2], projected[1::2])

    def _compare(
        self, drawn_BCN: Tensor, target_BCN: Tensor, tokens: Tokens, weight_BCN: Tensor, present: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Waveform error and spectral error in normalised units, and the share of each window's energy that is wrong.

        A channel that was not shown is normalised by its own valid samples.
        """
        wave, tone = drawn_BCN.new_zeros(()), drawn_BCN.new_zeros(())
        error_B, energy_B = drawn_BCN.new_zeros(len(drawn_BCN)), drawn_BCN.new_zeros(len(drawn_BCN))
        for c in present:
            weight_BN = weight_BCN[:, c]
            has_BN = (weight_BN > 0).to(drawn_BCN.dtype)
            offset_B, scale_B = tokens.offset_BC[:, c], tokens.scale_BC[:, c]
            if tokens.z[c] is None:
                _, offset_BC, scale_BC = normalise(target_BCN[:, c : c + 1], has_BN[:, None] > 0)
                offset_B, scale_B = offset_BC[:, 0], scale_BC[:, 0]
            target_BN = ((target_BCN[:, c] - offset_B[:, None]) / scale_B[:, None]).clamp(-20, 20) * has_BN
            wave = wave + huber(drawn_BCN[:, c], target_BN, weight_BN) / len(present)
            tone = tone + spectral(drawn_BCN[:, c], target_BN, has_BN) / len(present)
            error_B = error_B + (((drawn_BCN[:, c] - target_BN) * has_BN).detach() ** 2).sum(-1)
            energy_B = energy_B + (target_BN**2).sum(-1)
        return wave, tone, error_B / energy_B.clamp_min(1e-6)

    def _keep(self, draw: np.random.Generator, B: int, share: float, device: torch.device) -> list[Tensor]:
        """Token indices `(B, V)` to keep per stream: spans, the ECG's and the PPG's as far apart as they can be."""
        spec = self.model.config.spec
        rank, world = _place()
        span = max(1, round(self.config.span_s / spec.token_s))
        score_GS = np.empty((B * world, spec.tokens))
        for row in score_GS:
            lengths = draw.geometric(1 / span, size=spec.tokens)
            row[:] = np.repeat(draw.random(spec.tokens), lengths)[: spec.tokens]
        score_GS += 1e-6 * draw.random(score_GS.shape)
        order_BS = np.argsort(score_GS[rank * B : (rank + 1) * B], axis=-1)
        V = max(1, round(spec.tokens * (1 - share)))
        kept = (np.sort(order_BS[:, :V], -1), np.sort(order_BS[:, -V:], -1))
        return [torch.from_numpy(k.copy()).to(device) for k in kept]

    def _depths(self, draw: np.random.Generator, B: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean depth per window, log-uniform from 0.1 code per token to all levels, and which windows use all."""
        rank, world = _place()
        levels = self.model.config.quantizer.levels
        depth_G = np.exp(draw.uniform(np.log(0.1), np.log(levels), B * world))
        full_G = draw.random(B * world) < 0.25
        own = slice(rank * B, (rank + 1) * B)
        return torch.tensor(depth_G[own], dtype=torch.float32, device=device), torch.tensor(full_G[own], device=device)


def _place() -> tuple[int, int]:
    """(rank, world size) of this process."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
