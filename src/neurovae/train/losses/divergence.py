"""Divergence of codes from the prior N(0, I): KL with free bits, and MMD of the aggregated posterior."""

import torch
from torch import Tensor

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the kernel, in units of the prior's mean squared distance 2 d


def kl_per_dimension(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) = -1/2 (1 + log sigma^2 - mu^2 - sigma^2); (scans, latents), each >= 0.

    The tutorial's equation 7 prints it without the minus sign.
    """
    return (mu.square() + logvar.expm1() - logvar) / 2  # expm1 keeps the digits near the prior


def free_bits(kl: Tensor, bits: float) -> Tensor:
    """KL that is penalised, nats per latent (latents,): the mean over the scans, at least `bits`.

    The floor is on the mean of the batch, not on each scan (Kingma 2016, each latent a group); a latent
    below it has no gradient.

    Args:
        kl: (scans, latents).
    """
    return kl.mean(dim=0).clamp(min=bits)


def mmd(z: Tensor, prior: Tensor) -> Tensor:
    """Squared maximum mean discrepancy () of codes (n, latents) and draws of the prior (m, latents), unbiased.

    A U-statistic, so it may be negative (Gretton 2012, equation 3). The kernel is the sum of C / (C + distance^2)
    over C = 2 d s, with d latents and s in `SCALES` (Tolstikhin 2018, section 4): 7 at distance 0. Of one code the
    term between codes is left out.
    """
    within_groups = sum(_off_diagonal_mean(_kernel(group, group)) for group in (z, prior))
    return within_groups - 2 * _kernel(z, prior).mean()


def _off_diagonal_mean(kernel: Tensor) -> Tensor:
    """Mean of a square matrix without its diagonal; 0 where there is nothing else."""
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / max(n * (n - 1), 1)


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """The kernel of each of (n, latents) with each of (m, latents): (n, m)."""
    squared = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()  # by differences, in any mode
    base = 2 * a.shape[1]
    return torch.stack([base * scale / (base * scale + squared) for scale in SCALES]).sum(dim=0)


def mmd_pull(z: Tensor, queue: Tensor, prior: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """MMD () of a batch's codes together with earlier ones, and the gradient of weight * MMD in z (n, latents).

    Add (z * gradient).sum() over the scans of any part of the batch to that part's loss: then the parameters'
    gradient does not depend on how the batch is shared among processes or parts. The gradient is multiplied by
    (n + q) / n, as if all codes and not the batch's alone followed the parameters; so a weight means the same for
    every batch and queue.

    Args:
        z: codes of the whole batch, gathered from all processes and parts (n, latents).
        queue: earlier codes (q, latents), q from 0 on.
        prior: draws of the prior (m, latents), m at least 2.
        weight: lambda.
    """
    leaf = z.detach().requires_grad_()
    with torch.enable_grad():
        value = mmd(torch.cat([leaf, queue.detach()]), prior)
        (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient * (weight * (len(z) + len(queue)) / len(z))


def push(queue: Tensor, z: Tensor, size: int = 256) -> Tensor:
    """The last `size` codes (q, latents), newest last, without their gradient."""
    return torch.cat([queue, z.detach()])[-size:]
