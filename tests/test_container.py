"""The container: whole chunks come back, damaged ones never, whatever is flipped or cut."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardiofm.codec import container
from cardiofm.codec.container import MARK, Channel, Chunk, Header
from cardiofm.signals import InputSpec, SignalError

HEADER = Header("base", "00" * 16, InputSpec(), 0.5, {"ecg": Channel("II", "mV", 250.0, 0.5)})
CHUNKS = [Chunk(6 * k, 6, bytes((k * 37 + j * j) % 256 for j in range(40 + 90 * k)) + bytes([MARK])) for k in range(4)]
FILE = HEADER.bytes() + b"".join(chunk.bytes() for chunk in CHUNKS)
START = len(HEADER.bytes())


def found(data: bytes) -> list[tuple[int, int, bytes]]:
    header, at = container.header(data)
    assert header == HEADER
    return [(c.first, c.windows, c.data) for c in container.chunks(data, at)]


WHOLE = [(c.first, c.windows, c.data) for c in CHUNKS]


def test_what_is_written_is_read() -> None:
    assert found(FILE) == WHOLE
    assert found(HEADER.bytes()) == []


def test_a_header_names_no_person_and_no_file() -> None:
    assert set(container.header(FILE)[0].__dict__) == {
        "model", "fingerprint", "retouch", "spec", "start_s", "channels", "lossless"
    }  # fmt: skip


@given(at=st.integers(0, len(FILE) - 1), flip=st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_an_error_or_costs_its_own_chunk(at: int, flip: int) -> None:
    data = bytearray(FILE)
    data[at] ^= flip
    if at < START:
        with pytest.raises(SignalError):
            found(bytes(data))
        return
    kept = found(bytes(data))
    assert [one for one in kept if one not in WHOLE] == []
    hit = next(k for k in range(4) if at < START + sum(len(c.bytes()) for c in CHUNKS[: k + 1]))
    assert kept == WHOLE[:hit] + WHOLE[hit + 1 :]


@given(cut=st.integers(0, len(FILE)))
@settings(max_examples=200, deadline=None)
def test_a_cut_file_is_read_up_to_the_cut(cut: int) -> None:
    if cut < START:
        with pytest.raises(SignalError):
            found(FILE[:cut])
        return
    ends = [START + sum(len(c.bytes()) for c in CHUNKS[: k + 1]) for k in range(4)]
    assert found(FILE[:cut]) == WHOLE[: sum(end <= cut for end in ends)]


@given(noise=st.binary(max_size=60), at=st.integers(0, 4))
@settings(max_examples=100, deadline=None)
def test_bytes_between_chunks_are_stepped_over(noise: bytes, at: int) -> None:
    parts = [chunk.bytes() for chunk in CHUNKS]
    assert found(HEADER.bytes() + b"".join([*parts[:at], noise, *parts[at:]])) == WHOLE


@given(data=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(SignalError, match=r"must begin with CFM|format|header"):
        container.header(data)


@pytest.mark.parametrize(
    "channels", [{}, {"abp": Channel("ABP", "mmHg", 125.0, 0.0)}, {"ecg": Channel("II", "mV", float("nan"), 0.0)}]
)
def test_a_header_that_cannot_be_is_refused(channels: dict[str, Channel]) -> None:
    with pytest.raises(SignalError, match=r"must hold channels|that can be"):
        container.header(replace(HEADER, channels=channels).bytes())
