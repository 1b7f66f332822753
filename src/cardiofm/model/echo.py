"""What a stretch most likely looks like: the visible stretches of the window whose surroundings match its own.

Shapes: B batch, S token steps, P samples per token, M places (every fourth sample), W places around one, N samples.

The surroundings of every token are compared with the surroundings of every place of the window, as far away as the
window reaches; the partner channel, which may be visible where this one is not, is compared at the same two places and
votes too, in the time around a beat in which it is told of it. A softmax over places then averages the samples that are
found there, and the mean is moved to the level of what is visible on both sides. It is attention in time with a
classical score, so a rhythm is continued without any training, by the mean of all of its beats; it carries no
gradient, and the decoder learns how far to trust it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COARSE = 4  # samples averaged into one place
REACH_S = 1.6  # of surroundings that are compared, to each side
OWN_WIDTH_S = 0.7  # standard deviation of their weight in the channel itself …
PARTNER_AT_S = (0.3, -0.3)  # … and centre and standard deviation in the partner: a pulse comes after its R peak
PARTNER_WIDTH_S = 0.5
PARTNER = 0.5  # weight of the partner's vote
SHARPNESS = 14.0  # inverse temperature of the softmax over beats …
ALIGNMENT = 120.0  # … and over the places of one beat, for a blurred QRS is no QRS
BEAT_S = 0.12  # places within this of the best one are of the same beat
APART_S = 0.256  # a place nearer than this is the token itself, not another beat
WANDER_S = 1.6  # slower than this is wander, which is not compared
FAINT = 0.05  # energy that counts as noise, in squared standard deviations of the channel
SOME = 0.15  # share of the surroundings that must be known to both for half of a vote
LEVEL_S = 0.16  # the level follows what is visible this near


class Echoed(NamedTuple):
    """One channel's echo."""

    drawn_BSP: Tensor  # normalised units
    spread_BSP: Tensor  # standard deviation of what was averaged
    has_BS: Tensor  # where there is one


