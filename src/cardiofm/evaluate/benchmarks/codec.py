"""The codec in real bytes: PRD, R peaks, QT and PAT after decoding, beside a real classical coder, FLAC and xz.

Writes results/codec.json and results/codec.png, on a minute (or the whole, where it is shorter) of recordings of people
that were never trained on. The rate is what the chunks of a .cfm file take, check sums and times included; the header,
once a file, stands beside it. The classical coder is written by the same code into the same container.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import lzma
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cardiofm.codec import container
from cardiofm.codec.recording import Codec
from cardiofm.data import catalog
from cardiofm.data.windows import resample
from cardiofm.evaluate import run
from cardiofm.evaluate.bootstrap import interval
from cardiofm.evaluate.metrics import prd
from cardiofm.evaluate.rows import Metric, Score, summarised
from cardiofm.pipeline import Model, load
from cardiofm.signals import Measurement, Record, Signal

SETS = ("bidmc", "challenge-2015", "ludb", "ppg-bp")
RATES = (16.0, 32.0, 64.0, 128.0, 256.0, 512.0)  # bit/s a channel
MEASURED = (64.0, 128.0, 256.0)
SHOWN = (32.0, 64.0, 128.0)
LENGTH_S = 60.0
NEAR_S = 0.05
KEYS = ("set", "channel", "rate", "method")
METHODS = {
    "model": "CardioFM: codes, from 24 bit/s on with a classical layer where it pays; what looks alike averaged",
    "classical": "bior4.4 wavelet, rate-distortion quantiser, adaptive context range coder, in the same container",
    "flac": "resampled, quantised and FLAC: the best of five rates and eight depths that the bits pay for",
    "xz": "16-bit samples, differences, xz: without loss",
    "lossless": "CardioFM, bit for bit",
}
METRICS = {
    "prd": Metric("PRD in %, mean removed, median over patients", "median", 2),
    "bits": Metric("bit/s of the chunks, all bytes, mean over patients", "mean", 1),
    "plain": Metric(
        "bit/s that the same codes would take at 8 bits each, depths not said, mean over patients", "mean", 1
    ),
    "r_f1": Metric("F1 of R peaks within 50 ms of those of the original", "pooled", 4),
    "qt_ms": Metric("|QT of the decoded - QT of the original| in ms, median over beats", "median", 2),
    "pat_ms": Metric("|PAT of the decoded - PAT of the original| in ms, median over beats", "median", 2),
}


@dataclass(frozen=True)
class Minute:
    """A minute of one patient."""

    dataset: str
    patient: str
    record: Record


def parser(about: str | None = __doc__) -> argparse.ArgumentParser:
    """The arguments of `main`."""
    return run.parser(about, 10, "patients of each set")


def main(args: argparse.Namespace) -> None:
    """Code at every rate, print the table, write the results."""
    model = load(args.model, backend=args.backend, threads=args.threads)
    codec = model.codec()
    scores: list[Score] = []
    shown: Minute | None = None
    sizes: list[int] = []
    used = [m for d in SETS for m in minutes(d, args.data_root, args.limit)]
    for minute in track(used, "coding", transient=True):
        before = model.measure(minute.record)
        for method in ("model", "classical"):
            one = codec if method == "model" else replace(codec, codes=False)
            for rate in RATES:
                scores += coded(model, one, method, minute, rate, before, sizes)
        scores += floors(codec, minute)
        shown = shown or (minute if len(minute.record.present) == 2 else None)
    data = {d: about(d, [m for m in used if m.dataset == d]) for d in SETS}
    result = run.save(
        args.out / "codec.json", "codec", summarised(scores, KEYS, METRICS, {}), args.model, data,
        methods=METHODS, metrics={k: m.meaning for k, m in METRICS.items()}, header_bytes=round(float(np.mean(sizes))),
        differences=differences(scores), noise=noise(model, codec),
    )  # fmt: skip
    show(result)
    if shown is not None:
        picture(codec, shown.record, args.out / "codec.png")


def minutes(dataset: str, data_root: Path, limit: int) -> Iterator[Minute]:
    """The middle minute of one recording of each patient, patients in the order of the hash of their names."""
    first: dict[str, catalog.Entry] = {}
    for entry in catalog.entries(dataset, data_root):
        if entry.split == "test" or not catalog.about(dataset).pretrain:
            first.setdefault(entry.patient, entry)
    for patient in sorted(first, key=lambda p: hashlib.sha256(p.encode()).digest())[:limit]:
        record = catalog.load(first[patient], data_root)
        start_s = record.start_s + max(0.0, record.duration_s - LENGTH_S) / 2
        yield Minute(dataset, patient, record.crop(start_s, start_s + LENGTH_S))


def about(dataset: str, used: list[Minute]) -> dict[str, Any]:
    """What was used of a dataset."""
    digest = hashlib.sha256()
    for minute in used:
        for modality in minute.record.present:
            digest.update(samples(minute.record, modality).tobytes())
    found = catalog.about(dataset)
    patients = len({m.patient for m in used})
    return {"folder": found.folder, "licence": found.licence, "patients": patients, "sha256": digest.hexdigest()}


def samples(record: Record, modality: str) -> NDArray[np.float32]:
    """A channel's samples."""
    signal = record.signal(modality)
    assert signal is not None
    return signal.values


