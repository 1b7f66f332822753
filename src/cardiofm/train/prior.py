"""Counts of what codes occur, from the store's training windows: the prior that makes them short.

`python -m cardiofm.train.prior FOLDER --store store` writes `prior.safetensors` into a model folder. Nothing but counts
is learned; they are whole numbers, so every machine codes alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cardiofm.codec import prior, wavelet
from cardiofm.codec.arithmetic import Bits, Counter, number
from cardiofm.codec.layers import (
    CENTRE,
    FINE,
    LEFT,
    SIDE,
    SIGNAL,
    SPREAD,
    Clock,
    Codes,
    code_windows,
)
from cardiofm.codec.past import BASIS
from cardiofm.codec.plan import COARSE, Piece, piece
from cardiofm.codec.prior import CLASSES, UNIT, Tables
from cardiofm.codec.tokens import DEEPER, Blocks
from cardiofm.data.store import Store
from cardiofm.model.checkpoint import read_config
from cardiofm.signals import MODALITIES, InputSpec, Record, Signal

PRICES = (0.0, -2.0, -4.0)  # octaves of a bit's price: about 30, 60 and 120 bit/s
SHARP = 185.0  # a code's chance halves with every 1/64 of this much squared distance: a spread of 0.5
FIRM = 40.0  # at most so many training bits weigh against what a recording shows
LEAST_KNOWN = 0.95
_WINDOWS = 6


class Tally(Bits):
    """Adaptive chances that also count everything."""

    def __init__(self, counts: NDArray[np.integer], total: NDArray[np.float64]) -> None:
        super().__init__(counts)
        self.total = total

    def learn(self, context: int, value: int) -> None:
        self.total[value, context] += 1
        super().learn(context, value)


def untrained(folder: Path) -> tuple[Tables, Tables]:
    """Tables that know nothing but the model's codebooks."""
    config = read_config(folder)
    quantizer, patch = config["quantizer"], config["spec"]["patch"]
    width, samples = quantizer["group"] * quantizer["width"], quantizer["group"] * patch
    basis = cosines(width, samples)
    out = []
    for modality in MODALITIES:
        book = prior.weights(folder)[0][modality]
        often = np.ones((book.shape[1], book.shape[0], book.shape[2]))
        out.append(
            Tables(book, basis, often, np.full(book.shape[0], SHARP), np.full((CLASSES, 2, DEEPER), 2),
                   np.full((2, SIDE), 2), np.full((2, len(wavelet.RATES), 2, wavelet.SLOTS), 2))
        )  # fmt: skip
    return out[0], out[1]


def cosines(width: int, samples: int) -> NDArray[np.float64]:
    """The first `width` orthonormal DCT-II vectors, whole numbers in 1 / BASIS."""
    angle = np.pi / samples * np.outer(np.arange(width), np.arange(samples) + 0.5)
    basis = np.cos(angle) * np.sqrt(2 / samples)
    basis[0] /= np.sqrt(2)
    return np.rint(basis * BASIS)


def chosen(store: Store, modality: str, limit: int, seed: int, split: str = "train") -> list[int]:
    """Segments of a split with a known channel, as many of each dataset as there are, up to `limit`."""
    rows, rng = store.rows, np.random.default_rng(seed)
    own = np.flatnonzero((rows["split"] == split) & rows[f"has_{modality}"])
    order = {name: rng.permutation(own[rows["dataset"][own] == name]) for name in np.unique(rows["dataset"][own])}
    turns = [part[k] for k in range(limit) for part in order.values() if k < len(part)]
    return [int(i) for i in turns[:limit]]


