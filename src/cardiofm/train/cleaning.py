"""The gains of `cardiofm.measure.cleaning`, fitted on training windows with recorded noise put on them.

`python -m cardiofm.train.cleaning --store DIR` writes `measure/cleaning.json`. The loss is the mean log of the error
share, so that a little noise counts like much; a quarter of the windows stay as they are. Patients of the validation
split choose nothing and are scored once, for the record.

Shapes: W windows, N samples, K bands, J numbers of a band.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from cardiofm.data.store import Store
from cardiofm.measure.cleaning import EDGES_HZ, FILE, bands, said, shares
from cardiofm.signals import MODALITIES, InputSpec
from cardiofm.train.augment import recorded_noise
from cardiofm.train.batches import BatchConfig, Batches, Segments
from cardiofm.train.settle import PLAIN

WINDOWS = 600  # of each modality
SNR_DB = (-20.0, 24.0)  # over all frequencies; in band 5 to 10 dB more
CLEAN = 0.25  # share of the windows without noise
LEAST_SHARE = 0.1  # of the error, added: what fails counts more than what is nearly right
PENALTY = 1e-3
Floats = NDArray[np.float64]


def examples(store: Segments, spec: InputSpec, split: str, channel: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Log shares `(W, K)` of noisy windows, the products of their bands `(W, K, K)`, and of bands and truth `(W, K)`,
    for a truth of power 1."""
    rng, found = np.random.default_rng((seed, channel)), []
    config = BatchConfig(size=20, split=split, augment=PLAIN, modalities=(MODALITIES[channel],))
    batches = Batches(store, spec, config, seed)
    noise = {k: v for k, v in store.noise.items() if k in (("em", "bw") if channel else ("em", "ma", "bw"))}
    for step in range(WINDOWS // 20):
        batch = batches(step)
        for x_N, valid_N in zip(batch.target_BCN[:, channel].numpy(), batch.valid_BCN[:, channel].numpy(), strict=True):
            if valid_N.mean() < 0.9 or x_N[valid_N].std() == 0:
                continue
            true_N = np.where(valid_N, (x_N - x_N[valid_N].mean()) / x_N[valid_N].std(), 0)
            loud_N = true_N.copy()
            if rng.random() >= CLEAN:
                loud_N = loud_N + recorded_noise(len(x_N), 1.0, rng.uniform(*SNR_DB), rng, noise) * valid_N
            parts_KN = bands(loud_N, spec.fs_hz)
            own_KN = parts_KN - parts_KN.mean(-1, keepdims=True)
            n = len(x_N)
            found.append((shares(parts_KN), own_KN @ own_KN.T / n, own_KN @ true_N / n))
    first, second, third = (np.stack(part) for part in zip(*found, strict=True))
    return first, second, third


def fit(shares_WK: Floats, product_WKK: Floats, true_WK: Floats) -> Floats:
    """The weights `(K, 1 + K)` of the least mean log error share."""
    K = shares_WK.shape[1]
    middle_K, spread_K = shares_WK.mean(0), shares_WK.std(0) + 1e-6
    z_WK = (shares_WK - middle_K) / spread_K
    z_WJ = np.hstack([np.ones((len(z_WK), 1)), z_WK])

    def loss(flat: Floats) -> tuple[float, Floats]:
        weight_KJ = flat.reshape(K, -1)
        gain_KW = said(z_WK, weight_KJ)
        error_W = error_share(gain_KW, product_WKK, true_WK)
        slope_KW = 2 * (np.einsum("wkj,jw->kw", product_WKK, gain_KW) - true_WK.T) / (error_W + LEAST_SHARE)
        grad_KJ = (slope_KW * gain_KW * (1 - gain_KW)) @ z_WJ / len(z_WJ)
        held_KJ = np.hstack([np.zeros((K, 1)), weight_KJ[:, 1:]])
        value = np.log(error_W + LEAST_SHARE).mean() + PENALTY * (held_KJ**2).sum()
        return float(value), (grad_KJ + 2 * PENALTY * held_KJ).ravel()

    start_KJ = np.hstack([np.full((K, 1), 2.0), np.zeros((K, K))])
    best_KJ = minimize(loss, start_KJ.ravel(), jac=True, method="L-BFGS-B").x.reshape(K, -1)
    plain_KK = best_KJ[:, 1:] / spread_K
    return np.hstack([best_KJ[:, :1] - (plain_KK @ middle_K)[:, None], plain_KK])


def error_share(gain_KW: Floats, product_WKK: Floats, true_WK: Floats) -> Floats:
    """Squared error `(W,)` of what the gains leave, as a share of the truth's power."""
    kept_W = np.einsum("kw,wkj,jw->w", gain_KW, product_WKK, gain_KW)
    return np.maximum(kept_W - 2 * np.einsum("kw,wk->w", gain_KW, true_WK) + 1, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", type=Path, required=True, help="the folder that `cardiofm prepare` wrote")
    parser.add_argument("--out", type=Path, default=FILE, help="the file to write (default: the released one)")
    given = parser.parse_args()
    store, spec, found, scores = Store(given.store), InputSpec(), {}, dict[str, Any]()
    for channel, modality in enumerate(MODALITIES):
        weight_KJ = fit(*examples(store, spec, "train", channel, 1))
        shares_WK, product_WKK, true_WK = examples(store, spec, "valid", channel, 2)
        prd = {
            name: float(np.median(100 * np.sqrt(error_share(gain, product_WKK, true_WK))))
            for name, gain in (("as it is", np.ones(shares_WK.T.shape)), ("cleaned", said(shares_WK, weight_KJ)))
        }
        found[modality] = [[round(float(v), 4) for v in row] for row in weight_KJ]
        scores[modality] = {name: round(value, 1) for name, value in prd.items()}
        print(f"{modality}: " + ", ".join(f"{name} {value:.1f} %" for name, value in prd.items()))
    told = {
        "command": "python -m cardiofm.train.cleaning",
        "windows": WINDOWS,
        "edges_hz": EDGES_HZ,
        "median_prd_percent_valid": scores,
        "weights": found,
    }
    given.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
