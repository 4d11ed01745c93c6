"""Variance-component score test of all latents at once: Q = e'z W z'e, with W from the raw kernel to the whitened one.

Liu, Lin & Ghosh 2007; Goeman, van de Geer & van Houwelingen 2006. W = (z'z + k I)^-1 at fixed k: infinity weighs an
axis by its variance (few broad axes carry the score), a small k hardly (any axis); the same of the latents as they are
and of standardised ones, and whitened, where no axis counts more than another; the largest single latent stands beside
them for a truth in one latent. Combined by min-P over the same permutations.

For scores that are not Gaussian e is the null's score residual s = dl/d eta, and z is not weighted. Permuting s is then
the same as permuting the rows of the latents given the confounds, which are exchangeable under the null, where s is
not: its spread and skewness follow the fitted mean. With s / sqrt(W) and weighted latents 14-19 % of true nulls of a
binary score that age explains well (logit 3 age - 3) were rejected at 5 %, with 118 people as with 500.
"""

from dataclasses import dataclass

import numpy as np

from neurovae.stats.rao import Null
from neurovae.stats.ridge import METRICS, decompose

KERNELS = {"raw": ("raw", np.inf), "raw, ridge 1": ("raw", 1.0), "standardised": ("standardised", np.inf),
           "standardised, ridge 1": ("standardised", 1.0), "whitened": ("whitened", np.inf)}  # fmt: skip
# metric of `ridge`, k over the mean squared d
SINGLE = "largest latent"


@dataclass(frozen=True)
class Space:
    """One score as a least squares problem, and its kernels."""

    e: np.ndarray  # (n,)
    z: np.ndarray  # (n, latents)
    x: np.ndarray  # (n, columns)
    q: np.ndarray  # (n, rank of x) orthonormal, of the confounds
    unit: np.ndarray  # (n, latents) latents given confounds, each of length one
    names: list[str]
    axes: np.ndarray  # (n, axes) of all metrics, side by side
    weights: np.ndarray  # (kernels, axes)


def space(null: Null, z: np.ndarray, x: np.ndarray) -> Space:
    """Prepare the kernels of one score. z: (n, latents), each varying beyond the confounds; x: (n, columns).

    The whitened kernel is left out where the latents span all that the confounds leave: it would be constant.
    """
    parts = dict(zip(METRICS, decompose(z, x), strict=False))
    kernels_used = {name: kernel for name, kernel in KERNELS.items() if kernel[0] in parts}
    weights = []
    for metric, k in kernels_used.values():
        squares, mean = parts[metric].d ** 2, np.mean(parts[metric].d ** 2)
        weight = squares / mean if k == np.inf else squares / (squares + k * mean)
        weights.append(np.concatenate([weight if name == metric else 0 * part.d for name, part in parts.items()]))
    q, axes = parts["raw"].q, np.hstack([part.u for part in parts.values()])
    adjusted = z - q @ (q.T @ z)
    return Space(
        null.residual, z, x, q, adjusted / np.linalg.norm(adjusted, axis=0), list(kernels_used), axes, np.array(weights)
    )


def kernels(data: Space, e: np.ndarray) -> np.ndarray:
    """Q / |e given x|^2 of each draw: a column per kernel, then the largest latent's squared r. e: (draws, n)."""
    total = np.square(e).sum(axis=1) - np.square(e @ data.q).sum(axis=1)
    quadratic = np.square(e @ data.axes) @ data.weights.T
    return np.column_stack([quadratic, np.square(e @ data.unit).max(axis=1)]) / total[:, None]
