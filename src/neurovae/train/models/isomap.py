"""Isomap (Tenenbaum 2000): classical scaling of the shortest paths over a graph of neighbours; a baseline."""

from typing import Any

import numpy as np
from sklearn.manifold import Isomap

from neurovae.errors import InputError
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
    """The training scans, from which Isomap is rebuilt, and the map from latents to voxels; no history.

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan; "training" alone is used.
        mask: the fixed mask (x, y, z).
        seed, device: not used; the solution is exact and found on the CPU.
        n_latent: number of latents.
        flip: fit on the scans and their mirror images about the midline.
        neighbours: neighbours of a scan in the graph, itself not counted.

    Raises:
        InputError: sizes that do not fit the training scans (`manifold`), or too few directions in the paths.
    """
    tensors = manifold.gather(volumes, split, mask, n_latent=n_latent, flip=flip)
    manifold.check_graph(tensors["coordinates"], neighbours)
    model = embedding(manifold.training(tensors), n_latent=n_latent, neighbours=neighbours)
    tensors["positions"] = model.embedding_
    tensors["components"] = manifold.decoder(tensors, model.embedding_)
    return tensors, {"n_latent": n_latent, "neighbours": neighbours, "kl": False}, []


@manifold.cached
def embedding(coordinates: np.ndarray, *, n_latent: int, neighbours: int) -> Isomap:
    """scikit-learn's Isomap of the training scans' coordinates; dense, so that nothing is drawn."""
    try:
        model = Isomap(n_neighbors=neighbours, n_components=n_latent, eigen_solver="dense", neighbors_algorithm="brute")
        smallest = model.fit(coordinates).kernel_pca_.eigenvalues_.min()
    except ValueError as error:
        if "negative eigenvalues" not in str(error):
            raise
        smallest = 0.0
    if smallest <= 0:
        raise InputError(
            f"the paths over {neighbours} neighbours have fewer than {n_latent} directions; lower n_latent"
        )
    return model


def embed(
    volumes: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Latents (scans, latents) in units of distance between scans, and NaN in place of a posterior variance.

    Out of sample it is scikit-learn's transform: the paths from a scan begin at its nearest training scans and are
    projected on the training scans' positions. A training scan comes back to its fitted position (to 1e-6 of the norm);
    other scans lie nearer to zero (held-out scale .8 to .9 on `ixi`).
    """
    sizes = {name: architecture[name] for name in ("n_latent", "neighbours")}
    model = embedding(manifold.training(tensors), **sizes)
    sign = np.sign(np.sum(model.embedding_ * tensors["positions"], axis=0))  # a refit elsewhere may turn a column round
    mu = sign * model.transform(manifold.place(volumes, mask, tensors))
    return mu.astype(np.float32), np.full(mu.shape, np.nan, np.float32)