def coded(
    model: Model, codec: Codec, method: str, minute: Minute, rate: float, before: Measurement, sizes: list[int]
) -> list[Score]:
    """A score for each channel of a minute at a rate, from the file that was written and read again."""
    record = minute.record
    parts = list(codec.encode(record, rate))
    sizes.append(len(parts[0]))
    data = b"".join(parts)
    again = codec.decode(data)
    seconds = sum(s.duration_s for m in record.present if (s := record.signal(m)))
    bits = 8 * (len(data) - len(parts[0])) / seconds
    after = model.measure(again) if rate in MEASURED and record.duration_s >= 5 else None
    out = []
    for modality in record.present:
        found = named(minute, modality, rate, method) | {"prd": error(record, again, modality), "bits": bits}
        if method == "model":
            found["plain"] = plain(codec, data, modality, record)
        if after is not None and modality == "ecg":
            found |= compared(before, after)
        out.append(found)
    return out


def named(minute: Minute, modality: str, rate: float | None, method: str) -> Score:
    """Where a score belongs."""
    return {
        "set": minute.dataset, "channel": modality, "rate": "–" if rate is None else f"{rate:g}", "method": method,
        "patient": minute.patient, "window": minute.patient,
    }  # fmt: skip


def error(record: Record, again: Record, modality: str) -> float:
    """PRD over the samples that both have; a channel that is not stored counts as its mean."""
    true, signal = samples(record, modality), again.signal(modality)
    drawn = np.full(len(true), np.nan, np.float32) if signal is None else signal.values
    known = np.isfinite(true)
    drawn = np.where(np.isfinite(drawn), drawn, true[known].mean())
    return prd(true[known], drawn[known])


def plain(codec: Codec, data: bytes, modality: str, record: Record) -> float:
    """Bit/s of a channel's codes at 8 bits each."""
    header, at = container.header(data)
    total = 0
    for chunk in container.chunks(data, at):
        one = codec.layers(header, chunk)[("ecg", "ppg").index(modality)]
        total += 0 if one is None or one.codes is None else int(one.codes.depth.sum())
    return 8.0 * total / record.duration_s


