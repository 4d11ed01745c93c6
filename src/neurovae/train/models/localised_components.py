"""Localised principal components: eigenvectors of the covariance multiplied by a taper of the voxels' distance.

Few people cannot tell a weak correlation at long range from noise; the taper removes both (Houtekamer and Mitchell
2001). The tapered covariance has more eigenvectors than there are people, and they are local. Its length is chosen by
the variance explained in the validation participants; no taper at all, a plain PCA, may be among the choices.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch

from neurovae.errors import InputError
from neurovae.io.volumes import chunks, masked
from neurovae.train.engine.windows import BOX, Window, axes, windows
from neurovae.train.models import principal_components
from neurovae.train.models.principal_components import Principal
from neurovae.train.models.source_covariance import Covariance

PASSES, MORE = 4, 10  # products with the covariance that find its eigenvectors; vectors beyond those wanted
COARSE = 4.0  # mm between the voxels on which a taper is chosen and most of the products are made
AT_ONCE = 128  # scans
Taper = float | Literal["none"]
Multiply = Callable[[np.ndarray], np.ndarray]


class Localised(NamedTuple):
    """Components, and the taper that was chosen for them."""

    principal: Principal
    taper_mm: Taper


def localised(
    volumes: np.ndarray,
    training: np.ndarray,
    validation: np.ndarray,
    mask: np.ndarray,
    *,
    n_latent: int,
    flip: bool,
    blur: float,
    tapers: list[Taper],
) -> Localised:
    """Localised components of the rows in `training`, with the taper that explains most of those in `validation`.

    On a grid finer than `COARSE` the taper is chosen, and the eigenvectors are found, on every second voxel or fewer
    along each axis; a product with the covariance carries them to all voxels (Nystroem), another one refines them.
    """
    sparse = thinned(mask)
    possible = [taper for taper in tapers if _possible(taper, n_latent, len(training), int(sparse.sum()))]
    if not possible:
        raise InputError(f"taper_mm {tapers}: too few people or voxels for {n_latent} latents; lower n_latent")
    if len(possible) > 1 and not len(validation):
        raise InputError(f"taper_mm: one of {possible} is to be chosen, but nobody is in validation; give one")

    def found(taper: Taper, on: np.ndarray, start: tuple[np.ndarray, np.ndarray] | None = None) -> Principal:
        if taper == "none":
            return principal_components.components(volumes, training, on, n_latent=n_latent, flip=flip, blur=blur)
        return components(volumes, training, on, taper, n_latent, flip, start)

    tried = {taper: found(taper, sparse) for taper in possible}
    taper = possible[0] if len(possible) == 1 else _best(volumes, validation, sparse, tried)
    if sparse is mask:
        return Localised(tried[taper], taper)
    return Localised(found(taper, mask, (sparse, tried[taper].components)), taper)


def _best(volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, tried: dict[Taper, Principal]) -> Taper:
    """The taper whose components explain most of the variance of rows."""
    values = {taper: explained(volumes, rows, mask, found) for taper, found in tried.items()}
    for taper, value in values.items():
        print(f"taper_mm {taper}: variance explained {value:.3f} in the validation set", flush=True)
    return max(values, key=values.__getitem__)


def thinned(mask: np.ndarray) -> np.ndarray:
    """The mask's voxels that are about `COARSE` mm apart along each axis; the mask itself where its grid is coarse."""
    every = [max(1, int(COARSE * side / length + 0.01)) for side, length in zip(mask.shape, BOX, strict=True)]
    if every == [1, 1, 1]:
        return mask
    chosen = np.zeros_like(mask)
    chosen[:: every[0], :: every[1], :: every[2]] = True
    return mask & chosen


def _possible(taper: Taper, n_latent: int, people: int, voxels: int) -> bool:
    return n_latent < people if taper == "none" else n_latent + MORE <= voxels


def explained(volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, found: Principal) -> float:
    """Share of the squared departures of rows from the mean that the components explain."""
    error = total = 0.0
    for part in chunks(len(rows)):
        x = masked(volumes[rows[part]], mask) - found.mean
        left = x - (x @ found.components.T) @ found.components
        error, total = error + float(np.square(left).sum()), total + float(np.square(x).sum())
    return 1 - error / total


