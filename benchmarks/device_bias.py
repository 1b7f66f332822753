"""How well an embedding tells the dataset. Writes results/device_bias.json and .png."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.device_bias import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
