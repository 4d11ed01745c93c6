"""What an aligned latent looks like: the change of the voxels with it in the people who were left out of its fit."""

from pathlib import Path

import numpy as np

from neurovae.interpret.images import write_maps
from neurovae.io.volumes import masked
from neurovae.stats.aligned import Part


def patterns(
    volumes: np.ndarray, packed: np.ndarray, mask: np.ndarray, z: np.ndarray, x: np.ndarray, parts: list[Part]
) -> np.ndarray:
    """Change of each voxel per standard deviation of the latent, given the confounds, by fold (folds, voxels).

    A pattern in the sense of Haufe 2014: the regression of the voxels on the latent, not the weights that make it.

    Args:
        volumes: packed volumes.
        packed: row of each person in them (n,).
        mask: the fixed mask.
        z: out-of-fold latents (n,).
        x: confounds and folds (n, columns), intercept included.
        parts: the folds.
    """
    q = np.linalg.qr(x)[0]
    adjusted = z - q @ (q.T @ z)
    unit = adjusted.std(ddof=1)
    found = []
    for part in parts:
        own = adjusted[part.test] - adjusted[part.test].mean()
        voxels = masked(volumes[packed[part.test]], mask).astype(np.float64)
        found.append(own @ (voxels - voxels.mean(axis=0)) / (own @ own) * unit)
    return np.array(found)


def write(mean: Path, sd: Path, mask: Path, maps: np.ndarray) -> None:
    """Write mean and standard deviation over folds of the patterns (scores, folds, voxels), a volume per score."""
    write_maps(mean, maps.mean(axis=1), mask)
    write_maps(sd, maps.std(axis=1, ddof=1), mask)