def compared(before: Measurement, after: Measurement) -> Score:
    """R peaks, QT and PAT of the decoded beside those of the original."""
    a, b = before.values["r_peak_s"], after.values["r_peak_s"]
    a_at, b_at = np.flatnonzero(np.isfinite(a)), np.flatnonzero(np.isfinite(b))
    if not len(a_at):
        return {}
    near = np.abs(a[a_at][:, None] - b[b_at][None, :]) if len(b_at) else np.full((len(a_at), 1), np.inf)
    match = near.argmin(1)
    hit = near.min(1) <= NEAR_S
    found: Score = {"r_f1": (2.0 * float(hit.sum()), float(len(a_at) + len(b_at)))}
    for name in ("qt_ms", "pat_ms"):
        if len(b_at):
            apart = np.abs(before.values[name][a_at][hit] - after.values[name][b_at[match[hit]]])
            apart = apart[np.isfinite(apart)]
            if len(apart):
                found[name] = float(np.median(apart))
    return found


def floors(codec: Codec, minute: Minute) -> list[Score]:
    """FLAC at each rate; xz and the codec without loss."""
    record, out = minute.record, []
    for modality in record.present:
        signal = record.signal(modality)
        assert signal is not None
        known = np.isfinite(signal.values)
        if not known.any():
            continue
        x = np.interp(np.arange(len(known)), np.flatnonzero(known), signal.values[known])
        fits = list(flac(x, signal.fs_hz, record.duration_s))
        for rate in RATES:
            best = min((e, b) for b, e in [*fits, (0.0, 100.0)] if b <= rate)
            out.append(named(minute, modality, rate, "flac") | {"prd": best[0], "bits": best[1]})
        out.append(named(minute, modality, None, "xz") | {"bits": 8 * len(xz(x)) / record.duration_s})
        alone = Record("", signal) if modality == "ecg" else Record("", ppg=signal)
        parts = list(codec.encode(alone, 16.0, lossless=True))
        same = np.array_equal(samples(codec.decode(b"".join(parts)), modality), signal.values, equal_nan=True)
        bits = 8 * sum(map(len, parts[1:])) / record.duration_s
        out.append(named(minute, modality, None, "lossless") | {"bits": bits, "prd": 0.0 if same else np.nan})
    return out


def flac(x: NDArray[np.float64], fs_hz: float, seconds: float) -> Iterator[tuple[float, float]]:
    """(bit/s, PRD) of a signal resampled, quantised and written as FLAC, at several rates and depths."""
    import soundfile

    spread = float(x.std()) or 1.0
    z = (x - x.mean()) / spread
    for to_hz in (15.625, 31.25, 62.5, 125.0, 250.0):
        if to_hz > fs_hz:
            continue
        low, _ = resample(z, fs_hz, 0.0, to_hz, 0.0, max(2, int(len(z) * to_hz / fs_hz)))
        for depth in range(2, 10):
            step = 8.0 / 2**depth
            whole = np.clip(np.rint(low / step), -32768, 32767).astype(np.int16)
            file = io.BytesIO()
            soundfile.write(file, whole, 8000, format="FLAC", subtype="PCM_16")
            back, ok = resample(whole * step, to_hz, 0.0, fs_hz, 0.0, len(z))
            yield 8 * len(file.getvalue()) / seconds, prd(z, np.where(ok, back, 0.0))


def xz(x: NDArray[np.float64]) -> bytes:
    """Differences of 16-bit samples, packed."""
    low, high = x.min(), x.max()
    whole = np.rint((x - low) / max(high - low, 1e-12) * 65535).astype(np.int64)
    return lzma.compress(np.diff(whole, prepend=0).astype("<i4").view(np.uint8).reshape(-1, 4).T.tobytes(), preset=9)


