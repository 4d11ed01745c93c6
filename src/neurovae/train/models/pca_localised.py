"""Localised principal components: more of them than there are people (`localised_components`)."""

from typing import Any

import numpy as np

from neurovae.export.source import Source
from neurovae.train.models import source_covariance
from neurovae.train.models.localised_components import Taper, localised
from neurovae.train.models.pca import embed as embed
from neurovae.train.models.pca import reconstruct as reconstruct
from neurovae.train.models.pooled_components import pooled
from neurovae.train.models.principal_components import stored
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
    taper_mm: list[Taper],
    rotate: str = "none",
    source: Source | None = None,
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """Mean, components (latents, voxels) and variances of the people in "training"; no history.

    With a source, its covariance is pooled with theirs (`pooled_components`).

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan.
        mask: the fixed mask (x, y, z).
        seed, device: not used; found on the CPU, from a fixed start.
        n_latent: number of components.
        flip: fit on the scans and their mirror images about the midline.
        blur: of the plain PCA (`pca.fit`), where "none" is among the tapers.
        taper_mm: distance from which on voxels count as uncorrelated, or "none"; of several, the one that explains
            most variance in the people in "validation".
        rotate: varimax, or none.
        source: the model of a larger cohort.

    Raises:
        InputError: more latents than a plain PCA or the voxels allow, or nobody in "validation" to choose by.
    """
    rows = np.flatnonzero(split == "training"), np.flatnonzero(split == "validation")
    same: dict[str, Any] = {"n_latent": n_latent, "flip": flip, "blur": blur, "tapers": taper_mm}
    beside: dict[str, Any] = {}
    if source:
        found, weight, taper = pooled(volumes, *rows, mask, source_covariance.of(source, mask), **same)
        beside = {"source": source.record, "source_weight": weight}
    else:
        found, taper = localised(volumes, *rows, mask, **same)
    tensors, left = stored(found, rotate)
    return tensors, {"n_latent": n_latent, "kl": False, "taper_mm": taper, **left, **beside}, []
