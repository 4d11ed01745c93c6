"""The mandatory baseline (Wen 2020), and the VAE's linear part: principal components of the masked voxels."""

from typing import Any

import numpy as np

from neurovae.export.source import Source
from neurovae.io.volumes import masked
from neurovae.train.models import source_covariance
from neurovae.train.models.pooled_components import pooled
from neurovae.train.models.principal_components import components, stored
from neurovae.train.weights import Tensors


def fit(
    volumes: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    *,
    seed: int,
    device: str,
    n_latent: int,
    flip: bool,
    blur: float,
    rotate: str = "none",
    capped: bool = False,
    source: Source | None = None,
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """Mean, components (latents, voxels) and variances of the people in "training"; no history.

    With a source, its covariance is pooled with theirs (`pooled_components`).

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan.
        mask: the fixed mask (x, y, z).
        seed, device: not used; the solution is found on the CPU, exact up to MOST training scans, iterated beyond.
        n_latent: number of components.
        flip: fit on the scans and their mirror images about the midline.
        blur: standard deviation, mm, of the blurred copies that are added; 0: none.
        rotate: varimax, or none.
        capped: of a baseline: as many components as there are, where n_latent is more.
        source: the model of a larger cohort.
    """
    rows = np.flatnonzero(split == "training")
    n_latent = min(n_latent, len(rows) - 1) if capped else n_latent
    same: dict[str, Any] = {"n_latent": n_latent, "flip": flip, "blur": blur}
    beside: dict[str, Any] = {}
    if source:
        validation = np.flatnonzero(split == "validation")
        found, weight, _ = pooled(volumes, rows, validation, mask, source_covariance.of(source, mask), **same)
        beside = {"source": source.record, "source_weight": weight}
    else:
        found = components(volumes, rows, mask, **same)
    tensors, left = stored(found, rotate)
    return tensors, {"n_latent": n_latent, "kl": False, **left, **beside}, []


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
