"""Metric multidimensional scaling: positions whose distances fit the scans' (stress, Kruskal 1964); a baseline."""

from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.distance import cdist
from sklearn.manifold import MDS

from neurovae.train.models import manifold
from neurovae.train.models.pca import reconstruct as reconstruct
from neurovae.train.weights import Tensors

ROUNDS = 10_000  # of SMACOF, at most
STILL = 1e-12  # fall of the stress, as a share of the squared distances, at which SMACOF ends


def fit(
    volumes: np.ndarray,
    split: np.ndarray,
    mask: np.ndarray,
    *,
    seed: int,
    device: str,
    n_latent: int,
    flip: bool,
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """The training scans with their positions, and the map from latents to voxels; no history.

    The positions start from classical scaling (the scores of a PCA) and lower the stress by majorisation (SMACOF, de
    Leeuw 1977).

    Args:
        volumes: packed volumes (scans, x, y, z).
        split: split of each scan; "training" alone is used.
        mask: the fixed mask (x, y, z).
        seed: given to scikit-learn; nothing is drawn.
        device: not used; found on the CPU.
        n_latent: number of latents.
        flip: fit on the scans and their mirror images about the midline.

    Raises:
        InputError: sizes that do not fit the training scans (`manifold`).
    """
    tensors = manifold.gather(volumes, split, mask, n_latent=n_latent, flip=flip)
    training_positions = manifold.training(tensors)
    model = MDS(
        n_latent, n_init=1, init="classical_mds", metric="precomputed", max_iter=ROUNDS, eps=STILL, random_state=seed
    )
    distances = cdist(training_positions, training_positions)
    positions = model.fit(distances).embedding_
    relative_stress = 2 * model.stress_ / np.square(distances).sum()
    print(f"stress after {model.n_iter_} rounds of SMACOF: {relative_stress:.4f} of the squared distances", flush=True)
    tensors["positions"] = positions - positions.mean(axis=0)
    tensors["components"] = manifold.decoder(tensors, tensors["positions"])
    return tensors, {"n_latent": n_latent, "kl": False}, []


def embed(
    volumes: np.ndarray, mask: np.ndarray, tensors: Tensors, architecture: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Latents (scans, latents) in units of distance between scans, and NaN in place of a posterior variance.

    Out of sample it is the point whose distances to the training positions fit the scan's distances to the training
    scans best (least squares, the same stress). A training scan's position is such a point once SMACOF has ended, and
    the map moves it as little as SMACOF has left to do (1e-4 to 4e-3 of the positions' norm on `ixi`).
    """
    distances = cdist(manifold.place(volumes, mask, tensors), manifold.training(tensors))
    mu = np.stack([add_point(row, tensors["positions"]) for row in distances])
    return mu.astype(np.float32), np.full(mu.shape, np.nan, np.float32)


def add_point(distances: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The point (latents,) of least stress for distances (n,) to positions (n, latents) of mean zero.

    The better of two searches: from the point that classical scaling would add (Gower 1968, equation 10), and from the
    nearest training scan, where a training scan's own position already has no slope.
    """

    def stress(point: np.ndarray) -> np.ndarray:
        return np.linalg.norm(point - positions, axis=1) - distances

    def slope(point: np.ndarray) -> np.ndarray:
        offsets = point - positions
        return offsets / np.linalg.norm(offsets, axis=1, keepdims=True).clip(min=1e-12)

    gower_point = np.linalg.pinv(positions) @ (np.square(positions).sum(axis=1) - np.square(distances)) / 2
    starts = (positions[distances.argmin()], gower_point)
    exact: dict[str, Any] = {"method": "lm", "xtol": 1e-10, "ftol": 1e-12, "gtol": 1e-12, "max_nfev": 10_000}
    solutions = [least_squares(stress, start, slope, **exact) for start in starts]
    best: np.ndarray = min(solutions, key=lambda end: end.cost).x
    return best
