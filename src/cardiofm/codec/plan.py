"""What a chunk stores at a rate: how many bits go to codes, how many to the classical layer, and which codes.

The price of a bit is searched until the codes take what they may. Several shares are tried; the one whose drawing is
nearest to the signal is kept, so no rate is worse than the classical layer alone but for a bit or two.
Shapes: W windows, C channels (ecg, ppg), N samples of a chunk's grid, T blocks of a window, S tokens of a block,
E code width, n samples of the channel's own clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cardiofm.codec import alike, wavelet
from cardiofm.codec.arithmetic import Counter
from cardiofm.codec.layers import LEFT, MEAN, SIGNAL, Clock, Codes, Given, Layers, layers
from cardiofm.codec.past import BASIS, OCTAVE
from cardiofm.codec.prior import CLASSES, UNIT, Tables
from cardiofm.codec.retouch import Stages
from cardiofm.data.usable import MIN_S
from cardiofm.data.windows import flat, window_at
from cardiofm.model.encoded import Backend
from cardiofm.signals import MODALITIES, InputSpec, Record

LEAST, LOW, HIGH = 24.0, 48.0, 96.0  # bit/s a channel, between which codes have all, or a part
PART = 0.625  # of the bits, for codes
CODES = 64.0, 40.0  # bit/s of codes where more is to be had
TRIES = 6  # of the price of a bit
FILLED = 0.97  # of a budget: near enough
START = (2.0, 38.0)  # octaves of price at so many bit/s
COARSE = 2 * OCTAVE  # steps of the classical layer to an octave
ALIKE_BITS = 8  # of saying how what looks alike is blended in, and how far it is retouched
FAINT = 1e-6  # of its mean: a spread below this is rounding
NOISE = 0.7  # of a window's energy: a drawing that leaves more shows what is not there


@dataclass
class Piece:
    """One channel of a chunk as it is to be stored."""

    tables: Tables
    clock: Clock
    given: Given
    signal_N: NDArray[np.float64]  # in the chunk's spread about its mean; a line over gaps
    known_N: NDArray[np.bool_]
    seconds: float  # known


def code_rates(bits_per_second: float) -> tuple[float, ...]:
    """Which bit/s of codes are tried at a rate; 0 leaves all to the classical layer.

    >>> code_rates(16.0), code_rates(32.0), code_rates(64.0), code_rates(256.0)
    ((16.0, 0.0), (32.0, 20.0, 0.0), (40.0, 0.0), (64.0, 40.0, 0.0))
    """
    if bits_per_second > HIGH:
        return (*CODES, 0.0)
    shares = (1.0, 0.0) if bits_per_second <= LEAST else (1.0, PART, 0.0) if bits_per_second <= LOW else (PART, 0.0)
    return tuple(share * bits_per_second for share in shares)


def piece(record: Record, modality: str, tables: Tables, clock: Clock, spec: InputSpec, lossless: bool) -> Piece | None:
    """A channel of a chunk; None where less than 1 s of it is known."""
    signal = record.signal(modality)
    if signal is None:
        return None
    own_n = _own(record, modality, clock, spec)
    if lossless:
        known_n, none_N = np.isfinite(own_n), np.zeros(clock.windows * spec.samples)
        return Piece(
            tables, clock, Given(known_n, 0, 0, exact_n=own_n), none_N, none_N > 0, known_n.sum() / clock.fs_hz
        )
    known_n = np.isfinite(own_n) & ~flat(own_n, clock.fs_hz)
    windows = [window_at(record, spec, clock.from_s + w * spec.window_s) for w in range(clock.windows)]
    c = MODALITIES.index(modality)
    values_N = np.concatenate([w.values[c] for w in windows]).astype(np.float64)
    seen_N = np.concatenate([w.valid[c] for w in windows])
    known_n = _without_slivers(known_n, clock, spec)
    known_N = clock.known(known_n, spec)
    if not known_N.any():
        return None
    use_N = known_N & seen_N
    line_N = _line(values_N, use_N if use_N.any() else known_N)
    given, signal_N = _normalised(line_N, known_N, known_n, tables, spec)
    return Piece(tables, clock, given, signal_N, known_N, known_n.sum() / clock.fs_hz)


def _own(record: Record, modality: str, clock: Clock, spec: InputSpec) -> NDArray[np.float32]:
    """The channel's own samples in the chunk."""
    signal = record.signal(modality)
    assert signal is not None
    first = clock.first()
    last = min(first + clock.count(spec), len(signal.samples))
    part = np.asarray(signal.samples[first:last], np.float32)
    return -part if signal.inverted else part


def _without_slivers(known_n: NDArray[np.bool_], clock: Clock, spec: InputSpec) -> NDArray[np.bool_]:
    """Windows with less than `MIN_S` of a channel have none of it."""
    known_WN = clock.known(known_n, spec).reshape(clock.windows, -1)
    at = clock.position(spec)[:: spec.samples]
    out = known_n.copy()
    for w in np.flatnonzero(known_WN.sum(1) < MIN_S * spec.fs_hz):
        end = at[w] + spec.window_s * clock.fs_hz
        out[max(0, math.ceil(at[w] - 1e-6)) : max(0, math.ceil(end - 1e-6))] = False
    return out


