"""The published table: Markdown from `results/*.json`, put between two marks of the README, and nothing by hand.

`python -m cardiofm.evaluate.report README.md` writes it; a test compares.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cardiofm.evaluate.run import ROOT

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
_METHODS = {
    "model": "CardioFM",
    "mean": "train-mean window",
    "line": "straight line",
    "match": "best-matching stretch",
    "untrained": "untrained network",
}


def render(results_dir: str | Path) -> str:
    """Markdown of all the results in a folder, in a fixed order; every number in it stands in one of the files."""
    parts = []
    for name, write in (("reconstruction", _reconstruction), ("retrieval", _retrieval), ("throughput", _throughput)):
        path = Path(results_dir) / f"{name}.json"
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


def _reconstruction(result: dict[str, Any]) -> list[str]:
    """A row for each group, condition and channel; a cell is PRD in % / r of a method."""
    by: dict[tuple[str, ...], dict[tuple[str, str], dict[str, Any]]] = {}
    for row in result["rows"]:
        if row["set"] in result["groups"]:
            key = (row["set"], row["channel"], row["condition"], row["other"])
            by.setdefault(key, {})[row["method"], row["metric"]] = row
    lines = [
        "**Reconstruction** of real 10-second windows of patients never trained on: PRD in % / Pearson r over the "
        "hidden samples (over all where nothing is hidden). PRD is the median over patients, r the mean; in brackets "
        "the bootstrap 95 % interval over patients. The mean of the hidden truth would score 100 / 0. A channel that "
        "is hidden throughout is given its own true mean and spread, in every column.",
        "",
        *_header(("patients", "channel", "condition", "other channel", *_METHODS.values(), "n (refused)")),
    ]
    for key in sorted(by, key=lambda k: (list(result["groups"]).index(k[0]), k[1])):
        found = by[key]
        prd = found["model", "prd"]
        count = f"{prd['patients']} patients, {prd['windows']} windows ({prd['refused']})"
        cells = [_pair(found, method) for method in _METHODS]
        lines.append(_line((key[0], key[1].upper(), key[2], key[3].replace("-", "–"), *cells, count)))
    kinds = "; ".join(f"{name}: {meaning}" for name, meaning in result["groups"].items())
    return [*lines, "", f"{kinds}. {_behind('reconstruction', result)}"]


def _pair(found: dict[tuple[str, str], dict[str, Any]], method: str) -> str:
    prd, r = found.get((method, "prd")), found.get((method, "r"))
    if prd is None or r is None:
        return "–"
    if method != "model":
        return f"{_number(prd['value'], 0)} / {_number(r['value'], 2)}"
    return f"**{_number(prd['value'], 0)}**{_range(prd, 0)} / **{_number(r['value'], 2)}**{_range(r, 2)}"


def _range(row: dict[str, Any], digits: int) -> str:
    return "" if row["low"] is None else f" [{_number(row['low'], digits)}, {_number(row['high'], digits)}]"


def _number(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # adding 0 turns -0 into 0


def _retrieval(result: dict[str, Any]) -> list[str]:
    """A row for each method: how often the nearest window is the same patient's."""
    first = result["rows"][0]
    lines = [
        f"**Nearest neighbour** of a window of BIDMC (never trained on) among windows of other records or at least "
        f"{result['apart_s']:.0f} s away: share that is the same patient, mean over {first['patients']} patients "
        f"({first['windows']} windows, {result['records']} records).",
        "",
        *_header(("method", "same patient", "95 %")),
    ]
    for row in result["rows"]:
        bounds = "–" if row["low"] is None else f"{row['low']:.1%} to {row['high']:.1%}"
        lines.append(_line((result["methods"][row["method"]], f"{row['value']:.1%}", bounds)))
    return [*lines, "", _behind("retrieval", result)]


def _throughput(result: dict[str, Any]) -> list[str]:
    """A row for each model, backend and number of threads; a column for each batch, and one for the whole door."""
    columns = [("encode", 1), ("encode", 16), ("encode", 128), ("embed", 16)]
    by = {(r["model"], r["backend"], r["threads"], r["what"], r["batch"]): r for r in result["rows"]}
    (peer,) = (r for r in result["rows"] if r["model"] == "neurokit2")
    memory = result["memory_mib"]
    lines = [
        f"**Speed** in 10-second ECG + PPG windows per second (times NeuroKit2 in the same round; median of "
        f"{result['rounds']} interleaved rounds): {result['hardware']}. NeuroKit2 clean + peaks on the same windows: "
        f"{peer['value']:.1f} windows/s, {memory['neurokit2']:.0f} MiB.",
        "",
        *_header(("model", "by", "threads", "batch 1", "batch 16", "batch 128", "from a Record", "peak memory")),
    ]
    for model, backend, threads in dict.fromkeys(k[:3] for k in by if k[0] != "neurokit2"):
        cells = [by[model, backend, threads, *column] for column in columns]
        speed = [f"{c['value']:.1f} (×{c['ratio']:.2f})" for c in cells]
        size = f"{memory[f'{model} {backend}']:.0f} MiB" if threads == 1 else "–"
        lines.append(_line((model, backend, str(threads), *speed, size)))
    return [*lines, "", _behind("throughput", result)]


def _behind(name: str, result: dict[str, Any]) -> str:
    """Where the numbers stand and which weights made them."""
    model = result["model"]
    step = f", step {model['step']}" if "step" in model else ""
    return f"`results/{name}.json`, made by `{result['command']}` with `{model['name']}` {model['sha256'][:12]}{step}."


def _header(names: tuple[str, ...]) -> list[str]:
    return [_line(names), "|" + "---|" * len(names)]


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


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
