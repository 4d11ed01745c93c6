"""The Gaussian reconstruction term of the evidence lower bound (Kingma and Welling 2014), in nats, a row per scan.

Sums over the voxels of the fixed mask, not means: up-sampling by 2 per axis multiplies them by 8.
"""

import math

import torch
from torch import Tensor


def squared_error(x: Tensor, x_hat: Tensor, mask: Tensor) -> Tensor:
    """|x - x_hat|^2 over the mask: (scans, 1, x, y, z) and a bool mask (x, y, z) -> (scans,).

    Voxels outside the mask change nothing to the bit, value or gradient, whatever they hold, NaN included.
    """
    return torch.where(mask, x - x_hat, 0).square().flatten(1).sum(dim=1)  # a gather would be slow on a GPU


def gaussian_nll(x: Tensor, x_hat: Tensor, mask: Tensor, sigma: float | Tensor) -> Tensor:
    """-log N(x; x_hat, sigma^2 I) over the mask: (scans, 1, x, y, z) and a bool mask (x, y, z) -> (scans,).

    Args:
        sigma: standard deviation, in units of the intensity; a tensor () may be learned, and its square is the mean
            squared error in the mask at the optimum (Rybkin 2021).
    """
    error = squared_error(x, x_hat, mask)
    sigma = torch.as_tensor(sigma, dtype=error.dtype, device=error.device)
    return error / (2 * sigma.square()) + mask.sum() * (sigma.log() + math.log(2 * math.pi) / 2)
