"""Principal components of the masked voxels: of few scans held at once, or of many read a few at a time."""

from collections.abc import Iterator
from typing import NamedTuple

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


def stored(found: Principal, rotate: str) -> tuple[Tensors, dict[str, float]]:
    """What the weights of a PCA hold, for its own use and as the source of another: never a person.

    Args:
        found: the components.
        rotate: varimax, or none.

    Returns:
        Mean (voxels,), components (latents, voxels) and the variances (latents,) of those before a rotation, with the
        rotation (latents, latents); and, for the architecture, the variance that is left per voxel.
    """
    tensors = {"mean": found.mean, "components": found.components, "variances": found.variances}
    if rotate == "varimax":
        turned = varimax(found.components).astype(np.float32)
        tensors |= {"components": turned.T @ found.components, "varimax": turned}
    return tensors, {"left": found.left}


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
    fitted, mean, count = stacked(volumes, rows, mask, flip=flip, blur=blur)
    components = leading(fitted, n_latent)
    return described(fitted[:count], mean, components)


def stacked(
    volumes: np.ndarray, rows: np.ndarray, mask: np.ndarray, *, flip: bool, blur: float, more: int = 0
) -> tuple[np.ndarray, np.ndarray, int]:
    """Centred masked voxels of rows and mirror images, then their weighted blurred copies, then `more` empty rows.

    Returns:
        The rows (rows, voxels), the mean (voxels,), and the number of rows before the blurred copies.
    """
    count = len(rows) * (2 if flip else 1)
    size = count * (2 if blur else 1)
    fitted = np.empty((size + more, np.count_nonzero(mask)), np.float32)  # the one large array
    x = fitted[:count]
    for part in chunks(len(rows)):
        scans = volumes[rows[part]]
        x[part] = masked(scans, mask)
        if flip:
            x[part.start + len(rows) : part.stop + len(rows)] = masked(scans[:, ::-1], mask)
    mean = x.mean(axis=0)
    x -= mean
    if blur:
        blurred(x, mask, blur, fitted[count:size])
        fitted[count:size] *= BLURRED
    return fitted, mean, count


def described(x: np.ndarray, mean: np.ndarray, components: np.ndarray) -> Principal:
    """Components with the variances of the scores of centred rows x (rows, voxels), and what they leave."""
    variances = np.square(x @ components.T).sum(axis=0, dtype=np.float64) / (len(x) - 1)
    left = (total(x) - variances.sum()) / x.shape[1]
    return Principal(mean, components, variances.astype(np.float32), float(left))


def total(x: np.ndarray) -> float:
    """Variance of centred rows (rows, voxels), summed over voxels."""
    squares = sum(np.square(x[part]).sum(dtype=np.float64) for part in chunks(len(x)))
    return float(squares / (len(x) - 1))


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
    return combined(x, products(x), count)


def products(x: np.ndarray) -> np.ndarray:
    """Products (rows, rows) of rows (rows, voxels), in double precision."""
    found = np.zeros((len(x), len(x)))
    for i in range(0, x.shape[1], COLUMNS):
        part = x[:, i : i + COLUMNS].astype(np.float64)
        found += part @ part.T
    return found


def combined(x: np.ndarray, inner: np.ndarray, count: int, scale: np.ndarray | None = None) -> np.ndarray:
    """Right singular vectors (count, voxels) of rows x (rows, voxels), from their products `inner` (rows, rows).

    scale: factor of each row (rows,); None: 1.
    """
    inner = inner if scale is None else inner * np.outer(scale, scale)
    values, vectors = eigh(inner, subset_by_index=(len(x) - count, len(x) - 1))
    weights = (vectors / np.sqrt(values))[:, ::-1].T
    weights = weights if scale is None else weights * scale
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
