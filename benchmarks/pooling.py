"""Gated attention over the windows of a recording against their mean, with and without heart rate variability.

Writes results/pooling.json and .png. Whether an ICU alarm is true, and age and sex in BIDMC; by patient. Embeddings are
kept in --cache, so an interrupted run goes on.
"""

from __future__ import annotations

from cardiofm.evaluate.pooling import main, parser

if __name__ == "__main__":
    main(parser(__doc__).parse_args())
