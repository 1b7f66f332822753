"""One signal damaged, the other one clean. Writes results/robustness.json and .png."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.robustness import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
