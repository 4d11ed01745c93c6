"""The change of the latents with a score: E[z | score + 1 step, confounds] - E[z | score, confounds], by least squares.

This is the activation pattern of the score in latent space, not the decoding filter (Haufe et al.
2014, On the interpretation of weight vectors of linear models in multivariate neuroimaging, eq. 6).
"""

from typing import Any

import numpy as np

from neurovae.stats.basis import residual
from neurovae.stats.exchangeability import resample

HAZARD = "+1 standard deviation of the events beyond those expected from confounds and time (martingale residual)"
QUANTILES = (0.05, 0.95)  # of the score, between which volumes are compared


def step(y: np.ndarray, kind: str, positive: Any = None) -> tuple[float, str]:
    """Size of one step of the score y (n,), and the contrast in words: between the classes, else one SD over people;
    of a survival score y is the martingale residual of its null.

    positive: the class of a binary score that counts as 1; without it that is the larger number.
    """
    if kind == "survival":
        return float(y.std(ddof=1)), HAZARD
    if kind == "binary":
        return 1.0, "larger minus smaller value" if positive is None else f"{positive} minus other group"
    return float(y.std(ddof=1)), "+1 standard deviation of the score"


def slope(z: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Change of the latents per unit of the score given the confounds, (latents,); NaN where nothing of y is left.

    z: (n, latents); x: (n, columns) with the intercept; y: (n,).
    """
    remainder = residual(y[:, None], x)[:, 0]
    size = remainder @ remainder
    if size <= 1e-10 * np.sum((y - y.mean()) ** 2) or np.ptp(y) == 0:
        return np.full(z.shape[1], np.nan)
    return np.asarray(remainder @ z / size)


def ends(z: np.ndarray, y: np.ndarray, per_unit: np.ndarray, kind: str) -> np.ndarray:
    """Expected latents (2, latents) at the score's 5 and 95 % quantile (binary: 0 and 1), confounds at their means."""
    values = np.array([0.0, 1.0]) if kind == "binary" else np.quantile(y, QUANTILES)
    return np.asarray(z.mean(axis=0) + (values - y.mean())[:, None] * per_unit)


def resampled(z: np.ndarray, x: np.ndarray, y: np.ndarray, strata: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Slopes (draws, latents) of people drawn with replacement within the strata (of exchangeability).

    A draw that leaves nothing of the score beside the confounds has no slope and is left out.
    """
    rng = np.random.default_rng([seed, 2])
    slopes = []
    for _ in range(draws):
        rows = resample(strata, rng)
        slopes.append(slope(z[rows], x[rows], y[rows]))
    all_slopes = np.array(slopes)
    return all_slopes[np.isfinite(all_slopes).all(axis=1)]