class Echo(nn.Module):
    """Patches `(B, S, P)` with visible tokens `(B, S)` per channel to the echo of each channel that is given."""

    bell_11N: Tensor
    finer_R1T: Tensor

    def __init__(self, fs_hz: float, patch: int) -> None:
        super().__init__()
        self.patch, self.step, self.place_hz = patch, patch // COARSE, fs_hz / COARSE
        self.reach = round(REACH_S * self.place_hz)
        self.wander = round(WANDER_S * fs_hz) // 2
        bell_11N = torch.hann_window(2 * self.wander + 1, periodic=False)[None, None]
        self.register_buffer("bell_11N", bell_11N, persistent=False)
        self.register_buffer("finer_R1T", lanczos(COARSE)[:, None], persistent=False)

    @torch.no_grad()
    def forward(self, patches: list[Tensor | None], seen: list[Tensor | None]) -> list[Echoed | None]:
        device = next(t for t in patches if t is not None).device.type
        if torch.is_autocast_enabled(device):  # eight bits of mantissa do not tell places apart
            with torch.autocast(device, enabled=False):
                return self(patches, seen)
        around = [None if p is None or s is None else self._around(p, s) for p, s in zip(patches, seen, strict=True)]
        echoes: list[Echoed | None] = [None, None]
        for c, (patch_BSP, seen_BS) in enumerate(zip(patches, seen, strict=True)):
            own, partner = around[c], around[1 - c]
            if patch_BSP is None or seen_BS is None or own is None:
                continue
            agreed_BSM = self.agreement(*own, 0.0, OWN_WIDTH_S)
            if partner is not None:
                agreed_BSM = agreed_BSM + PARTNER * self.agreement(*partner, PARTNER_AT_S[c], PARTNER_WIDTH_S)
            echoes[c] = self.copy(patch_BSP, seen_BS, self.logits(agreed_BSM))
        return echoes

    def agreement(self, x_BWM: Tensor, v_BWM: Tensor, at_s: float, width_s: float) -> Tensor:
        """How well the surroundings of each token agree with those of each place, `(B, S, M)`: 0 unknown, 1 alike.

        What lies `at_s` after the token counts most.
        """
        lag_W = torch.arange(-self.reach, self.reach + 1, device=x_BWM.device) / self.place_hz
        weight_W = torch.exp(-0.5 * ((lag_W - at_s) / width_s) ** 2)
        weight_W = weight_W / weight_W.sum()
        x_BSW, v_BSW = (t_BWM[..., self.step // 2 :: self.step].transpose(1, 2) for t_BWM in (x_BWM, v_BWM))
        product_BSM = (x_BSW * weight_W) @ x_BWM
        energy_BSM = 0.5 * ((x_BSW.square() * weight_W) @ v_BWM + (v_BSW * weight_W) @ x_BWM.square())
        known_BSM = (v_BSW * weight_W) @ v_BWM
        return product_BSM / (energy_BSM + FAINT * known_BSM + 1e-4) * known_BSM / (known_BSM + SOME)

    def logits(self, agreed_BSM: Tensor) -> Tensor:
        """Of a softmax over all samples that a token may begin at, `(B, S, N)`, from the agreement at each place.

        The agreement has no more bandwidth than the places, so it is interpolated; the best place of each beat then
        competes with those of other beats, and the others of the same beat with it.
        """
        B, S, M = agreed_BSM.shape
        taps = self.finer_R1T.shape[-1]
        padded = F.pad(agreed_BSM.reshape(B * S, 1, M), (taps // 2 - 1, taps // 2), mode="replicate")
        fine_BSMR = F.conv1d(padded, self.finer_R1T).transpose(1, 2).reshape(B, S, M, COARSE)
        near = round(BEAT_S * self.place_hz)
        best_BSM = F.max_pool1d(fine_BSMR.amax(-1), 2 * near + 1, stride=1, padding=near)
        return (ALIGNMENT * fine_BSMR - (ALIGNMENT - SHARPNESS) * best_BSM[..., None]).flatten(2)

    def copy(self, patch_BSP: Tensor, seen_BS: Tensor, logit_BSN: Tensor) -> Echoed:
        """The samples from all places averaged by softmax, at the level of what is visible."""
        P, S = self.patch, patch_BSP.shape[1]
        seen_BSP = seen_BS[..., None].to(patch_BSP.dtype).expand_as(patch_BSP)
        first_N = torch.arange(logit_BSN.shape[-1], device=logit_BSN.device) - self.step // 2 * COARSE
        pad = (self.step // 2 * COARSE, P - 1 - self.step // 2 * COARSE)
        x_BPN, v_BPN = (slices(F.pad(t.flatten(1), pad), P) for t in (patch_BSP * seen_BSP, seen_BSP))
        x_BNP, v_BNP = x_BPN.transpose(1, 2), v_BPN.transpose(1, 2)
        token_S = torch.arange(S, device=first_N.device) * P
        near_SN = (token_S[:, None] - first_N).abs() < APART_S * self.place_hz * COARSE
        closed_BSN = near_SN | (v_BNP.mean(-1) < 0.5)[:, None]
        weight_BSN = torch.softmax(logit_BSN - 1e4 * closed_BSN.to(logit_BSN.dtype), dim=-1)
        total_BSP = weight_BSN @ v_BNP + 1e-4
        mean_BSP = (weight_BSN @ x_BNP) / total_BSP
        spread_BSP = ((weight_BSN @ x_BNP.square()) / total_BSP - mean_BSP.square()).clamp_min(1e-6).sqrt()
        has_BS = (~closed_BSN).any(-1)
        level_BSP = self._level((patch_BSP - mean_BSP).mean(-1), (seen_BS & has_BS).to(patch_BSP.dtype))
        return Echoed((mean_BSP + level_BSP) * has_BS[..., None], spread_BSP * has_BS[..., None], has_BS)

    def _level(self, missed_BS: Tensor, seen_BS: Tensor) -> Tensor:
        """What is missing to the level of the nearest visible tokens, on a line from token to token, `(B, S, P)`."""
        P, token_s = self.patch, self.step / self.place_hz
        at_S = torch.arange(seen_BS.shape[1], device=seen_BS.device) * token_s
        near_SS = torch.exp(-(at_S[:, None] - at_S).abs() / LEVEL_S)
        level_BS = ((missed_BS * seen_BS) @ near_SS) / (seen_BS @ near_SS + 1e-6)
        part_P = (torch.arange(P, device=seen_BS.device) + 0.5) / P - 0.5
        rise_BS = level_BS[:, 1:] - level_BS[:, :-1]
        before_BSP, after_BSP = F.pad(rise_BS, (1, 0))[..., None], F.pad(rise_BS, (0, 1))[..., None]
        return level_BS[..., None] + before_BSP * part_P.clamp_max(0.0) + after_BSP * part_P.clamp_min(0.0)

    def _around(self, patch_BSP: Tensor, seen_BS: Tensor) -> tuple[Tensor, Tensor]:
        """The surroundings `(B, W, M)` of every place, without wander and 0 where unknown, and what is known there."""
        v_BN = seen_BS[..., None].to(patch_BSP.dtype).expand_as(patch_BSP).flatten(1)
        x_BN = patch_BSP.flatten(1) * v_BN
        slow_BN, known_BN = (F.conv1d(t[:, None], self.bell_11N, padding=self.wander)[:, 0] for t in (x_BN, v_BN))
        x_BN = (x_BN - slow_BN / (known_BN + 1e-6)) * v_BN
        spread_B1 = (x_BN.square().sum(-1, keepdim=True) / (v_BN.sum(-1, keepdim=True) + 1.0)).sqrt() + 1e-3
        x_BM = (x_BN / spread_B1).unflatten(-1, (-1, COARSE)).mean(-1)
        v_BM = v_BN.unflatten(-1, (-1, COARSE)).mean(-1)
        x_BWM, v_BWM = (slices(F.pad(t, (self.reach, self.reach)), 2 * self.reach + 1) for t in (x_BM, v_BM))
        return x_BWM, v_BWM


def slices(x_BN: Tensor, size: int) -> Tensor:
    """All slices of `size` samples, `(B, size, N - size + 1)`; by products, as indices would fill the graph."""
    return F.conv1d(x_BN[:, None], torch.eye(size, device=x_BN.device, dtype=x_BN.dtype)[:, None])


def lanczos(factor: int, lobes: int = 3) -> Tensor:
    """Weights `(factor, 2 * lobes)` that interpolate `factor` samples for each one, the first of them itself."""
    at_RT = torch.arange(1 - lobes, lobes + 1) - torch.arange(factor)[:, None] / factor
    weight_RT = torch.sinc(at_RT) * torch.sinc(at_RT / lobes)
    return weight_RT / weight_RT.sum(-1, keepdim=True)
