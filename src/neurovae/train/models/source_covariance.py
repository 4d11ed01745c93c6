"""The covariance of a model of a larger cohort: its components and their variances, never its people.

A linear part that is fitted on few people is rough; the covariance of others, about their own mean, knows much of it.
"""

from typing import Any, NamedTuple

import numpy as np

from neurovae.errors import InputError
from neurovae.export.source import Source
from neurovae.io.exported import inner_kind
from neurovae.plan import start_models
from neurovae.train.weights import Tensors

NETWORKS = ("vae", "autoencoder")  # kinds whose linear part is a probabilistic PCA


class Covariance(NamedTuple):
    """U' diag(variances) U, and `left` at every voxel: U (components, voxels) is orthonormal in the whole mask.

    What is left is the same at every voxel. It changes no eigenvector, and counts in the total variance alone.
    """

    components: np.ndarray
    variances: np.ndarray
    left: float

    @property
    def total(self) -> float:
        """Variance summed over the voxels."""
        lengths = np.square(self.components, dtype=np.float64).sum(axis=1)
        return float(self.variances @ lengths + self.left * self.components.shape[1])

    def at(self, inside: np.ndarray) -> "Covariance":
        """The same at some of the voxels, bool (voxels,)."""
        return Covariance(self.components[:, inside], self.variances, self.left)

    def product(self, basis: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
        """A basis (vectors, voxels) times U' diag(variances) U; `inside`: the voxels of the basis, bool (voxels,)."""
        own = self.components if inside is None else self.components[:, inside]
        return ((basis @ own.T) * self.variances) @ self.components


def of(source: Source, mask: np.ndarray) -> Covariance:
    """The covariance of an exported model.

    Args:
        source: the model, of kind pca, pca_localised, vae or autoencoder, or frozen from one.
        mask: the fixed mask of this run (x, y, z).

    Raises:
        InputError: another mask, a kind without a linear part, or weights that do not hold its variances.
    """
    kind = inner_kind(source.meta)
    if source.mask.shape != mask.shape or (source.mask != mask).any():
        raise InputError(
            f"start_from: the model's mask has {int(source.mask.sum())} voxels on a grid of {source.mask.shape}, this "
            f"run's {int(mask.sum())} on {mask.shape}; give a model of the same grid"
        )
    left = source.meta["architecture"].get("left")
    if left is None:
        raise InputError(f"start_from: this {kind} holds no variances of a linear part; {start_models.remedy(kind)}")
    tensors = source.tensors
    if kind in NETWORKS:
        lengths = np.linalg.norm(tensors["outward"], axis=1, keepdims=True)
        return Covariance(tensors["outward"] / lengths, np.square(lengths[:, 0]), left)
    components = tensors["varimax"] @ tensors["components"] if "varimax" in tensors else tensors["components"]
    return Covariance(components, tensors["variances"], left)


def network(source: Source, architecture: dict[str, Any]) -> Tensors:
    """The tensors at which a vae starts because its source is one of the same architecture; else none.

    Of a local network, the decoder: it corrects any linear reconstruction. Of a dense one, all of it and the linear
    part as it is, since its layers are tied to the source's latents.
    """
    theirs, local = source.meta["architecture"], architecture.get("network") == "local"
    same = ("shape", "base_channels", "network") if local else ("shape", "base_channels", "network", "n_latent")
    if inner_kind(source.meta) != "vae" or any(theirs.get(key) != architecture.get(key) for key in same):
        return {}
    parts = ("decoder.",) if local else ("encoder.", "decoder.", "inward", "outward")
    return {name: value for name, value in source.tensors.items() if name.startswith(parts)}
