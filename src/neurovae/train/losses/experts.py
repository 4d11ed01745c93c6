"""The product of Gaussian experts with the prior: what several blocks together say of the shared latents."""

import torch
from torch import Tensor


def product(mu: Tensor, logvar: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance (people, latents) of N(0, I) times the experts that are there (Wu and Goodman 2018).

    The precision is 1 plus those of the experts, the mean their precision-weighted sum. Without any expert it is the
    prior: mean 0, log-variance 0. What an absent expert holds, NaN included, changes nothing to the bit.

    Args:
        mu, logvar: of the experts (blocks, people, latents).
        present: which block each person has, bool (blocks, people).
    """
    there = present[:, :, None]
    precision = torch.where(there, (-logvar).exp(), 0)
    weighted = torch.where(there, mu * precision, 0)
    total = 1 + precision.sum(dim=0)
    return weighted.sum(dim=0) / total, -total.log()
