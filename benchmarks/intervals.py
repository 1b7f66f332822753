"""QT, wave boundaries, R peaks, PAT, heart rate and silence: the model beside the tools that a reader would use today.

Writes results/intervals.json and its pictures. The same as `cardiofm benchmark intervals`. Patients whose beats were
marked by hand are measured by the head that was trained without their fold (`--heads`).
"""

from __future__ import annotations

from cardiofm.evaluate.beats.benchmark import main, parser

if __name__ == "__main__":
    main(parser(__doc__).parse_args())
