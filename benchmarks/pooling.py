"""Attention over the windows of a recording against their mean. Writes results/pooling.json and .png."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.pooling import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