def pieces(
    store: Store, tables: Tables, spec: InputSpec, modality: str, limit: int, seed: int, split: str = "train"
) -> list[Piece]:
    """Segments, each as a chunk of one channel."""
    out = []
    for i in chosen(store, modality, limit, seed, split):
        window, fs_hz = store.read(i), float(store.rows["fs_hz"][i])
        c = MODALITIES.index(modality)
        values = np.where(window.valid[c], window.values[c], np.float32(np.nan))
        signal = Signal(values, fs_hz, "", modality)
        record = Record("", signal) if modality == "ecg" else Record("", ppg=signal)
        windows = min(_WINDOWS, max(1, int(record.duration_s // spec.window_s)))
        one = piece(record, modality, tables, Clock(fs_hz, 0.0, 0.0, windows), spec, False)
        if one is not None and one.known_N.mean() >= LEAST_KNOWN:
            out.append(one)
    return out


def counted(tables: Tables, found: Sequence[Piece], spec: InputSpec) -> Tables:
    """The tables with the counts that pieces leave behind."""
    often = np.zeros(tables.often.shape)
    deeper, side = np.zeros((CLASSES, 2, DEEPER)), np.zeros((2, SIDE))
    waves = np.zeros((2, len(wavelet.RATES), 2, wavelet.SLOTS))
    for one in found:
        bits = Tally(tables.side, side)
        number(Counter(), bits, SPREAD, one.given.spread)
        number(Counter(), bits, CENTRE, one.given.mean)
        for octave in PRICES:
            group = round(-octave) + 2
            blocks = Blocks(tables, group)
            blocks.deeper = Tally(tables.deeper[group], deeper[group])
            given = replace(one.given, price=2.0**octave * UNIT * UNIT)
            codes = code_windows(Counter(), blocks, bits, one.known_N, spec, given)
            _use(often, codes, tables.group)
            _layer(waves[LEFT], tables.waves[LEFT], one.signal_N - codes.plain / UNIT, one.seconds, bits)
        _layer(waves[SIGNAL], tables.waves[SIGNAL], one.signal_N, one.seconds, bits)
    trained = [k for k in range(CLASSES) if deeper[k].any()]
    near = [min(trained, key=lambda t, k=k: abs(t - k)) for k in range(CLASSES)] if trained else range(CLASSES)
    return replace(
        tables,
        often=np.rint(4 * often + often.mean(-1, keepdims=True)) + 1,
        deeper=np.stack([firm(deeper[k]) for k in near]),
        side=firm(side),
        waves=firm(waves),
    )


def firm(total: NDArray[np.float64]) -> NDArray[np.int64]:
    """Counts to start from, of what was seen in training."""
    weight = np.minimum(1.0, FIRM / np.maximum(total.sum(-2, keepdims=True), 1.0))
    return np.rint(2 * total * weight).astype(np.int64) + 1


def _use(often: NDArray[np.float64], codes: Codes, group: int) -> None:
    book_S = np.minimum(np.arange(codes.codes.shape[1]) % group, 1)
    for q in range(codes.codes.shape[2]):
        used = codes.depth > q
        book = np.broadcast_to(book_S, used.shape)
        at = (book[used] * codes.codes.shape[2] + q) * often.shape[-1] + codes.codes[..., q][used]
        often += np.bincount(at, minlength=often.size).reshape(often.shape)


def _layer(
    total_R: NDArray[np.float64], counts_R: NDArray[np.int64], signal_N: NDArray[np.float64], seconds: float, bits: Bits
) -> None:
    waves = wavelet.spectrum(signal_N)
    for total, counts, rate in zip(total_R, counts_R, wavelet.RATES, strict=True):
        step, bands = wavelet.finest(waves, counts, rate * seconds, COARSE)
        number(Counter(), bits, FINE, step // 4)
        total += wavelet.counted(*wavelet.decisions(bands)[:2])


def train(folder: Path, store: Store, limit: int, seed: int = 0, rounds: int = 2) -> tuple[Tables, Tables]:
    """Write the prior of a model folder from `limit` minutes of each channel; the tables."""
    spec = InputSpec(**{k: v for k, v in read_config(folder)["spec"].items() if k != "channels"})
    out = list(untrained(folder))
    for c, modality in enumerate(MODALITIES):
        found = pieces(store, out[c], spec, modality, limit, seed)
        for _ in range(rounds):  # what is chosen depends on what is thought likely
            out[c] = counted(out[c], found, spec)
    prior.save(folder, (out[0], out[1]))
    return out[0], out[1]


def main() -> None:
    """Count, and write the prior into the folder."""
    parser = argparse.ArgumentParser(description="Make the prior of a model folder from a store's training windows.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", type=Path, default=Path("store"))
    parser.add_argument("--limit", type=int, default=24, help="segments of a minute of each channel (default: 24)")
    args = parser.parse_args()
    train(args.folder, Store(args.store), args.limit)
    print(f"prior: {args.folder / prior.PRIOR}")


if __name__ == "__main__":
    main()
