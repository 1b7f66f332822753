"""SignalMC-MED for a user who has MC-MED: age, sex, disposition, laboratory results and past diseases from ten minutes.

Writes results/mcmed.json. The same as `cardiofm benchmark mcmed`; docs/mcmed.md says what it needs. With `--stand-in
DIR` it runs on simulated signals and random labels in DIR, to show that it runs, and writes nothing elsewhere.
"""

from __future__ import annotations

from cardiofm.evaluate.mcmed.benchmark import main, parser

if __name__ == "__main__":
    main(parser(__doc__).parse_args())
