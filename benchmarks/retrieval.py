"""Whose heart is it? Writes results/retrieval.json."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.retrieval import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
