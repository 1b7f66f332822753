"""The codec in real bytes, beside a classical coder, FLAC and xz. Writes results/codec.json and .png."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.codec import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
