"""The codec: rates are kept in real bytes, recordings come back on their clocks, and damage is never silent."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiofm.codec import exact, past, prior, recording, wavelet
from cardiofm.codec.arithmetic import NUMBER, Bits, Counter, Reader, Writer, flat, number
from cardiofm.codec.container import Channel, Chunk, Header
from cardiofm.codec.prior import Tables
from cardiofm.codec.recording import Codec
from cardiofm.codec.tokens import DEEPER, Blocks
from cardiofm.data.converter import Steps, converter
from cardiofm.data.simulate import simulate
from cardiofm.pipeline import Model, load
from cardiofm.signals import MODALITIES, CheckpointError, Record, SignalError
from cardiofm.train.prior import untrained
from cardiofm.train.retouch import Net, save


@pytest.fixture(scope="module")
def folder(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network with a prior that knows nothing yet, and networks at random that retouch."""
    where = tmp_path_factory.mktemp("codec") / "micro"
    shutil.copytree(micro, where)
    prior.save(where, untrained(where))
    for seed, modality in enumerate(MODALITIES):
        torch.manual_seed(seed)
        net = Net()
        torch.nn.init.normal_(net.out.weight, std=0.02)
        save(where, modality, net, {})
    return where


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder, "torch")


@pytest.fixture(scope="module")
def record() -> Record:
    """34 s of both channels; the PPG starts late, the ECG has a gap."""
    made = simulate(34, fs_ecg_hz=250, fs_ppg_hz=125, seed=5, ecg_noise_mv=0.01, ppg_noise=0.01).record
    assert made.ecg is not None
    assert made.ppg is not None
    ecg = made.ecg.values.copy()
    ecg[3000:4000] = np.nan
    return replace(made, ecg=replace(made.ecg, samples=ecg), ppg=replace(made.ppg, start_s=0.3))


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "WINDOWS", 1)


def values(record: Record, modality: str) -> np.ndarray:
    signal = record.signal(modality)
    assert signal is not None
    return signal.values


@pytest.mark.parametrize("bps", [32.0, 300.0])
def test_a_rate_is_kept_and_clocks_units_and_gaps_come_back(model: Model, record: Record, bps: float) -> None:
    parts = list(model.codec().encode(record, bps))
    known_s = sum(np.isfinite(values(record, m)).sum() / s.fs_hz for m in record.present if (s := record.signal(m)))
    assert 0.8 * bps < 8 * sum(map(len, parts[1:])) / known_s <= bps + 0.3
    again = model.decode(b"".join(parts))
    for modality in record.present:
        a, b = record.signal(modality), again.signal(modality)
        assert a is not None
        assert b is not None
        assert (a.fs_hz, a.start_s, a.unit, a.name) == (b.fs_hz, b.start_s, b.unit, b.name)
        known = np.isfinite(a.values)
        assert np.array_equal(np.isfinite(b.values)[4:-4], known[4:-4])
        both = known & np.isfinite(b.values)
        assert np.corrcoef(a.values[both], b.values[both])[0, 1] > (0.6 if bps < 100 else 0.98)


def test_more_bits_bring_it_nearer(model: Model, record: Record) -> None:
    errors, one = [], record.crop(0, 10)
    for bps in (24.0, 96.0, 300.0):
        drawn, true = values(model.decode(model.encode(one, bps)), "ecg"), values(one, "ecg")
        both = np.isfinite(drawn) & np.isfinite(true)
        errors.append(float(np.square(drawn - true)[both].mean()))
    assert errors == sorted(errors, reverse=True)


def test_lossless_is_bit_for_bit(model: Model, record: Record) -> None:
    again = model.decode(model.encode(record, 32.0, lossless=True))
    for modality in record.present:
        assert np.array_equal(values(again, modality), values(record, modality), equal_nan=True)


@pytest.mark.parametrize("value", [0.0, 250.0, -1e5])
def test_lines_and_single_samples_come_back(model: Model, value: float) -> None:
    """A flat channel, and one more sample than windows hold."""
    x = np.full(2501, value, np.float32)
    again = model.decode(model.encode(Record.from_arrays(ecg=(x, 250.0)), lossless=True))
    assert np.array_equal(values(again, "ecg"), x)
    x += 0.3 * np.sin(np.arange(2501) / 20).astype(np.float32) if value else 0
    again = model.decode(model.encode(Record.from_arrays(ecg=(x, 250.0)), 64.0)) if value else again
    assert np.abs(values(again, "ecg")[:2400] - x[:2400]).max() < 1.0


