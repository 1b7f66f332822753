"""The published tables: Markdown from `results/*.json`, put between two marks of a page, and nothing by hand.

`python -m cardiofm.evaluate.report` writes the aims into README.md and every table into docs/results.md; a test
compares.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cardiofm.evaluate.run import ROOT
from cardiofm.evaluate.tables.ablations import ablations
from cardiofm.evaluate.tables.across import across
from cardiofm.evaluate.tables.aims import aims
from cardiofm.evaluate.tables.codec import codec
from cardiofm.evaluate.tables.codes_as_features import codes_as_features
from cardiofm.evaluate.tables.device_bias import device_bias
from cardiofm.evaluate.tables.edge import edge
from cardiofm.evaluate.tables.few_labels import few_labels
from cardiofm.evaluate.tables.gaps import gaps
from cardiofm.evaluate.tables.heads import heads
from cardiofm.evaluate.tables.intervals import intervals
from cardiofm.evaluate.tables.measure_speed import measure_speed
from cardiofm.evaluate.tables.pooling import pooling
from cardiofm.evaluate.tables.rate_distortion import rate_distortion
from cardiofm.evaluate.tables.representation import representation
from cardiofm.evaluate.tables.retrieval import retrieval
from cardiofm.evaluate.tables.robustness import robustness, robustness_without_cross
from cardiofm.evaluate.tables.scaling import scaling
from cardiofm.evaluate.tables.stream import stream
from cardiofm.evaluate.tables.throughput import throughput
from cardiofm.evaluate.tables.training_speed import training_speed
from cardiofm.evaluate.tables.zero_shot import zero_shot

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
# In the order of the page; each reads results/<its name>.json.
SECTIONS = (
    *(zero_shot, rate_distortion, codec, codes_as_features, gaps, across),
    *(robustness, robustness_without_cross, intervals),
    *(representation, few_labels, pooling, retrieval, device_bias),
    heads,
    *(ablations, scaling, throughput, measure_speed, edge, stream, training_speed),
)


def render(results_dir: str | Path) -> str:
    """Markdown of all the results in a folder, in a fixed order; every number in it stands in one of the files."""
    results, parts = _read(results_dir), [""]
    for write in SECTIONS:
        name = write.__name__
        if name in results:
            parts[0] += f"{' · ' if parts[0] else ''}[{_title(name)}](#{_title(name).lower().replace(' ', '-')})"
            parts += [f"## {_title(name)}", "\n".join(write(results[name]))]
            parts += [f"![{path.stem}](../results/{path.name})" for path in _pictures(Path(results_dir), name)]
    return "\n\n".join(parts) + "\n"


def render_aims(results_dir: str | Path) -> str:
    """Markdown of what was aimed at and what was measured, a row a figure, out of the same files."""
    return "\n".join(aims(_read(results_dir))) + "\n"


PAGES = {"README.md": render_aims, "docs/results.md": render}


def update(page: str | Path, text: str) -> bool:
    """Put a rendered text between the marks of a page; True where that changed it."""
    path = Path(page)
    old = path.read_text(encoding="utf-8")
    head, _, tail = _split(old, path)
    new = f"{head}{BEGIN}\n{text}{END}{tail}"
    if new != old:
        path.write_text(new, encoding="utf-8")
    return new != old


def is_current(page: str | Path, text: str) -> bool:
    """True where what stands between the page's marks is exactly the rendered text."""
    path = Path(page)
    return _split(path.read_text(encoding="utf-8"), path)[1].strip() == text.strip()


def _title(name: str) -> str:
    return {"across": "One signal from the other", "heads": "Shipped heads"}.get(name) or name.replace(
        "_", " "
    ).capitalize()


def _pictures(results_dir: Path, name: str) -> list[Path]:
    """What is drawn of a section: its own name, or that and more words, unless these are another section's name."""
    names = [write.__name__ for write in SECTIONS]
    found = sorted(results_dir.glob(f"{name}*.png"))
    return [path for path in found if name == max((n for n in names if path.stem.startswith(n)), key=len)]


def _read(results_dir: str | Path) -> dict[str, Any]:
    """The results in a folder by the names of their files."""
    found = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(results_dir).glob("*.json"))
    }
    if not found:
        raise ValueError(f"{results_dir} must hold results, found none; run the scripts in benchmarks/ (make bench)")
    return found


def _split(text: str, path: Path) -> tuple[str, str, str]:
    """What is before, between and after the marks."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{path} must hold the lines {BEGIN} and {END} once, in this order; put them back")
    head, _, rest = text.partition(BEGIN)
    between, _, tail = rest.partition(END)
    return head, between, tail


def main() -> None:
    """Write the tables into their pages, or with --check only say whether they are current."""
    parser = argparse.ArgumentParser(description="Put the results between the marks of README.md and docs/results.md.")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where a table is not current")
    args = parser.parse_args()
    for name, write in PAGES.items():
        text = write(args.results)
        if args.check and not is_current(ROOT / name, text):
            raise SystemExit(f"{name} must be updated: python -m cardiofm.evaluate.report")
        if not args.check:
            print(f"{name} {'updated' if update(ROOT / name, text) else 'was current'}")


if __name__ == "__main__":
    main()
