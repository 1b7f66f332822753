"""The codec's section: figures of the file, a dash where there is none."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.codec import codec


def row(method: str, metric: str, value: float, rate: str = "64", **more: Any) -> dict[str, Any]:
    place = {"set": "bidmc", "channel": "ecg", "rate": rate, "method": method, "metric": metric}
    return place | {"value": value, "low": value - 1, "high": value + 1, "patients": 7, "windows": 7} | more


def test_the_section_says_what_the_file_says() -> None:
    result = {
        "rows": [
            row("model", "prd", 14.25), row("model", "bits", 63.7), row("model", "plain", 91.2),
            row("model", "r_f1", 0.9912), row("classical", "prd", 27.91), row("lossless", "bits", 1234.4, "–"),
            row("xz", "bits", 2345.6, "–"),
        ],
        "differences": [{"set": "bidmc", "channel": "ecg", "rate": "64", "value": -48.6, "low": -55.0, "high": -40.0}],
        "noise": [{"before": 1, "after": 2, "seconds": 30}, {"before": 0, "after": 1, "seconds": 30}],
        "header_bytes": 300, "command": "python benchmarks/codec.py", "model": {"name": "base", "sha256": "ab" * 32},
    }  # fmt: skip
    text = "\n".join(codec(result))
    line = next(part for part in text.splitlines() if part.startswith("| bidmc"))
    assert line == (
        "| bidmc | ECG | 64 | 64 | **14.2** [13.2, 15.2] | 27.9 | -49 [-55, -40] % | – | 0.991 | – | – | 7 |"
    )
    for said in (
        "1234 bit/s (16-bit differences and xz 2346)",
        "bidmc ECG 91",
        "1 before coding, 3 after",
        "60 s of noise",
    ):
        assert said in text
