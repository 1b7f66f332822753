"""Reconstruction of sets never trained on. Writes results/zero_shot.json and .png."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.zero_shot import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
