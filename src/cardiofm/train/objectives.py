"""What pretraining asks of the network: draw what was encoded, what was hidden, the absent side; know the record again.

Shapes: B windows of one process, G windows of all processes, C channels, N samples, S token steps, V tokens kept.
Every step has one mode, drawn from (seed, step), so that a batch computes only what it needs:
  codec   nothing hidden, short crop, through the quantizer at a random mean depth (a quarter at full depth)
  masked  spans of tokens dropped from the encoder, complementary between ECG and PPG, drawn from the tokens left
  cross   half of the windows show only the ECG, half only the PPG; both sides are drawn (paired batches only)
What is hidden is drawn as a waveform and guessed as one of a fixed set of shapes of a token: a regression to the mean
teaches little where the beat's place is not known yet, a choice among shapes teaches at once. The embedding tells what
`targets` describe, the decoder's tokens where the beats are, in both signals, hidden or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardiofm.config import ConfigError
from cardiofm.model.cardiofm import CardioFM
from cardiofm.model.encoder import Tokens, token_visible
from cardiofm.model.layers import cosines
from cardiofm.model.quantizer import AdaptiveRVQ, QuantizerConfig
from cardiofm.model.tokenizer import normalise
from cardiofm.train.batches import Batch
from cardiofm.train.facts import Beats, Facts
from cardiofm.train.losses import contrastive, huber, spectral
from cardiofm.train.processes import place, pooled, shared_mean, total
from cardiofm.train.targets import BIN, FACTS

PROJECTION = 128
SHAPES = QuantizerConfig(levels=1, codes=256, width=16, group=1)  # what a hidden token is guessed as


@dataclass(frozen=True)
class ObjectiveConfig:
    """Shares of the modes and weights of the terms."""

    codec_share: float = 0.25  # of the steps
    cross_share: float = 0.25  # of the steps with paired batches
    codec_crop_s: float = 4.0  # seconds of each window used in codec steps
    mask_from: float = 0.2  # least share of tokens hidden; each step draws its own …
    mask_to: float = 0.75  # … up to this share after mask_ramp steps, half way to it at first
    mask_ramp: int = 1500
    cross_mask: float = 0.2  # share of the shown side's tokens hidden in cross steps
    echo_share: float = 0.05  # of the masked steps; in the others the network draws without the echo, which is slow
    span_s: float = 0.48  # mean length of a hidden span
    visible_weight: float = 0.1  # of visible samples beside hidden ones in masked and cross steps
    spectral_weight: float = 0.5
    guess_weight: float = 0.5
    facts_weight: float = 1.0  # of telling rhythm, beat and bands from the embedding
    beats_weight: float = 1.0  # of telling where beats are, hidden ones too, from the decoder's tokens
    contrastive_weight: float = 0.02  # its gradient is many times the others': more of it, and they learn nothing
    commitment_weight: float = 0.25
    fixed_blocks: int = (
        0  # of the encoder, with its tokenizers and all that codes need; a head that reads them stays valid
    )

    def __post_init__(self) -> None:
        if self.fixed_blocks < 0 or (self.fixed_blocks and self.codec_share):
            raise ConfigError(
                "objective.fixed_blocks must be at least 0, and codec_share 0 where blocks are fixed, "
                f"found {self.fixed_blocks} and {self.codec_share}"
            )


class Pretraining(nn.Module):
    """The pretraining objective: `(batch, step)` to a loss and its parts."""

    basis_EP: Tensor

    def __init__(self, model: CardioFM, config: ObjectiveConfig, seed: int) -> None:
        super().__init__()
        self.model, self.config, self.seed = model, config, seed
        if config.fixed_blocks:
            encoder = model.encoder
            for part in (encoder.tokenizer, encoder.blocks[: config.fixed_blocks], model.quantizer, model.codes):
                part.requires_grad_(False)
            model.slope.requires_grad_(False)
        width = model.config.encoder.embedding
        self.project = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, PROJECTION))
        spec, G = model.config.spec, model.config.decoder.width
        self.guess = nn.ModuleList(nn.Linear(G, SHAPES.codes) for _ in range(2))
        self.shapes = nn.ModuleList(AdaptiveRVQ(SHAPES) for _ in range(2))  # k-means of the first batch, then fixed
        self.register_buffer("basis_EP", cosines(SHAPES.width, spec.patch), persistent=False)
        self.facts = Facts(width, len(FACTS))
        self.beats = Beats(G, spec.patch // BIN)

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
        group = model.config.quantizer.group
        tokens_kept = min(spec.tokens, max(1, round(self.config.codec_crop_s / spec.token_s / group)) * group)
        first = int(draw.integers(0, spec.tokens - tokens_kept + 1)) * spec.patch
        crop = slice(first, first + tokens_kept * spec.patch)
        clean, valid = batch.target_BCN[..., crop], batch.valid_BCN[..., crop]
        tokens = model.sampled(clean, valid, present)
        depth_B, full_B = self._depths(draw, len(clean), clean.device)
        logs: dict[str, Tensor] = {}
        latents: list[Tensor | None] = [None, None]
        depths: list[Tensor | None] = [None, None]
        coded: list[Tensor | None] = [None, None]
        commitment = clean.new_zeros(())
        for c, quantized in enumerate(model.quantize(tokens, depth_B, full_B)):
            if quantized is not None:
                latents[c], depths[c] = quantized.latent_BSE, quantized.depth_BS
                coded[c] = coded_BS = model.block.coded(cast(Tensor, tokens.visible[c]))
                commitment = commitment + pooled(quantized.commitment, coded_BS.sum()) / len(present)
                name = ("ecg", "ppg")[c]
                logs[f"perplexity_first_{name}"] = quantized.perplexity_Q[0]
                logs[f"perplexity_last_{name}"] = quantized.perplexity_Q[-1]
        drawn_BCN = model.codes(latents, depths, coded)
        target_BCN = self._normalised(clean, valid, tokens, present)
        wave, tone = self._compare(drawn_BCN, target_BCN, valid.float(), present)
        error_B = (((drawn_BCN - target_BCN) * valid).detach() ** 2).sum((1, 2))
        share_B = error_B / (target_BCN**2).sum((1, 2)).clamp_min(1e-6)
        if bool(total(full_B.sum()) > 0):
            logs["codec_prd"] = 100 * shared_mean(share_B[full_B].sum(), full_B.sum()).sqrt()
        loss = wave + self.config.spectral_weight * tone + self.config.commitment_weight * commitment
        return loss, logs | {"codec_wave": wave, "codec_tone": tone, "commitment": commitment}

    def _masked(
        self, batch: Batch, present: tuple[int, ...], step: int, draw: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        ramp = min(1.0, step / max(1, self.config.mask_ramp))
        reach = self.config.mask_from + (self.config.mask_to - self.config.mask_from) * (1 + ramp) / 2
        share = float(draw.uniform(self.config.mask_from, reach))
        keep = self._keep(draw, len(batch.x_BCN), share, batch.x_BCN.device)
        hidden_BCN = torch.ones_like(batch.valid_BCN)
        for c in present:
            hidden_BCN[:, c] = ~self._shown(keep[c])
        visible_BCN = batch.valid_BCN & ~hidden_BCN
        index: list[Tensor | None] = [keep[c] if c in present else None for c in range(2)]
        tokens = self.model.encoder(batch.x_BCN, visible_BCN, batch.in_mv_BC, present, index)
        echo = bool(draw.random() < self.config.echo_share)
        loss, parts = self._hidden(batch, tokens, visible_BCN, present, index, echo)
        embedding_BD = self.model.encoder.embed(tokens)
        near, hit = self._know(embedding_BD)
        told = self._tell(embedding_BD, batch)
        loss = loss + self.config.contrastive_weight * near + self.config.facts_weight * told
        name = "echoed" if echo else "masked"
        return loss, {f"{name}_{k}": v for k, v in parts.items()} | {"contrastive": near, "hit": hit, "facts": told}

    def _cross(self, batch: Batch, draw: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Even windows show one side, odd windows (same record) the other: drawing across, and one common embedding."""
        model = self.model
        logs: dict[str, Tensor] = {}
        loss, embeddings = batch.x_BCN.new_zeros(()), []
        for c, name in enumerate(("ecg", "ppg")):
            part = batch.rows(slice(c, None, 2))
            visible_BCN = part.valid_BCN.clone()
            visible_BCN[:, 1 - c] = False
            keep = self._keep(draw, len(part.x_BCN), self.config.cross_mask, part.x_BCN.device)
            visible_BCN[:, c] &= self._shown(keep[c])
            index: list[Tensor | None] = [keep[k] if k == c else None for k in range(2)]
            tokens = model.encoder(part.x_BCN, visible_BCN, part.in_mv_BC, (c,), index)
            part_loss, parts = self._hidden(part, tokens, visible_BCN, (0, 1), index, False)
            logs |= {f"from_{name}_{k}": v for k, v in parts.items()}
            embeddings.append(model.encoder.embed(tokens))
            logs[f"from_{name}_facts"] = self._tell(embeddings[-1], part)
            loss = loss + (part_loss + self.config.facts_weight * logs[f"from_{name}_facts"]) / 2
        near, hit = contrastive(self.project(embeddings[0]), self.project(embeddings[1]))
        return loss + self.config.contrastive_weight * near, logs | {"cross_contrastive": near, "cross_hit": hit}

    def _hidden(
        self,
        batch: Batch,
        tokens: Tokens,
        visible_BCN: Tensor,
        present: tuple[int, ...],
        index: list[Tensor | None],
        echo: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of drawing and guessing what is not visible in the channels of `present`, and its parts."""
        drawn_BCN, _, h = self.model.decoder.tokens(tokens, self.model.config.spec.tokens, index, echo, present)
        target_BCN = self._normalised(batch.target_BCN, batch.valid_BCN, tokens, present)
        weight_BCN = batch.valid_BCN * torch.where(visible_BCN, self.config.visible_weight, 1.0)
        wave, tone = self._compare(drawn_BCN, target_BCN, weight_BCN, present)
        loss, parts = wave + self.config.spectral_weight * tone, {"wave": wave, "tone": tone}
        guesses = [
            self._guess(h[c], target_BCN[:, c], batch.valid_BCN[:, c], batch.valid_BCN[:, c] & ~visible_BCN[:, c], c)
            for c in present
        ]
        parts["guess"] = torch.stack(guesses).mean()
        loss = loss + self.config.guess_weight * parts["guess"]
        if batch.map_BCT is not None:
            valid = [token_visible(batch.valid_BCN[:, c], self.model.config.spec.patch) for c in present]
            found = [self.beats(h[c], batch.map_BCT[:, c], v, c) for c, v in zip(present, valid, strict=True)]
            parts["beats"] = torch.stack(found).mean()
            loss = loss + self.config.beats_weight * parts["beats"]
        return loss, parts

    def _tell(self, embedding_BD: Tensor, batch: Batch) -> Tensor:
        """The error of the facts, 0 where the batch has none."""
        return embedding_BD.new_zeros(()) if batch.facts_BF is None else self.facts(embedding_BD, batch.facts_BF)

    def _guess(
        self, h_BSG: Tensor | None, target_BN: Tensor, valid_BN: Tensor, hidden_BN: Tensor, channel: int
    ) -> Tensor:
        """Cross-entropy (nats) of the shapes of the hidden tokens."""
        assert h_BSG is not None
        patch = self.model.config.spec.patch
        hidden_BS = token_visible(hidden_BN, patch)
        logit_BSK = self.guess[channel](h_BSG).float()
        with torch.no_grad():
            latent_BSE = (target_BN.unflatten(-1, (-1, patch)) @ self.basis_EP.T).float()
            shapes = cast(AdaptiveRVQ, self.shapes[channel])
            if not bool(shapes.ready):
                shapes.learn_once(latent_BSE[token_visible(valid_BN, patch)])
            code_BS = shapes.nearest(latent_BSE, 0)
        loss_BS = F.cross_entropy(logit_BSK.transpose(1, 2), code_BS, reduction="none")
        return shared_mean((loss_BS * hidden_BS).sum(), hidden_BS.sum())

    def _shown(self, keep_BV: Tensor) -> Tensor:
        """Samples `(B, N)` that belong to the kept tokens."""
        spec = self.model.config.spec
        shown_BS = torch.zeros(len(keep_BV), spec.tokens, dtype=torch.bool, device=keep_BV.device)
        return shown_BS.scatter(1, keep_BV, True).repeat_interleave(spec.patch, dim=-1)

    def _know(self, embedding_BD: Tensor) -> tuple[Tensor, Tensor]:
        projected = self.project(embedding_BD)
        return contrastive(projected[0::2], projected[1::2])

    def _normalised(self, x_BCN: Tensor, valid_BCN: Tensor, tokens: Tokens, present: tuple[int, ...]) -> Tensor:
        """Waveforms in the units of the drawing, 0 where not valid or not in `present`.

        A channel that was not shown is normalised by its own valid samples.
        """
        out_BCN = torch.zeros_like(x_BCN)
        for c in present:
            offset_B, scale_B = tokens.offset_BC[:, c], tokens.scale_BC[:, c]
            if tokens.z[c] is None:
                _, offset_BC, scale_BC = normalise(x_BCN[:, c : c + 1], valid_BCN[:, c : c + 1])
                offset_B, scale_B = offset_BC[:, 0], scale_BC[:, 0]
            out_BCN[:, c] = ((x_BCN[:, c] - offset_B[:, None]) / scale_B[:, None]).clamp(-20, 20) * valid_BCN[:, c]
        return out_BCN

    def _compare(
        self, drawn_BCN: Tensor, target_BCN: Tensor, weight_BCN: Tensor, present: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Waveform error and spectral error in normalised units, means over the channels of `present`."""
        wave, tone = drawn_BCN.new_zeros(()), drawn_BCN.new_zeros(())
        for c in present:
            weight_BN = weight_BCN[:, c]
            wave = wave + huber(drawn_BCN[:, c], target_BCN[:, c], weight_BN) / len(present)
            tone = tone + spectral(drawn_BCN[:, c], target_BCN[:, c], (weight_BN > 0).float()) / len(present)
        return wave, tone

    def _keep(self, draw: np.random.Generator, B: int, share: float, device: torch.device) -> list[Tensor]:
        """Token indices `(B, V)` to keep per stream: spans, the ECG's and the PPG's as far apart as they can be."""
        spec = self.model.config.spec
        rank, world = place()
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
        rank, world = place()
        levels = self.model.config.quantizer.levels
        depth_G = np.exp(draw.uniform(np.log(0.1), np.log(levels), B * world))
        full_G = draw.random(B * world) < 0.25
        own = slice(rank * B, (rank + 1) * B)
        return torch.tensor(depth_G[own], dtype=torch.float32, device=device), torch.tensor(full_G[own], device=device)