def test_steps_of_a_converter_are_found_and_pay(model: Model) -> None:
    ecg = values(simulate(12, fs_ecg_hz=300, fs_ppg_hz=125, seed=2, ecg_noise_mv=0.01).record, "ecg")
    whole = np.rint(ecg * 1000.0)
    stepped = (whole / 1000.0).astype(np.float32)
    found = converter(stepped)
    assert found is not None
    assert found.step == pytest.approx(1e-3, rel=1e-4)
    sizes = []
    for samples in (stepped, ecg):
        one = Record.from_arrays(ecg=(samples, 300.0))
        data = model.encode(one, 32.0, lossless=True)
        assert np.array_equal(values(model.decode(data), "ecg"), samples)
        sizes.append(len(data))
    assert sizes[0] < 0.5 * sizes[1]
    assert sizes[0] < 12 * 300  # bytes: less than 8 bits a sample


def test_nothing_is_drawn_of_noise(model: Model) -> None:
    """White noise at 24 bit/s: no code shows any of it, so a constant comes back, not a heart."""
    noise = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    again = model.decode(model.encode(Record.from_arrays(ecg=(noise, 250.0)), 24.0))
    assert np.ptp(values(again, "ecg")) < 1e-3


def test_a_stretch_is_that_part_of_the_whole(model: Model, record: Record, short_chunks: None) -> None:
    data = model.encode(record, 64.0)
    whole, part = model.decode(data), model.decode(data, 12.0, 18.0)
    for modality in record.present:
        a, b = whole.crop(12.0, 18.0).signal(modality), part.signal(modality)
        assert a is not None
        assert b is not None
        assert a.start_s == pytest.approx(b.start_s)
        np.testing.assert_allclose(a.values, b.values, atol=1e-4)


def test_a_growing_recording_is_continued(model: Model, record: Record, short_chunks: None) -> None:
    codec = model.codec()
    first = b"".join(codec.encode(record.crop(0, 20), 64.0))
    both = first + b"".join(codec.encode(record, 64.0, after=first))
    assert len(values(model.decode(both), "ecg")) == len(values(record, "ecg"))
    other = replace(record, ppg=None)
    with pytest.raises(SignalError, match="continued only by its own recording"):
        list(codec.encode(other, 64.0, after=first))


