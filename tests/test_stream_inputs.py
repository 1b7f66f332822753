"""Lines of text, files that grow and Lab Streaming Layer become the same packets; the command prints what is said."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cardiofm.cli import app
from cardiofm.data.simulate import simulate
from cardiofm.signals import SignalError
from cardiofm.stream.inputs import LabStreams, Lines, Packets, chunks, grown

ROWS = [(10 + i / 250, np.sin(i / 9), np.cos(i / 20)) for i in range(1000)]


def text(rows: list[tuple[float, float, float]], header: str = "", separator: str = ",") -> bytes:
    lines = [separator.join(f"{x:.6g}" for x in row) for row in rows]
    return ("\n".join([header, *lines] if header else lines) + "\n").encode()


def joined(packets: list[Packets], modality: str) -> tuple[list[float | None], np.ndarray]:
    parts = [p[modality] for p in packets if modality in p]
    return [t for t, _ in parts], np.concatenate([x for _, x in parts])


@pytest.mark.parametrize("size", [7, 1 << 16])
@pytest.mark.parametrize(
    ("header", "separator"), [("", ","), ("time_s,ECG II,PLETH", ","), ("time\tecg\tppg", "\t"), ("", ";")]
)
def test_lines_in_pieces_of_any_size(size: int, header: str, separator: str) -> None:
    lines, data = Lines(250, 250), text(ROWS, header, separator)
    packets = [p for i in range(0, len(data), size) for p in lines.feed(data[i : i + size])]
    for modality, column in (("ecg", 1), ("ppg", 2)):
        times, values = joined(packets, modality)
        np.testing.assert_allclose(values, [row[column] for row in ROWS], atol=1e-5)
        assert times[0] == pytest.approx(10.0)
        assert all(t is not None for t in times)


def test_gaps_empty_cells_units_and_bad_lines() -> None:
    data = b"t_ms,ecg,ppg\n" + b"".join(
        f"{4 * i},{i},{i if i % 2 == 0 else ''}\n".encode() for i in [*range(50), *range(80, 120)]
    )
    lines = Lines(250, 125, ecg_factor=0.001)
    packets = list(lines.feed(data + b"oops\n# a remark\n480,nan,7\n"))
    times, values = joined(packets, "ecg")
    assert [t for t in times if t is not None] == pytest.approx([0.0, 0.32], abs=1e-3)
    assert np.isnan(values[-1])
    assert values[49] == pytest.approx(0.049)
    assert joined(packets, "ppg")[1][:3].tolist() == [0, 2, 4]


def test_samples_alone_have_no_times() -> None:
    packets = list(Lines(250, None).feed(b"1.5\n2.5\n3.5\n"))
    times, values = joined(packets, "ecg")
    assert (times, values.tolist()) == ([None], [1.5, 2.5, 3.5])


def test_what_lines_lack_is_said() -> None:
    with pytest.raises(SignalError, match="--fs-ecg"):
        Lines(None, None)
    with pytest.raises(SignalError, match="must have an ECG or a PPG"):
        list(Lines(250, 250).feed(b"time,abp,co2\n0,1,2\n"))
    with pytest.raises(SignalError, match="a line must hold"):
        list(Lines(250, 250).feed(b"1.5\n"))


def test_a_file_that_grows(tmp_path: Path) -> None:
    path, data = tmp_path / "growing.csv", text(ROWS)
    path.write_bytes(data[:1000])

    def write() -> None:
        with path.open("ab") as file:
            for i in range(1000, len(data), 6000):
                time.sleep(0.05)
                file.write(data[i : i + 6000])
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    assert b"".join(grown(path, idle_s=0.6)) == data
    writer.join()
    assert b"".join(chunks(io.BytesIO(data))) == data


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "growing.csv"
    path.write_bytes(b"1,2,3\n")
    pieces = grown(path, idle_s=1.0)
    next(pieces)
    path.write_bytes(b"1")
    with pytest.raises(SignalError, match="must only grow"):
        next(pieces)


def test_the_command_prints_a_line_for_each_event(micro_graphs: Path) -> None:
    record = simulate(14, fs_ecg_hz=250, fs_ppg_hz=250, seed=1).record
    assert record.ecg is not None
    assert record.ppg is not None
    t = np.arange(14 * 250) / 250
    data = "".join(
        f"{a:.3f},{b:.5f},{c:.5f}\n" for a, b, c in zip(t, record.ecg.values, record.ppg.values, strict=True)
    )
    how = ["--fs-ecg", "250", "--fs-ppg", "250", "--model", str(micro_graphs), "--no-beats", "--embed-every", "2"]
    done = CliRunner().invoke(app, ["stream", "--csv", "-", *how], input=data)
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(e["event"], e["start_s"], len(e["values"])) for e in events] == [("embedding", s, 16) for s in (0, 2, 4)]


def test_the_command_wants_one_source(tmp_path: Path) -> None:
    for given in ([], ["--csv", "-", "--follow", str(tmp_path / "x")]):
        done = CliRunner().invoke(app, ["stream", *given])
        assert done.exit_code == 2
        assert "one source" in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("pylsl") is not None, reason="pylsl is installed")
def test_without_pylsl_the_command_says_how_to_get_it() -> None:
    done = CliRunner().invoke(app, ["stream", "--lsl", "Monitor"])
    assert done.exit_code == 2
    assert "pip install 'cardiofm[lsl]'" in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("pylsl") is None, reason="needs pylsl: pip install 'cardiofm[lsl]'")
def test_lab_streaming_layer() -> None:
    """A real outlet of two channels in this process, and its inlet."""
    pylsl = importlib.import_module("pylsl")
    info = pylsl.StreamInfo("cardiofm-test", "ECG", 2, 250, "float32", "cardiofm-test-1")
    described = info.desc().append_child("channels")
    for label, unit in (("ECG II", "microvolts"), ("PLETH", "NU")):
        one = described.append_child("channel")
        one.append_child_value("label", label)
        one.append_child_value("unit", unit)
    outlet = pylsl.StreamOutlet(info)
    source = LabStreams(["cardiofm-test"])
    assert source.rates == {"ecg": 250, "ppg": 250}
    assert source.units["ecg"] == "mV"
    pieces, packets = source.packets(idle_s=2.0), []
    began = pylsl.local_clock()

    def send() -> None:
        outlet.wait_for_consumers(5.0)
        for i in range(0, 500, 25):
            rows = [[1000.0 * (i + k), float(-(i + k))] for k in range(25)]
            outlet.push_chunk(rows, began + (i + 24) / 250)
            time.sleep(0.01)

    sender = threading.Thread(target=send)
    sender.start()
    packets = list(pieces)
    sender.join()
    times, ecg = joined(packets, "ecg")
    np.testing.assert_allclose(ecg, np.arange(500), rtol=1e-5)
    np.testing.assert_allclose(joined(packets, "ppg")[1], -np.arange(500))
    assert times[0] == pytest.approx(began, abs=0.01)
