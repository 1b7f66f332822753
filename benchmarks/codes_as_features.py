"""What codes at three rates still tell of the heart, beside all of it. Writes results/codes_as_features.json."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.codes_as_features import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