@pytest.fixture(scope="module")
def stored(model: Model, record: Record) -> tuple[bytes, list[int], Record]:
    """A file of four chunks, where they begin, and the record that it decodes to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "WINDOWS", 1)
        parts = list(model.codec().encode(record, 40.0))
    data = b"".join(parts)
    starts = [len(b"".join(parts[:k])) for k in range(1, len(parts) + 1)]
    return data, starts, model.decode(data)


@given(at=st.integers(0, 10_000), flip=st.integers(0, 255))
@settings(max_examples=25, deadline=None)
def test_damage_is_an_error_or_leaves_the_intact_chunks(
    model: Model, stored: tuple[bytes, list[int], Record], at: int, flip: int
) -> None:
    """`flip` 0: the file is cut there."""
    data, starts, whole = stored
    at %= len(data)
    broken = data[:at] if flip == 0 else data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
    kept = [k for k in range(len(starts) - 1) if (starts[k + 1] <= at or (flip and starts[k] > at))]
    if at < starts[0] or not kept:
        with pytest.raises(SignalError):
            model.decode(broken)
        return
    again = model.decode(broken)
    ecg, true = again.ecg, whole.ecg
    assert true is not None
    if ecg is None:
        return
    first = round((ecg.start_s - true.start_s) * 250)
    for k in range(len(starts) - 1):
        inside = slice(2500 * k + 20, 2500 * (k + 1) - 20)
        found, wanted = np.full(len(true.values), np.nan, np.float32), true.values[inside]
        found[first : first + len(ecg.values)] = ecg.values
        if k in kept:
            np.testing.assert_allclose(found[inside], wanted, atol=1e-4)
        else:
            assert np.isnan(found[inside]).all()
    if at != len(data) and (flip or at not in starts):
        assert any("damaged" in note for note in again.notes)


@given(st.binary(max_size=120), st.integers(1, 3))
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("error")
def test_whole_chunks_of_other_bytes_are_an_error_or_a_record(model: Model, data: bytes, windows: int) -> None:
    """The check sum is right, and what it sums was never written."""
    codec = model.codec()
    channels = {"ecg": Channel("II", "mV", 250.0, 0.0), "ppg": Channel("P", "NU", 125.0, 0.3)}
    assert codec.retouch is not None
    about = Header("micro", codec.prior.model, codec.spec, 0.0, channels, retouch=codec.retouch.fingerprint)
    with contextlib.suppress(SignalError):
        made = codec.decode(about.bytes() + Chunk(0, windows, data).bytes())
        for modality in made.present:
            assert len(values(made, modality)) <= windows * 10 * 250


def test_every_byte_of_a_small_file_is_guarded(model: Model, short_chunks: None) -> None:
    """Each byte changed in turn, and the file cut before it: an error, or the chunk that is whole, bit for bit."""
    record = simulate(20, fs_ecg_hz=50, fs_ppg_hz=25, seed=4).record
    parts = list(model.codec().encode(record, 16.0))
    data, start, middle = b"".join(parts), len(parts[0]), len(parts[0]) + len(parts[1])
    alone = [model.decode(parts[0] + part) for part in parts[1:]]
    for at in range(len(data)):
        for broken in (data[:at], data[:at] + bytes([data[at] ^ (1 + at % 255)]) + data[at + 1 :]):
            whole = [k for k, (a, b) in enumerate(((start, middle), (middle, len(data)))) if broken[a:b] == data[a:b]]
            if at < start or not whole:
                with pytest.raises(SignalError):
                    model.decode(broken)
                continue
            (kept,) = whole
            again = model.decode(broken)
            for modality in alone[kept].present:
                assert values(again, modality).tobytes() == values(alone[kept], modality).tobytes()


def test_another_model_says_so(model: Model, record: Record) -> None:
    data = model.encode(record.crop(0, 10), 64.0)
    codec = model.codec()
    other = Codec(codec.name, codec.spec, replace(codec.prior, model="ff" * 16), codec.backend, codec.retouch)
    with pytest.raises(CheckpointError, match="must be decoded by the model that coded it"):
        other.decode(data)


def test_a_folder_without_a_prior_says_how_to_make_one(micro: Path, record: Record) -> None:
    with pytest.raises(CheckpointError, match=r"must hold prior\.safetensors"):
        load(micro, "torch").encode(record)


def test_a_prior_of_other_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(folder, tmp_path / "other")
    path = tmp_path / "other" / "model.safetensors"
    tensors = load_file(path)
    tensors["quantizer.0.codebook_QRE"] = tensors["quantizer.0.codebook_QRE"] * np.float16(2)
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="must belong to"):
        prior.load(tmp_path / "other")


def test_nothing_is_refused(model: Model) -> None:
    with pytest.raises(SignalError, match="must hold 1 s of signal"):
        model.encode(Record.from_arrays(ecg=(np.full(5000, np.nan), 250.0)))
    with pytest.raises(SignalError, match="at least 1 s"):
        model.encode(Record.from_arrays(ecg=(np.zeros(100), 250.0)))
    with pytest.raises(SignalError, match="above 0"):
        model.encode(Record.from_arrays(ecg=(np.zeros(1000), 250.0)), 0.0)
    with pytest.raises(SignalError, match="whole chunk of that stretch"):
        model.decode(model.encode(simulate(12, fs_ecg_hz=250, fs_ppg_hz=250, seed=1).record, 64.0), 500.0, 510.0)


def whole_tables() -> Tables:
    """Tables of whole numbers that no library's cosine or random numbers have touched."""

    def pattern(*shape: int) -> np.ndarray:
        n = int(np.prod(shape))
        return np.array([(k * k * 7919 + k * 104729) % 1021 - 510 for k in range(n)], np.float64).reshape(shape)

    return Tables(
        pattern(3, 2, 16, 4), pattern(20, 100) * 2, pattern(2, 3, 16) + 511, np.full(3, 180.0),
        np.full((prior.CLASSES, 2, DEEPER), 2), flat(1), np.zeros((2, 2, 1), np.int64),
    )  # fmt: skip


def test_chances_are_the_same_on_every_machine() -> None:
    """Bytes that are no file of ours decode to something: the same everywhere, or files would not travel."""
    data = b"".join(hashlib.sha256(bytes([k])).digest() for k in range(40))
    blocks, reader = Blocks(whole_tables(), 3), Reader(data)
    found = [blocks.code(reader) for _ in range(60)]
    digest = hashlib.sha256()
    for block in found:
        digest.update(block.codes.astype("<i4").tobytes() + block.plain.astype("<i4").tobytes())
    assert np.std([block.depth.sum() for block in found]) > 0
    assert digest.hexdigest()[:16] == "4847b0e9ee5ce583"


def test_the_past_hears_a_heart_that_repeats_itself() -> None:
    """A pulse every 0.8 s: once it is known, what comes next is expected, and codes become cheap."""
    tables, counter = whole_tables(), Counter()
    writing = Blocks(tables, 3)
    aims = [tables.book[0, :, 3 + k % 2][[0, 1, 1, 1, 1]] for k in range(40)]
    spent = []
    for aim in aims:
        before = counter.bits
        block = writing.code(counter, aim, 1.0)
        assert block.depth[0] > 0
        spent.append((counter.bits - before) / block.depth.sum())
    assert np.mean(spent[-10:]) < 0.5 * np.mean(spent[:4])


def test_exponents_are_powers_of_two() -> None:
    np.testing.assert_allclose(past.POWER[:-1], 2.0**20 * 2.0 ** (-np.arange(1280) / 64), atol=1.0)
    np.testing.assert_allclose([past.ratio(k) for k in range(-40, 41)], 65536 * 2.0 ** (np.arange(-40, 41) / 8), atol=1)


