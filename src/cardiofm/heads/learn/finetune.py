"""Labels of recordings to a head with its report: read, split by patient, tune, fit, calibrate, score, save.

A head belongs to the weights that it was made with. Patients of the test part are only scored.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardiofm.heads.calibration import Calibration
from cardiofm.heads.head import FORMS, About, Head
from cardiofm.heads.labels import Example, Kind, parts, target
from cardiofm.heads.learn.fit import Data, also_untold, boosted_on_hand_crafted, fit
from cardiofm.heads.learn.gather import Progress, Tell, gather, silent
from cardiofm.heads.learn.report import report
from cardiofm.heads.look import Seen, View, encoder_hash
from cardiofm.heads.parts import Numbers
from cardiofm.pipeline import Model
from cardiofm.signals import MODALITIES, CheckpointError, SignalError

TUNES = ("none", "lora", "full")
NEEDED = 0.95  # of the recordings must have a channel, that the head may ask for it


@dataclass(frozen=True)
class Plan:
    """What kind of head is wanted."""

    name: str
    kind: Kind
    task: str = ""  # in words; the name where there are none
    form: str = "linear"
    tune: str = "none"
    linear_of: Numbers = "embedding"
    classes: tuple[str, ...] | None = None  # in this order; None: as they are found, sorted
    unit: str = ""
    threshold: float | str = 0.5  # see `learn.fit.fit`
    view: View = field(default_factory=View)  # which part of a recording is looked at, and by which numbers
    steps: int = 200  # of tuning
    data: dict[str, str] = field(default_factory=dict, compare=False)  # where the labels are from, for the provenance

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise CheckpointError(f"a head must be one of {', '.join(FORMS)}, found {self.form!r}")
        if self.tune not in TUNES:
            raise CheckpointError(f"tuning must be one of {', '.join(TUNES)}, found {self.tune!r}")


def finetune(
    examples: Sequence[Example],
    plan: Plan,
    model: Model,
    out: Path,
    tell: Tell = print,
    progress: Progress = silent,
) -> Head:
    """The head, written to the folder `out`. Raises SignalError for labels that no head can be made of.

    A recording that cannot be used is told in one line, and the others go on.
    """
    parts(examples, target(examples, plan.kind, plan.classes))  # refused before anything is read
    view = plan.view
    changed: dict[str, NDArray[Any]] | None = None
    seeing = model
    if plan.tune != "none":
        from cardiofm.heads.learn.tune import tune, tuned

        changed = tune(examples, plan.kind, plan.tune, model, view, plan.steps, plan.classes, tell)
        seeing = tuned(model, changed)
    good, seen = gather(examples, seeing, view, tell=tell, progress=progress)
    if not good:
        raise SignalError("there must be recordings to learn from, found none that can be used; see the lines above")
    goal = target(good, plan.kind, plan.classes or target(examples, plan.kind).classes or None)
    head = made(good, Data(seen, goal, np.asarray(parts(good, goal))), plan, model)
    head.save(out, changed)
    return replace(head, folder=out)


def made(good: Sequence[Example], data: Data, plan: Plan, model: Model) -> Head:
    """The head from what is seen of each example, with its report."""
    learned = also_untold(data, len(plan.view.types))
    floor = boosted_on_hand_crafted(learned, plan.threshold)
    own = fit(learned, plan.form, plan.linear_of, plan.threshold, floor.parts.trees)
    about = About(
        name=plan.name,
        task=plan.task or plan.name,
        kind=plan.kind,
        form=plan.form,
        classes=data.goal.classes,
        model=model.name,
        encoder_sha256=encoder_hash(model),
        calibration=_rounded(own.calibration),
        view=_view(data.seen, plan.view),
        unit=plan.unit,
        linear_of=own.parts.linear_of,
        trees_of=own.parts.trees_of,
        trees_share=own.parts.share,
        thresholds=own.thresholds,
        crafted=plan.view.names if own.parts.trees is not None or own.parts.linear_of != "embedding" else (),
        tune=plan.tune,
        provenance={
            "data": plan.data,
            "versions": {p: importlib.metadata.version(p) for p in ("cardiofm", "numpy", "scikit-learn")},
        },
    )
    found = report(data, [e.patient for e in good], about, {"head": own, "hand-crafted": floor})
    return Head(
        replace(about, report=found | {"chosen_by": {"loss of validation patients": round(own.loss, 5)}}), own.parts
    )


def _view(seen: Sequence[Seen], view: View) -> View:
    """Which channels the recordings had, in all but a few, and in any."""
    share = np.mean([s.present.any(0) for s in seen], axis=0)
    uses = tuple(m for m, p in zip(MODALITIES, share, strict=True) if p > 0)
    return replace(view, uses=uses, needs=tuple(m for m, p in zip(MODALITIES, share, strict=True) if p >= NEEDED))


def _rounded(found: Calibration) -> Calibration:
    """Six digits are more than the patients can tell."""
    half = found.half_range
    stretch, shift = (tuple(round(v, 6) for v in values) for values in (found.stretch, found.shift))
    return Calibration(found.link, stretch, shift, None if half is None else round(half, 4))