def _line(values_N: NDArray[np.float64], known_N: NDArray[np.bool_]) -> NDArray[np.float64]:
    at = np.flatnonzero(known_N)
    return np.interp(np.arange(len(values_N)), at, values_N[at]) if len(at) else np.zeros(len(values_N))


def _normalised(
    line_N: NDArray[np.float64],
    known_N: NDArray[np.bool_],
    known_n: NDArray[np.bool_],
    tables: Tables,
    spec: InputSpec,
) -> tuple[Given, NDArray[np.float64]]:
    """What the codes of a channel aim at, each window about its own mean in its own spread."""
    some_N = line_N[known_N] if known_N.any() else line_N
    least = max(1e-12, FAINT * abs(float(some_N.mean())))
    spread = round(OCTAVE * math.log2(max(float(some_N.std()), least)))
    scale = 2.0 ** (spread / OCTAVE)
    mean = round(MEAN * float(some_N.mean()) / scale)
    given = Given(known_n, spread, mean)
    signal_N = line_N / scale - mean / MEAN
    aims = []
    for x_N, k_N in zip(signal_N.reshape(-1, spec.samples), known_N.reshape(-1, spec.samples), strict=True):
        own_N = x_N[k_N] if k_N.any() else x_N
        given.window_spread.append(round(OCTAVE * math.log2(min(max(float(own_N.std()), 2.0**-20), 2.0**20))))
        given.window_mean.append(round(MEAN * float(own_N.mean())))
        z_N = (x_N - given.window_mean[-1] / MEAN) * 2.0 ** (-given.window_spread[-1] / OCTAVE)
        latent_TF = z_N.reshape(-1, tables.basis.shape[1]) @ tables.basis.T / BASIS
        aims.append(np.rint(UNIT * latent_TF).reshape(len(latent_TF), tables.group, -1))
    given.aims = np.stack(aims)
    return given, signal_N


def bits(piece: Piece, given: Given, spec: InputSpec) -> float:
    """What a channel would take."""
    counter = Counter()
    layers(counter, piece.tables, piece.clock, spec, given)
    return counter.bits


def codes_at(piece: Piece, budget: float, spec: InputSpec) -> tuple[Given, Layers | None, float]:
    """The codes that a budget pays for, what is stored with them, and the bits of all that; no codes for no budget."""
    found = _codes_at(piece, budget, spec) if budget > 0 else None
    return found or (piece.given, None, bits(piece, piece.given, spec))


def _codes_at(piece: Piece, budget: float, spec: InputSpec) -> tuple[Given, Layers, float] | None:
    octave, best = first_price(budget / max(piece.seconds, 1.0)), None
    low, high = -14.0, 10.0
    for _ in range(TRIES):
        octave = min(max(octave, low), high)
        found = codes_for(piece, octave, spec)
        if found[2] <= budget:
            if best is None or found[2] > best[2]:
                best = found
            high = octave
            if found[2] >= FILLED * budget:
                break
        else:
            low = octave
        step = 2.05 * math.log2(found[2] / (0.993 * budget))
        octave = octave + step if low < octave + step < high else (low + high) / 2
    return best


def first_price(bits_per_second: float) -> float:
    """The price of a bit, in octaves, at which codes usually take about so many bit/s."""
    return START[0] - 2.05 * math.log2(max(bits_per_second, 1.0) / START[1]) - 3.0


def codes_for(piece: Piece, octave: float, spec: InputSpec) -> tuple[Given, Layers, float]:
    """The codes that pay at a price of a bit, what is stored with them, and the bits of all that."""
    counter, klass = Counter(), min(max(round(-octave) + 2, 0), CLASSES - 1)
    given = replace(piece.given, price=2.0**octave * UNIT * UNIT, price_class=klass)
    return given, layers(counter, piece.tables, piece.clock, spec, given), counter.bits


def drawn(
    backend: Backend, codes: tuple[Codes | None, Codes | None], windows: int, spec: InputSpec, levels: int
) -> NDArray[np.float64]:
    """What the network makes of codes, `(C, N)` in each chunk's spread about its mean; 0 for a channel without."""
    if codes[0] is None and codes[1] is None:
        return np.zeros((2, windows * spec.samples))
    codes_WCSQ = np.zeros((windows, 2, spec.tokens, levels), np.int64)
    depth_WCS = np.zeros((windows, 2, spec.tokens), np.int64)
    coded_WCS = np.zeros((windows, 2, spec.tokens), bool)
    for c, one in enumerate(codes):
        if one is not None:
            codes_WCSQ[:, c], depth_WCS[:, c], coded_WCS[:, c] = one.codes, one.depth, one.coded
    out = np.zeros((windows, 2, spec.samples))
    has_WC = np.asarray(coded_WCS.any(-1), bool)
    for kind in ((True, True), (True, False), (False, True)):
        at = np.flatnonzero((has_WC == kind).all(-1))
        for first in range(0, len(at), 16):
            some = at[first : first + 16]
            out[some] = backend.decode(codes_WCSQ[some], depth_WCS[some], coded_WCS[some])
    for c, one in enumerate(codes):
        if one is not None:
            out[one.depth.sum(-1) == 0, c] = 0.0  # nothing is drawn of a window without any code
            out[:, c] = out[:, c] * 2.0 ** (one.spread[:, None] / OCTAVE) + one.mean[:, None] / MEAN
    return out.transpose(1, 0, 2).reshape(2, -1)


