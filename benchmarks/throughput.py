"""Windows per second of every system that runs here. Writes results/throughput.json."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.throughput import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
