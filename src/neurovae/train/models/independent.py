"""Spatial independent component analysis of principal axes, from several starts."""

import warnings

import numpy as np
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning

from neurovae.train.engine.rng import number

STARTS = 10  # as many as nilearn's CanICA takes
STEPS = 1000  # of a start
OF_GAUSSIAN = 0.374567  # mean of log cosh of a standard normal variable


def independent(axes: np.ndarray, seed: int) -> np.ndarray:
    """Rotation (latents, latents) of principal axes (latents, features) into spatially independent ones.

    With few features FastICA circles between solutions, and whether it comes to rest depends on the last digit. So the
    steps are bounded, and of all starts the maps of the largest negentropy are taken (Hyvarinen and Oja 2000, eq. 25,
    log cosh), in the order of theirs. How many starts came to rest is printed; with few features, a number far below
    STARTS says that other starts or participants give other maps.
    """
    found, rested = [], 0
    for start in range(STARTS):
        ica = FastICA(whiten="unit-variance", random_state=number(seed, start) % 2**32, max_iter=STEPS, tol=1e-4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # counted and printed below
            found.append(ica.fit_transform(axes.T).T)
        rested += ica.n_iter_ < STEPS
    print(f"ICA of {len(axes)} components, {axes.shape[1]} features: {rested} of {STARTS} starts converged", flush=True)
    best = max(found, key=lambda maps: negentropy(maps).sum())
    best = best[np.argsort(negentropy(best))[::-1]]
    return np.asarray(best @ axes.T)


def negentropy(maps: np.ndarray) -> np.ndarray:
    """Squared departure of the mean log cosh of each map (maps, features; unit variance) from that of a Gaussian."""
    log_cosh = np.logaddexp(maps, -maps) - np.log(2)
    return np.asarray(np.square(log_cosh.mean(axis=1) - OF_GAUSSIAN))
