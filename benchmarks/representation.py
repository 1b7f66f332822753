"""What a frozen embedding tells of the heart and its owner. Writes results/representation.json and .png."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.representation import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
