"""Spatial independent component analysis of principal axes, from several starts."""

import warnings

import numpy as np
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning

from neurovae.errors import InputError
from neurovae.train.engine.rng import number

STARTS = 10  # as many as nilearn's CanICA takes
STEPS = 1000  # of a start
OF_GAUSSIAN = 0.374567  # mean of log cosh of a standard normal variable


def independent(axes: np.ndarray, seed: int) -> np.ndarray:
    """Rotation (latents, latents) of principal axes (latents, features) into spatially independent ones.

    With few features FastICA finds several solutions, and from some starts none. Of STARTS starts, the solution of the
    largest negentropy is taken (Hyvarinen and Oja 2000, eq. 25, log cosh), its maps in the order of theirs.

    Raises:
        InputError: FastICA does not converge from any start.
    """
    found = []
    for start in range(STARTS):
        ica = FastICA(whiten="unit-variance", random_state=number(seed, start) % 2**32, max_iter=STEPS, tol=1e-4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a start that fails is left out below
            maps = ica.fit_transform(axes.T).T
        if ica.n_iter_ < STEPS:
            found.append(maps)
    if not found:
        raise InputError(
            f"ICA of {len(axes)} components did not converge from any of {STARTS} starts; choose another n_latent"
        )
    best = max(found, key=lambda maps: negentropy(maps).sum())
    best = best[np.argsort(negentropy(best))[::-1]]
    return np.asarray(best @ axes.T)


def negentropy(maps: np.ndarray) -> np.ndarray:
    """Squared departure of the mean log cosh of each map (maps, features; unit variance) from that of a Gaussian."""
    log_cosh = np.logaddexp(maps, -maps) - np.log(2)
    return np.asarray(np.square(log_cosh.mean(axis=1) - OF_GAUSSIAN))
