"""One signal from the other one alone. Writes results/across.json and .png."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.across import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
