"""The mandatory baseline (Wen 2020): principal components of the masked voxels, in the VAE's place."""

from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from neurovae.errors import InputError
from neurovae.train.weights import Tensors
from neurovae.volumes import masked

HAS_KL = False


def fit(
    volumes: np.ndarray, split: np.ndarray, mask: np.ndarray, *, seed: int, device: str, latent: int, flip: bool
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """Mean (voxels,) and orthonormal components (latents, voxels) of the people in "weights"; no history.

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan.
        mask: the fixed mask (x, y, z).
        seed, device: not used; the solution is exact and found on the CPU.
        latent: number of components.
        flip: fit on the scans and their mirror images about the midline.
    """
    fitted = principal(volumes[split == "weights"], mask, latent, flip)
    tensors = {"mean": fitted.mean_.astype(np.float32), "components": fitted.components_.astype(np.float32)}
    return tensors, {"latent": latent}, []


def principal(volumes: np.ndarray, mask: np.ndarray, latent: int, flip: bool) -> PCA:
    """Principal components of the masked voxels of scans and, with flip, of their mirror images.

    Raises:
        InputError: as many latents as training scans, or more.
    """
    if latent >= len(volumes):
        raise InputError(f"{latent} latents need more than {latent} training scans, found {len(volumes)}; lower latent")
    x = masked(volumes, mask)
    x = np.concatenate([x, masked(volumes[:, ::-1], mask)]) if flip else x
    return PCA(latent, svd_solver="full").fit(x)


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
