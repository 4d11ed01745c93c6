"""The mandatory baseline (Wen 2020): principal components of the masked voxels, in the VAE's place."""

from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from neurovae.errors import InputError
from neurovae.train.weights import Tensors
from neurovae.volumes import masked

HAS_KL = False


def fit(
    volumes: np.ndarray, split: np.ndarray, mask: np.ndarray, *, seed: int, device: str, latent: int
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """Mean (voxels,) and orthonormal components (latents, voxels) of the people in "weights"; no history.

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan.
        mask: the fixed mask (x, y, z).
        seed, device: not used; the solution is exact and found on the CPU.
        latent: number of components.

    Raises:
        InputError: as many latents as training scans, or more.
    """
    x = masked(volumes[split == "weights"], mask)
    if latent >= len(x):
        raise InputError(f"PCA of {latent} latents needs more than {latent} training scans, found {len(x)}; lower latent")
    fitted = PCA(latent, svd_solver="full").fit(x)
    tensors = {"mean": fitted.mean_.astype(np.float32), "components": fitted.components_.astype(np.float32)}
    return tensors, {"latent": latent}, []


def embed(
    volumes: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (scans, latents); a PCA has no posterior variance (NaN)."""
    scores = (masked(volumes, mask) - tensors["mean"]) @ tensors["components"].T
    return scores, np.full_like(scores, np.nan)


def reconstruct(mu: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]) -> np.ndarray:
    """Masked voxels (scans, voxels) of scores (scans, latents)."""
    voxels: np.ndarray = tensors["mean"] + mu @ tensors["components"]
    return voxels
