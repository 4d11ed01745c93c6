"""Negative log-likelihoods of clinical variables in nats, by the declared type of a score; missing items are masked.

A decoder gives the parameters, on unconstrained scales; every term keeps its constant, so that terms of different types
add up. An item that is masked changes no value and no gradient, to the bit, whatever the array holds there (NaN too).
`stats.likelihoods` fits the same families to tables by maximum likelihood; here they are losses with gradients.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

SMALLEST = 1e-6  # spacing of thresholds, dispersion and concentration are above it


def gaussian(y: Tensor, mask: Tensor, mean: Tensor, log_sd: Tensor) -> Tensor:
    """-log N(y; mean, exp(log_sd)^2), (people,).

    Args:
        y: values (people, items).
        mask: which of them are known (people, items).
        mean: (people, items).
        log_sd: (items,) or (people, items).
    """
    y = _known(y, mask)
    return _sum(((y - mean) * torch.exp(-log_sd)).square() / 2 + log_sd + math.log(2 * math.pi) / 2, mask)


def bernoulli(y: Tensor, mask: Tensor, logit: Tensor) -> Tensor:
    """-log Bernoulli(y; sigmoid(logit)), (people,); y is 0 or 1."""
    return _sum(softplus(logit) - _known(y, mask) * logit, mask)


def thresholds(raw: Tensor) -> Tensor:
    """Rising thresholds (items, levels - 1) from free numbers: the first, then the steps before a softplus."""
    steps = softplus(raw[..., 1:]) + SMALLEST
    return torch.cat([raw[..., :1], raw[..., :1] + steps.cumsum(dim=-1)], dim=-1)


def ordinal(y: Tensor, mask: Tensor, location: Tensor, cuts: Tensor) -> Tensor:
    """-log P(y) of the proportional-odds model P(y <= k) = sigmoid(cut_k - location) (McCullagh 1980), (people,).

    Args:
        y: levels 0, 1, ... (people, items).
        mask: which of them are known.
        location: (people, items); larger: higher levels.
        cuts: rising thresholds (items, levels - 1), of `thresholds`; items with fewer levels end with infinity.
    """
    level = _known(y, mask).long()
    ends = cuts.new_full((*cuts.shape[:-1], 1), math.inf)
    edges = torch.cat([-ends, cuts, ends], dim=-1).expand(*level.shape, -1)
    low = edges.gather(-1, level[..., None])[..., 0]
    high = edges.gather(-1, level[..., None] + 1)[..., 0]
    # log(s(b) - s(a)) = log s(b) + log s(-a) + log(1 - exp(a - b)), finite in both tails
    has_low, has_high = torch.isfinite(low), torch.isfinite(high)
    a, b = torch.where(has_low, low, 0) - location, torch.where(has_high, high, 0) - location
    both = has_low & has_high
    gap = torch.where(both, b - a, 1.0)
    log_p = torch.where(has_high, logsigmoid(b), 0) + torch.where(has_low, logsigmoid(-a), 0)
    return _sum(-(log_p + torch.where(both, torch.log(-torch.expm1(-gap)), 0)), mask)


def negative_binomial(y: Tensor, mask: Tensor, log_mean: Tensor, log_alpha: Tensor) -> Tensor:
    """-log NB2(y) with mean m = exp(log_mean) and variance m + alpha m^2, (people,); y is 0, 1, 2, ...

    Args:
        y, mask, log_mean: (people, items).
        log_alpha: (items,) or (people, items).
    """
    y = _known(y, mask)
    size, log_ratio = torch.exp(-log_alpha), log_mean + log_alpha  # 1 / alpha, log(alpha m)
    constant = torch.lgamma(y + size) - torch.lgamma(size) - torch.lgamma(y + 1)
    return _sum(-(constant - size * softplus(log_ratio) + y * logsigmoid(log_ratio)), mask)


def beta_binomial(y: Tensor, mask: Tensor, total: Tensor, logit: Tensor, log_concentration: Tensor) -> Tensor:
    """-log beta-binomial(y; total, a = c p, b = c (1 - p)) with p = sigmoid(logit), c the concentration, (people,).

    Args:
        y: points above the lowest possible value, 0 to total (people, items).
        mask: which of them are known.
        total: highest minus lowest possible value (items,).
        logit: (people, items).
        log_concentration: (items,) or (people, items); towards infinity a binomial.
    """
    y = _known(y, mask)
    c = torch.exp(log_concentration)
    a, b = c * torch.sigmoid(logit) + SMALLEST, c * torch.sigmoid(-logit) + SMALLEST
    ways = torch.lgamma(total + 1) - torch.lgamma(y + 1) - torch.lgamma(total - y + 1)
    return _sum(-(ways + _log_beta(y + a, total - y + b) - _log_beta(a, b)), mask)


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def _known(y: Tensor, mask: Tensor) -> Tensor:
    """The values, 0 where they are missing."""
    return torch.where(mask, y, 0)


def _sum(nll: Tensor, mask: Tensor) -> Tensor:
    """Sum over the known items, (people,)."""
    return torch.where(mask, nll, 0).sum(dim=-1)
