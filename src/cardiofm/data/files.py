"""Which recordings a user means by files, globs and folders, and outputs that appear only when they are complete."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cardiofm.data.readers import KNOWN
from cardiofm.signals import Embedding, SignalError

SIGNALS = (".hea", ".edf", ".bdf", ".vital", ".dcm")  # these hold nothing but recordings; the others may hold anything


def recordings(paths: Sequence[str | Path]) -> list[tuple[Path, bool]]:
    """Each recording meant by files, globs and folders, once and in order: (path, was it certainly meant?).

    A WFDB recording is its header. A folder stands for all that may be a recording below it; a table or an array that
    only lies there is not certainly meant. Text files, which are mostly readmes and licences, and the segments of a
    longer recording are left out there. Raises SignalError when there is nothing.
    """
    found: dict[Path, bool] = {}
    for given in paths:
        path = Path(given)
        if path.is_dir():
            shown = (p for p in path.rglob("*") if not p.name.startswith("."))  # outputs begin as hidden files
            inside = sorted(p for p in shown if p.suffix.lower() in KNOWN and p.suffix.lower() != ".txt")
            segments = {s for p in inside if p.suffix == ".hea" for s in _segments(p)}
            headers = dict.fromkeys(_header(p) for p in inside if p.is_file())
            below = [p for p in headers if p not in segments and p.suffix.lower() != ".dat"]
            if not below:
                raise SignalError(_nothing_in(path))
            found |= {p: found.get(p, False) or p.suffix.lower() in SIGNALS for p in below}
        elif glob.has_magic(str(path)) and not path.exists():
            matches = sorted(glob.glob(str(path), recursive=True))
            if not matches:
                raise SignalError(f"a pattern must match files, found none for {path}; check the path")
            found |= dict.fromkeys((_header(Path(m)) for m in matches), True)
        else:
            found[_header(path)] = True
    if not found:
        raise SignalError("there must be a recording to work on, found none; name files, patterns or folders")
    return list(found.items())


def _nothing_in(folder: Path) -> str:
    """What to say of a folder in which there is nothing to work on."""
    text = next((p for p in sorted(folder.rglob("*")) if p.suffix.lower() == ".txt"), None)
    if text is not None:
        pattern = text.parent / f"*{text.suffix}"
        return (
            f"text files must be named to be read, found no other recordings in {folder}; "
            f"name them, or a pattern such as '{pattern}'"
        )
    kinds = " ".join(kind for kind in KNOWN if kind not in (".txt", ".dat"))  # a .dat counts by its header
    return f"a folder must hold recordings, found none of {kinds} in {folder}; name another folder, or files"


def _header(path: Path) -> Path:
    """The WFDB header beside a signal file or a bare record name, else the path itself."""
    for header in (path.with_suffix(".hea"), path.with_name(path.name + ".hea")):
        if path.suffix.lower() in (".dat", ".mat", "") and header.is_file():
            return header
    return path


def _segments(header: Path) -> Iterator[Path]:
    """The headers that a multi-segment WFDB header names: "name/3 …", then one segment name a line."""
    lines = _lines(header)
    if lines and "/" in lines[0][0]:
        yield from (header.with_name(line[0] + ".hea") for line in lines[1:])


def _lines(header: Path) -> list[list[str]]:
    """The words of each line of a WFDB header that is no comment."""
    with header.open(encoding="utf-8", errors="replace") as file:
        return [line.split() for line in file if line.strip() and not line.startswith("#")]


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to; what was written takes the place of `path` when the block ends well, else it is removed."""
    check_folder(path)
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_embeddings(embeddings: Iterable[Embedding], path: Path) -> int:
    """Write one row per window as .parquet or .csv says; gives the number of rows.

    Columns: record, start_s, has_ecg, has_ppg, quality_ecg, quality_ppg, embedding (a list of float32; in CSV one
    column per number, e0, e1, …). Without any embedding nothing is written. Raises SignalError for another extension.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    check_embeddings_path(path)
    tables = []
    for e in embeddings:
        flat = pa.array(e.values.astype("float32").ravel())
        columns = {"record": [e.record] * len(e), "start_s": e.start_s}
        columns |= {"has_ecg": e.present[:, 0], "has_ppg": e.present[:, 1]}
        columns |= {"quality_ecg": e.quality[:, 0], "quality_ppg": e.quality[:, 1]}
        width = e.values.shape[1]
        if path.suffix.lower() == ".csv":
            columns |= {f"e{i}": e.values[:, i] for i in range(width)}
        else:
            columns["embedding"] = pa.FixedSizeListArray.from_arrays(flat, width).cast(pa.list_(pa.float32()))
        tables.append(pa.table(columns))
    if not tables:
        return 0
    table = pa.concat_tables(tables)
    with whole(path) as partial:
        if path.suffix.lower() == ".csv":
            pyarrow.csv.write_csv(table, partial)
        else:
            pyarrow.parquet.write_table(table, partial, compression="zstd")
    return table.num_rows


def check_embeddings_path(path: Path) -> None:
    """Refuse, before any work is done, an output that could not be written."""
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise SignalError(f"the output must end in .parquet or .csv, found {path.name!r}; change its name")
    check_folder(path)


def check_folder(path: Path) -> None:
    """Refuse, before any work is done, an output in a folder that does not exist."""
    if not path.parent.is_dir():
        raise SignalError(f"the output's folder {path.parent} must exist, found none; make it first")


def unasked(path: Path) -> Path:
    """An output that nobody named: it takes no other's place. Raises SignalError where there is one already."""
    if path.exists():
        raise SignalError(
            f"an output that -o does not name must be new, found {path}; give -o {path} to replace it, or another name"
        )
    return path


def spare(output: Path, given: Sequence[str | Path]) -> None:
    """Refuse, before any work is done, an output without a folder, or in the place of a recording that will be read."""
    check_folder(output)
    own = {output.resolve()} | ({output.with_suffix(".dat").resolve()} if output.suffix.lower() == ".hea" else set())
    if given and any(meant and not own.isdisjoint(_files(path)) for path, meant in recordings(given)):
        raise SignalError(f"the output must be another file than what is read, found {output}; give another name")


def _files(recording: Path) -> Iterator[Path]:
    """What a recording is made of: the file itself and, of a WFDB header, the files of signals that it names."""
    yield recording.resolve()
    if recording.suffix.lower() == ".hea" and recording.is_file():
        yield from (recording.with_name(line[0]).resolve() for line in _lines(recording)[1:])
