"""How good the shipped heads are on people that they did not learn from, through the users' door.

Writes results/heads.json. Every recording of the test patients (PTB-XL fold 9, the catalog's test splits of the
challenges) is read and given to `Head.predict`. The floors (boosted trees on the hand-crafted numbers alone, and a
constant) are those of the head's own report, made on the same recordings. 95 % intervals over patients.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from cardiofm import heads, weights
from cardiofm.data import catalog
from cardiofm.evaluate import run
from cardiofm.heads.labels import target
from cardiofm.heads.learn.release import SHIPPED, Shipped, examples
from cardiofm.heads.learn.report import metrics_of, scored
from cardiofm.pipeline import Model, load
from cardiofm.signals import SignalError


def main() -> None:
    """Predict, score, print, write the results."""
    parser = run.parser(__doc__, 100000, "recordings of a dataset, the first by the hash of their names")
    parser.add_argument("--heads", type=Path, default=weights.HEADS, help="folder of the heads; default the shipped")
    args = parser.parse_args()
    model = load(args.model, backend=args.backend, threads=args.threads)
    rows: list[dict[str, Any]] = []
    data: dict[str, Any] = {}
    for one in SHIPPED:
        mine, used = measured(one, args.heads, model, args.data_root, args.limit)
        rows += mine
        data[one.plan.name] = used
        for row in mine:
            print(row)
    run.save(args.out / "heads.json", "heads", rows, args.model, data)


def measured(
    one: Shipped, folder: Path, model: Model, data_root: Path, limit: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of one head, each a metric of a method, and on what it was scored."""
    head = heads.load(folder / one.plan.name)
    label = {e.record: one.label(e) for e in catalog.entries(one.dataset, data_root)}
    tested = [e for e in examples(one.dataset, data_root, limit)[0] if e.split == "test" and label[e.name] is not None]
    found, kept, refused = [], [], 0
    for example in track(tested, one.plan.name, transient=True):
        try:
            found.append(head.predict(example.read(), model))
        except SignalError:
            refused += 1
            continue
        kept.append(replace(example, label=str(label[example.name])))
    about, people = head.about, [e.patient for e in kept]
    y = target(kept, one.plan.kind, about.classes or None).y
    values = np.array([[p.value] if p.value is not None else [p.probability[c] for c in about.classes] for p in found])
    what = {"head": about.name, "set": one.dataset, "form": about.form, "refused": refused}
    rows = []
    for name in metrics_of(about):
        now = scored(about, name, y, values, people)
        rows.append(what | {"metric": name, "method": "head"} | now)
        floors = about.report["scores"][name].items()
        rows += [what | {"metric": name, "method": who} | v for who, v in floors if who != "head"]
    return rows, {"set": one.dataset, "records": len(found), "patients": len(set(people)), "refused": refused}


if __name__ == "__main__":
    main()
