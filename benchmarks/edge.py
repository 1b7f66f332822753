"""Time, memory and start of the released models on one core, beside others. Writes results/edge.json."""

from __future__ import annotations

from cardiofm.evaluate.edge.benchmark import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