def noise(model: Model, codec: Codec) -> list[dict[str, Any]]:
    """R peaks that are given in noise without a heart, before coding and after."""
    out = []
    for kind in ("white", "walk"):
        rng = np.random.default_rng(0)
        x = rng.standard_normal(30 * 250) * 0.2
        if kind == "walk":
            x = 0.1 * x.cumsum() + 0.02 * rng.standard_normal(len(x))
        record = Record(kind, Signal(x.astype(np.float32), 250.0, "mV", "II"))
        before = np.isfinite(model.measure(record).values["r_peak_s"]).sum()
        for rate in (32.0, 64.0, 128.0):
            again = codec.decode(b"".join(codec.encode(record, rate)))
            after = np.isfinite(model.measure(again).values["r_peak_s"]).sum()
            out.append({"noise": kind, "rate": f"{rate:g}", "before": int(before), "after": int(after), "seconds": 30})
    return out


def differences(scores: list[Score]) -> list[dict[str, Any]]:
    """By how many % the model's PRD is above the classical coder's on the same minutes, median over patients."""
    by: dict[tuple[Any, ...], dict[str, Score]] = {}
    for s in scores:
        by.setdefault((s["set"], s["channel"], s["rate"], s["patient"]), {})[s["method"]] = s
    cells: dict[tuple[str, ...], list[tuple[float, str]]] = {}
    for (place, channel, rate, patient), found in by.items():
        if "model" in found and found["classical"]["prd"] > 0:
            change = 100 * (found["model"]["prd"] / found["classical"]["prd"] - 1)
            cells.setdefault((place, channel, rate), []).append((change, patient))
    rows = []
    for (place, channel, rate), pairs in cells.items():
        values, patients = zip(*pairs, strict=True)
        names = {"set": place, "channel": channel, "rate": rate, "difference": "model against classical, % of its PRD"}
        rows.append(run.row(interval(values, patients, "median"), 1, **names))
    return rows


def show(result: dict[str, Any]) -> None:
    """A row for each set, channel and rate."""
    table = Table(title="the codec, real bytes")
    for name in ("set", "channel", "bit/s", *METHODS, "difference %", "took", "at 8 bits", "R F1", "QT ms", "PAT ms"):
        table.add_column(name)
    by = {(r["set"], r["channel"], r["rate"], r["method"], r["metric"]): r["value"] for r in result["rows"]}
    change = {(r["set"], r["channel"], r["rate"]): r for r in result["differences"]}
    for place, channel, rate in dict.fromkeys(k[:3] for k in by):
        cell = {k[3:]: v for k, v in by.items() if k[:3] == (place, channel, rate)}
        metric = "bits" if rate == "–" else "prd"
        values = [str(cell.get((m, metric), "–")) for m in METHODS]
        own = [str(cell.get(("model", m), "–")) for m in ("bits", "plain", "r_f1", "qt_ms", "pat_ms")]
        both = change.get((place, channel, rate))
        text = "–" if both is None else f"{both['value']} [{both['low']}, {both['high']}]"
        table.add_row(place, channel, rate, *values, text, *own)
    console = Console(width=200)
    console.print(table)
    console.print(f"noise: {result['noise']}")


def picture(codec: Codec, record: Record, path: Path) -> None:
    """Eight seconds of both channels, original and decoded at three rates."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(SHOWN), 2, figsize=(12, 7), sharex=True, layout="constrained")
    for row, rate in zip(axes, SHOWN, strict=True):
        again = codec.decode(b"".join(codec.encode(record, rate)))
        for axis, modality in zip(row, record.present, strict=True):
            true, made = record.signal(modality), again.signal(modality)
            assert true is not None
            assert made is not None
            part = slice(round(20 * true.fs_hz), round(28 * true.fs_hz))
            t_s = np.arange(part.start, part.stop) / true.fs_hz
            axis.plot(t_s, true.values[part], color="0.7", linewidth=2.5, label="original")
            axis.plot(t_s, made.values[part], color="C3", linewidth=0.9, label="decoded")
            axis.set_title(
                f"{modality.upper()}, {rate:g} bit/s, PRD {error(record, again, modality):.1f} %", fontsize=9
            )
            axis.set_ylabel(true.unit)
    axes[0][0].legend(fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("s")
    figure.savefig(path, dpi=110)
