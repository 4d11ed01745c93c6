"""Variance-component score test of all latents at once: Q = e'z W z'e, with W from the raw kernel to the whitened one.

Liu, Lin & Ghosh 2007; Goeman, van de Geer & van Houwelingen 2006. W = (z'z + k I)^-1 at fixed k: infinity weighs an
axis by its variance (few broad axes carry the score), 0 not at all (any axis); the largest single latent stands beside
them for a truth in one latent. Combined by min-P over the same permutations. Off the Gaussian e, z and x are those of
the null's last weighted least squares, e = s / sqrt(W), z and x times sqrt(W) (McCullagh & Nelder 1989, section 2.5).
"""

from dataclasses import dataclass

import numpy as np

from neurovae.associate.rao import Null
from neurovae.associate.ridge import Part, decompose

WEIGHTS = {"raw variance": np.inf, "ridge 1": 1.0, "ridge 0.1": 0.1, "whitened": 0.0}  # k over the mean squared d
SINGLE = "largest latent"


@dataclass(frozen=True)
class Space:
    """One score as a weighted least squares problem, and its kernels."""

    e: np.ndarray  # (n,)
    z: np.ndarray  # (n, latents)
    x: np.ndarray  # (n, columns)
    part: Part
    unit: np.ndarray  # (n, latents) latents given confounds, each of length one
    names: list[str]
    weights: np.ndarray  # (kernels, k) weights of the axes


def space(found: Null, z: np.ndarray, x: np.ndarray) -> Space:
    """z: (n, latents), each varying beyond the confounds; x: (n, columns).

    The whitened kernel is left out where the latents span all that the confounds leave: it would be constant.
    """
    root = np.sqrt(found.weight)
    e, z, x = found.residual / root, root[:, None] * z, root[:, None] * x
    part = decompose(z, x)
    names = [name for name, k in WEIGHTS.items() if k > 0 or len(part.d) < part.df]
    power, mean = part.d**2, np.mean(part.d**2)
    rows = [power / mean if WEIGHTS[name] == np.inf else power / (power + WEIGHTS[name] * mean) for name in names]
    left = z - part.q @ (part.q.T @ z)
    return Space(e, z, x, part, left / np.linalg.norm(left, axis=0), names, np.array(rows))


def kernels(data: Space, e: np.ndarray) -> np.ndarray:
    """Q / |e given x|^2 of each draw: a column per kernel, then the largest latent's squared r. e: (draws, n)."""
    left = np.square(e).sum(axis=1) - np.square(e @ data.part.q).sum(axis=1)
    quadratic = np.square(e @ data.part.u) @ data.weights.T
    return np.column_stack([quadratic, np.square(e @ data.unit).max(axis=1)]) / left[:, None]
