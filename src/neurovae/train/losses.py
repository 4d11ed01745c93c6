"""The two terms of the evidence lower bound (Kingma and Welling 2014), in nats, summed: a row per scan."""

import math

from torch import Tensor


def gaussian_nll(x: Tensor, x_hat: Tensor, mask: Tensor, sigma: float) -> Tensor:
    """-log N(x; x_hat, sigma^2 I), summed over the voxels of the fixed mask; (scans, 1, x, y, z) -> (scans,)."""
    error = (x - x_hat)[:, 0, mask]
    return (error.square() / sigma**2 + math.log(2 * math.pi * sigma**2)).sum(dim=1) / 2


def kl_per_dimension(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) = -1/2 (1 + log sigma^2 - mu^2 - sigma^2); (scans, latents), each >= 0.

    The tutorial's equation 7 prints it without the minus sign.
    """
    return -0.5 * (1 + logvar - mu.square() - logvar.exp())
