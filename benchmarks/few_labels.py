"""How good a linear head becomes with the labels of 10, 50 and 100 patients. Writes results/few_labels.json and .png.

CardioFM's embedding, the untrained network, hand-crafted numbers and MiniRocket learn from the same 20 random draws of
patients; intervals cover draws and patients. Features are kept in --cache, so an interrupted run goes on.
"""

from __future__ import annotations

from cardiofm.evaluate.few_labels import main, parser

if __name__ == "__main__":
    main(parser(__doc__).parse_args())
