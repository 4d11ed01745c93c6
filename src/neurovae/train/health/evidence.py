"""The information in the latents of a model with a KL, in nats, and its bounds on log p(x), for given people."""

import math
from typing import Any

import numpy as np
import torch

from neurovae.io.progress import steps
from neurovae.io.volumes import chunks, evenly
from neurovae.train.engine import rng
from neurovae.train.health import bounds
from neurovae.train.health.measures import Read
from neurovae.train.losses.divergence import kl_per_dimension

SAMPLES = 16  # K: draws of the posterior per scan, of the bounds and of the information
MAX_SCANS = 128  # scans that are decoded K times


def information(mu: np.ndarray, logvar: np.ndarray, seed: int) -> dict[str, float]:
    """Return the mutual information of people and latents in nats, and its maximum among so few people.

    Args:
        mu, logvar: posterior means and log-variances (scans, latents).
        seed: of the draws.
    """
    estimate = bounds.mutual_information(
        torch.from_numpy(mu), torch.from_numpy(logvar), samples=SAMPLES, generator=rng.generator(seed, 7)
    )
    return {"information": estimate, "most": math.log(len(mu))}


def rate(mu: np.ndarray, logvar: np.ndarray) -> float:
    """Return the mean KL from the prior, nats per scan."""
    return float(kl_per_dimension(torch.from_numpy(mu), torch.from_numpy(logvar)).sum(dim=1).mean())


def bounds_of(
    scans_of: Read, decode: Read, rows: np.ndarray, mu: np.ndarray, logvar: np.ndarray, sigma: float, seed: int
) -> dict[str, Any]:
    """Distortion, ELBO at beta = 1 and importance-weighted bound, nats a scan, of a Gaussian likelihood.

    Args:
        scans_of: masked voxels (scans, voxels) of rows.
        decode: masked voxels of latents.
        rows: rows of the scans; at most `MAX_SCANS`, evenly spaced, are decoded.
        mu, logvar: posterior of each of these rows (scans, latents).
        sigma: standard deviation of the likelihood.
        seed: of the draws.
    """
    subset = evenly(len(rows), MAX_SCANS)
    means, logs = torch.from_numpy(mu[subset]), torch.from_numpy(logvar[subset])
    eps = torch.randn(SAMPLES, *means.shape, generator=rng.generator(seed, 8), dtype=means.dtype)
    z = means + (logs / 2).exp() * eps
    likelihood = torch.empty(SAMPLES, len(subset), dtype=torch.float64)
    for part in steps(chunks(len(subset)), "scans of the bounds", len(subset)):
        x = scans_of(rows[subset[part]])
        for k in range(SAMPLES):
            error = np.square(x - decode(z[k, part].float().numpy())).sum(axis=1, dtype=np.float64)
            constant = x.shape[1] * (math.log(sigma) + math.log(2 * math.pi) / 2)
            likelihood[k, part] = torch.from_numpy(-error / (2 * sigma**2) - constant)
    prior, posterior = bounds.log_normal(z, torch.zeros_like(z), torch.zeros_like(z)), bounds.log_normal(z, means, logs)
    kl = (posterior - prior).mean(dim=0)  # of the same draws, so that one bound is never below the other by chance
    return {
        "distortion": -float(likelihood.mean()),
        "elbo": float(bounds.elbo(likelihood, kl).mean()),
        "importance_bound": float(bounds.importance_bound(likelihood, prior, posterior).mean()),
        "bound_samples": SAMPLES,
        "bound_scans": len(subset),
    }
