"""The published table: Markdown from `results/*.json`, put between two marks of the README, and nothing by hand.

`python -m cardiofm.evaluate.report README.md` writes it; a test compares.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cardiofm.evaluate.run import ROOT
from cardiofm.evaluate.tables.ablations import ablations
from cardiofm.evaluate.tables.across import across
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
    parts = []
    for write in SECTIONS:
        path = Path(results_dir) / f"{write.__name__}.json"
        if path.is_file():
            parts.append("\n".join(write(json.loads(path.read_text(encoding="utf-8")))))
    if not parts:
        raise ValueError(f"{results_dir} must hold results, found none; run the scripts in benchmarks/ (make bench)")
    return "\n\n".join(parts) + "\n"


def update_readme(path: str | Path, results_dir: str | Path) -> bool:
    """Put the rendered table between the marks of the README; True where that changed it."""
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    head, _, tail = _split(text, path)
    new = f"{head}{BEGIN}\n{render(results_dir)}{END}{tail}"
    if new != text:
        path.write_text(new, encoding="utf-8")
    return new != text


def is_current(path: str | Path, results_dir: str | Path) -> bool:
    """True where what stands between the README's marks is exactly what the results say."""
    path = Path(path)
    return _split(path.read_text(encoding="utf-8"), path)[1].strip() == render(results_dir).strip()


def _split(text: str, path: Path) -> tuple[str, str, str]:
    """What is before, between and after the marks."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{path} must hold the lines {BEGIN} and {END} once, in this order; put them back")
    head, _, rest = text.partition(BEGIN)
    between, _, tail = rest.partition(END)
    return head, between, tail


def main() -> None:
    """Write the table into a README, or with --check only say whether it is current."""
    parser = argparse.ArgumentParser(description="Put the results between the marks of a README.")
    parser.add_argument("readme", type=Path, nargs="?", default=ROOT / "README.md")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where the table is not current")
    args = parser.parse_args()
    if args.check:
        raise SystemExit(0 if is_current(args.readme, args.results) else f"{args.readme} must be updated: make bench")
    print(f"{args.readme} {'updated' if update_readme(args.readme, args.results) else 'was current'}")


if __name__ == "__main__":
    main()
