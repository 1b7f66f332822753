"""How good the shipped heads are on people they did not learn from. Writes results/heads.json and .png."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.heads import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
