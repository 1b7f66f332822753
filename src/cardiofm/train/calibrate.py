"""How sure a head may be: its stated errors against people it never saw, clean and in noise, as a map to confidence.

`python -m cardiofm.train.calibrate MODEL HEADS --data-root DIR --store DIR` measures LUDB and QTDB with those heads of
`cardiofm.train.fiducials` that never saw the patient, and validation segments of ICU recordings with the first one; the
calibration goes into the `fiducials.json` of all heads in HEADS.

Shapes: B beats, C channels, N samples.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cardiofm.data.store import Store
from cardiofm.data.windows import cut
from cardiofm.measure.confidence import TOLERANCE_S, Calibration, fit_calibration
from cardiofm.measure.gather import HOP_S, Gathered, Gatherer
from cardiofm.measure.intervals import Seen, seen_intervals, seen_points
from cardiofm.measure.rows import rows
from cardiofm.model.backend import TorchBackend
from cardiofm.model.checkpoint import HEAD
from cardiofm.signals import EVENTS, HeadOutputs, InputSpec, Record
from cardiofm.train import annotated, lone
from cardiofm.train.annotated import FOLDS, FOOT, R, Take
from cardiofm.train.company import Marked, hearts
from cardiofm.train.marked import recorded

SNR_DB = (None, 12.0, 6.0, 0.0, -6.0)
PAIRS = 60  # segments of the validation split
EMPTY = 120  # windows with nothing in them
LEAST_DB = 0.0  # noisier recordings do not teach what beats keep company with
SAME_S = 0.15  # a beat this far from the truth's is that beat
LEAST = {"qt": 0.0}  # its confidence is a person's rather than a beat's: it is given where its points are
INTERVALS = {"pr": ("p_onset", "qrs_onset"), "qrs": ("qrs_onset", "qrs_offset"), "qt": ("qrs_onset", "t_end")}


@dataclass
class Found:
    """Features and whether the error was within tolerance, measure by measure."""

    features: dict[str, list[NDArray]]
    within: dict[str, list[NDArray]]
    beats: list[Marked] = field(default_factory=list)  # recordings whose beats are known

    def add(self, name: str, seen: Seen, truth_s: NDArray, known: NDArray) -> None:
        """Beats with their true times; where `known`, a true time of NaN means that there is none."""
        with np.errstate(invalid="ignore"):
            fine = np.abs(seen.value_s - truth_s) <= TOLERANCE_S[name]
        self.features[name].append(seen.features(name)[known])
        self.within[name].append(fine[known])


def calibration(model: Path, heads: list[Path], data_root: Path, store: Store) -> Calibration:
    """A calibration from people that the heads (one for each fold left out) were not trained on."""
    backends = [TorchBackend(model, head=head) for head in heads]
    spec = backends[0].model.config.spec
    found = Found(defaultdict(list), defaultdict(list))
    draw = np.random.default_rng(17)
    for fold, backend in enumerate(backends):
        for take in annotated.manual(data_root, spec, only=fold):
            if take.kind == "mitdb":
                _keep(found, gather(backend, _record(take, take.values, spec), spec), take, None)
                continue
            for snr_db in SNR_DB[:-1]:
                gathered = _add(found, backend, take, _noisy(take, snr_db, store.noise, spec, draw), spec)
                _keep(found, gathered, take, snr_db)
    turned = {name: noise[:, ::-1] for name, noise in store.noise.items()}  # as the heads never heard it
    pairs: list[tuple[Gathered, Take]] = []
    for take in _pairs(store, spec):
        for snr_db in SNR_DB:
            gathered = _add(found, backends[0], take, _noisy(take, snr_db, turned, spec, draw), spec)
            _keep(found, gathered, take, snr_db)
            pairs.append((gathered, take))
    for _ in range(EMPTY):
        take = annotated.nothing(spec, draw, store.noise)
        _add(found, backends[0], take, take.values, spec)
    made = fit_calibration(
        {n: (np.concatenate(found.features[n]), np.concatenate(found.within[n])) for n in found.features}, LEAST
    )
    made = replace(made, heart=hearts(made, lambda r: gather(backends[0], r, spec), found.beats, store.noise, spec))
    alone = lone.fitted(made, lambda r: gather(backends[0], r, spec), data_root, store.noise, spec)
    return with_pat(replace(made, lone=alone), pairs)


def with_pat(made: Calibration, pairs: list[tuple[Gathered, Take]]) -> Calibration:
    """The calibration with that of PAT, from recordings of both signals as the rest of it reads them.

    Recordings that are paired a beat off are left out: `pat_own_beat` speaks of them, confidence of a beat's own error.
    """
    found = Found(defaultdict(list), defaultdict(list))
    for gathered, take in pairs:
        beats = rows(gathered, (True, True), made)
        points = seen_points(gathered, beats)
        pat = seen_intervals(points, gathered, beats, smoothed=True)["pat"]
        truth, same = _matched(points["r_peak"].value_s, take.beats_s, R)
        true_s = truth[:, FOOT] - truth[:, R]
        known = same & np.isfinite(true_s) & np.isfinite(pat.value_s)
        half_s = float(np.median(np.diff(take.beats_s[:, R]))) / 2
        if known.any() and abs(float(np.median((pat.value_s - true_s)[known]))) < half_s:
            found.add("pat", pat, true_s, known)
    if not found.features:
        return made
    fitted = fit_calibration({"pat": (np.concatenate(found.features["pat"]), np.concatenate(found.within["pat"]))})
    return replace(made, coefficients=made.coefficients | fitted.coefficients)


def _keep(found: Found, gathered: Gathered, take: Take, snr_db: float | None) -> None:
    """A recording whose beats are known, where they can be seen."""
    if snr_db is None or snr_db >= LEAST_DB:
        found.beats.append((gathered, {"ecg": take.beats_s[:, R], "ppg": take.beats_s[:, FOOT]}))


def _pairs(store: Store, spec: InputSpec) -> Iterator[Take]:
    rows_ = np.flatnonzero(store.rows["has_ecg"] & store.rows["has_ppg"] & (store.rows["split"] == "valid"))
    made = (annotated.both(store, spec, int(row)) for row in rows_)
    for _, take in zip(range(PAIRS), (t for t in made if t is not None), strict=False):
        yield take


def _noisy(
    take: Take, snr_db: float | None, noise: dict[str, NDArray], spec: InputSpec, draw: np.random.Generator
) -> NDArray[np.float32]:
    values = take.values.copy()
    for c in range(2):
        if snr_db is not None and take.valid[c].any():
            values[c] += recorded(values[c], take.valid[c], snr_db, noise, c, spec.fs_hz, draw)
    return values


def _add(found: Found, backend: TorchBackend, take: Take, values: NDArray[np.float32], spec: InputSpec) -> Gathered:
    """One take as the head and its decoding see it, against its marks."""
    record = _record(take, values, spec)
    gathered = gather(backend, record, spec)
    present = (record.ecg is not None, record.ppg is not None)
    beats = rows(gathered, present, Calibration(least={"r_peak": 0.1, "ppg_foot": 0.1}))  # doubtful ones teach most
    points = seen_points(gathered, beats)
    seen = points | seen_intervals(points, gathered, beats, smoothed=True)
    n = take.looked.shape[1]
    for anchor, own in ((R, EVENTS[annotated.ECG]), (FOOT, EVENTS[annotated.ECG.stop :])):
        at_s = points[EVENTS[anchor]].value_s
        truth, same = _matched(at_s, take.beats_s, anchor)
        sample = np.clip(np.nan_to_num(np.rint(at_s * spec.fs_hz)).astype(np.int64), 0, n - 1)
        for name in own:
            k = EVENTS.index(name)
            looked = take.looked[k, sample] & np.isfinite(at_s)
            found.add(name, seen[name], truth[:, k], looked & (same | (k == anchor)))
        if anchor == R:
            for name, (first, last) in INTERVALS.items():
                true_s = truth[:, EVENTS.index(last)] - truth[:, EVENTS.index(first)]
                found.add(name, seen[name], true_s, same & np.isfinite(true_s))
            before = np.concatenate(([np.nan], truth[:-1, R]))[: len(truth)]
            found.add("rr", seen["rr"], truth[:, R] - before, same & np.isfinite(before))
    return gathered


def _matched(at_s: NDArray, beats_s: NDArray, anchor: int) -> tuple[NDArray, NDArray[np.bool_]]:
    """The marks of the nearest beat of each row, `(B, K)`, and whether it is the same beat."""
    truth = np.full((len(at_s), len(EVENTS)), np.nan)
    own = beats_s[np.isfinite(beats_s[:, anchor])]
    if len(own) and len(at_s):
        near = np.abs(np.nan_to_num(at_s, nan=-1e9)[:, None] - own[None, :, anchor])
        same = near.min(1) < SAME_S
        truth[same] = own[near.argmin(1)[same]]
        return truth, same
    return truth, np.zeros(len(at_s), bool)


def _record(take: Take, values: NDArray[np.float32], spec: InputSpec) -> Record:
    channels: dict[str, Any] = {
        name: (np.where(take.valid[c], values[c], np.nan).astype(np.float32), spec.fs_hz)
        for c, name in enumerate(("ecg", "ppg"))
        if take.valid[c].any()
    }
    return Record.from_arrays(name=take.kind, **channels)


def gather(backend: TorchBackend, record: Record, spec: InputSpec, batch: int = 8) -> Gathered:
    gatherer, windows = Gatherer(), [w for w in cut(record, spec, HOP_S) if w.valid.any()]
    present = tuple(c for c, s in enumerate((record.ecg, record.ppg)) if s is not None)
    for first in range(0, len(windows), batch):
        some = windows[first : first + batch]
        x, valid, in_mv = (np.stack([getattr(w, n) for w in some]) for n in ("values", "valid", "in_mv"))
        waves, chance, reach, spread = backend.measure(np.where(valid, x, np.float32(0)), valid, in_mv, present)
        for i, w in enumerate(some):
            out = HeadOutputs(w.start_s, spec.fs_hz, waves[i], chance[i], reach[i], spread[i], w.valid)
            gatherer.add(out, w.quality)
    return gatherer.finish()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="the model folder")
    parser.add_argument("heads", type=Path, help="the folder that holds the heads")
    parser.add_argument("--data-root", type=Path, required=True, help="the folder of recordings")
    parser.add_argument("--store", type=Path, default=Path("store"), help="the folder that `cardiofm prepare` wrote")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    without = [given.heads / f"without-{fold}" for fold in range(FOLDS)]
    made = calibration(given.model, without, given.data_root, Store(given.store))
    for folder in (given.heads, *without):
        about = json.loads((folder / HEAD).read_text(encoding="utf-8"))
        (folder / HEAD).write_text(json.dumps(about | {"calibration": asdict(made)}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(asdict(made), indent=1))


if __name__ == "__main__":
    main()
