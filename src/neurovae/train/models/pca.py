"""The mandatory baseline (Wen 2020), and the VAE's linear part: principal components of the masked voxels."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import eigh, svd
from scipy.ndimage import gaussian_filter

from neurovae.errors import InputError
from neurovae.io.volumes import chunks, evenly, masked
from neurovae.train.engine.windows import BOX
from neurovae.train.models.rotation import varimax
from neurovae.train.weights import Tensors

BLURRED = 2.0  # weight of the blurred copies beside the scans
COLUMNS = 2**14  # voxels at a time, in double precision
MAX_SCANS = 2000  # training scans in memory at once; more are read a few at a time
FIRST = 1000  # of these, at whose components the iteration over all starts
PASSES, MORE = 4, 10  # of the iteration over all scans; components beyond those wanted that it needs


class Principal(NamedTuple):
    """Mean (voxels,), orthonormal components (latents, voxels), variance of the scores, and that left per voxel."""

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    left: float


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
) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """Mean (voxels,) and orthonormal components (latents, voxels) of the people in "training"; no history.

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
    """
    rows = np.flatnonzero(split == "training")
    n_latent = min(n_latent, len(rows) - 1) if capped else n_latent
    found = components(volumes, rows, mask, n_latent=n_latent, flip=flip, blur=blur)
    tensors = {"mean": found.mean, "components": rotated(found.components, rotate)}
    return tensors, {"n_latent": n_latent, "kl": False}, []


def rotated(components: np.ndarray, rotate: str) -> np.ndarray:
    """Orthonormal components (latents, voxels) as they are, or after varimax."""
    return varimax(components).T.astype(np.float32) @ components if rotate == "varimax" else components


def components(
    volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, *, n_latent: int, flip: bool, blur: float
) -> Principal:
    """Principal components of few rows held at once, or of many read a few at a time."""
    find = principal if len(rows) <= MAX_SCANS else streamed
    return find(volumes, rows, mask, n_latent=n_latent, flip=flip, blur=blur)


def principal(
    volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, *, n_latent: int, flip: bool, blur: float
) -> Principal:
    """Principal components of the masked voxels of some rows, and of their mirror images and blurred copies.

    Components of few people are rough, because noise is fitted: blurred copies (a Gaussian inside the mask, twice the
    scans' weight) draw them to what is smooth, as in smoothed principal components (Silverman 1996).

    Raises:
        InputError: as many latents as training scans, or more.
    """
    if n_latent >= len(rows):
        raise InputError(
            f"{n_latent} latents need more than {n_latent} training scans, found {len(rows)}; lower n_latent"
        )
    count = len(rows) * (2 if flip else 1)
    fitted = np.empty((count * (2 if blur else 1), np.count_nonzero(mask)), np.float32)  # the one large array
    x = fitted[:count]
    for part in chunks(len(rows)):
        scans = volumes[rows[part]]
        x[part] = masked(scans, mask)
        if flip:
            x[part.start + len(rows) : part.stop + len(rows)] = masked(scans[:, ::-1], mask)
    mean = x.mean(axis=0)
    x -= mean
    if blur:
        blurred(x, mask, blur, fitted[count:])
        fitted[count:] *= BLURRED
    components = leading(fitted, n_latent)
    variances = np.square(x @ components.T).sum(axis=0, dtype=np.float64) / (len(x) - 1)
    total = sum(np.square(x[part]).sum(dtype=np.float64) for part in chunks(len(x))) / (len(x) - 1)
    return Principal(mean, components, variances.astype(np.float32), float((total - variances.sum()) / x.shape[1]))


def streamed(
    volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, *, n_latent: int, flip: bool, blur: float
) -> Principal:
    """`principal` of more rows than are held at once: subspace iteration (Halko 2011, algorithm 4.4).

    It starts at the components of FIRST scans, evenly spaced, and reads all scans PASSES + 2 times, a few at a time.
    """
    subset = rows[evenly(len(rows), max(FIRST, 2 * (n_latent + MORE)))]
    basis = principal(volumes, subset, mask, n_latent=n_latent + MORE, flip=flip, blur=blur).components
    mean = mean_of(volumes, rows, mask, flip)
    for _ in range(PASSES):
        products = np.zeros(basis.shape)
        for x in centred(volumes, rows, mask, mean, flip):
            fitted = np.concatenate([x, BLURRED * blurred(x, mask, blur)]) if blur else x
            products += (fitted @ basis.T).T @ fitted
        basis = _axes(products)
    components, count = basis[:n_latent], len(rows) * (2 if flip else 1) - 1
    total, variances = 0.0, np.zeros(n_latent)
    for x in centred(volumes, rows, mask, mean, flip):
        total += float(np.square(x).sum(dtype=np.float64)) / count
        variances += np.square(x @ components.T).sum(axis=0, dtype=np.float64) / count
    return Principal(mean, components, variances.astype(np.float32), (total - float(variances.sum())) / len(mean))


def _axes(vectors: np.ndarray) -> np.ndarray:
    """Orthonormal rows that span those given, the longest direction first; of each, the largest weight is positive."""
    axes = svd(vectors, full_matrices=False)[2].astype(np.float32)
    return axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]


def mean_of(volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, flip: bool) -> np.ndarray:
    """Mean of the masked voxels of rows, and of their mirror images."""
    total = sum(volumes[rows[part]].sum(axis=0, dtype=np.float64) for part in chunks(len(rows)))
    whole = (total + total[::-1]) / 2 if flip else total
    return (whole[mask] / len(rows)).astype(np.float32)


def centred(
    volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, mean: np.ndarray, flip: bool, at_once: int = 64
) -> Iterator[np.ndarray]:
    """Centred masked voxels of a few scans at a time, and of their mirror images."""
    for part in chunks(len(rows), at_once):
        own = volumes[rows[part]]
        yield masked(np.concatenate([own, own[:, ::-1]]) if flip else own, mask) - mean


def leading(x: np.ndarray, count: int) -> np.ndarray:
    """The first right singular vectors (count, voxels) of x (rows, voxels), from the rows' products (Sirovich 1987).

    With far fewer rows than voxels this is much faster than a singular value decomposition (50 times at 160 x 100,000).
    Of each, the largest weight is positive, so that a sign does not depend on the machine.
    """
    products = np.zeros((len(x), len(x)))
    for i in range(0, x.shape[1], COLUMNS):
        part = x[:, i : i + COLUMNS].astype(np.float64)
        products += part @ part.T
    values, vectors = eigh(products, subset_by_index=(len(x) - count, len(x) - 1))
    weights = (vectors / np.sqrt(values))[:, ::-1].T
    components = weights.astype(np.float32) @ x
    components *= np.sign(components[np.arange(count), np.abs(components).argmax(axis=1)])[:, None]
    return components


def blurred(x: np.ndarray, mask: np.ndarray, blur: float, out: np.ndarray | None = None) -> np.ndarray:
    """Masked voxels (scans, voxels) after a Gaussian of `blur` mm that takes nothing from outside the mask."""
    width = [blur * side / mm for side, mm in zip(mask.shape, BOX, strict=True)]
    inside = gaussian_filter(mask.astype(np.float32), width)[mask]
    copies = np.empty_like(x) if out is None else out
    for row, copy in zip(x, copies, strict=True):
        volume = np.zeros(mask.shape, np.float32)
        volume[mask] = row
        copy[:] = gaussian_filter(volume, width)[mask] / inside
    return copies


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
