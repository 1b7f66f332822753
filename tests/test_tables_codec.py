"""The codec's section: figures of the file, a dash where there is none."""

from __future__ import annotations

from typing import Any

from cardiofm.evaluate.tables.codec import codec
from cardiofm.evaluate.tables.codes_as_features import codes_as_features


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


def test_probes_on_codes_stand_beside_the_recording() -> None:
    def probe(rate: str, value: float, **more: Any) -> dict[str, Any]:
        place = {"set": "ptb-xl", "task": "abnormal", "metric": "AUROC", "rate": rate}
        return place | {"value": value, "low": value - 0.01, "high": value + 0.01, "patients": 9} | more

    result = {
        "rows": [probe("full", 0.9), probe("32", 0.85), probe("64", 0.88)],
        "differences": [probe("32", -0.05), probe("64", -0.02)],
        "command": "python benchmarks/codes_as_features.py", "model": {"name": "base", "sha256": "ab" * 32},
    }  # fmt: skip
    assert (
        "| ptb-xl | abnormal | 0.900 [0.890, 0.910] | **0.850** [0.840, 0.860], -0.050 [-0.060, -0.040] | "
        "**0.880** [0.870, 0.890], -0.020 [-0.030, -0.010] | 9 |"
    ) in codes_as_features(result)
