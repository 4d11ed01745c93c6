"""Number of principal components above noise (parallel analysis), from the scalar products of people (n, n)."""

import math

import numpy as np
from scipy import fft
from scipy.optimize import brentq

from neurovae.io.progress import steps
from neurovae.io.volumes import chunks, masked

DRAWS = 20  # of noise; a component counts if it exceeds the largest of them (p = 1 / 21)
SHARED = 0.1  # of the mask's voxels that must have a partner at a lag, for its covariance to count
COLUMNS = 2**14  # voxels at a time, in double precision


def products(x: np.ndarray) -> np.ndarray:
    """Centred scalar products (n, n) of the rows of x (n, voxels)."""
    n = len(x)
    products_sum = np.zeros((n, n))
    for i in range(0, x.shape[1], COLUMNS):
        part = x[:, i : i + COLUMNS].astype(np.float64)
        part -= part.mean(axis=0)
        products_sum += part @ part.T
    return products_sum


def variances(centred: np.ndarray) -> np.ndarray:
    """Variances of the principal components, largest first, (n - 1,), from centred products (n, n)."""
    variance: np.ndarray = np.maximum(np.linalg.eigvalsh(centred)[::-1][:-1], 0.0) / (len(centred) - 1)
    return variance


def participation(spread: np.ndarray) -> float:
    """Participation ratio (sum v)^2 / sum v^2 of variances v: the number of components if all counted equally."""
    return float(spread.sum() ** 2 / np.square(spread).sum())


def smoothness(volumes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Half spectrum (x, y, z / 2 + 1) of stationary noise with the covariances, by lag, of the scans' differences.

    The covariance at a lag is the sum of products of voxels that far apart, both in the mask, over their number: the
    bare spectrum would count the mask's edge as roughness. Lags of fewer than SHARED of the mask's voxels count as 0.
    """
    box = [2 * side for side in mask.shape]  # zeros between the copies, so that no lag wraps
    centre = masked(volumes, mask).mean(axis=0)
    power: np.ndarray = np.zeros([*box[:2], box[2] // 2 + 1])
    for scan in volumes:
        difference = np.zeros(mask.shape, np.float32)
        difference[mask] = scan[mask] - centre
        power += np.abs(fft.rfftn(difference, box)) ** 2
    pairs = fft.irfftn(np.abs(fft.rfftn(mask.astype(np.float64), box)) ** 2, box)
    sums = fft.irfftn(power, box)
    lags = np.where(pairs > SHARED * mask.sum(), sums / np.maximum(pairs, 1), 0)
    near_lags = [np.fft.fftfreq(side, 1 / side).astype(int) for side in mask.shape]
    spectrum = fft.fftn(lags[np.ix_(*near_lags)]).real
    total = spectrum.sum()  # the nearest spectrum without negative power: all lowered alike until the power is right
    floor = brentq(lambda floor: np.maximum(spectrum - floor, 0).sum() - total, 0, spectrum.max())
    nearest: np.ndarray = np.maximum(spectrum - floor, 0)[..., : mask.shape[2] // 2 + 1]
    return nearest


def smooth_noise(lengths: np.ndarray, mask: np.ndarray, spectrum: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Masked voxels (n, voxels) of stationary noise with this spectrum, each row of its length, (n,)."""
    noise: np.ndarray = np.empty((len(lengths), int(mask.sum())), np.float32)
    root = np.sqrt(spectrum).astype(np.float32)
    for part in chunks(len(lengths)):
        waves = fft.rfftn(rng.standard_normal((part.stop - part.start, *mask.shape), np.float32), axes=(1, 2, 3))
        noise[part] = fft.irfftn(waves * root, mask.shape, axes=(1, 2, 3))[:, mask]
    noise *= (lengths / np.linalg.norm(noise, axis=1))[:, None]
    return noise


def above_noise(volumes: np.ndarray, mask: np.ndarray, seed: int) -> int:
    """Parallel analysis (Horn 1965) against smooth noise: components before the first that does not exceed all DRAWS.

    Voxels shuffled between people would be noise without smoothness, which any smooth component exceeds.
    """
    rng = np.random.default_rng(seed)
    centred = products(masked(volumes, mask))
    observed, lengths, spectrum = variances(centred), np.sqrt(np.diag(centred)), smoothness(volumes, mask)
    draws = [
        variances(products(smooth_noise(lengths, mask, spectrum, rng))) for _ in steps(range(DRAWS), "draws of noise")
    ]
    noise = np.max(draws, axis=0)
    return int(np.argmax(observed <= noise)) if (observed <= noise).any() else len(observed)


def shell(thickness: float, dimension: float) -> float:
    """Fraction of a ball's volume in its outer shell, 1 - (1 - e/R)^n; thickness: e/R, dimension: n."""
    return -math.expm1(dimension * math.log1p(-thickness))