@given(st.lists(st.integers(-(2**33), 2**33), max_size=30))
@settings(max_examples=50, deadline=None)
def test_whole_numbers_come_back(wanted: list[int]) -> None:
    writer, bits = Writer(), Bits(flat(NUMBER))
    for value in wanted:
        number(writer, bits, 0, value)
    reader, bits = Reader(writer.bytes()), Bits(flat(NUMBER))
    assert [number(reader, bits, 0) for _ in wanted] == wanted


@given(st.integers(1, 3000), st.integers(0, 2**31), st.floats(0.01, 200.0))
@settings(max_examples=30, deadline=None)
def test_bands_come_back_and_their_length_is_known(samples: int, seed: int, step: float) -> None:
    x = np.random.default_rng(seed).standard_normal(samples).cumsum()
    bands = wavelet.quantised(wavelet.spectrum(x), step)
    counter, writer, counts = Counter(), Writer(), flat(wavelet.SLOTS)
    wavelet.code(counter, Bits(counts), samples, bands)
    wavelet.code(writer, Bits(counts), samples, bands)
    again = wavelet.code(Reader(writer.bytes()), Bits(counts), samples)
    assert all(np.array_equal(a, b) for a, b in zip(again, bands, strict=True))
    assert counter.bits <= 8 * len(writer.bytes()) + 33
    assert wavelet.length(bands, counts) == pytest.approx(counter.bits, rel=0.1, abs=40)


class Noted(Bits):
    """Which contexts were asked, and what came."""

    def __init__(self, counts: np.ndarray) -> None:
        super().__init__(counts)
        self.asked: list[tuple[int, int]] = []

    def learn(self, context: int, value: int) -> None:
        self.asked.append((context, value))
        super().learn(context, value)


@given(st.integers(1, 2000), st.integers(0, 2**31), st.floats(0.01, 50.0))
@settings(max_examples=20, deadline=None)
def test_the_length_is_of_the_contexts_that_are_coded(samples: int, seed: int, step: float) -> None:
    x = np.random.default_rng(seed).standard_normal(samples).cumsum()
    bands = wavelet.lowered(wavelet.spectrum(x), step, flat(wavelet.SLOTS))
    noted = Noted(flat(wavelet.SLOTS))
    wavelet.code(Counter(), noted, samples, bands)
    slots, hits, _ = wavelet.decisions(bands)
    assert sorted(noted.asked) == sorted(zip(slots.tolist(), hits.astype(int).tolist(), strict=True))


def test_lowered_levels_pay(record: Record) -> None:
    """As many bits, less error than by rounding alone."""
    x = values(record, "ecg")[:2500].astype(np.float64)
    waves, counts = wavelet.spectrum((x - x.mean()) / x.std()), flat(wavelet.SLOTS)
    for budget in (600, 2000):
        step, bands = wavelet.finest(waves, counts, budget, 16)
        assert wavelet.length(bands, counts) <= budget
        rounded = next(
            (k, q) for k in range(step - 32, 200)
            if wavelet.length(q := wavelet.quantised(waves, 2.0 ** (k / 16)), counts) <= budget
        )  # fmt: skip
        errors = [
            sum(((w - b * 2.0 ** (k / 16)) ** 2).sum() for w, b in zip(waves, q, strict=True))
            for k, q in ((step, bands), rounded)
        ]
        assert errors[0] < errors[1]


def test_a_converter_of_few_values_is_found() -> None:
    """Steps of 8 and 7 of the file's own, as a rewritten recording has them."""
    levels = np.cumsum([8, 7, 8, 8, 15, 23, 8] * 20) * 0.00025 - 0.5
    found = converter(np.random.default_rng(0).permutation(np.repeat(levels, 5)).astype(np.float32))
    assert found == Steps(0.00025, 0.0)


def test_floats_are_ordered() -> None:
    x = np.array([-np.inf, -1.5, -1e-40, -0.0, 0.0, 1e-40, 2.5, np.inf, np.nan], np.float32)
    whole = exact.ordered(x)
    assert (np.diff(whole) > 0).all()
    assert exact.unordered(whole).tobytes() == x.tobytes()


def test_a_file_that_was_cut_says_so_and_a_reversed_stretch_is_refused(model: Model) -> None:
    record = simulate(150, fs_ecg_hz=250, fs_ppg_hz=125, seed=2).record
    data = model.encode(record, 32.0)
    assert not any("cut off" in note for note in model.decode(data).notes)
    part = model.decode(data[: len(data) * 2 // 3])
    assert any("end is damaged or cut off" in note for note in part.notes)
    assert part.duration_s < 0.9 * record.duration_s
    with pytest.raises(SignalError, match="end after it starts"):
        model.decode(data, 50.0, 40.0)
