"""What each rate of codes leaves of a waveform, beside a wavelet. Writes results/rate_distortion.json and .png."""

from __future__ import annotations

from cardiofm.evaluate.benchmarks.rate_distortion import main, parser

if __name__ == "__main__":
    main(parser().parse_args())