def with_bands(
    piece: Piece, given: Given, drawn_N: NDArray[np.float64], left: float
) -> tuple[Given, NDArray[np.float64]]:
    """The same with the classical layer in `left` bits, and the drawing `(N,)` of both."""
    if left <= 0:
        return given, drawn_N
    kind = SIGNAL if given.price is None else LEFT
    rate = wavelet.nearest(left / max(piece.seconds, 1.0))
    counts = piece.tables.waves[kind, rate]
    waves = wavelet.spectrum(np.where(piece.known_N, piece.signal_N - drawn_N, 0.0) if kind else piece.signal_N)
    step, bands = wavelet.finest(waves, counts, left, COARSE)
    if not any(band.any() for band in bands):
        return given, drawn_N
    made_N = drawn_N + wavelet.waveform(bands, 2.0 ** (step / COARSE), len(drawn_N))
    if _left(piece, made_N, 1)[0] > NOISE:
        return given, drawn_N
    return replace(given, bands=bands, step=step, rate=rate), made_N


def finished(
    piece: Piece, given: Given, stored: Layers | None, drawn_N: NDArray[np.float64], left: float, calm: bool
) -> tuple[Given, Stages]:
    """The same with all that is stored beside codes in `left` bits, and how the drawing comes about.

    With `calm` what looks alike is blended in as far as it helps: before the classical layer, and after it.
    """
    codes, calm_N = None if stored is None else stored.codes, drawn_N
    if calm and given.price is not None:
        choice, calm_N = alike.best(drawn_N, piece.signal_N, piece.known_N)
        given = replace(given, alike=(choice, 0))
    given, whole_N = with_bands(piece, given, calm_N, left - ALIKE_BITS)
    average, last_N = alike.averages(whole_N) if calm else [], whole_N
    if calm and given.bands is not None:
        choice, last_N = alike.best(whole_N, piece.signal_N, piece.known_N, average)
        given = replace(given, alike=(given.alike[0], choice))
    plain_N = np.zeros(len(drawn_N)) if codes is None else codes.plain
    return given, Stages(plain_N, drawn_N, calm_N, whole_N, average, last_N, piece.known_N, _log_step(given))


def stages(one: Layers, drawn_N: NDArray[np.float64], known_N: NDArray[np.bool_]) -> Stages:
    """How the drawing of a channel comes about from that of its codes, in the chunk's spread about its mean."""
    whole_N = calm_N = alike.blended(drawn_N, one.alike[0])
    if one.bands is not None:
        whole_N = calm_N + wavelet.waveform(one.bands, 2.0 ** (one.step / COARSE), len(drawn_N))
    average = alike.averages(whole_N) if one.alike[1] or one.gain else []
    last_N = alike.blended(whole_N, one.alike[1], average)
    plain_N = np.zeros(len(drawn_N)) if one.codes is None else one.codes.plain
    return Stages(plain_N, drawn_N, calm_N, whole_N, average, last_N, known_N, _log_step(one))


def _log_step(one: Layers) -> float | None:
    return None if one.bands is None else one.step / COARSE


def without_noise(piece: Piece, drawn_N: NDArray[np.float64], spec: InputSpec) -> Piece | None:
    """The piece with nothing to aim at in windows that codes do not show; None where they show them all."""
    noise_W = _left(piece, drawn_N, piece.clock.windows) > NOISE
    noise_W &= np.abs(piece.given.aims).max((1, 2, 3)) > 0
    if not noise_W.any():
        return None
    aims = np.where(noise_W[:, None, None, None], 0.0, piece.given.aims)
    return replace(piece, given=replace(piece.given, aims=aims))


def _left(piece: Piece, drawn_N: NDArray[np.float64], parts: int) -> NDArray[np.float64]:
    """The share of the energy about its mean that a drawing leaves, of each of so many equal parts."""
    known = piece.known_N.reshape(parts, -1)
    count = np.maximum(known.sum(1, keepdims=True), 1)
    x = np.where(known, piece.signal_N.reshape(parts, -1), 0.0)
    energy = (np.where(known, x - x.sum(1, keepdims=True) / count, 0.0) ** 2).sum(1)
    error = (np.where(known, piece.signal_N.reshape(parts, -1) - drawn_N.reshape(parts, -1), 0.0) ** 2).sum(1)
    return error / np.maximum(energy, 1e-12)
