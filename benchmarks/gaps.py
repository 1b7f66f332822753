"""Gaps drawn back, beside simple fillers. Writes results/gaps.json and .png."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.gaps import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
