"""What an aligned latent looks like: the change of the voxels with it in the people who were left out of its fit."""

from pathlib import Path

import numpy as np

from neurovae.interpret.images import write_maps
from neurovae.io.volumes import masked
from neurovae.stats.aligned import Part

LEAST = 1e-12  # of the latent's variance, below which it does not vary in a fold


def patterns(
    volumes: np.ndarray, packed: np.ndarray, mask: np.ndarray, z: np.ndarray, x: np.ndarray, parts: list[Part]
) -> np.ndarray:
    """Change of each voxel per standard deviation of the latent, given the confounds, by fold (folds, voxels).

    A pattern in the sense of Haufe 2014: the regression of the voxels on the latent, not the weights that make it. A
    fold in whose test people the latent does not vary, such as a fold with one of them, has no pattern: its row is
    missing.

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
        if own @ own <= LEAST * unit**2:
            found.append(np.full(int(mask.sum()), np.nan))
            continue
        voxels = masked(volumes[packed[part.test]], mask).astype(np.float64)
        found.append(own @ (voxels - voxels.mean(axis=0)) / (own @ own) * unit)
    return np.array(found)


def known(maps: np.ndarray) -> np.ndarray:
    """Which folds have a pattern. maps: (..., folds, voxels)."""
    return np.isfinite(maps).all(axis=-1)


def write(mean: Path, sd: Path, mask: Path, maps: np.ndarray) -> None:
    """Write mean and standard deviation of the patterns (scores, folds, voxels) over folds that have one.

    A volume per score; missing without any fold, and the deviation with fewer than two.
    """
    averages, deviations = np.full((2, len(maps), maps.shape[2]), np.nan)
    for k, of_score in enumerate(maps):
        folds = of_score[known(of_score)]
        if len(folds):
            averages[k] = folds.mean(axis=0)
        if len(folds) > 1:
            deviations[k] = folds.std(axis=0, ddof=1)
    write_maps(mean, averages, mask)
    write_maps(sd, deviations, mask)
