"""Measurements of one frozen model in a minute, each a column of scores, so that many models can stand in one table.

Codec, gaps, across, alarms and diagnoses. Every measurement says which channels the model is shown, and keeps its
scores window by window, so that two models are compared on the same windows.
Shapes: C channels (ecg, ppg), N samples, W windows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from cardiofm.evaluate import cohorts, metrics
from cardiofm.evaluate.bootstrap import Interval, difference, interval
from cardiofm.evaluate.cached import embeddings
from cardiofm.evaluate.cohorts import Cohort
from cardiofm.evaluate.drawing import draw, draw_by_network, through_codes
from cardiofm.evaluate.sample import ZERO_SHOT, Piece, pieces
from cardiofm.heads import scores
from cardiofm.heads.learn import probes
from cardiofm.model.backend import TorchBackend
from cardiofm.model.cardiofm import CardioFM
from cardiofm.pipeline import MIN_S, Model
from cardiofm.signals import MODALITIES, InputSpec, Window

GAP_S = 1.0
RATE = 64.0  # bit/s a channel
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
MEASURES = {
    "codec_prd": "PRD at 64 bit/s a channel, the channel alone, five sets never trained on; %, median over patients",
    "gap_r": "r over 1 s hidden in bidmc, drawn by network and echo; mean over patients",
    "gap_r_no_echo": "the same drawn by the network alone",
    "across_r": "r of a channel of bidmc drawn from the other one, at no lag; mean over patients",
    "guess": "cross-entropy of the codes of hidden tokens in test windows, nats; mean over patients",
    "wave": "Huber error of the hidden waveform in test windows, in units of its spread; mean over patients",
    "diagnosis_auroc": "macro-AUROC of the PTB-XL superclasses, fold 9, linear probe",
    "alarm_auroc": "AUROC of true against false alarms of challenge-2015, five folds by patient, linear probe",
}
LOWER = ("codec_prd", "guess", "wave")  # the better


@dataclass(frozen=True)
class Column:
    """One measurement of one model: a number a window, or a truth and a score a row where `truth` is given."""

    measure: str
    channel: str  # what is drawn or scored: "ecg", "ppg" or "both"
    shown: str  # what the model is shown
    patients: list[str]
    values: list[Any]  # numbers; where there is a truth, scores of each row
    truth: list[Any] = field(default_factory=list)
    refused: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        return self.measure, self.channel, self.shown

    def interval(self) -> Interval:
        """The measure with its 95 % interval over patients."""
        if self.truth:
            return scores.scored(self._metric, np.array(self.truth), np.array(self.values), self.patients)
        return interval(self.values, self.patients, self._statistic)

    def difference(self, other: Column) -> Interval:
        """This minus the other on the same windows, paired."""
        if self.patients != other.patients:
            raise ValueError(f"both columns must be of the same windows, found others for {self.key}; measure again")
        if self.truth:
            a, b = np.array(self.values), np.array(other.values)
            return scores.paired(self._metric, np.array(self.truth), a, b, self.patients)
        return difference(self.values, other.values, self.patients, self._statistic)

    @property
    def _metric(self) -> scores.Metric:
        return scores.macro_auroc if isinstance(self.truth[0], list) else scores.auroc

    @property
    def _statistic(self) -> Any:
        return "median" if self.measure == "codec_prd" else "mean"


@dataclass(frozen=True)
class Material:
    """The windows that every model is measured on, read once."""

    coded: list[Piece]  # of the five sets
    paired: list[Piece]  # of bidmc, both channels complete
    diagnoses: Cohort
    alarms: Cohort

    @staticmethod
    def read(data_root: Path, spec: InputSpec, limit: int, records: int | None = None) -> Material:
        """`limit` windows of each of the five sets; of the cohorts `records`, by default all: AUROC needs them."""
        coded = [p for name in ZERO_SHOT for p in pieces(name, data_root, spec, limit)]
        paired = [p for p in pieces("bidmc", data_root, spec, max(limit, 53)) if p.window.valid.all()]
        return Material(
            coded,
            paired,
            cohorts.ptb_xl(data_root, spec, records),
            cohorts.before_the_alarm(data_root, spec, records),
        )


def measured(model: Model, material: Material, known: Sequence[str], rated: bool = True) -> list[Column]:
    """Every measurement that shows the model nothing but `known` modalities; codes only where it has a bit rate."""
    found: list[Column] = []
    for name in known:
        c = MODALITIES.index(name)
        found += [_codec(model, material.coded, c)] if rated else []
        found += [_alarms(model, material.alarms, (c,))]
    if len(known) == 2:
        found += [_alarms(model, material.alarms, (0, 1))]
        found += [_across(model, material.paired, c) for c in range(2)]
    if "ecg" in known:
        found.append(_diagnoses(model, material.diagnoses))
    for name, drawing in (("gap_r", model), ("gap_r_no_echo", without_echo(model))):
        for channel in known:
            for shown in ("both", channel) if len(known) == 2 else (channel,):
                found.append(_gap(drawing, material.paired, name, channel, shown))
    return found


def without_echo(model: Model) -> Model:
    """The same model drawing hidden stretches by its network alone. Needs the torch backend."""
    network: CardioFM = model.backend.model  # pyright: ignore[reportAttributeAccessIssue]
    silent = CardioFM(network.config).eval()
    silent.load_state_dict(network.state_dict())
    silent.decoder.echo = Silent()  # pyright: ignore[reportAttributeAccessIssue]
    return replace(model, backend=TorchBackend(silent))


class Silent(nn.Module):
    """An echo that finds nothing."""

    def forward(self, patches: list[Tensor | None], shown: list[Tensor | None]) -> list[None]:
        return [None, None]


def _codec(model: Model, coded: Sequence[Piece], c: int) -> Column:
    own = [p for p in coded if p.window.valid[c].sum() >= MIN_S * model.spec.fs_hz]
    drawn = through_codes(model, [p.window for p in own], np.stack([_only(p.window, (c,)) for p in own]), [RATE])[0]
    values = []
    for piece, drawn_CN in zip(own, drawn, strict=True):
        at = piece.window.valid[c]
        values.append(metrics.prd(piece.window.values[c][at], drawn_CN[c][at]))
    absent = sum(p.window.valid[c].any() for p in coded) - len(own)
    return _column("codec_prd", MODALITIES[c], MODALITIES[c], own, values, int(absent))


def _gap(model: Model, paired: Sequence[Piece], measure: str, channel: str, shown: str) -> Column:
    c = MODALITIES.index(channel)
    length = round(GAP_S * model.spec.fs_hz)
    visible = np.stack([_only(p.window, (0, 1) if shown == "both" else (c,)) for p in paired])
    spans = [hidden_span(p, length, model.spec) for p in paired]
    for visible_CN, span in zip(visible, spans, strict=True):
        visible_CN[c, span] = False
    drawn = draw_by_network(model, [p.window for p in paired], visible)
    values = [
        metrics.r(p.window.values[c][span], drawn_CN[c][span])
        for p, span, drawn_CN in zip(paired, spans, drawn, strict=True)
    ]
    return _column(measure, channel, shown, paired, values)


def _across(model: Model, paired: Sequence[Piece], c: int) -> Column:
    drawn = draw(model, [p.window for p in paired], np.stack([_only(p.window, (1 - c,)) for p in paired]))
    values = [metrics.r(p.window.values[c], drawn_CN[c]) for p, drawn_CN in zip(paired, drawn, strict=True)]
    return _column("across_r", MODALITIES[c], MODALITIES[1 - c], paired, values)


def _diagnoses(model: Model, cohort: Cohort) -> Column:
    """Scores of fold 9 from a head fitted on folds 1 to 7, its penalty chosen on fold 8."""
    x = cohort.mean(embeddings(model, cohort.windows))
    y = np.array([[name in labels for name in SUPERCLASSES] for labels in cohort.label("superclasses")])
    part = np.array([entry.split for entry in cohort.entries])
    train, valid, test = (part == name for name in ("train", "valid", "test"))
    fitted = probes.choose_and_fit(x[train], y[train], x[valid], y[valid], "multilabel")
    found = probes.scores(fitted, x[test], "multilabel")
    patients = [p for p, here in zip(cohort.patients, test, strict=True) if here]
    return Column("diagnosis_auroc", "ecg", "ecg", patients, found.tolist(), y[test].tolist(), cohort.refused)


def _alarms(model: Model, cohort: Cohort, shown: tuple[int, ...]) -> Column:
    """Out-of-fold scores of each record; one that has nothing of what is shown gets the embedding of nothing, 0."""
    windows = [_shown(w, shown) for w in cohort.windows]
    some = [i for i, w in enumerate(windows) if w.valid.any()]
    found = embeddings(model, [windows[i] for i in some])
    x = np.zeros((len(windows), found.shape[1]), np.float32)
    x[some] = found
    y = np.array(cohort.label("true_alarm"), bool)
    score = probes.cross_validated(cohort.mean(x), y, cohort.patients, "binary")
    name = "both" if len(shown) == 2 else MODALITIES[shown[0]]
    return Column("alarm_auroc", name, name, cohort.patients, score.tolist(), y.tolist(), cohort.refused)


def hidden_span(piece: Piece, length: int, spec: InputSpec) -> slice:
    """Where `length` samples are hidden: anywhere but the window's first and last half second, by its name alone."""
    edge = round(0.5 * spec.fs_hz)
    name = f"{piece.dataset} {piece.record} {piece.window.start_s:.3f} {length}"
    room = spec.samples - length - 2 * edge + 1
    start = edge + int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % room
    return slice(start, start + length)


def _column(
    measure: str, channel: str, shown: str, own: Sequence[Piece], values: list[float], refused: int = 0
) -> Column:
    """Windows whose truth is constant have no value and are refused."""
    kept = [(p.patient, v) for p, v in zip(own, values, strict=True) if np.isfinite(v)]
    return Column(
        measure, channel, shown, [p for p, _ in kept], [v for _, v in kept], [], refused + len(own) - len(kept)
    )


def _shown(window: Window, shown: tuple[int, ...]) -> Window:
    return replace(window, valid=_only(window, shown))


def _only(window: Window, shown: tuple[int, ...]) -> NDArray[np.bool_]:
    """What is valid of the channels that are shown `(C, N)`."""
    here = np.isin(np.arange(2), shown)
    return window.valid & here[:, None]
