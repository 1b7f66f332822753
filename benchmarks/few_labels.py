"""Heads from the labels of 10, 50 and 100 patients. Writes results/few_labels.json and .png."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.few_labels import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
