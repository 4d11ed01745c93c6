"""Functions that mds, isomap and lle share: training scans, coordinates that keep their distances, neighbours, voxels.

Each needs only the scans' distances. n scans keep theirs in fewer than n coordinates (classical scaling, Gower 1966),
and another scan keeps its distances to them with one more: its distance to the space that they span (Gower 1968).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import kneighbors_graph
from sklearn.utils.extmath import svd_flip

from neurovae.errors import InputError
from neurovae.io.volumes import chunks, masked
from neurovae.train.weights import Tensors

MAX_SCANS = 5000  # scans: time grows with their cube, memory with their square
TINY = 1e-10  # share of the largest variance below which a direction is rounding


def gather(volumes: np.ndarray, split: np.ndarray, mask: np.ndarray, *, n_latent: int, flip: bool) -> Tensors:
    """The scans in "training", with mirror images when `flip`: voxels (n, voxels), mean, coordinates (n, fewer than n).

    Raises:
        InputError: too few scans for the latents, too many for an n x n method, or scans without enough differences.
    """
    scans = volumes[split == "training"]
    if n_latent >= len(scans):
        raise InputError(
            f"{n_latent} latents need more than {n_latent} training scans, found {len(scans)}; lower n_latent"
        )
    voxels = np.concatenate([scans[:, mask], scans[:, ::-1][:, mask]]) if flip else scans[:, mask]
    if len(voxels) > MAX_SCANS:
        raise InputError(
            f"{len(voxels)} training scans{' with mirror images' if flip else ''} are too many for mds, isomap and lle "
            f"(at most {MAX_SCANS}: all their distances are needed); "
            f"{'set flip: false or ' if flip else ''}use kind: pca"
        )
    mean = voxels.mean(axis=0, dtype=np.float64).astype(np.float32)
    values, vectors = eigh(products(voxels, voxels, mean))
    positive = np.flatnonzero(values > TINY * values[-1])[::-1]
    if len(positive) < n_latent:
        raise InputError(
            f"the training scans differ in {len(positive)} directions only; lower n_latent from {n_latent}"
        )
    coordinates = svd_flip(vectors[:, positive], None)[0] * np.sqrt(values[positive])
    return {"voxels": voxels, "mean": mean, "coordinates": np.ascontiguousarray(coordinates)}


def products(x: np.ndarray, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Inner products (scans of x, scans of y) about the mean, in double precision, a block of voxels at a time."""
    total = np.zeros((len(x), len(y)))
    for part in chunks(len(mean), 4096):
        total += (x[:, part].astype(np.float64) - mean[part]) @ (y[:, part].astype(np.float64) - mean[part]).T
    return total


def training(tensors: Tensors) -> np.ndarray:
    """Coordinates (n, c) of the training scans; the last, their distance to the space that they span, is zero."""
    return np.pad(tensors["coordinates"], ((0, 0), (0, 1)))


def place(volumes: np.ndarray, mask: np.ndarray, tensors: Tensors) -> np.ndarray:
    """Coordinates (scans, c) of any scans, in which their distances to `training` are those of their voxels."""
    x, coordinates = masked(volumes, mask).astype(np.float64), tensors["coordinates"]
    projections = products(x, tensors["voxels"], tensors["mean"]) @ (coordinates / np.square(coordinates).sum(axis=0))
    squared_rest = np.square(x - tensors["mean"]).sum(axis=1) - np.square(projections).sum(axis=1)
    return np.column_stack([projections, np.sqrt(squared_rest.clip(min=0))])


def decoder(tensors: Tensors, positions: np.ndarray) -> np.ndarray:
    """Components (latents, voxels) of x_hat = mean + mu @ components, least squares over the training scans.

    A stated rule, since these methods have no decoder: from the scores of a PCA it would give the PCA's own. A straight
    map cannot follow a curved manifold, so that the variance explained is a lower bound of what the latents hold.

    Args:
        positions: latents (n, latents) of the training scans, of mean zero.
    """
    inverse = np.linalg.pinv(positions).astype(np.float32)
    components: np.ndarray = inverse @ (tensors["voxels"].astype(np.float32) - tensors["mean"])
    return components


def check_graph(coordinates: np.ndarray, neighbours: int) -> None:
    """Refuse a number of neighbours that the training scans cannot give, or that leaves their graph disconnected.

    Raises:
        InputError: no more scans than neighbours, or pieces whose distance to each other is not known.
    """
    if neighbours >= len(coordinates):
        raise InputError(
            f"{neighbours} neighbours need more than {neighbours} training scans (with mirror images), "
            f"found {len(coordinates)}; lower neighbours"
        )
    pieces, piece = connected_components(kneighbors_graph(coordinates, neighbours), directed=False)
    if pieces > 1:
        raise InputError(
            f"the graph of {neighbours} neighbours is in {pieces} pieces, of {np.bincount(piece).max()} of the "
            f"{len(coordinates)} training scans at most; raise neighbours from {neighbours}, or exclude scans that "
            "resemble no other"
        )


def cached(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the last result of fit(coordinates, **sizes) while the coordinates' bits and the sizes stay the same."""

    @lru_cache(maxsize=1)
    def again(bits: bytes, shape: tuple[int, int], **sizes: int) -> Any:
        return fit(np.frombuffer(bits).reshape(shape).copy(), **sizes)

    def found(coordinates: np.ndarray, **sizes: int) -> Any:
        return again(coordinates.tobytes(), coordinates.shape, **sizes)

    return found
