"""CardioFM: encoder, adaptive quantizer and decoder as one network with its InputSpec.

Shapes: B batch, C channels (ecg, ppg), N samples, S token steps, D width, E code width, Q levels.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import PyTorchModelHubMixin, snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cardiofm.config import ConfigError, from_dict, to_dict
from cardiofm.model.checkpoint import WEIGHTS, read_config, upgraded, write_config
from cardiofm.model.decoder import CodeDecoder, Decoder, DecoderConfig
from cardiofm.model.encoder import Encoder, EncoderConfig, Tokens, token_visible
from cardiofm.model.quantizer import AdaptiveRVQ, Blocks, Quantized, QuantizerConfig, even_worth, log_gains, water_fill
from cardiofm.model.tokenizer import normalise
from cardiofm.signals import CheckpointError, InputSpec

# Parts that older folders of this format do not have; they change nothing before they have learned.
NEUTRAL = ("decoder.from_match.", "decoder.weigh_patch.")


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the network's shape; saved in every checkpoint."""

    name: str = "base"
    spec: InputSpec = field(default_factory=InputSpec)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)


class CardioFM(nn.Module, PyTorchModelHubMixin):
    """The network: x `(B, C, N)` in the channel's unit at `spec.fs_hz`, visible `(B, C, N)` bool, in_mv `(B, C)` bool.

    `from_pretrained`, `save_pretrained` and `push_to_hub` follow the Hub's convention on a checkpoint folder.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.spec.tokens % config.quantizer.group:
            raise ValueError(
                f"quantizer.group must divide the window's {config.spec.tokens} tokens, found {config.quantizer.group}"
            )
        self.config = config
        self.encoder = Encoder(config.encoder, config.spec)
        self.slope = nn.Parameter(torch.ones(2))
        self.block = Blocks(config.quantizer, config.spec.patch)
        self.quantizer = nn.ModuleList(AdaptiveRVQ(config.quantizer) for _ in range(2))
        self.decoder = Decoder(config.decoder, config.spec, config.encoder)
        self.codes = CodeDecoder(config.decoder, config.spec, config.encoder, config.quantizer)

    def forward(self, x_BCN: Tensor, visible_BCN: Tensor, in_mv_BC: Tensor) -> Tensor:
        """The embedding `(B, embedding)` of each window."""
        return self.encoder.embed(self.encoder(x_BCN, visible_BCN, in_mv_BC))

    def quantize(self, tokens: Tokens, mean_depth_B: Tensor, full_B: Tensor | None = None) -> list[Quantized | None]:
        """Per stream the quantized latents, averaging `mean_depth` levels a token (all levels where `full`).

        Only the tokens' own samples are read, so `sampled` does for `encoder`.
        """
        levels = self.config.quantizer.levels
        out: list[Quantized | None] = [None, None]
        for c, (patch_BSP, seen_BS) in enumerate(zip(tokens.patches, tokens.visible, strict=True)):
            if patch_BSP is None or seen_BS is None:
                continue
            with torch.autocast(patch_BSP.device.type, enabled=False):  # eight bits of mantissa would be the error
                latent_BSE = self.latent(tokens, c)
                coded_BS = self.block.coded(seen_BS)
                with torch.no_grad():
                    error_BSQ = cast(AdaptiveRVQ, self.quantizer[c]).search(latent_BSE)[1]
                depth_BS = water_fill(self.importance(tokens, error_BSQ, c), coded_BS, mean_depth_B)
                if full_B is not None:
                    depth_BS = torch.where(full_B[:, None], float(levels) * coded_BS, depth_BS)
                out[c] = self.quantizer[c](latent_BSE, coded_BS, depth_BS)
        return out

    def latent(self, tokens: Tokens, channel: int) -> Tensor:
        """What is quantized, `(B, S, E)`: the cosine transform of a block's samples."""
        return self.block(cast(Tensor, tokens.patches[channel]))

    def importance(self, tokens: Tokens, error_BSQ: Tensor, channel: int) -> Tensor:
        """How much each level of each token is worth, `(B, S, Q)`, from the squared errors after 0, 1, … levels.

        Measured (`log_gains`); a channel's slope, learned, changes no order within the channel.
        """
        worth_BSQ = self.slope[channel] * log_gains(error_BSQ)
        if self.config.quantizer.adaptive:
            return worth_BSQ
        coded_BS = self.block.coded(cast(Tensor, tokens.visible[channel]))
        return even_worth(worth_BSQ, coded_BS, self.block.group)

    def sampled(self, x_BCN: Tensor, visible_BCN: Tensor, present: tuple[int, ...]) -> Tokens:
        """What codes are made of: the normalised samples of each token, without the encoder's tokens."""
        xn_BCN, offset_BC, scale_BC = normalise(x_BCN, visible_BCN)
        patch, found = self.config.spec.patch, Tokens([None, None], [None, None], [None, None], offset_BC, scale_BC)
        for c in present:
            found.patches[c] = xn_BCN[:, c].unflatten(-1, (-1, patch))
            found.visible[c] = token_visible(visible_BCN[:, c], patch)
        return found

    def save(self, folder: Path, provenance: dict[str, Any] | None = None, half: bool = True) -> None:
        """Write the checkpoint folder; matrices in float16 when `half`, small vectors always in float32."""
        write_config(folder, to_dict(self.config), provenance)
        small = {name for name, t in self.state_dict().items() if t.ndim < 2 or not t.is_floating_point()}
        tensors = {
            name: (t if name in small or not half else t.half()).detach().cpu().contiguous()
            for name, t in self.state_dict().items()
        }
        save_file(tensors, folder / WEIGHTS)
        os.chmod(folder / WEIGHTS, 0o644)  # safetensors makes it private; an installed model is everybody's to read

    @classmethod
    def load(cls, folder: Path) -> CardioFM:
        """The network from a checkpoint folder, in float32, ready to evaluate."""
        try:
            model = cls(from_dict(ModelConfig, read_config(folder)))
            tensors = upgraded(load_file(folder / WEIGHTS))
            state = {k: t.float() if t.is_floating_point() else t for k, t in tensors.items()}
            new = {k: t for k, t in model.state_dict().items() if k.startswith(NEUTRAL)}
            model.load_state_dict(new | state)
        except (ConfigError, SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{folder} must be a complete model folder: {reason}; fetch it again") from error
        return model.eval()

    def _save_pretrained(self, save_directory: Path) -> None:
        self.save(Path(save_directory))

    @classmethod
    def _from_pretrained(cls, *, model_id: str, revision: str | None = None, **kwargs: Any) -> CardioFM:
        folder = Path(model_id)
        if not folder.is_dir():
            wanted = {k: kwargs[k] for k in ("cache_dir", "force_download", "token", "local_files_only") if k in kwargs}
            folder = Path(snapshot_download(model_id, revision=revision, **wanted))
        return cls.load(folder)


def parameters_m(module: nn.Module) -> float:
    """Trainable parameters in millions."""
    return sum(p.numel() for p in module.parameters()) / 1e6


BASE = ModelConfig()
TINY = ModelConfig(
    name="tiny",
    encoder=EncoderConfig(width=64, depth=4, heads=4, hidden=192, stem=32, embedding=128),
    decoder=DecoderConfig(width=64, depth=2, heads=4, hidden=128),
)
