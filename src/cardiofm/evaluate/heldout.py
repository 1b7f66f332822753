"""The terms of the pretraining objective on windows that training never saw, one number a window.

The objective is the trained one with its own heads; what is hidden is the same for every model. Shapes: B windows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cardiofm.config import from_dict
from cardiofm.evaluate.columns import Column
from cardiofm.evaluate.sample import Piece
from cardiofm.model.cardiofm import CardioFM
from cardiofm.pipeline import MIN_S
from cardiofm.signals import MODALITIES
from cardiofm.train.batches import Batch
from cardiofm.train.loop import adamw
from cardiofm.train.objectives import Pretraining
from cardiofm.train.pretrain import PretrainConfig
from cardiofm.train.resume import load_training

HIDDEN = 0.6  # share of the tokens, whatever share the model was trained with
MODES = {"masked": (0.0, 0.0), "cross": (0.0, 1.0), "codec": (1.0, 0.0)}  # codec_share, cross_share


def trained(run: Path) -> tuple[Pretraining, PretrainConfig]:
    """The objective of a run with what it has learned, and the run's settings."""
    provenance = json.loads((run / "last" / "model" / "provenance.json").read_text(encoding="utf-8"))
    config = from_dict(PretrainConfig, provenance["config"])
    objective = Pretraining(CardioFM(config.model), config.objective, config.loop.seed)
    load_training(run / "last", objective, adamw(objective, config.loop), config.loop.seed)
    return objective.eval(), config


def terms(objective: Pretraining, pieces: Sequence[Piece], mode: str, shown: str = "both") -> list[dict[str, float]]:
    """The named terms of one mode for each window, twice hidden in other places; `shown` limits what there is to see.

    A window that lacks a channel that is `shown` gives {}.
    """
    codec_share, cross_share = MODES[mode]
    same = {"mask_from": HIDDEN, "mask_to": HIDDEN, "echo_share": 0.0, "mask_ramp": 1}
    before = objective.config, objective.seed
    objective.config = replace(objective.config, codec_share=codec_share, cross_share=cross_share, **same)
    objective.seed = 0
    present = MODALITIES if shown == "both" else (shown,)
    found: list[dict[str, float]] = []
    with torch.no_grad():
        for number, piece in enumerate(pieces):
            batch = _batch(piece, present, objective.model.config.spec.fs_hz)
            found.append({} if batch is None else {k: float(v) for k, v in objective(batch, number + 1)[1].items()})
    objective.config, objective.seed = before
    return found


def hidden_columns(objective: Pretraining, pieces: Sequence[Piece], known: Sequence[str]) -> list[Column]:
    """Guess and waveform error of what is hidden in windows of both channels, seen whole or one channel alone."""
    columns = []
    fs_hz = objective.model.config.spec.fs_hz
    own = [p for p in pieces if _batch(p, MODALITIES, fs_hz) is not None]
    for shown in ("both", *MODALITIES) if len(known) == 2 else tuple(known):
        found = terms(objective, own, "masked", shown)
        for measure in ("guess", "wave"):
            values = [one[f"masked_{measure}"] for one in found]
            columns.append(Column(measure, shown, shown, [p.patient for p in own], values))
    return columns


def _batch(piece: Piece, present: Sequence[str], fs_hz: float) -> Batch | None:
    """The window twice, as the two windows of one record; None where a channel lacks 1 s of signal."""
    here = np.isin(MODALITIES, present)
    valid = piece.window.valid & here[:, None]
    if not (valid[here].sum(-1) >= MIN_S * fs_hz).all():
        return None
    x = torch.from_numpy(np.where(valid, piece.window.values, np.float32(0)))[None].repeat(2, 1, 1)
    seen, in_mv = torch.from_numpy(valid)[None].repeat(2, 1, 1), torch.from_numpy(piece.window.in_mv & here)
    return Batch(x, x, seen, in_mv[None].repeat(2, 1), tuple(present))
