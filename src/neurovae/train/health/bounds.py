"""Information in the latents and bounds of the likelihood: ELBO, importance-weighted bound, mutual information."""

import math

import torch
from torch import Tensor


def log_normal(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """log N(z; mu, diag exp logvar), summed over the latents: (..., latents) -> (...)."""
    return -((z - mu).square() / logvar.exp() + logvar + math.log(2 * math.pi)).sum(dim=-1) / 2


def elbo(log_likelihood: Tensor, kl: Tensor) -> Tensor:
    """E_q[log p(x|z)] - KL(q(z|x) || p(z)), the evidence lower bound at beta = 1, nats per scan (scans,).

    Args:
        log_likelihood: log p(x|z) at draws of the posterior (samples, scans).
        kl: summed over latents (scans,).
    """
    return log_likelihood.double().mean(dim=0) - kl.double()


def importance_bound(log_likelihood: Tensor, log_prior: Tensor, log_posterior: Tensor) -> Tensor:
    """log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), nats per scan (scans,) (Burda 2016, equation 8).

    A lower bound of log p(x) in expectation; one sample gives the ELBO, more never a worse bound.

    Args:
        log_likelihood: log p(x|z) at K draws of the posterior (samples, scans).
        log_prior: log p(z) at the draws, likewise.
        log_posterior: log q(z|x) at the draws, likewise.
    """
    log_weight = log_likelihood.double() + log_prior.double() - log_posterior.double()
    return log_weight.logsumexp(dim=0) - math.log(len(log_weight))


def mutual_information(mu: Tensor, logvar: Tensor, *, samples: int, generator: torch.Generator) -> float:
    """I_q(x; z) = mean KL(q(z|x) || p) - KL(q(z) || p), in nats (Hoffman and Johnson 2016), by Monte Carlo.

    q(z) is the mixture of the posteriors of the people given. Both terms are found from the same draws, so that the
    prior and much noise cancel: mean of log q(z|x) - log q(z). As a number about those people it is unbiased; as one
    about the population they come from it is too small, and never above log N for N people, however much the
    latents hold (van den Oord 2018). KL(q(z) || p) is mean KL minus this number.

    Args:
        mu: posterior means (people, latents).
        logvar: log-variances, likewise.
        samples: draws per person.
        generator: on the CPU.
    """
    mu, logvar = mu.double().cpu(), logvar.double().cpu()
    eps = torch.randn(samples, *mu.shape, generator=generator, dtype=mu.dtype)
    differences = [_own_minus_mixture(mu + (logvar / 2).exp() * noise, mu, logvar) for noise in eps]
    return float(torch.stack(differences).mean())


def _own_minus_mixture(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """log q(z_i|x_i) - log q(z_i) of one draw per person (people, latents) -> (people,)."""
    precision = (-logvar).exp()
    squared = z.square() @ precision.T - 2 * z @ (mu * precision).T + (mu.square() * precision).sum(dim=1)
    log_q = -(squared + logvar.sum(dim=1)) / 2  # (draws, posteriors), without a constant that cancels
    return log_q.diagonal() - log_q.logsumexp(dim=1) + math.log(len(mu))
