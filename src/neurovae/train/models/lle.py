"""Locally linear embedding (Roweis 2000): each scan a weighted mean of its neighbours, in latents too; a baseline."""

from copy import copy
from typing import Any

import numpy as np
from sklearn.manifold import LocallyLinearEmbedding

from neurovae.train.models import manifold
from neurovae.train.models.pca import reconstruct as reconstruct
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
    neighbours: int,
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """The training scans with their positions, and the map from latents to voxels; no history.

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan; "training" alone is used.
        mask: the fixed mask (x, y, z).
        seed, device: not used; the solution is exact and found on the CPU.
        n_latent: number of latents; fewer than neighbours, else the last ones follow no neighbourhood.
        flip: fit on the scans and their mirror images about the midline.
        neighbours: neighbours whose weighted mean is a scan, itself not counted.

    Raises:
        InputError: sizes that do not fit the training scans (`manifold`).
    """
    tensors = manifold.gather(volumes, split, mask, n_latent=n_latent, flip=flip)
    manifold.check_graph(tensors["coordinates"], neighbours)
    positions = embedding(manifold.training(tensors), n_latent=n_latent, neighbours=neighbours).embedding_
    tensors["positions"] = positions * np.sqrt(len(positions))  # variance 1, as Roweis has it
    tensors["components"] = manifold.decoder(tensors, tensors["positions"])
    return tensors, {"n_latent": n_latent, "neighbours": neighbours, "kl": False}, []


@manifold.cached
def embedding(coordinates: np.ndarray, *, n_latent: int, neighbours: int) -> LocallyLinearEmbedding:
    """scikit-learn's embedding of the training scans' coordinates; dense, so that nothing is drawn."""
    model = LocallyLinearEmbedding(
        n_neighbors=neighbours, n_components=n_latent, eigen_solver="dense", neighbors_algorithm="brute"
    )
    return model.fit(coordinates)


def embed(
    volumes: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Latents (scans, latents), of variance one over the training positions, and NaN for a posterior variance.

    Out of sample it is scikit-learn's transform: the mean of the nearest training scans' positions, with the weights
    that rebuild the scan from them (Saul 2003). A training scan is its own first neighbour and moves little (.4 to 2 %
    of the positions' norm on `ixi`); a mean of others' positions is nearer to zero (held-out scale .4 to .6 there).
    """
    sizes = {name: architecture[name] for name in ("n_latent", "neighbours")}
    model = copy(embedding(manifold.training(tensors), **sizes))
    model.embedding_ = tensors["positions"]  # as stored: another machine's eigenvectors may differ in sign
    mu = model.transform(manifold.place(volumes, mask, tensors))
    return mu.astype(np.float32), np.full(mu.shape, np.nan, np.float32)
