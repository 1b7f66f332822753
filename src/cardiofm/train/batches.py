"""Batches of augmented windows, each a pure function of (seed, step, rank).

Legend: `B` windows, `C` channels (ecg, ppg), `N` samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from cardiofm.config import ConfigError
from cardiofm.signals import InputSpec, SignalError
from cardiofm.train.augment import AugmentConfig, Views, augment, draw_rate, play
from cardiofm.train.targets import describe

PAIRED = ("ecg", "ppg")
KINDS: tuple[tuple[str, ...], ...] = (PAIRED, ("ecg",), ("ppg",))
REDRAWS = 8  # attempts to find another patient for the batch, and to find a window with signal


class Segments(Protocol):
    """What is asked of `cardiofm.data.store.Store`: stored segments at the model's rate and a table about them.

    `rows[name]` is a column: dataset, record, patient, split, fs_hz, samples, has_ecg, has_ppg. `read(i)` has `values`
    (2, N) float32, `valid` (2, N) and `in_mv` (2,). `noise`, kind → (2, M) in mV, is there if the manifest names it.
    """

    rows: Any
    manifest: dict[str, Any]
    noise: Any

    def __len__(self) -> int: ...

    def read(self, i: int, /) -> Any: ...


@dataclass(frozen=True)
class BatchConfig:
    """Which windows a batch holds."""

    size: int = 32  # windows a batch, over all processes; even: windows 2i and 2i+1 are of one record
    paired_share: float = 0.5  # probability that a batch holds ECG and PPG, where the store has single channels too
    weights: dict[str, float] = field(default_factory=dict)  # factor on a dataset's share, by default √hours; 0: unused
    split: str = "train"
    modalities: tuple[str, ...] = PAIRED  # one alone: no window shows the other (ablation)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        if self.size < 2 or self.size % 2:
            raise ConfigError(f"batches.size must be even and at least 2, found {self.size}")
        if not 0 <= self.paired_share <= 1:
            raise ConfigError(f"batches.paired_share must lie between 0 and 1, found {self.paired_share:g}")
        if self.modalities not in KINDS:
            raise ConfigError(f"batches.modalities must be ecg, ppg or both in this order, found {self.modalities}")
        if any(w < 0 for w in self.weights.values()):
            raise ConfigError(f"batches.weights must not be negative, found {self.weights}")


@dataclass(frozen=True)
class Batch:
    """Windows for one step; windows 2i and 2i+1 come from the same stored segment. A sample that is not valid is 0."""

    x_BCN: Tensor  # float32, the input, with noise
    target_BCN: Tensor  # float32, the same without noise
    valid_BCN: Tensor  # bool
    in_mv_BC: Tensor  # bool: the amplitude is in mV
    present: tuple[str, ...]  # the modalities of this batch; the row of the other one is all invalid
    hours: float = 0.0  # windows × window length
    map_BCT: Tensor | None = None  # float32, the beat map of the clean signal; None where it was not asked for
    facts_BF: Tensor | None = None  # float32, what describes the clean signal, NaN where not measurable
    records: tuple[str, ...] = ()  # "dataset/record" of windows 0 and 1, 2 and 3, …

    def rows(self, index: slice | Tensor) -> Self:
        """Some of the windows."""
        return replace(self, **{n: t[index] for n, t in self._tensors()})

    def suspects(self) -> tuple[str, ...]:
        """The recordings with a sample that is not finite; where there is none, all of the batch."""
        fine_BCN = torch.isfinite(self.x_BCN) & torch.isfinite(self.target_BCN)
        fine_B = fine_BCN.flatten(1).all(-1).tolist()
        bad = [name for i, name in enumerate(self.records) if not all(fine_B[2 * i : 2 * i + 2])]
        return tuple(dict.fromkeys(bad or self.records))

    def to(self, device: torch.device) -> Self:
        """The same batch on `device`."""
        return replace(self, **{n: t.to(device, non_blocking=True) for n, t in self._tensors()})

    def _tensors(self) -> list[tuple[str, Tensor]]:
        return [(f.name, t) for f in fields(self) if isinstance(t := getattr(self, f.name), Tensor)]


@dataclass(frozen=True)
class _Pool:
    """The rows of one kind of batch and the cumulative probability with which each is drawn."""

    index: np.ndarray
    cumulative: np.ndarray
    total: float  # sum of the dataset weights

    def draw(self, rng: np.random.Generator) -> int:
        at = int(np.searchsorted(self.cumulative, rng.random(), side="right"))
        return int(self.index[min(at, len(self.index) - 1)])


class Batches:
    """`batches(step, rank, world)` is that step's batch; calls in any order, again, or after a restart agree.

    With `world` processes, the batches of ranks 0, 1, … laid end to end are the batch of one process.
    """

    def __init__(self, store: Segments, spec: InputSpec, config: BatchConfig, seed: int) -> None:
        self.store, self.spec, self.config, self.seed = store, spec, config, seed
        self.noise = store.noise if store.manifest.get("noise") else {}
        rows = store.rows
        rates = sorted({float(fs) for fs in np.asarray(rows["fs_hz"])})
        if rates != [spec.fs_hz]:
            raise SignalError(f"the store must be at the model's {spec.fs_hz:g} Hz, found {rates}; prepare it again")
        self.samples = np.asarray(rows["samples"]).astype(np.int64)
        named = list(zip(*(_text(rows, n) for n in ("dataset", "patient", "record")), strict=True))
        self.patients = [f"{d}/{p or r}" for d, p, r in named]
        self.records = [f"{d}/{r}" for d, _, r in named]
        self.pools = self._pools(rows)
        if not self.pools:
            raise SignalError(
                f"the store must hold segments of split {config.split!r} with a weight above 0, found none among "
                f"{len(self.samples)}; prepare more datasets or change batches.split or batches.weights"
            )

    def __call__(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """That rank's share of the batch of `step`."""
        pairs, rest = divmod(self.config.size, 2 * world)
        if rest or not 0 <= rank < world:
            raise ConfigError(
                f"batches.size must be a multiple of {2 * world} for {world} processes, found {self.config.size}"
            )
        rng = np.random.default_rng([self.seed, step])
        present = self._kind(rng)
        rows = self._rows(present, rng)
        views: list[Views] = []
        for pair in range(rank * pairs, (rank + 1) * pairs):
            views += self._pair(rows[pair], present, np.random.default_rng([self.seed, step, 1 + pair]))
        x, target, valid, in_mv = (torch.from_numpy(np.stack(part)) for part in zip(*views, strict=True))
        records = tuple(self.records[r] for r in rows[rank * pairs : (rank + 1) * pairs])
        if not valid.any():
            if world > 1:
                self(step)  # fails where the other processes have none either
            else:
                raise SignalError(
                    f"a batch must hold a valid sample, found none at step {step} in {listed(records)}; prepare again "
                    "or give the dataset the weight 0 in batches.weights"
                )
        described = (describe(v.target, v.valid, v.in_mv, self.spec.fs_hz) for v in views)
        maps, facts = (torch.from_numpy(np.stack(part)) for part in zip(*described, strict=True))
        return Batch(x, target, valid, in_mv, present, len(x) * self.spec.window_s / 3600, maps, facts, records)

    def _pools(self, rows: Any) -> dict[tuple[str, ...], _Pool]:
        datasets, split = np.array(_text(rows, "dataset")), np.array(_text(rows, "split"))
        ecg, ppg = (np.asarray(rows[n]).astype(bool) for n in ("has_ecg", "has_ppg"))
        for name in self.config.weights:
            if name not in datasets:
                known = ", ".join(sorted(set(datasets.tolist())))
                raise ConfigError(f"batches.weights names {name!r}, which the store does not hold; it holds {known}")
        pools = {}
        alone = len(self.config.modalities) == 1  # then paired records lend their one channel
        kinds = dict(zip(KINDS, (ecg & ppg, ecg & (alone | ~ppg), ppg & (alone | ~ecg)), strict=True))
        for kind in KINDS if not alone else (self.config.modalities,):
            of_kind = kinds[kind]
            weight = np.zeros(len(datasets))
            for name in sorted(set(datasets.tolist())):
                here = of_kind & (split == self.config.split) & (datasets == name)
                hours = self.samples[here].sum() / self.spec.fs_hz / 3600
                if hours > 0:  # a row's chance is its share of the dataset's hours
                    share = self.config.weights.get(name, 1.0) * np.sqrt(hours)
                    weight[here] = share * self.samples[here] / self.samples[here].sum()
            (index,) = np.nonzero(weight)
            if len(index):
                total = float(weight.sum())
                pools[kind] = _Pool(index, np.cumsum(weight[index]) / total, total)
        return pools

    def _kind(self, rng: np.random.Generator) -> tuple[str, ...]:
        paired, which = rng.random(2)
        single = [k for k in KINDS[1:] if k in self.pools]
        if not single or (PAIRED in self.pools and paired < self.config.paired_share):
            return PAIRED
        share = np.cumsum([self.pools[k].total for k in single])
        return single[min(int(np.searchsorted(share / share[-1], which, side="right")), len(single) - 1)]

    def _rows(self, present: tuple[str, ...], rng: np.random.Generator) -> list[int]:
        """One row for each pair of windows, of different patients where a few draws find them."""
        pool, rows, seen = self.pools[present], [], set()
        for _ in range(self.config.size // 2):
            row = pool.draw(rng)
            for _ in range(REDRAWS):
                if self.patients[row] not in seen:
                    break
                row = pool.draw(rng)
            seen.add(self.patients[row])
            rows.append(row)
        return rows

    def _pair(self, row: int, present: tuple[str, ...], rng: np.random.Generator) -> list[Views]:
        try:
            segment = self.store.read(row)
        except OSError as error:
            raise SignalError(
                f"segment {row} of {self.records[row]} must be readable: {error}; prepare again"
            ) from error
        here = np.array([m in present for m in self.spec.channels])
        values, valid = np.asarray(segment.values), np.asarray(segment.valid) & here[:, None]
        in_mv = np.asarray(segment.in_mv) & here
        starts = self._starts(valid, rng)
        return [self._window(values, valid, in_mv, start, rng) for start in starts]

    def _starts(self, valid: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        """First samples of two neighbouring windows at a random distance; apart where the segment has room for both."""
        size = self.spec.samples
        spare = max(0, valid.shape[1] - size)
        best, most = (0, 0), -1
        for _ in range(REDRAWS):
            distance = int(rng.integers(min(size, spare) if spare >= size else 0, spare + 1))
            first = int(rng.integers(spare - distance + 1))
            pair = (first, first + distance) if rng.random() < 0.5 else (first + distance, first)
            good = min(int(valid[:, s : s + size].sum()) for s in pair)
            if good > most:
                best, most = pair, good
            if spare == 0 or 2 * good > size * valid.any(axis=1).sum():
                break
        return best

    def _window(
        self, values: np.ndarray, valid: np.ndarray, in_mv: np.ndarray, start: int, rng: np.random.Generator
    ) -> Views:
        rate = draw_rate(rng, self.config.augment)
        stop = start + int(np.ceil(self.spec.samples * rate)) + 1
        cut, mask = play(values[:, start:stop], valid[:, start:stop], rate, self.spec.samples)
        return augment(cut, mask, in_mv, rng, self.config.augment, fs_hz=self.spec.fs_hz, noise=self.noise)


def prefetch(
    batches: Callable[[int, int, int], Batch], first: int, stop: int, rank: int, world: int, depth: int = 4
) -> Generator[Batch, None, None]:
    """The batches of steps first … stop-1 in order, `depth` of them prepared ahead by one background thread."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
    ahead: deque[Future[Batch]] = deque()
    try:
        for step in range(first, stop):
            while len(ahead) < min(depth, stop - step):
                ahead.append(pool.submit(batches, step + len(ahead), rank, world))
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names in a sentence, each once.

    >>> listed(["a", "b", "a"]), listed(["a", "b", "c", "d"], most=2)
    ('a, b', 'a, b and 2 more')
    """
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _text(rows: Any, name: str) -> list[str]:
    return ["" if v is None else str(v) for v in np.asarray(rows[name]).tolist()]
