"""Structural similarity in three dimensions (Wang 2004, equation 13) inside a fixed mask, by banded matrix products.

With s = x + x_hat and d = x - x_hat, Wang's two factors are

    luminance = 1 - mean(d)^2 / ((mean(s)^2 + mean(d)^2) / 2 + C1),
    contrast and structure = 1 - var(d) / ((var(s) + var(d)) / 2 + C2),

which needs four windowed images where the printed form needs five, and loses no digits where x_hat is close to x.
Products are in float32 or better under autocast too, but not where the caller lets float32 products run in tf32
(torch.set_float32_matmul_precision): that is off by 1e-4.
"""

import math

import torch
from torch import Tensor

WIDTH, SPREAD = 5, 1.5  # half-width (11 voxels in all) and standard deviation of the Gaussian window
K1, K2 = 0.01, 0.03


def ssim(
    x: Tensor, x_hat: Tensor, mask: Tensor, *, data_range: float, low: float = 0.0, outside: float = 0.0
) -> Tensor:
    """Structural similarity averaged over the mask, -1 to 1, 1 for equal images; arguments as for `dssim`."""
    return 1 - dssim(x, x_hat, mask, data_range=data_range, low=low, outside=outside)


def dssim(
    x: Tensor, x_hat: Tensor, mask: Tensor, *, data_range: float, low: float = 0.0, outside: float = 0.0
) -> Tensor:
    """1 - SSIM averaged over the mask: (scans, 1, x, y, z) and a bool mask (x, y, z) -> (scans,).

    Moments are of the population: weighted with the window, without a correction for its size. Voxels outside the
    mask change nothing to the bit, value or gradient. It is no likelihood: its weight beside a KL is a choice.

    Args:
        data_range: L in C1 = (0.01 L)^2 and C2 = (0.03 L)^2, in units of the intensity, fixed for the cohort.
        low: intensity that counts as black; Wang's luminance is meant for intensities of 0 to L, and z-scores of
            about 0 would be compared as if both images were black there.
        outside: what both images hold outside the mask and beyond the grid; in float32 digits are saved where it is
            near the images' mean, since variances are found about it.
    """
    kind = torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        a, b = (torch.where(mask, image[:, 0].to(kind) - outside, 0) for image in (x, x_hat))
        total, gap = a + b, a - b
        sums = windowed(torch.stack([total, gap, total.square(), gap.square()]))
        square, gap_square = (sums[0] + 2 * (outside - low)).square(), sums[1].square()
        variance, gap_variance = sums[2] - sums[0].square(), sums[3] - gap_square
        luminance = gap_square / ((square + gap_square) / 2 + (K1 * data_range) ** 2)
        structure = gap_variance / ((variance + gap_variance) / 2 + (K2 * data_range) ** 2)
        dissimilarity = luminance + structure - luminance * structure
        return (dissimilarity * mask).flatten(1).sum(dim=1) / mask.sum()


def windowed(images: Tensor) -> Tensor:
    """Gaussian-weighted means around each voxel of images (..., x, y, z) that are zero beyond their grid."""
    x, y, z = (band(side, images) for side in images.shape[-3:])
    images = y @ (images @ z)
    return (x @ images.flatten(-2)).view_as(images)


def band(side: int, like: Tensor) -> Tensor:
    """The symmetric band matrix (side, side) of the window along one axis; rows at the ends sum to less than 1."""
    at = torch.arange(side, dtype=like.dtype, device=like.device)
    distance = (at[:, None] - at).abs()
    weights = torch.where(distance <= WIDTH, torch.exp(-distance.square() / (2 * SPREAD**2)), 0)
    return weights / sum(math.exp(-(k**2) / (2 * SPREAD**2)) for k in range(-WIDTH, WIDTH + 1))
