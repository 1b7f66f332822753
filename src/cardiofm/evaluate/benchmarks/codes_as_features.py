"""Are codes still features? Probes on embeddings of what codes draw at 32, 64 and 128 bit/s, beside the full embedding.

Writes results/codes_as_features.json. PTB-XL: superclasses and NORM against abnormal, folds 1 to 7 learn, 8 chooses,
9 is scored; challenge-2015: is the alarm true, five folds, the window before the alarm. Each window is coded at its own
depths, drawn, and embedded like a recording; heads are linear and fitted anew for every rate. Bits are those of the
codes at 8 each; entropy coding of a minute takes fewer for the same codes (results/codec.json).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from cardiofm.evaluate import cached, cohorts, run, tasks
from cardiofm.evaluate.drawing import decoded, encoded, mean_depth
from cardiofm.evaluate.frozen import unchanged
from cardiofm.evaluate.sample import summary
from cardiofm.evaluate.tables.codes_as_features import codes_as_features as table
from cardiofm.heads import scores
from cardiofm.model.encoded import depths
from cardiofm.pipeline import Model, load
from cardiofm.signals import Window

RATES = (32.0, 64.0, 128.0)  # bit/s a channel
FULL = "full"
ASKED = {"superclasses": "macro-AUROC", "abnormal": "AUROC", "alarm": "AUROC"}


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    found = run.parser(about, 100_000, "records of each set")
    cached.add_argument(found)
    return found


def main(args: argparse.Namespace) -> None:
    """Code, draw, embed, probe; print the table, write the results."""
    sha256 = run.checkpoint(args.model)["sha256"]
    model = load(args.model, backend=args.backend, threads=args.threads)
    rows, differences, used = [], [], []
    for read, ask in (
        (cohorts.ptb_xl, tasks.of_ptb_xl),
        (cohorts.before_the_alarm, tasks.of_challenge_2015),
    ):
        cohort = read(args.data_root, model.spec, args.limit)
        made_by = f"codes-as-features {sha256} {type(model.backend).__name__} {RATES}"
        every = cached.numbers(args.cache, made_by, cohort.windows, lambda windows: features(model, windows))
        split = np.split(every, len(RATES) + 1, axis=1)
        named = {name: cohort.mean(x) for name, x in zip((FULL, *map(_name, RATES)), split, strict=True)}
        for task in ask(cohort):
            if task.name in ASKED:
                more = probed(task, named)
                rows += more[0]
                differences += more[1]
        used += cohort.pieces()
    unchanged(sha256, run.checkpoint(args.model)["sha256"])
    result = run.save(
        args.out / "codes_as_features.json", "codes_as_features", rows, args.model, summary(used),
        differences=differences,
    )  # fmt: skip
    Console(width=160).print("\n".join(table(result)), markup=False)


def features(model: Model, windows: Sequence[Window]) -> NDArray[np.float32]:
    """The embedding of each window, and of what its codes draw at each rate, side by side `(W, (1 + rates) * D)`."""
    seen = np.stack([w.valid for w in windows])
    code = encoded(model, windows, seen)
    out = [cached.embeddings(model, list(windows))]
    for rate in RATES:
        drawn = decoded(model, code, depths(code.worth, code.coded, mean_depth(model, rate)))
        out.append(
            cached.embeddings(
                model,
                [replace(w, values=np.where(w.valid, x, np.float32(0))) for w, x in zip(windows, drawn, strict=True)],
            )
        )
    return np.concatenate(out, axis=1)


def probed(
    task: tasks.Task, named: dict[str, NDArray[np.float64]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of every rate, and what each rate's probe lacks or gains on the same people."""
    found = {name: task.held_out(x[task.rows], "linear") for name, x in named.items()}
    tested = found[FULL].fold >= 0
    y, patients = task.y[tested], [p for p, is_in in zip(task.patients, tested, strict=True) if is_in]
    metric = task.asked[ASKED[task.name]].metric
    what = {"set": task.dataset, "task": task.name, "metric": ASKED[task.name]}
    rows = [
        run.row(scores.scored(metric, y, one.scores[tested], patients), 4, **what, rate=name)
        for name, one in found.items()
    ]
    differences = [
        run.row(
            scores.paired(metric, y, found[name].scores[tested], found[FULL].scores[tested], patients), 4,
            **what, rate=name, difference=f"{name} bit/s - {FULL}",
        )
        for name in found if name != FULL
    ]  # fmt: skip
    return rows, differences


def _name(rate: float) -> str:
    return f"{rate:g}"
