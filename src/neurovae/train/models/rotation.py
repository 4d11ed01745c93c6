"""Varimax rotation of latents (Kaiser 1958): the same space with axes that each concern few voxels."""

import numpy as np

from neurovae.io.volumes import evenly

VOXELS = 20_000  # evenly spaced, by which a rotation is found
ROUNDS, STILL = 500, 1e-6  # at most; relative gain of the criterion at which it ends


def varimax(loadings: np.ndarray) -> np.ndarray:
    """The rotation R (latents, latents) that maximises the variance of the squares of R' L over voxels, summed.

    Of each rotated latent the largest loading is positive, and latents with the most variance explained come first.

    Args:
        loadings: L, what a unit of each latent changes, (latents, voxels).
    """
    x = loadings[:, evenly(loadings.shape[1], VOXELS)].T.astype(np.float64)
    rotation, before = np.eye(x.shape[1]), 0.0
    for _ in range(ROUNDS):
        turned = x @ rotation
        slope = x.T @ (turned**3 - turned * np.square(turned).mean(axis=0))
        left, values, right = np.linalg.svd(slope)
        rotation, reached = left @ right, float(values.sum())
        if reached <= before * (1 + STILL):
            break
        before = reached
    turned = x @ rotation
    rotation *= np.sign(turned[np.abs(turned).argmax(axis=0), np.arange(len(rotation))])
    return rotation[:, np.argsort(-np.square(turned).sum(axis=0), kind="stable")]


def posterior(mu: np.ndarray, logvar: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and marginal log-variance, each (scans, latents), of R' z where z has a diagonal posterior.

    The rotated latents are correlated in the posterior, so that their KL divergences do not sum to that of all.
    """
    variance = np.exp(logvar.astype(np.float64)) @ np.square(rotation)
    return mu @ rotation.astype(mu.dtype), np.log(variance).astype(logvar.dtype)
