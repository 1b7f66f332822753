"""How well the dataset that an ECG comes from is told by its embedding, and a map of the windows.

Writes results/device_bias.json and .png. Chance, the untrained network and hand-crafted numbers stand beside it.
"""

from __future__ import annotations

from cardiofm.evaluate.device_bias import main, parser

if __name__ == "__main__":
    main(parser(__doc__).parse_args())