def components(
    volumes: np.ndarray,
    rows: np.ndarray,
    mask: np.ndarray,
    taper: float,
    n_latent: int,
    flip: bool,
    start: tuple[np.ndarray, np.ndarray] | None = None,
    mixed: tuple[float, Covariance] | None = None,
) -> Principal:
    """Components on the voxels of a mask, begun at random or with those found on some of the voxels (mask, components).

    The variances and what is left of the variance are those of the tapered covariance, whose trace is the plain one's;
    where another covariance is pooled with it (`mixed`: its weight, and itself), those of both, with the same trace.
    """
    mean = principal_components.mean_of(volumes, rows, mask, flip)

    def scans() -> Iterator[np.ndarray]:
        return principal_components.centred(volumes, rows, mask, mean, flip, AT_ONCE)

    count = len(rows) * (2 if flip else 1) - 1
    total = sum(float(np.square(x).sum(dtype=np.float64)) for x in scans()) / count
    splines = axes(mask.shape, taper)
    own, size = windows(splines, mask), min(n_latent + MORE, len(mean))

    def multiply(basis: np.ndarray, others: list[Window] | None = None, seen: np.ndarray | None = None) -> np.ndarray:
        turned = product(scans(), own, basis, others, seen)
        if not mixed:
            return turned
        weight, covariance = mixed
        scale = weight * count * total / covariance.total
        return ((1 - weight) * turned + scale * covariance.product(basis, seen)).astype(np.float32)

    if start:
        basis = multiply(start[1], windows(splines, start[0]), start[0][mask])
        vectors, lengths = iterated(multiply, orthonormal(basis), passes=1)
    else:
        basis = np.random.default_rng(0).standard_normal((size, len(mean)), np.float32)
        vectors, lengths = iterated(multiply, orthonormal(basis), PASSES)
    variances = (lengths[:n_latent] / count).astype(np.float32)
    return Principal(mean, vectors[:n_latent], variances, (total - float(variances.sum())) / len(mean))


def iterated(multiply: Multiply, basis: np.ndarray, passes: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvectors (vectors, voxels) of a matrix by its products with a basis, and eigenvalues: subspace iteration."""
    for _ in range(passes):
        turned = multiply(basis)
        basis = orthonormal(turned)
    return basis, np.linalg.norm(basis @ turned.T, axis=1)


def orthonormal(basis: np.ndarray) -> np.ndarray:
    """Orthonormal rows that span those given, the longest direction first."""
    return principal_components.leading(basis, len(basis))


def product(
    scans: Iterator[np.ndarray],
    own: list[Window],
    basis: np.ndarray,
    others: list[Window] | None = None,
    seen: np.ndarray | None = None,
) -> np.ndarray:
    """A basis times the tapered sum of products of scans: B sum_r w_r X' X w_r, (vectors, voxels).

    Args:
        scans: centred voxels (scans, voxels), some scans at a time.
        own: the windows of these voxels.
        basis: (vectors, voxels); of some of the voxels, where `others` are given.
        others: the windows of those voxels, in the same order.
        seen: which of the voxels they are, bool (voxels,).
    """
    vectors = torch.from_numpy(np.ascontiguousarray(basis.T))  # (voxels, vectors): a window's rows lie together
    turned = torch.zeros(len(vectors) if seen is None else len(seen), len(basis))
    for x in scans:
        whole = torch.from_numpy(np.ascontiguousarray(x.T))
        some = whole if seen is None else whole[torch.from_numpy(seen)]
        for here, there in zip(own, others or own, strict=True):
            left = whole.index_select(0, here.voxels) * here.values[:, None]
            right = left if others is None else some.index_select(0, there.voxels) * there.values[:, None]
            turned.index_add_(0, here.voxels, left @ (right.T @ vectors.index_select(0, there.voxels)))
    return np.ascontiguousarray(turned.numpy().T)
